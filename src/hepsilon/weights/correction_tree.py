"""Trees of correctionlib: the keys that they know, and values outside their bins.

A correction is a tree: nodes of categories choose by a key (systematic, working point, flavour),
nodes of bins by numbers (pt, abseta), a transform replaces an argument for all that is below it,
and the leaves are values. :func:`choices` collects the keys on each way from the root to a value,
which answers what a correction knows of without an evaluation. :func:`common_ranges` gives the
numbers that are inside wherever they come to; all others :class:`Way` follows from node to node.
Formulas and other leaves take any number. The raw JSON is walked, because the records of
correctionlib's own schema take long to make for large files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from hepsilon.arrays.types import Array

__all__ = ["Choice", "Outside", "Range", "Way", "choices", "common_ranges"]

Range: TypeAlias = tuple[float, float]
Choice: TypeAlias = frozenset[tuple[str, int | str]]
_SHORT = np.iinfo(np.int16).max


@dataclass(frozen=True)
class Outside:
    """Values of an input that one node has no bin or key for.

    Attributes
    ----------
    name : str
        Input.
    expected : str
        Values that the node takes, in words.
    rows : ndarray of int64
        Positions of the values.
    answered : bool
        Whether the file has an answer for them (``flow``); otherwise it refuses them.
    inner : ndarray of float64, or None
        Nearest values inside; None where the file has an answer or nothing is near.
    """

    name: str
    expected: str
    rows: Array
    answered: bool = False
    inner: Array | None = None


@dataclass
class Way:
    """Way of many rows of arguments through a tree.

    A refused value goes on as its nearest one inside, so that all refusals of a row are found.

    Attributes
    ----------
    types : mapping of str to {"string", "int", "real"}
        Type of every input.
    columns : dict of str to ndarray of float64 or str
        Arguments by input, one per row; refused values are moved inside.
    outside : list of Outside
        One entry for each input of each node with values outside.
    transformed : list of (mapping, ndarray of int64)
        Nodes that transform an argument, with the positions of the rows that come to them.
    """

    types: Mapping[str, str]
    columns: dict[str, Any]
    outside: list[Outside] = field(default_factory=list)
    transformed: list[tuple[Mapping[str, Any], Array]] = field(default_factory=list)

    def follow(self, node: Any, rows: Array) -> None:
        """Follow rows from a node to their values.

        Parameters
        ----------
        node : mapping or float
            Node of the tree, as in the file.
        rows : ndarray of int64
            Positions of the rows that come to it.
        """
        if not rows.size:
            return
        kind = _kind(node)
        if kind == "category":
            self._choose(node, rows)
        elif kind in ("binning", "multibinning"):
            self._bin(node, rows)
        elif kind == "transform":
            self.transformed.append((node, rows))

    def _choose(self, node: Mapping[str, Any], rows: Array) -> None:
        column, left = self.columns[node["input"]], np.ones(rows.size, bool)
        value = column[rows] if np.ndim(column) else column
        for item in node["content"]:
            chosen = np.broadcast_to(np.asarray(value == item["key"]), rows.shape)
            left &= ~chosen
            self.follow(item["value"], rows[chosen])
        if node.get("default") is not None:
            self.follow(node["default"], rows[left])
        elif left.any():
            keys = [item["key"] for item in node["content"]]
            self.outside.append(Outside(node["input"], f"{node['input']} of {keys}", rows[left]))

    def _bin(self, node: Mapping[str, Any], rows: Array) -> None:
        flow, away = node["flow"], np.zeros(rows.size, bool)
        index = np.zeros(rows.size, np.int64)
        for name, edges in _axes(node):
            low, high = float(edges[0]), float(edges[-1])
            if flow == "wrap" and not np.isfinite([low, high]).all():
                text = f"finite edges of {name} where it wraps"  # correctionlib refuses all
                self.outside.append(Outside(name, f"{text} (in the file {low:g}, {high:g})", rows))
                return
            column = self.columns[name][rows]
            outside = ~((column >= low) & (column < high))
            inner = _inside(column, low, high, self.types.get(name) == "int")
            if outside.any():
                self._note(name, (low, high), rows[outside], flow, inner[outside])
                away |= outside
            if flow == "wrap":
                inner = np.where(outside, low + np.mod(column - low, high - low), inner)
            bins = np.searchsorted(edges, inner, side="right") - 1
            index = index * (edges.size - 1) + np.clip(bins, 0, edges.size - 2)
        if flow not in ("error", "clamp", "wrap"):  # a value or a node of its own
            self.follow(flow, rows[away])
            rows, index = rows[~away], index[~away]
        counts = np.bincount(index, minlength=len(node["content"]))
        kind = np.int16 if counts.size < _SHORT else np.int64  # short integers sort faster
        order = np.argsort(index.astype(kind), kind="stable")
        for below, some in zip(
            node["content"], np.split(rows[order], np.cumsum(counts)[:-1]), strict=True
        ):
            if isinstance(below, Mapping):
                self.follow(below, some)

    def _note(self, name: str, limits: Range, rows: Array, flow: Any, inner: Array) -> None:
        expected = f"{name} in [{limits[0]:g}, {limits[1]:g})"
        if flow != "error":
            self.outside.append(Outside(name, expected, rows, answered=True))
            return
        number = ~np.isnan(inner)  # a transform can give NaN, which is near to nothing
        self.columns[name][rows] = inner
        if number.any():
            self.outside.append(Outside(name, expected, rows[number], inner=inner[number]))
        if not number.all():
            self.outside.append(Outside(name, expected, rows[~number]))


def common_ranges(node: Any, chosen: Mapping[str, Any]) -> dict[str, Range] | None:
    """Ranges of numbers that are inside the bins of every node that they may come to.

    Parameters
    ----------
    node : mapping or float
        Node of the tree, as in the file.
    chosen : mapping of str to str or int
        Keys by input, of all rows alike.

    Returns
    -------
    dict of str to (float, float), or None
        First and last edge by input. None where that is not enough: keys that differ from row to
        row, keys without a value, transforms, and bins that wrap.
    """
    kind = _kind(node)
    if kind == "transform" or (kind != "value" and node.get("flow") == "wrap"):
        return None
    if kind == "category":
        key = chosen.get(node["input"])
        items = (item["value"] for item in node["content"] if item["key"] == key)
        below = next(items, node.get("default"))
        return None if key is None or below is None else common_ranges(below, chosen)
    if kind not in ("binning", "multibinning"):
        return {}
    ranges = {name: (float(edges[0]), float(edges[-1])) for name, edges in _axes(node)}
    for below in node["content"]:
        narrower = common_ranges(below, chosen) if isinstance(below, Mapping) else {}
        if narrower is None:
            return None
        for name, (low, high) in narrower.items():
            known = ranges.get(name, (low, high))
            ranges[name] = (max(low, known[0]), min(high, known[1]))
    return ranges


def choices(node: Any) -> frozenset[Choice]:
    """Keys, as (input, key) pairs, on each way from a node to a value.

    Parameters
    ----------
    node : mapping or float
        Node of the tree, as in the file.

    Returns
    -------
    frozenset of frozenset of (str, key)
        Keys on each way. The default of a category is a way without key, as it takes any. Nodes
        below a transform see another value than the argument: their keys of its input are left out.
    """
    kind = _kind(node)
    if kind == "category":
        ways = {
            choice | {(node["input"], item["key"])}
            for item in node["content"]
            for choice in choices(item["value"])
        }
        default = node.get("default")
        return frozenset(ways if default is None else ways | choices(default))
    if kind in ("binning", "multibinning"):
        below = [*node["content"], *([node["flow"]] if isinstance(node["flow"], Mapping) else [])]
        return frozenset().union(*map(choices, below))
    if kind == "transform":
        return frozenset(
            frozenset(pair for pair in choice if pair[0] != node["input"])
            for choice in choices(node["content"])
        )
    return frozenset({frozenset()})


def _kind(node: Any) -> str:
    return str(node["nodetype"]) if isinstance(node, Mapping) else "value"


def _axes(node: Mapping[str, Any]) -> list[tuple[str, Array]]:
    """Inputs and edges of a node of bins."""
    if node["nodetype"] == "binning":
        return [(node["input"], _edges(node["edges"]))]
    return [(n, _edges(edges)) for n, edges in zip(node["inputs"], node["edges"], strict=True)]


def _edges(edges: Any) -> Array:
    """Edges of a binning; a file writes infinite ones as words."""
    if isinstance(edges, Mapping):
        return np.linspace(float(edges["low"]), float(edges["high"]), int(edges["n"]) + 1)
    return np.array([float(edge) for edge in edges])


def _inside(values: Array, low: float, high: float, integer: bool) -> Array:
    """Nearest values inside; the upper edge is outside."""
    if integer:
        return np.clip(values, np.ceil(low), np.ceil(high) - 1.0)
    return np.clip(values, low, np.nextafter(high, low))
