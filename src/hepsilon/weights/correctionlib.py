"""Corrections of correctionlib files, with the keys and ranges that each of them knows.

correctionlib evaluates a correction, but does not say beforehand which arguments it has a value
for: a key that is not known is an error in the middle of an evaluation, and a number outside the
bins is, by the choice of the file, an error, clamped or given another value. A correction is a
tree: nodes of categories choose by a key (systematic, working point, flavour), nodes of bins by
numbers (pt, abseta), and the leaves are values. :func:`_choices` collects the keys on each way from
the root to a value, which answers what a correction knows of without an evaluation; :func:`_walk`
follows the values of a chunk, and finds those outside the bins with what the file does with them.
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
import numpy as np

from hepsilon._system.files import find_file
from hepsilon.errors import ArtifactError

__all__ = ["Correction", "Outside", "Range", "content_of", "corrections_in"]

Range: TypeAlias = tuple[float, float]
Choice: TypeAlias = frozenset[tuple[str, int | str]]
SYSTEMATICS = ("systematic", "weights", "ValType", "scale_factors")  # BTV, LUM, EGM, MUO
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
    choices : frozenset of frozenset of (str, key)
        Keys on each way to a value.
    data : mapping or float
        Root of the tree, as in the file.
    descriptions : dict of str to str
        Description of every input that has one.
    """

    name: str
    evaluate: Callable[..., Any]
    inputs: dict[str, str]
    choices: frozenset[Choice]
    data: Any
    descriptions: dict[str, str]

    @property
    def systematic(self) -> str:
        """Input that chooses the variation, under any of its usual names."""
        return next((name for name in SYSTEMATICS if name in self.inputs), SYSTEMATICS[0])

    def described(self) -> str:
        """Descriptions of the inputs in the file, in brackets; empty without any.

        Returns
        -------
        str
            Text for a message.
        """
        texts = [f"{name}: {text}" for name, text in self.descriptions.items() if text]
        return f" ({'; '.join(texts)})" if texts else ""

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
            key for choice in self.choices for input_name, key in choice if input_name == name
        )

    def has(self, chosen: Mapping[str, Any]) -> bool:
        """Whether there is a value for the chosen keys.

        Parameters
        ----------
        chosen : mapping of str to str or int
            Keys by input; inputs that are left out may have any key.

        Returns
        -------
        bool
            Whether any way to a value agrees with the keys.
        """
        return any(
            all(chosen.get(name, key) == key for name, key in choice) for choice in self.choices
        )

    def outside(self, values: Mapping[str, Any], size: int) -> list[Outside]:
        """Values outside the bins on their way through the tree.

        A refused value goes on as its nearest one inside, so that all refusals of a row are found.
        What is below a transform sees another value than the argument, and is not looked at.

        Parameters
        ----------
        values : mapping of str to ndarray, shape (size,), or to str or number
            Arguments by input.
        size : int
            Number of rows.

        Returns
        -------
        list of Outside
            One entry for each binned input of each node with values outside.
        """
        found: list[Outside] = []
        columns = {
            name: np.array(value, np.float64) if np.ndim(value) else value
            for name, value in values.items()
        }
        _walk(self.data, columns, np.arange(size), self.inputs, found)
        return found


@dataclass(frozen=True)
class Outside:
    """Values of an input outside the bins of one node.

    Attributes
    ----------
    name : str
        Input.
    limits : tuple of (float, float)
        First and last edge.
    rows : ndarray of int64
        Positions of the values.
    inner : ndarray of float64, or None
        Nearest values inside, where the file refuses; None where the file has an answer.
    """

    name: str
    limits: Range
    rows: Any
    inner: Any


def _walk(
    node: Any, values: dict[str, Any], rows: Any, types: Mapping[str, str], found: list[Outside]
) -> None:
    """Follow rows from a node to their values, and note where they leave the bins."""
    kind = node["nodetype"] if isinstance(node, Mapping) else "value"
    if not rows.size:
        return
    if kind == "category":
        value, left = values[node["input"]], np.ones(rows.size, bool)
        for item in node["content"]:
            column = value[rows] if np.ndim(value) else value
            chosen = np.broadcast_to(np.asarray(column == item["key"]), rows.shape)
            left = left & ~chosen
            _walk(item["value"], values, rows[chosen], types, found)
        _walk(node.get("default"), values, rows[left], types, found)
    elif kind in ("binning", "multibinning"):
        one = kind == "binning"
        names = [node["input"]] if one else node["inputs"]
        axes = [_edges(edges) for edges in ([node["edges"]] if one else node["edges"])]
        flow, away = node["flow"], np.zeros(rows.size, bool)
        index = np.zeros(rows.size, np.int64)
        for name, edges in zip(names, axes, strict=True):
            column = np.asarray(values[name], np.float64)
            column = column[rows] if column.ndim else np.full(rows.size, float(column))
            low, high = float(edges[0]), float(edges[-1])
            outside = (column < low) | (column >= high)
            inner = _inside(column, low, high, types.get(name) == "int")
            if outside.any():
                refused = flow == "error"
                moved = inner[outside] if refused else None
                found.append(Outside(name, (low, high), rows[outside], moved))
                if refused and np.ndim(values[name]):
                    values[name][rows[outside]] = moved
                away |= outside
            if flow == "wrap" and np.isfinite([low, high]).all():
                inner = np.where(outside, low + np.mod(column - low, high - low), inner)
            bins = np.searchsorted(edges, inner, side="right") - 1
            index = index * (edges.size - 1) + np.clip(bins, 0, edges.size - 2)
        if flow not in ("error", "clamp", "wrap"):  # a value or a node of its own
            _walk(flow, values, rows[away], types, found)
            rows, index = rows[~away], index[~away]
        for position in np.unique(index).tolist():
            _walk(node["content"][position], values, rows[index == position], types, found)


def _edges(edges: Any) -> Any:
    """Edges of a binning; a file writes infinite ones as words."""
    if isinstance(edges, Mapping):
        return np.linspace(float(edges["low"]), float(edges["high"]), int(edges["n"]) + 1)
    return np.array([float(edge) for edge in edges])


def _inside(values: Any, low: float, high: float, integer: bool) -> Any:
    """Nearest values inside; the upper edge is outside."""
    if integer:
        return np.clip(values, np.ceil(low), np.ceil(high) - 1.0)
    return np.clip(values, low, np.nextafter(high, low))


def _choices(node: Any) -> frozenset[Choice]:
    """Keys, as (input, key) pairs, on each way from a node to a value.

    The default of a category is a way without key, as it takes any. Nodes below a transform see
    another value than the argument, so their keys of its input are dropped. The raw JSON is walked,
    because the records of correctionlib's own schema take long to make for large files.
    """
    kind = node["nodetype"] if isinstance(node, Mapping) else "value"
    if kind == "category":
        ways = {
            choice | {(node["input"], item["key"])}
            for item in node["content"]
            for choice in _choices(item["value"])
        }
        default = node.get("default")
        return frozenset(ways if default is None else ways | _choices(default))
    if kind in ("binning", "multibinning"):
        below = [*node["content"], *([node["flow"]] if isinstance(node["flow"], Mapping) else [])]
        return frozenset().union(*map(_choices, below))
    if kind == "transform":
        return frozenset(
            frozenset(pair for pair in choice if pair[0] != node["input"])
            for choice in _choices(node["content"])
        )
    return frozenset({frozenset()})


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
            content = content_of(find_file(path, expected))
            if hashlib.sha256(content).hexdigest() != expected:
                raise ArtifactError(f"{path} changed since it was loaded (hash {expected[:12]})")
            try:
                _FILES[expected] = _parsed(content)
            except ArtifactError as error:
                raise ArtifactError(f"{path}: {error}") from None
            except Exception as error:  # gzip, json and correctionlib raise many kinds
                raise ArtifactError(f"{path} is not a correctionlib file: {error!r}") from None
        return _FILES[expected]


def _parsed(content: bytes) -> dict[str, Correction]:
    text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
    raw_file = json.loads(text)
    version = raw_file.get("schema_version", 2) if isinstance(raw_file, dict) else 2
    if version != 2:
        raise ArtifactError(
            f"expected a correctionlib file of schema version 2, received {version}"
        )
    evaluators = correctionlib.CorrectionSet.from_string(text)
    corrections = {}
    for raw in raw_file["corrections"]:
        name, inputs = raw["name"], {entry["name"]: entry["type"] for entry in raw["inputs"]}
        evaluate = evaluators[name].evaluate
        corrections[name] = Correction(
            name,
            evaluate,
            inputs,
            _choices(raw["data"]),
            raw["data"],
            {e["name"]: e.get("description") or "" for e in raw["inputs"]},
        )
    return corrections
