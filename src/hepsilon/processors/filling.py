"""Histograms of truth tagging: every method, category and selection of one chunk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import hist
import numpy as np

from hepsilon.arrays.types import Array, Offsets
from hepsilon.histograms.categories import CategorisedEntries, book_categories
from hepsilon.histograms.methods import ALL, DIRECT, replica_axis
from hepsilon.processors.outputs import Histogram
from hepsilon.processors.selections import Selections, TagProbabilities
from hepsilon.processors.units import OBJECTS, Unit

__all__ = ["ObservableEntries", "TagSample"]


@dataclass(frozen=True)
class ObservableEntries:
    """Entries of one observable, and what each of them stands for.

    Attributes
    ----------
    categorised : CategorisedEntries
        Bins and categories of the entries.
    unit : Unit
        Objects, events, or conditions on events.
    """

    categorised: CategorisedEntries
    unit: Unit

    @cached_property
    def index(self) -> Array | slice:
        """Position of each entry among all units; a slice if every unit has one."""
        index = self.categorised.entries.index
        assert index is not None
        in_place = len(index) > 0 and np.array_equal(index, np.arange(len(index)))
        return slice(len(index)) if in_place else index


@dataclass(frozen=True)
class TagSample:
    """One chunk with the probabilities of all methods.

    Attributes
    ----------
    weights : ndarray of float64, shape (n_events,)
        Weights of the events.
    offsets : ndarray of int64, shape (n_events + 1,)
        Position of the first object of each event.
    methods : dict of str to TagProbabilities
        Probabilities by method.
    replicas : dict of str to list of TagProbabilities
        Replicas of the methods that know their own uncertainty.
    selections : Selections
        Conditions that are asked for.
    """

    weights: Array
    offsets: Offsets
    methods: dict[str, TagProbabilities]
    replicas: dict[str, list[TagProbabilities]]
    selections: Selections

    def observable(self, filled: ObservableEntries) -> Histogram:
        """Sums of weights of everything, and of every method, with squared weights."""
        histogram = self._book(filled, methods=[ALL, *self.methods])
        weights = self._weights(filled)
        everything = dict.fromkeys(filled.unit.selections(self.selections), weights)
        filled.categorised.fill(histogram, ALL, weights, everything)
        for name, method in self.methods.items():
            own, others = self._columns(method, filled)
            weighted = {key: weights * p for key, p in others.items()}
            filled.categorised.fill(histogram, name, weights * own, weighted)
        return histogram

    def totals(self) -> Histogram:
        """Sums of weights of all objects by method, with the variance of every method."""
        axis = hist.axis.StrCategory(list(self.methods), name="method")
        histogram = hist.Hist(axis, storage=hist.storage.Weight())
        weights = OBJECTS.weights(self.weights, self.offsets, self.selections)
        for name, method in self.methods.items():
            p, _ = OBJECTS.probabilities(method, self.selections)
            variance = np.sum(weights**2 * p * (1.0 - p))
            histogram[name] = [np.sum(weights * p), variance]
        return histogram

    def total_replicas(self, method: str) -> Histogram:
        """Sums of weights of all objects in every replica of one method."""
        replicas = self.replicas[method]
        histogram = hist.Hist(replica_axis(len(replicas)), storage=hist.storage.Double())
        weights = OBJECTS.weights(self.weights, self.offsets, self.selections)
        for number, replica in enumerate(replicas):
            p, _ = OBJECTS.probabilities(replica, self.selections)
            histogram[number] = np.sum(weights * p)
        return histogram

    def binomial(self, filled: ObservableEntries) -> Histogram:
        """Variances ``sum w^2 p (1 - p)`` of every method but direct tagging."""
        names = [name for name in self.methods if name != DIRECT]
        histogram = self._book(filled, methods=names)
        weights = np.abs(self._weights(filled))
        for name in names:
            own, others = self._columns(self.methods[name], filled)
            spread = {key: weights * np.sqrt(p * (1.0 - p)) for key, p in others.items()}
            filled.categorised.fill(histogram, name, weights * np.sqrt(own * (1.0 - own)), spread)
        return histogram

    def efficiency_replicas(self, method: str, filled: ObservableEntries) -> Histogram:
        """Sums of weights of every replica of one method.

        Parameters
        ----------
        method : str
            Label of the method.
        filled : ObservableEntries
            Entries of an observable.

        Returns
        -------
        hist.Hist
            Sums of weights with an axis ``replica``.
        """
        replicas = self.replicas[method]
        histogram = self._book(filled, replicas=len(replicas))
        weights = self._weights(filled)
        for number, replica in enumerate(replicas):
            own, others = self._columns(replica, filled)
            weighted = {key: weights * p for key, p in others.items()}
            filled.categorised.fill_replica(histogram, number, weights * own, weighted)
        return histogram

    def _weights(self, filled: ObservableEntries) -> Array:
        """Event weight of each entry."""
        weights = filled.unit.weights(self.weights, self.offsets, self.selections)
        return np.asarray(weights[filled.index])

    def _book(self, filled: ObservableEntries, **options: Any) -> Histogram:
        categories = [*filled.categorised.names, *filled.unit.selections(self.selections)]
        return book_categories(filled.categorised.entries.axes, categories, **options)

    def _columns(
        self, method: TagProbabilities, filled: ObservableEntries
    ) -> tuple[Array, dict[str, Array]]:
        """Probability of each entry, and those of further selections."""
        own, others = filled.unit.probabilities(method, self.selections)
        return own[filled.index], {name: p[filled.index] for name, p in others.items()}
