"""Units that histograms of truth tagging count: objects, events, or conditions on events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import awkward as ak
import numpy as np

from hepsilon.arrays.types import Array, Offsets
from hepsilon.histograms.categories import (
    category_names,
    object_categories,
    pair_categories,
    pair_names,
)
from hepsilon.processors.selections import Selections, TagProbabilities

__all__ = ["CONDITIONS", "EVENTS", "OBJECTS", "UNITS", "Unit"]


class Unit(ABC):
    """Kind of thing that one entry stands for; it decides on weight, category and selections."""

    @abstractmethod
    def selections(self, selections: Selections) -> list[str]:
        """Names of the further selections, each a category of the histogram."""

    @abstractmethod
    def probabilities(
        self, method: TagProbabilities, selections: Selections
    ) -> tuple[Array, dict[str, Array]]:
        """Probability that every unit counts, and those of the further selections by name.

        Parameters
        ----------
        method : TagProbabilities
            Probabilities of one method.
        selections : Selections
            Conditions that are asked for.

        Returns
        -------
        counts : ndarray of float64, shape (n_units,)
            Probability in [0, 1] that each unit counts.
        others : dict of str to ndarray of float64, shape (n_units,)
            Probabilities of the further selections by name.
        """

    @abstractmethod
    def weights(self, events: Array, offsets: Offsets, selections: Selections) -> Array:
        """Event weight of every unit.

        Parameters
        ----------
        events : ndarray of float64, shape (n_events,)
            Weights of the events.
        offsets : ndarray of int64, shape (n_events + 1,)
            Position of the first object of each event.
        selections : Selections
            Conditions that are asked for.

        Returns
        -------
        ndarray of float64, shape (n_units,)
            Weight of every unit.
        """

    @abstractmethod
    def categories(self, codes: ak.Array, values: Sequence[int]) -> Array:
        """Number of the category of every unit; -1 for none.

        Parameters
        ----------
        codes : ak.Array of int, jagged
            Categorical field of the objects.
        values : sequence of int
            Its known values.

        Returns
        -------
        ndarray of int64, shape (n_units,)
            Number of the category, -1 for none.
        """

    @abstractmethod
    def category_names(self, values: Sequence[int]) -> list[str]:
        """Names of the categories that :meth:`categories` numbers."""


class _Objects(Unit):
    """One entry for each object; the further selections are the other working points."""

    def selections(self, selections: Selections) -> list[str]:
        return list(selections.others)

    def probabilities(
        self, method: TagProbabilities, selections: Selections
    ) -> tuple[Array, dict[str, Array]]:
        others = {name: method.objects[:, i] for name, i in selections.others.items()}
        return method.objects[:, selections.working_point], others

    def weights(self, events: Array, offsets: Offsets, selections: Selections) -> Array:
        return np.repeat(events, np.diff(offsets))

    def categories(self, codes: ak.Array, values: Sequence[int]) -> Array:
        return object_categories(codes, values)

    def category_names(self, values: Sequence[int]) -> list[str]:
        return category_names(values)


class _Events(Unit):
    """One entry for each event; its category is that of the leading pair."""

    def selections(self, selections: Selections) -> list[str]:
        return list(selections.conditions)

    def probabilities(
        self, method: TagProbabilities, selections: Selections
    ) -> tuple[Array, dict[str, Array]]:
        return method.leading, method.conditions

    def weights(self, events: Array, offsets: Offsets, selections: Selections) -> Array:
        return events

    def categories(self, codes: ak.Array, values: Sequence[int]) -> Array:
        return pair_categories(codes, values)

    def category_names(self, values: Sequence[int]) -> list[str]:
        return pair_names(values)


class _Conditions(_Events):
    """One entry for each condition and event, condition by condition."""

    def selections(self, selections: Selections) -> list[str]:
        return []

    def probabilities(
        self, method: TagProbabilities, selections: Selections
    ) -> tuple[Array, dict[str, Array]]:
        return np.concatenate(list(method.conditions.values())), {}

    def weights(self, events: Array, offsets: Offsets, selections: Selections) -> Array:
        return np.tile(events, len(selections.conditions))


OBJECTS: Final[Unit] = _Objects()
EVENTS: Final[Unit] = _Events()
CONDITIONS: Final[Unit] = _Conditions()
"""Unit of the numbers of tags."""
UNITS: Final = {"object": OBJECTS, "event": EVENTS}
"""Unit of an observable by its level."""
