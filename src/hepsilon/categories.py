"""Entries by category: one pass fills a method in everything, in every category and selection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import hist
import numpy as np
import numpy.typing as npt

from hepsilon.entries import Entries, method_row
from hepsilon.histograms import ALL, replica_axis

__all__ = ["CategorisedEntries", "book_categories"]

Array = npt.NDArray[Any]


def book_categories(
    axes: list[Any], categories: list[str], *, methods: list[str] | None = None, replicas: int = 0
) -> hist.Hist[Any]:
    """An empty histogram: method, category (everything, then the given ones), and the axes.

    With sums of squared weights; of replicas of one method (``replica`` instead of ``method``)
    the sums only.
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
    entries : bins and events of the entries.
    category : position of each entry in ``names``, -1 for none.
    names : of the categories.
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
        """Sums of weights of everything, then of every category (categories + 1, bins...)."""
        shape = (len(self.names) + 1, *self.entries.shape)
        found = np.bincount(self._number, weights, minlength=int(np.prod(shape))).reshape(shape)
        return np.concatenate([found.sum(axis=0, keepdims=True), found[:-1]])

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
        histogram : with the categories ``names`` and then those of ``others``.
        method : its name.
        weights : of each entry.
        others : weights of further selections, each a category without those of its own.
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
        """The same for one replica of a method, without squares."""
        view: Any = histogram.view(flow=True)
        first = len(self.names) + 1
        view[:first, replica] += self.sums(weights)
        for number, other in enumerate(others.values(), first):
            view[number, replica] += self.entries.sums(other)
