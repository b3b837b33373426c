"""Probabilities of one tagging method: of every object, and of every condition on the event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.weights.bins import TagBins
from hepsilon.weights.conditions import Condition, at_least, exactly
from hepsilon.weights.tagging import joint_probability, probability

__all__ = ["Method", "Selections"]


@dataclass(frozen=True)
class Selections:
    """What a processor asks of objects and events.

    Attributes
    ----------
    working_points : tuple of int or str
        Names, from the loosest to the tightest.
    working_point : int
        Number of the one that counts.
    leading : Condition
        Of the leading two objects (paper Eq. 3).
    conditions : dict of str to Condition
        By name, of all objects.
    """

    working_points: tuple[int | str, ...]
    working_point: int
    leading: Condition
    conditions: dict[str, Condition]

    @classmethod
    def of(
        cls,
        working_points: Sequence[int | str],
        working_point: int | str,
        n_tags: int,
        conditions: Mapping[str, Condition] | None,
    ) -> Selections:
        """The given conditions, or the numbers of tags 0, 1, 2, two and more, three and more.

        Raises
        ------
        InputError
            For a working point that there is not.
        """
        leading = exactly(n_tags, working_point)
        if conditions is None:
            counts = {f"{n} tag{'s' * (n != 1)}": exactly(n, working_point) for n in range(3)}
            conditions = counts | {f"{n}+ tags": at_least(n, working_point) for n in (2, 3)}
        for condition in (leading, *conditions.values()):
            condition.transitions(working_points)
        names = tuple(working_points)
        number = names.index(working_point) if isinstance(working_point, str) else working_point
        return cls(names, number % len(names), leading, dict(conditions))

    def names(self, level: str) -> list[str]:
        """Names of the further selections of :meth:`Method.columns`."""
        return {"object": self.others, "event": list(self.conditions), "tags": []}[level]

    @property
    def others(self) -> list[str]:
        """Names of the other working points."""
        return [str(w) for i, w in enumerate(self.working_points) if i != self.working_point]


@dataclass(frozen=True)
class Method:
    """Probabilities of direct tagging (0 or 1), or of one efficiency.

    Attributes
    ----------
    objects : ndarray
        To pass each working point (objects, working points).
    leading : ndarray
        Of each event to meet the condition on its leading objects.
    conditions : dict of str to ndarray
        Of each event to meet every other condition, by name.
    """

    objects: Array
    leading: Array
    conditions: dict[str, Array]

    @classmethod
    def of(cls, offsets: Array, objects: Array, selections: Selections) -> Method:
        """Sum over all assignments of tags.

        Parameters
        ----------
        offsets : ndarray
            Of the objects of each event.
        objects : ndarray
            Probabilities (objects, working points).
        selections : Selections
            What is asked for.
        """
        every = TagBins.of_rows(offsets, objects, selections.working_points)
        leading = probability(every.only(slice(0, 2)), selections.leading)
        if not selections.conditions:
            return cls(objects, leading, {})
        found = joint_probability(every, list(selections.conditions.values()))
        return cls(objects, leading, dict(zip(selections.conditions, found, strict=True)))

    def columns(self, level: str, selections: Selections) -> tuple[Array, dict[str, Array]]:
        """What entries of a level are weighted with, and that of further selections by name.

        Level ``"tags"`` has one entry for each condition and event, condition by condition.
        """
        if level == "tags":
            return np.concatenate(list(self.conditions.values())), {}
        if level == "event":
            return self.leading, self.conditions
        others = {
            str(name): self.objects[:, i]
            for i, name in enumerate(selections.working_points)
            if i != selections.working_point
        }
        return self.objects[:, selections.working_point], others
