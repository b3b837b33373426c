"""correctionlib files: their functions, with the keys and ranges that these know."""

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
    """A correction of a file.

    Attributes
    ----------
    name : str
        In the file.
    evaluate : callable
        The function of correctionlib.
    inputs : dict of str to str
        Types of its arguments, in order.
    branches : Branches
        Keys and ranges on the ways to its values (see :func:`_branches`).
    """

    name: str
    evaluate: Callable[..., Any]
    inputs: dict[str, str]
    branches: Branches

    def keys(self, name: str) -> frozenset[Any]:
        """All keys of an input."""
        return frozenset(key for choice in self.branches for found, key in choice if found == name)

    def ranges(self, chosen: Mapping[str, Any]) -> dict[str, Range] | None:
        """Smallest and largest edge of binned inputs; None where no value has the chosen keys."""
        found = [
            ranges
            for choice, ranges in self.branches.items()
            if all(chosen.get(name, key) == key for name, key in choice)
        ]
        return _union(*found) if found else None


def _union(*ranges: Mapping[str, Range]) -> dict[str, Range]:
    union: dict[str, Range] = {}
    for name, (low, high) in (item for found in ranges for item in found.items()):
        lowest, highest = union.get(name, (low, high))
        union[name] = min(low, lowest), max(high, highest)
    return union


def _limits(edges: Any) -> Range:
    """First and last edge; infinite ones are words."""
    uniform = isinstance(edges, Mapping)
    low, high = (edges["low"], edges["high"]) if uniform else (edges[0], edges[-1])
    return float(low), float(high)


def _branches(node: Any) -> Branches:
    """For the keys (input, key) on each way to a value the range of the bins.

    The default of a category is a way without key. The raw file is walked, for the records of
    correctionlib take long to make of large ones.
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


def _merge(into: Branches, found: Branches, key: Choice, ranges: Mapping[str, Range]) -> None:
    """Add ways, each with the key and the ranges of the node above."""
    for choice, below in found.items():
        into[choice | key] = _union(into.get(choice | key, {}), below, ranges)


def content_of(path: str) -> bytes:
    """The file as it is."""
    try:
        return Path(path).read_bytes()
    except OSError as error:  # as it is, coffea would drop the chunk
        raise ArtifactError(f"no scale factor file {path!r}: {error.strerror}") from None


def corrections_in(path: str, expected: str) -> dict[str, Correction]:
    """The corrections of a file; a process reads it once, and it must still be the same."""
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
    found = {}
    for raw in json.loads(text)["corrections"]:
        name, inputs = raw["name"], {entry["name"]: entry["type"] for entry in raw["inputs"]}
        evaluate = evaluators[name].evaluate
        found[name] = Correction(name, evaluate, inputs, _branches(raw["data"]))
    return found
