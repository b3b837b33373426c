"""What is asked of an event: numbers of tags at one or several working points."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from hepsilon.errors import InputError

__all__ = [
    "ANYTHING",
    "Condition",
    "Requirement",
    "as_condition",
    "at_least",
    "exactly",
    "joint_transitions",
]

WorkingPoint = int | str


@dataclass(frozen=True)
class Requirement:
    """Exactly, or at least, ``n`` jets that pass one working point.

    Attributes
    ----------
    n : int
        Number of jets.
    working_point : WorkingPoint
        Its name, or its number from the loosest (0) on; negative numbers count from the tightest.
    at_least : bool
        That many or more.
    """

    n: int
    working_point: WorkingPoint = 0
    at_least: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.n, bool) or operator.index(self.n) < 0:
            raise ValueError(f"expected a number of tags of zero or more, received {self.n}")

    def __str__(self) -> str:
        return f"{'at least' if self.at_least else 'exactly'} {self.n} at {self.working_point}"


@dataclass(frozen=True)
class Condition:
    """Requirements that an event has to meet all together; join them with ``&``.

    "At least two at medium, of which at least one at tight" is
    ``at_least(2, "medium") & at_least(1, "tight")``.
    """

    requirements: tuple[Requirement, ...]

    def __and__(self, other: Condition) -> Condition:
        return Condition(self.requirements + other.requirements)

    def __str__(self) -> str:
        return " and ".join(map(str, self.requirements)) or "anything"

    def transitions(self, working_points: Sequence[WorkingPoint]) -> npt.NDArray[np.int64]:
        """The condition as a finite automaton that reads the bins of the jets.

        A state holds one counter per requirement, which ends at what is asked for ("at least"
        stays there; one more than "exactly" has failed). State 0 is the start and the last state
        the only one that accepts; no transition leads to a lower state.

        Parameters
        ----------
        working_points : sequence of WorkingPoint
            Names, from the loosest to the tightest. A jet in bin b passes the first b of them.

        Returns
        -------
        ndarray
            int64 (states, bins), the next state, -1 where the event has failed.

        Raises
        ------
        InputError
            For a working point that is not among them.
        """
        thresholds = [1 + _position(r.working_point, working_points) for r in self.requirements]
        wanted = [r.n for r in self.requirements]
        states = list(product(*(range(n + 1) for n in wanted)))
        number = {state: i for i, state in enumerate(states)}
        table = np.full((len(states), len(working_points) + 1), -1, np.int64)
        for state, b in product(states, range(len(working_points) + 1)):
            counted = [c + (b >= t) for c, t in zip(state, thresholds, strict=True)]
            failed = False
            for i, requirement in enumerate(self.requirements):
                if counted[i] > requirement.n:
                    failed |= not requirement.at_least
                    counted[i] = requirement.n
            if not failed:
                table[number[state], b] = number[tuple(counted)]
        return table


ANYTHING = Condition(())
"""Every event meets it: sums over all assignments."""


def exactly(n: int, working_point: WorkingPoint = 0) -> Condition:
    """Exactly ``n`` jets pass the working point (by default the loosest one)."""
    return Condition((Requirement(n, working_point),))


def at_least(n: int, working_point: WorkingPoint = 0) -> Condition:
    """``n`` jets or more pass the working point (by default the loosest one)."""
    return Condition((Requirement(n, working_point, at_least=True),))


def joint_transitions(
    conditions: Sequence[Condition], working_points: Sequence[WorkingPoint]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Several conditions as one automaton, so that jets are read once for all of them.

    Parameters
    ----------
    conditions : sequence of Condition
        At least one.
    working_points : sequence of WorkingPoint
        Names, from the loosest to the tightest.

    Returns
    -------
    table, accepts : ndarray of int64, ndarray of bool
        The next state (states, bins) as in :meth:`Condition.transitions`, -1 where all conditions
        have failed; and which states meet each condition (conditions, states).

    Raises
    ------
    InputError
        For a working point that is not among them.
    """
    # a failed condition goes to a state of its own behind the others: states still only grow
    tables = []
    for condition in conditions:
        table = condition.transitions(working_points)
        failed = len(table)
        tables.append(
            np.vstack([np.where(table < 0, failed, table), np.full_like(table[0], failed)])
        )
    start = (0,) * len(tables)
    reached, new = {start}, [start]
    while new:
        rows = [t[s].tolist() for t, s in zip(tables, new.pop(), strict=True)]
        found = set(zip(*rows, strict=True)) - reached
        reached |= found
        new += found
    ends = tuple(len(table) - 1 for table in tables)
    order = sorted(reached - {ends})
    number = {state: i for i, state in enumerate(order)}
    table = np.full((len(order), len(working_points) + 1), -1, np.int64)
    for state, i in number.items():
        rows = [t[s].tolist() for t, s in zip(tables, state, strict=True)]
        table[i] = [number.get(target, -1) for target in zip(*rows, strict=True)]
    states, accepting = np.array(order).T, np.array(ends)[:, None] - 1
    return table, states == accepting


def as_condition(n_tags: int | Condition, or_more: bool) -> Condition:
    """The condition that a number of tags stands for.

    Raises
    ------
    TypeError, ValueError
        For what is neither a condition nor a whole number of zero or more, or ``or_more`` with a
        condition (which says so itself).
    """
    if isinstance(n_tags, Condition):
        if or_more:
            raise ValueError(f"at_least goes with a number of tags, received {n_tags}")
        return n_tags
    return Condition((Requirement(n_tags, at_least=or_more),))


def _position(working_point: WorkingPoint, working_points: Sequence[WorkingPoint]) -> int:
    """Number of a working point, counted from the loosest."""
    if isinstance(working_point, str):
        if working_point in working_points:
            return list(working_points).index(working_point)
    elif -len(working_points) <= working_point < len(working_points):
        return range(len(working_points))[working_point]
    raise InputError(
        f"expected a working point of {list(working_points)} (or its number), "
        f"received {working_point!r}"
    )
