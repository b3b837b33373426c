"""Histograms of truth tagging: every method, category and selection of one chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.histograms.categories import CategorisedEntries, book_categories
from hepsilon.histograms.methods import ALL, DIRECT
from hepsilon.processors.selections import Method, Selections

__all__ = ["Filled", "TagSample"]


@dataclass(frozen=True)
class Filled:
    """Entries of one observable, and the level at which it is weighted: object, event or tags."""

    entries: CategorisedEntries
    level: str

    @cached_property
    def index(self) -> Array | slice:
        """Position of each entry among all that the level has; a slice if it is that of all."""
        found = self.entries.entries.index
        assert found is not None
        in_place = len(found) > 0 and np.array_equal(found, np.arange(len(found)))
        return slice(len(found)) if in_place else found


@dataclass(frozen=True)
class TagSample:
    """One chunk with the probabilities of all methods.

    Attributes
    ----------
    weights : ndarray
        Of the events.
    offsets : ndarray
        Of the objects of each event.
    methods : dict of str to Method
        By name.
    replicas : dict of str to list of Method
        Of the methods that know their own uncertainty.
    selections : Selections
        What is asked for.
    """

    weights: Array
    offsets: Array
    methods: dict[str, Method]
    replicas: dict[str, list[Method]]
    selections: Selections

    def fill(self, observables: Mapping[str, Filled]) -> dict[str, Any]:
        """All histograms of :class:`hepsilon.processors.TruthTagging`, by kind and observable."""
        return {
            "observables": {k: self._observable(filled) for k, filled in observables.items()},
            "binomial": {k: self._binomial(filled) for k, filled in observables.items()},
            "efficiency_replicas": {
                name: {k: self._replicas(filled, found) for k, filled in observables.items()}
                for name, found in self.replicas.items()
            },
        }

    def _weights(self, filled: Filled) -> Array:
        """Event weight of each entry."""
        weights = self.weights
        if filled.level == "object":
            weights = np.repeat(weights, np.diff(self.offsets))
        elif filled.level == "tags":
            weights = np.tile(weights, len(self.selections.conditions))
        return np.asarray(weights[filled.index])

    def _book(self, filled: Filled, **options: Any) -> Any:
        categories = [*filled.entries.names, *self.selections.names(filled.level)]
        return book_categories(filled.entries.entries.axes, categories, **options)

    def _columns(self, method: Method, filled: Filled) -> tuple[Array, dict[str, Array]]:
        """Probability of each entry, and those of further selections."""
        own, others = method.columns(filled.level, self.selections)
        return own[filled.index], {name: p[filled.index] for name, p in others.items()}

    def _observable(self, filled: Filled) -> Any:
        histogram = self._book(filled, methods=[ALL, *self.methods])
        weights = self._weights(filled)
        everything = dict.fromkeys(self.selections.names(filled.level), weights)
        filled.entries.fill(histogram, ALL, weights, everything)
        for name, method in self.methods.items():
            own, others = self._columns(method, filled)
            weighted = {key: weights * p for key, p in others.items()}
            filled.entries.fill(histogram, name, weights * own, weighted)
        return histogram

    def _binomial(self, filled: Filled) -> Any:
        names = [name for name in self.methods if name != DIRECT]
        histogram = self._book(filled, methods=names)
        weights = np.abs(self._weights(filled))
        for name in names:
            own, others = self._columns(self.methods[name], filled)
            spread = {key: weights * np.sqrt(p * (1.0 - p)) for key, p in others.items()}
            filled.entries.fill(histogram, name, weights * np.sqrt(own * (1.0 - own)), spread)
        return histogram

    def _replicas(self, filled: Filled, replicas: list[Method]) -> Any:
        histogram = self._book(filled, replicas=len(replicas))
        weights = self._weights(filled)
        for number, method in enumerate(replicas):
            own, others = self._columns(method, filled)
            weighted = {key: weights * p for key, p in others.items()}
            filled.entries.fill_replica(histogram, number, weights * own, weighted)
        return histogram
