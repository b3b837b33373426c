"""Corrections of correctionlib files, with the keys and ranges that each of them knows.

correctionlib evaluates a correction, but does not say beforehand which arguments it has a value
for: a key that is not known is an error in the middle of an evaluation, and a number outside the
bins is, by the choice of the file, an error, clamped or given another value. A correction is a
tree: nodes of categories choose by a key (systematic, working point, flavour), nodes of bins by
numbers (pt, abseta), and the leaves are values. The walk of :func:`_branches` collects each way
from the root to a value as a *branch*: the keys that were chosen on it, and for each binned input
the range that its bins cover, the union where several nodes bin one input. A question such as
"which range of pt has this systematic for light jets" is then a look-up among the branches whose
keys agree with the arguments, without an evaluation.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import correctionlib

from hepsilon.errors import ArtifactError

__all__ = ["Correction", "Range", "content_of", "corrections_in"]

Range: TypeAlias = tuple[float, float]
Choice: TypeAlias = frozenset[tuple[str, int | str]]
Branches: TypeAlias = dict[Choice, dict[str, Range]]
# Module level, so that a worker reads a file once, however many handles it unpickles.
_FILES: dict[str, dict[str, Correction]] = {}
_LOCK = Lock()


@dataclass(frozen=True)
class Correction:
    """Correction of a correctionlib file, with the arguments that it has values for.

    Attributes
    ----------
    name : str
        Name of the correction in the file.
    evaluate : callable
        Function of correctionlib, which takes its arguments by position.
    inputs : dict of str to {"string", "int", "real"}
        Type of every argument by its name, in the order of the function.
    branches : dict of frozenset of (str, key) to dict of str to (float, float)
        Ranges of the binned inputs by the keys on the way to a value.
    """

    name: str
    evaluate: Callable[..., Any]
    inputs: dict[str, str]
    branches: Branches

    def keys(self, name: str) -> frozenset[Any]:
        """Keys that the correction knows of an input.

        Parameters
        ----------
        name : str
            Name of the input.

        Returns
        -------
        frozenset of str or int
            Keys in any branch; empty for an input that chooses no category.
        """
        return frozenset(
            key for choice in self.branches for input_name, key in choice if input_name == name
        )

    def ranges(self, chosen: Mapping[str, Any]) -> dict[str, Range] | None:
        """Range of every binned input for the chosen keys.

        Parameters
        ----------
        chosen : mapping of str to str or int
            Keys by input; inputs that are left out may have any key.

        Returns
        -------
        dict of str to tuple of (float, float), or None
            Smallest and largest edge by input; None if there is no value for the chosen keys.
        """
        ranges = [
            ranges
            for choice, ranges in self.branches.items()
            if all(chosen.get(name, key) == key for name, key in choice)
        ]
        return _union(*ranges) if ranges else None


def _union(*ranges: Mapping[str, Range]) -> dict[str, Range]:
    union: dict[str, Range] = {}
    for name, (low, high) in (item for known in ranges for item in known.items()):
        lowest, highest = union.get(name, (low, high))
        union[name] = min(low, lowest), max(high, highest)
    return union


def _limits(edges: Any) -> Range:
    """First and last edge of a binning; a file writes infinite ones as words."""
    uniform = isinstance(edges, Mapping)
    low, high = (edges["low"], edges["high"]) if uniform else (edges[0], edges[-1])
    return float(low), float(high)


def _branches(node: Any) -> Branches:
    """Branches below a node: ranges of binned inputs by the (input, key) pairs on the way.

    Ways with equal keys are one branch, whose ranges are united. The default of a category is a way
    without key, as it takes any. Nodes below a transform see another value than the argument, so
    their keys and ranges of its input are dropped. The raw JSON is walked, because the records of
    correctionlib's own schema take long to make for large files.
    """
    kind = node["nodetype"] if isinstance(node, Mapping) else "value"
    branches: Branches = {}
    if kind == "category":
        for item in node["content"]:
            key = frozenset({(node["input"], item["key"])})
            _merge(branches, _branches(item["value"]), key, {})
        if node.get("default") is not None:
            _merge(branches, _branches(node["default"]), frozenset(), {})
    elif kind in ("binning", "multibinning"):
        one = kind == "binning"
        names, edges = (
            ([node["input"]], [node["edges"]]) if one else (node["inputs"], node["edges"])
        )
        ranges = dict(zip(names, map(_limits, edges), strict=True))
        for content in node["content"]:
            _merge(branches, _branches(content), frozenset(), ranges)
    elif kind == "transform":  # what is below it sees another value than the argument
        for choice, below in _branches(node["content"]).items():
            seen = frozenset(pair for pair in choice if pair[0] != node["input"])
            kept = {name: limits for name, limits in below.items() if name != node["input"]}
            _merge(branches, {seen: kept}, frozenset(), {})
    else:
        branches[frozenset()] = {}
    return branches


def _merge(into: Branches, below_key: Branches, key: Choice, ranges: Mapping[str, Range]) -> None:
    """Add branches to others, each with the key and the ranges of the node above."""
    for choice, below in below_key.items():
        into[choice | key] = _union(into.get(choice | key, {}), below, ranges)


def content_of(path: str) -> bytes:
    """Bytes of a scale factor file.

    Parameters
    ----------
    path : str
        Path of the file.

    Returns
    -------
    bytes
        Content, compressed if the file is.

    Raises
    ------
    ArtifactError
        If the file cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:  # as it is, coffea would drop the chunk
        raise ArtifactError(f"no scale factor file {path!r}: {error.strerror}") from None


def corrections_in(path: str, expected: str) -> dict[str, Correction]:
    """Corrections of a file, which a process reads only once.

    Parameters
    ----------
    path : str
        Path of the file, ``.json`` or ``.json.gz``.
    expected : str
        SHA-256 of the content that the file must have.

    Returns
    -------
    dict of str to Correction
        Corrections by name.

    Raises
    ------
    ArtifactError
        If the file cannot be read, has other content or is not a correctionlib file.
    """
    with _LOCK:
        if expected not in _FILES:
            content = content_of(path)
            if hashlib.sha256(content).hexdigest() != expected:
                raise ArtifactError(f"{path} changed since it was loaded (hash {expected[:12]})")
            try:
                _FILES[expected] = _parsed(content)
            except Exception as error:  # gzip, json and correctionlib raise many kinds
                raise ArtifactError(f"{path} is not a correctionlib file: {error!r}") from None
        return _FILES[expected]


def _parsed(content: bytes) -> dict[str, Correction]:
    text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
    evaluators = correctionlib.CorrectionSet.from_string(text)
    corrections = {}
    for raw in json.loads(text)["corrections"]:
        name, inputs = raw["name"], {entry["name"]: entry["type"] for entry in raw["inputs"]}
        evaluate = evaluators[name].evaluate
        corrections[name] = Correction(name, evaluate, inputs, _branches(raw["data"]))
    return corrections
