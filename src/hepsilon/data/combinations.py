"""Combinations of features that a training sample covered.

Each feature of an object may lie inside its range and two of them together where the sample had
nothing: light jets of high energy, say, or tracks at large angles with large momenta. A network is
free to answer anything there. So pairs of features are binned in quantiles, and every cell of a
pair without an entry is not covered.

An object of the training's own distribution may fall into an empty cell by chance. That chance is
the share of the cells that are not known, for which Good and Turing (I. J. Good, Biometrika 40
(1953) 237) give the number of cells with one entry over the number of entries. The bins are as
fine as a stated share of such false alarms allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Self

import numpy as np
from pydantic import model_validator

from hepsilon.arrays.types import Array, Nodes
from hepsilon.config.records import Record
from hepsilon.data.missing import is_missing

__all__ = ["FALSE_ALARMS", "Combinations"]

FALSE_ALARMS = 1e-3
"""Largest share of the training's own objects that may be taken for unusual ones, all pairs
together."""
BINS = 32, 24, 16, 12, 8, 6, 4
"""Numbers of quantiles that are tried."""
MAX_FEATURES = 12
BLOCK_OBJECTS = 1 << 18
SIGNIFICANT = 5.0
"""Number of standard deviations by which unusual objects exceed false alarms before it is said."""


class Combinations(Record):
    """Cells of pairs of features that the training sample covered.

    Attributes
    ----------
    names : tuple of str
        Features.
    edges : tuple of tuple of float
        Inner edges of the bins of each feature, increasing. Missing values have a bin of their own.
    covered : tuple of str
        For each pair of features, in the order of ``itertools.combinations``, one bit for each cell
        in hexadecimal digits, row by row.
    false_alarms : float
        Share of the training's own distribution that is expected in cells without an entry.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[float, ...], ...]
    covered: tuple[str, ...]
    false_alarms: float

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.names) != len(self.edges):
            raise ValueError(f"expected edges of {len(self.names)} features")
        if any(list(edges) != sorted(set(edges)) for edges in self.edges):
            raise ValueError("expected increasing edges")
        expected = [-(-self._size(i) * self._size(j) // 8) * 2 for i, j in self._pairs()]
        if [len(text) for text in self.covered] != expected:
            raise ValueError(f"expected {expected} hexadecimal digits for the pairs of features")
        try:
            for text in self.covered:
                bytes.fromhex(text)
        except ValueError:
            raise ValueError("expected hexadecimal digits") from None
        return self

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        nodes: Nodes,
        categorical: Sequence[str] = (),
        parts: Sequence[Nodes] | None = None,
    ) -> Combinations | None:
        """Find the cells that a sample covers, with bins as fine as false alarms allow.

        Parameters
        ----------
        names : sequence of str
            Features, in the order of the columns.
        nodes : ndarray of float32, shape (n_objects, n_features)
            The features.
        categorical : sequence of str, optional
            Features each value of which is a bin.
        parts : sequence of ndarray of float32, optional
            Features of parts of the sample, all of which have to cover a cell; by default the
            sample is its only part.

        Returns
        -------
        Combinations or None
            The cells; None for a single feature, more than :data:`MAX_FEATURES`, or a sample that
            is too small for the coarsest bins.
        """
        if not 2 <= len(names) <= MAX_FEATURES:
            return None
        rows = nodes[:: max(1, len(nodes) // BLOCK_OBJECTS)]
        known = [np.unique(rows[:, i]) if n in categorical else None for i, n in enumerate(names)]
        for n_bins in BINS:
            edges = [
                _quantiles(rows[:, i], n_bins) if values is None else _between(values)
                for i, values in enumerate(known)
            ]
            of_parts = [_counts(edges, part) for part in parts or (nodes,)]
            counts = [np.minimum.reduce(pair) for pair in zip(*of_parts, strict=True)]
            false_alarms = max(
                sum(np.count_nonzero(c == 1) + 1 for c in own) / len(part)
                for own, part in zip(of_parts, parts or (nodes,), strict=True)
            )
            if false_alarms <= FALSE_ALARMS:
                return cls(
                    names=tuple(names),
                    edges=tuple(tuple(map(float, of_feature)) for of_feature in edges),
                    covered=tuple(np.packbits(c > 0).tobytes().hex() for c in counts),
                    false_alarms=false_alarms,
                )
        return None

    def outside(self, nodes: Nodes) -> Iterator[tuple[str, Array]]:
        """Find the objects in cells without an entry.

        Parameters
        ----------
        nodes : ndarray of float32, shape (n_objects, n_features)
            The features.

        Yields
        ------
        pair : str
            The two features, such as ``"pt and eta"``.
        outside : ndarray of bool, shape (n_objects,)
            True for objects that the sample did not cover.
        """
        bins = [_bins(np.asarray(edges), nodes[:, i]) for i, edges in enumerate(self.edges)]
        for (i, j), text in zip(self._pairs(), self.covered, strict=True):
            bits = np.frombuffer(bytes.fromhex(text), np.uint8)
            table = np.unpackbits(bits, count=self._size(i) * self._size(j)).astype(bool)
            yield f"{self.names[i]} and {self.names[j]}", ~table[bins[i] * self._size(j) + bins[j]]

    def covers(self, nodes: Nodes) -> Array:
        """True for each object all of whose pairs of features the sample covered.

        Parameters
        ----------
        nodes : ndarray of float32, shape (n_objects, n_features)
            The features.

        Returns
        -------
        ndarray of bool, shape (n_objects,)
            Whether every cell of the object has an entry.
        """
        inside = np.ones(len(nodes), bool)
        for _, outside in self.outside(nodes):
            inside &= ~outside
        return inside

    def more_than_chance(self, n_outside: int, n: int) -> bool:
        """Whether so many objects of a sample are unusual that false alarms do not explain them.

        Parameters
        ----------
        n_outside : int
            Number of objects in cells without an entry.
        n : int
            Number of all objects.

        Returns
        -------
        bool
            True if their number exceeds the expected one by five standard deviations.
        """
        expected = self.false_alarms * n
        return bool(n_outside > expected + SIGNIFICANT * np.sqrt(expected + 1.0))

    def _pairs(self) -> Iterator[tuple[int, int]]:
        return combinations(range(len(self.names)), 2)

    def _size(self, feature: int) -> int:
        """Number of bins of a feature, with that of missing values."""
        return len(self.edges[feature]) + 2


def _quantiles(values: Array, n_bins: int) -> Array:
    here = values[~is_missing(values)]
    if not len(here):
        return np.empty(0)
    inner = np.quantile(here, np.linspace(0.0, 1.0, n_bins + 1)[1:-1]).astype(np.float64)
    return np.unique(inner)


def _between(values: Array) -> Array:
    """Edges between the different values of a category."""
    return np.asarray(0.5 * (values[1:] + values[:-1]), np.float64)


def _bins(edges: Array, values: Array) -> Array:
    """Number of the bin of each value: 0 if it is missing."""
    numbers = np.searchsorted(edges.astype(values.dtype), values, side="right") + 1
    return np.where(is_missing(values), 0, numbers)


def _counts(edges: Sequence[Array], nodes: Nodes) -> list[Array]:
    """Number of objects in every cell, for each pair of features."""
    sizes = [len(of_feature) + 2 for of_feature in edges]
    pairs = list(combinations(range(len(edges)), 2))
    counts = [np.zeros(sizes[i] * sizes[j], np.int64) for i, j in pairs]
    for start in range(0, len(nodes), BLOCK_OBJECTS):
        block = nodes[start : start + BLOCK_OBJECTS]
        bins = [_bins(of_feature, block[:, i]) for i, of_feature in enumerate(edges)]
        for number, (i, j) in enumerate(pairs):
            cells = bins[i] * sizes[j] + bins[j]
            counts[number] += np.bincount(cells, minlength=len(counts[number]))
    return counts
