"""Compiled (numba) sums, draws and lists of tag assignments, event by event.

``bins`` (float64, jets x bins) holds the weight of every bin of every jet, and ``table`` the
condition as a finite automaton (see :meth:`hepsilon.weights.conditions.Condition.transitions`). The
weight of an assignment is the product of the weights of its jets' bins.

All kernels are dynamic programming over jets and states. Sums go forward: ``p[s]`` is the weight of
all ways to be in state s after the jets read so far, and the next jet moves ``p[s] * bins[jet, b]``
to the state ``table[s, b]``. Draws and lists first go backward: ``rest[i, s]`` is the weight of all
ways from state s before jet i to acceptance. A jet is then in bin b with the probability
``bins[i, b] * rest[i + 1, table[s, b]] / rest[i, s]``, given the jets before it; and a list enters
a branch only where ``rest`` is positive, so that no branch ends without an assignment. Each costs
``n_jets * n_states * n_bins`` products per event, and nothing is ever subtracted.
"""

from __future__ import annotations

import numpy as np

from hepsilon.arrays.kernels import njit
from hepsilon.arrays.keys import nth_uniform
from hepsilon.arrays.types import Array, Offsets

__all__ = [
    "condition_probability",
    "count_assignments",
    "joint_probabilities",
    "list_assignments",
    "sample_bins",
]


@njit
def _read_event(p: Array, first: int, last: int, bins: Array, table: Array) -> None:
    """Fill ``p[s]`` with the weight of all ways to be in state s after the jets of an event.

    Transitions never lead to a lower state, so one array is updated in place from the last state
    down.
    """
    n_states, n_bins = table.shape
    p[:] = 0.0
    p[0] = 1.0
    for i in range(first, last):
        for state in range(n_states - 1, -1, -1):
            mass = p[state]
            p[state] = 0.0
            if mass != 0.0:
                for b in range(n_bins):
                    target = table[state, b]
                    if target >= 0:
                        p[target] += mass * bins[i, b]


@njit
def condition_probability(offsets: Offsets, bins: Array, table: Array) -> Array:
    """Sum of the weights of all assignments that meet the condition.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Position of the first jet of each event.
    bins : ndarray of float64, shape (n_jets, n_bins)
        Weight of every bin of every jet.
    table : ndarray of int64, shape (n_states, n_bins)
        Automaton of the condition.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        One sum per event.
    """
    n_states = table.shape[0]
    out = np.empty(offsets.size - 1, np.float64)
    p = np.empty(n_states, np.float64)
    for event in range(offsets.size - 1):
        _read_event(p, offsets[event], offsets[event + 1], bins, table)
        out[event] = p[n_states - 1]
    return out


@njit
def joint_probabilities(offsets: Offsets, bins: Array, table: Array, accepts: Array) -> Array:
    """Sums of the weights of all assignments for several conditions, in one pass.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Position of the first jet of each event.
    bins : ndarray of float64, shape (n_jets, n_bins)
        Weight of every bin of every jet.
    table : ndarray of int64, shape (n_states, n_bins)
        Joint automaton (see :func:`hepsilon.weights.conditions.joint_transitions`).
    accepts : ndarray of bool, shape (n_conditions, n_states)
        True for the states that meet each condition.

    Returns
    -------
    ndarray of float64, shape (n_conditions, n_events)
        One row of sums per condition.
    """
    n_conditions, n_states = accepts.shape
    out = np.zeros((n_conditions, offsets.size - 1), np.float64)
    p = np.empty(n_states, np.float64)
    for event in range(offsets.size - 1):
        _read_event(p, offsets[event], offsets[event + 1], bins, table)
        for c in range(n_conditions):
            for state in range(n_states):
                if accepts[c, state]:
                    out[c, event] += p[state]
    return out


@njit
def _remaining(first: int, last: int, bins: Array, table: Array, rest: Array) -> None:
    """Fill ``rest[i - first, s]`` with the weight of all ways from state s before jet i to the end.

    The end is the accepting state after the last jet of the event.
    """
    n_states, n_bins = table.shape
    rest[last - first, :] = 0.0
    rest[last - first, n_states - 1] = 1.0
    for i in range(last - 1, first - 1, -1):
        for state in range(n_states):
            total = 0.0
            for b in range(n_bins):
                target = table[state, b]
                if target >= 0:
                    total += bins[i, b] * rest[i - first + 1, target]
            rest[i - first, state] = total


@njit
def _most_jets(offsets: Offsets) -> int:
    most = 0
    for event in range(offsets.size - 1):
        most = max(most, offsets[event + 1] - offsets[event])
    return most


@njit
def sample_bins(offsets: Offsets, bins: Array, table: Array, key: Array) -> Array:
    """Draw one assignment per event, by its weight among those that the condition accepts.

    The n-th jet of an event takes the n-th uniform number of the event's key.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Position of the first jet of each event.
    bins : ndarray of float64, shape (n_jets, n_bins)
        Weight of every bin of every jet.
    table : ndarray of int64, shape (n_states, n_bins)
        Automaton of the condition.
    key : ndarray of uint64, shape (n_events,)
        Key of each event (see :mod:`hepsilon.arrays.keys`).

    Returns
    -------
    ndarray of int8, shape (n_jets,)
        Bin of every jet; -1 in events of which no assignment is accepted.
    """
    n_states, n_bins = table.shape
    out = np.full(bins.shape[0], -1, np.int8)
    rest = np.empty((_most_jets(offsets) + 1, n_states), np.float64)
    for event in range(offsets.size - 1):
        first, last = offsets[event], offsets[event + 1]
        _remaining(first, last, bins, table, rest)
        if not rest[0, 0] > 0.0:
            continue
        state = 0
        for i in range(first, last):
            left = nth_uniform(key[event], i - first) * rest[i - first, state]
            chosen, following = -1, -1
            for b in range(n_bins):
                target = table[state, b]
                weight = bins[i, b] * rest[i - first + 1, target] if target >= 0 else 0.0
                if weight > 0.0:
                    chosen, following = b, target  # round-off must not run past the last one
                    if left < weight:
                        break
                    left -= weight
            out[i] = chosen
            state = following
    return out


@njit
def count_assignments(offsets: Offsets, bins: Array, table: Array) -> Array:
    """Number of accepted assignments of positive weight.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Position of the first jet of each event.
    bins : ndarray of float64, shape (n_jets, n_bins)
        Weight of every bin of every jet.
    table : ndarray of int64, shape (n_states, n_bins)
        Automaton of the condition.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        One number per event, which may exceed the range of integers.
    """
    present = (bins > 0.0).astype(np.float64)
    return condition_probability(offsets, present, table)


@njit
def list_assignments(
    offsets: Offsets, bins: Array, table: Array, counts: Array
) -> tuple[Array, Array]:
    """List all accepted assignments of positive weight, with their weights.

    A depth-first walk without recursion: ``chosen[d]``, ``states[d]`` and ``product[d]`` are the
    bin of the d-th jet of the event, and the state and the weight before it. Assignments of an
    event come in the order of their bins.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Position of the first jet of each event.
    bins : ndarray of float64, shape (n_jets, n_bins)
        Weight of every bin of every jet.
    table : ndarray of int64, shape (n_states, n_bins)
        Automaton of the condition.
    counts : ndarray of int64, shape (n_events,)
        Number of assignments of each event (see :func:`count_assignments`).

    Returns
    -------
    tags : ndarray of int8, shape (sum of counts times jets,)
        Bins, jet by jet and assignment by assignment.
    weights : ndarray of float64, shape (sum of counts,)
        Weight of every assignment.
    """
    n_states, n_bins = table.shape
    most = _most_jets(offsets)
    present = (bins > 0.0).astype(np.float64)
    out = np.empty(np.sum(counts * np.diff(offsets)), np.int8)
    weights = np.empty(np.sum(counts), np.float64)
    rest = np.empty((most + 1, n_states), np.float64)
    chosen = np.empty(most + 1, np.int64)
    states = np.empty(most + 1, np.int64)
    product = np.empty(most + 1, np.float64)
    entry = row = 0
    for event in range(offsets.size - 1):
        first, n = offsets[event], offsets[event + 1] - offsets[event]
        _remaining(first, first + n, present, table, rest)
        if not rest[0, 0] > 0.0:
            continue
        depth, chosen[0], states[0], product[0] = 0, -1, 0, 1.0
        while depth >= 0:
            if depth == n:
                for i in range(n):
                    out[entry + i] = chosen[i]
                weights[row] = product[n]
                entry, row, depth = entry + n, row + 1, depth - 1
                continue
            chosen[depth] += 1
            if chosen[depth] == n_bins:
                depth -= 1
                continue
            target = table[states[depth], chosen[depth]]
            weight = bins[first + depth, chosen[depth]]
            if target >= 0 and weight > 0.0 and rest[depth + 1, target] > 0.0:
                states[depth + 1], product[depth + 1] = target, product[depth] * weight
                chosen[depth + 1] = -1
                depth += 1
    return out, weights
