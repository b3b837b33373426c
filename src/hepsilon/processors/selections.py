"""Conditions that a processor asks for, and the probabilities that one method gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hepsilon.arrays.types import Array, Offsets
from hepsilon.weights.bins import TagBins
from hepsilon.weights.conditions import Condition, at_least, exactly
from hepsilon.weights.tagging import joint_probability, probability

__all__ = ["Selections", "TagProbabilities"]


@dataclass(frozen=True)
class Selections:
    """Working points of objects, and conditions on the tags of events.

    Attributes
    ----------
    working_points : tuple of int or str
        Names, from the loosest to the tightest.
    working_point : int
        Number of the one that counts.
    leading : Condition
        Condition on the leading two objects (paper Eq. 3).
    conditions : dict of str to Condition
        Further conditions on all objects of an event, by name.
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
        """Check the given conditions, or make the usual ones.

        Parameters
        ----------
        working_points : sequence of int or str
            All working points of the task.
        working_point : int or str
            Name or number of the one that counts.
        n_tags : int
            Tags asked of the leading two objects.
        conditions : mapping of str to Condition, or None
            Further conditions; None for the numbers of tags 0, 1, 2, two and more, three and more.

        Returns
        -------
        Selections
            Checked conditions.

        Raises
        ------
        InputError
            For a working point that the task does not have.
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

    @property
    def others(self) -> dict[str, int]:
        """Number of every other working point, by name."""
        numbered = enumerate(self.working_points)
        return {str(name): i for i, name in numbered if i != self.working_point}


@dataclass(frozen=True)
class TagProbabilities:
    """Probabilities of one method: direct tagging (0 or 1), or an efficiency.

    Attributes
    ----------
    objects : ndarray of float64, shape (n_objects, n_working_points)
        Probability of each object to pass each working point.
    leading : ndarray of float64, shape (n_events,)
        Probability that the leading objects of each event meet their condition.
    conditions : dict of str to ndarray of float64, shape (n_events,)
        Probability of each event to meet every other condition, by name.
    """

    objects: Array
    leading: Array
    conditions: dict[str, Array]

    @classmethod
    def of(cls, offsets: Offsets, objects: Array, selections: Selections) -> TagProbabilities:
        """Sum over all assignments of tags to the objects.

        Parameters
        ----------
        offsets : ndarray of int64, shape (n_events + 1,)
            Position of the first object of each event.
        objects : ndarray of float64, shape (n_objects, n_working_points)
            Probability of each object to pass each working point.
        selections : Selections
            Conditions that are asked for.

        Returns
        -------
        TagProbabilities
            Probabilities of objects and of conditions.
        """
        every = TagBins.of_rows(offsets, objects, selections.working_points)
        leading = probability(every.only(slice(0, 2)), selections.leading)
        if not selections.conditions:
            return cls(objects, leading, {})
        probabilities = joint_probability(every, list(selections.conditions.values()))
        return cls(objects, leading, dict(zip(selections.conditions, probabilities, strict=True)))
