"""Entries by category: one pass fills a method in everything, in every category and selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import awkward as ak
import boost_histogram as bh
import hist
import numpy as np

from hepsilon.arrays.columns import flat
from hepsilon.arrays.types import Array
from hepsilon.histograms.entries import Entries, method_row
from hepsilon.histograms.methods import ALL, replica_axis

__all__ = [
    "FLAVOUR_NAMES",
    "CategorisedEntries",
    "book_categories",
    "category_names",
    "fill_rows",
    "object_categories",
    "pair_categories",
    "pair_names",
]


def book_categories(
    axes: list[Any], categories: list[str], *, methods: list[str] | None = None, replicas: int = 0
) -> hist.Hist[Any]:
    """An empty histogram with an axis of methods or replicas, one of categories, and others.

    Parameters
    ----------
    axes : list of hist axes
        Axes of the observable.
    categories : list of str
        Names of the categories; the category of everything comes before them.
    methods : list of str, optional
        Names of the methods, for a histogram of sums of weights and of their squares with the axes
        method, category and ``axes``.
    replicas : int, default 0
        Number of replicas, for a histogram of one method (``methods`` not given). It has sums of
        weights alone, and the axes category, replica and ``axes``.

    Returns
    -------
    hist.Hist
        The histogram.
    """
    category = hist.axis.StrCategory([ALL, *categories], name="category")
    if methods is None:
        return hist.Hist(category, replica_axis(replicas), *axes, storage=hist.storage.Double())
    method = hist.axis.StrCategory(methods, name="method")
    return hist.Hist(method, category, *axes, storage=hist.storage.Weight())


@dataclass(frozen=True)
class CategorisedEntries:
    """Entries of an observable with the category of each.

    Attributes
    ----------
    entries : Entries
        Bins and events of the entries.
    category : ndarray of int, shape (n_entries,)
        Position of the category of each entry in ``names``, -1 for none.
    names : list of str
        Names of the categories.
    """

    entries: Entries
    category: Array
    names: list[str]

    @cached_property
    def _number(self) -> Array:
        """Flat position of each entry in (categories and none, bins)."""
        size = int(np.prod(self.entries.shape))
        row = np.where(self.category < 0, len(self.names), self.category)
        return np.asarray(row * size + self.entries.bins)

    def sums(self, weights: Array) -> Array:
        """Sums of weights in the bins: of everything, then of every category.

        Parameters
        ----------
        weights : ndarray of float64, shape (n_entries,)
            Weight of each entry.

        Returns
        -------
        ndarray of float64, shape (n_categories + 1, bins of each axis...)
            Sums, flow bins included.
        """
        shape = (len(self.names) + 1, *self.entries.shape)
        sums = np.bincount(self._number, weights, minlength=int(np.prod(shape))).reshape(shape)
        return np.concatenate([sums.sum(axis=0, keepdims=True), sums[:-1]])

    def fill(
        self,
        histogram: hist.Hist[Any],
        method: str,
        weights: Array,
        others: Mapping[str, Array] | None = None,
    ) -> None:
        """Add entries to a method of a histogram from :func:`book_categories`.

        Parameters
        ----------
        histogram : hist.Hist
            Histogram with the categories ``names`` and then those of ``others``.
        method : str
            Name of the method.
        weights : ndarray of float64, shape (n_entries,)
            Weight of each entry.
        others : mapping of str to ndarray, optional
            Weight of each entry in further selections. Each selection is one category of the
            histogram, and is not divided into the categories ``names``.

        Raises
        ------
        ConfigError
            If the histogram does not have the method.
        """
        row = method_row(histogram, method)
        first = len(self.names) + 1
        for field, power in (("value", 1), ("variance", 2)):
            row[field][:first] += self.sums(weights**power)
            for number, other in enumerate((others or {}).values(), first):
                row[field][number] += self.entries.sums(other**power)

    def fill_replica(
        self, histogram: hist.Hist[Any], replica: int, weights: Array, others: Mapping[str, Array]
    ) -> None:
        """Add entries to one replica of a histogram of replicas from :func:`book_categories`.

        Parameters
        ----------
        histogram : hist.Hist
            Histogram with the categories ``names`` and then those of ``others``.
        replica : int
            Number of the replica.
        weights : ndarray of float64, shape (n_entries,)
            Weight of each entry.
        others : mapping of str to ndarray
            Weight of each entry in further selections, as for :meth:`fill`.
        """
        view: Any = histogram.view(flow=True)
        first = len(self.names) + 1
        view[:first, replica] += self.sums(weights)
        for number, other in enumerate(others.values(), first):
            view[number, replica] += self.entries.sums(other)


FLAVOUR_NAMES = {5: "b", 4: "c", 0: "light"}


def category_names(values: Sequence[int]) -> list[str]:
    """Names of the categories of objects: b, c, light for hadron flavours, else the numbers.

    Parameters
    ----------
    values : sequence of int
        Number of each category.

    Returns
    -------
    list of str
        One name per category.
    """
    known = set(values) <= set(FLAVOUR_NAMES)
    return [FLAVOUR_NAMES[v] if known else str(v) for v in values]


def pair_names(values: Sequence[int]) -> list[str]:
    """Names of the unordered pairs of categories, such as ``b-light``.

    Parameters
    ----------
    values : sequence of int
        Number of each category.

    Returns
    -------
    list of str
        One name per pair, in lexicographic order of the positions in ``values``.
    """
    names = category_names(values)
    return [f"{a}-{b}" for i, a in enumerate(names) for b in names[i:]]


def _positions(codes: Array, values: Sequence[int]) -> Array:
    """Position of each code in ``values``; -1 for an unknown one."""
    matches = codes[:, None] == np.asarray(values, np.int64)[None, :]
    return np.where(matches.any(axis=1), matches.argmax(axis=1), -1)


def object_categories(codes: ak.Array, values: Sequence[int]) -> Array:
    """Position of each object's category in :func:`category_names`.

    Parameters
    ----------
    codes : ak.Array of int, shape (n_events, objects)
        Number of the category of each object.
    values : sequence of int
        Numbers of the known categories.

    Returns
    -------
    ndarray of int64, shape (n_objects,)
        Positions in ``values``; -1 for an unknown category.
    """
    return _positions(flat(codes, np.int64, name="category"), values)


def pair_categories(codes: ak.Array, values: Sequence[int]) -> Array:
    """Position of the leading pair's category in :func:`pair_names`.

    Parameters
    ----------
    codes : ak.Array of int, shape (n_events, objects)
        Number of the category of each object; the first two objects of an event are its pair.
    values : sequence of int
        Numbers of the known categories.

    Returns
    -------
    ndarray of int64, shape (n_events,)
        Positions; -1 for an event with fewer than two objects or with an unknown category.
    """
    out = np.full(len(codes), -1)
    events = np.flatnonzero(ak.to_numpy(ak.num(codes, axis=1)) >= 2)
    leading = flat(codes[events][:, :2], np.int64, name="category")
    pairs = np.sort(_positions(leading, values).reshape(-1, 2), axis=1)
    first, second = pairs[:, 0], pairs[:, 1]
    n = len(values)
    number = first * n - first * (first - 1) // 2 + (second - first)
    out[events] = np.where(first >= 0, number, -1)
    return out


def fill_rows(
    histogram: hist.Hist[Any], method: str, rows: Array, *values: Array, **options: Any
) -> None:
    """Fill all categories of one method, still empty, from the numbers of its rows.

    This is many times faster than by names, which are compared one entry after the other.

    Parameters
    ----------
    histogram : hist.Hist
        Histogram with the axes ``method``, ``category`` and others.
    method : str
        Name of the method.
    rows : ndarray of int, shape (n_entries,)
        Position of the category of each entry on its axis.
    *values : ndarray, shape (n_entries,)
        Value of each entry on the other axes.
    **options : object
        Options of the filling, such as ``sample``.
    """
    names, categories, *others = histogram.axes
    plain = bh.Histogram(
        bh.axis.Integer(0, len(categories), underflow=False),
        *others,
        storage=histogram.storage_type(),
    )
    plain.fill(rows, *values, **options)
    view: Any = histogram.view(flow=True)
    view[names.index(method)] = plain.view(flow=True)
