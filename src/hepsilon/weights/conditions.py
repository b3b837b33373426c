"""Conditions on events: numbers of tags at one or several working points.

The weight of a condition is a sum over all assignments of bins to jets, ``n_bins ** n_jets`` of
them. A condition only counts jets, so it is a finite automaton: it reads the bins of the jets one
after the other, and its state is how many jets have passed each working point, counted up to the
number that is asked for. "Exactly 2 at medium and at least 1 at tight" has 3 x 2 states, for any
number of jets. The kernels (:mod:`hepsilon.weights.kernels`) carry the weight of every state from
jet to jet: the sum takes ``n_jets * n_states * n_bins`` products, is exact, and adds positive
numbers only, so nothing cancels. For two jets it is Eq. 3 of Di Bello et al., "Efficiency
Parameterization with Neural Networks".
"""

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
    """Number of jets, exact or least, that have to pass one working point.

    Attributes
    ----------
    n : int
        Number of jets, zero or more.
    working_point : str or int, default 0
        Name of the working point, or its number from the loosest (0) on; negative numbers count
        from the tightest.
    at_least : bool, default False
        True for that many jets or more, False for exactly that many.

    Raises
    ------
    ValueError
        If ``n`` is negative or a boolean.
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

    Attributes
    ----------
    requirements : tuple of Requirement
        Requirements, all of which have to be met; every event meets an empty tuple.

    Examples
    --------
    >>> from hepsilon import at_least, exactly
    >>> str(exactly(2, "medium") & at_least(1, "tight"))
    'exactly 2 at medium and at least 1 at tight'
    """

    requirements: tuple[Requirement, ...]

    def __and__(self, other: Condition) -> Condition:
        return Condition(self.requirements + other.requirements)

    def __str__(self) -> str:
        return " and ".join(map(str, self.requirements)) or "anything"

    def transitions(self, working_points: Sequence[WorkingPoint]) -> npt.NDArray[np.int64]:
        """Table of the finite automaton that reads the bins of the jets.

        A state is one counter per requirement, from 0 to the number that is asked for. A jet raises
        the counters of the working points that it passes. At the number asked for a counter of "at
        least" stays, while one more jet makes "exactly" fail. States are numbered like the digits
        of a number, so state 0 (all counters zero) is the start, the last one (all counters full)
        the only one that accepts, and no transition leads to a lower state: sums can be updated in
        place.

        Parameters
        ----------
        working_points : sequence of str or int
            Names (or numbers), from the loosest to the tightest. A jet in bin b passes the first b
            of them.

        Returns
        -------
        ndarray of int64, shape (n_states, n_bins)
            Next state for every state and bin of the next jet; -1 where the event has failed.

        Raises
        ------
        InputError
            If a requirement names a working point that is not among them.
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
"""Condition that every event meets: its weight is the sum over all assignments."""


def exactly(n: int, working_point: WorkingPoint = 0) -> Condition:
    """Condition that exactly ``n`` jets pass a working point.

    Parameters
    ----------
    n : int
        Number of jets.
    working_point : str or int, default 0
        Name of the working point, or its number from the loosest (0) on; -1 is the tightest.

    Returns
    -------
    Condition
        Condition, which can be joined with others by ``&``.

    Raises
    ------
    ValueError
        If ``n`` is negative or a boolean.
    """
    return Condition((Requirement(n, working_point),))


def at_least(n: int, working_point: WorkingPoint = 0) -> Condition:
    """Condition that ``n`` jets or more pass a working point.

    Parameters
    ----------
    n : int
        Smallest number of jets.
    working_point : str or int, default 0
        Name of the working point, or its number from the loosest (0) on; -1 is the tightest.

    Returns
    -------
    Condition
        Condition, which can be joined with others by ``&``.

    Raises
    ------
    ValueError
        If ``n`` is negative or a boolean.
    """
    return Condition((Requirement(n, working_point, at_least=True),))


def joint_transitions(
    conditions: Sequence[Condition], working_points: Sequence[WorkingPoint]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Join several conditions into one automaton, so that jets are read once for all of them.

    A joint state is a tuple of one state per condition, in which a condition that has failed stays
    in an extra state behind its others. Only tuples that can be reached from the start become
    states; in their sorted order transitions still never lead to a lower state.

    Parameters
    ----------
    conditions : sequence of Condition
        One or more conditions.
    working_points : sequence of str or int
        Names (or numbers), from the loosest to the tightest.

    Returns
    -------
    table : ndarray of int64, shape (n_states, n_bins)
        Next state as in :meth:`Condition.transitions`; -1 where all conditions have failed.
    accepts : ndarray of bool, shape (n_conditions, n_states)
        True for the states that meet each condition.

    Raises
    ------
    InputError
        If a requirement names a working point that is not among them.
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
        new_states = set(zip(*rows, strict=True)) - reached
        reached |= new_states
        new += new_states
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
    """Condition that a number of tags stands for.

    Parameters
    ----------
    n_tags : int or Condition
        Number of tags at the loosest working point, or a condition, which is returned.
    or_more : bool
        True for that many tags or more; False with a condition, which says so itself.

    Returns
    -------
    Condition
        The condition.

    Raises
    ------
    TypeError
        If ``n_tags`` is neither a condition nor a whole number.
    ValueError
        If ``n_tags`` is negative or a boolean, or ``or_more`` goes with a condition.
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
