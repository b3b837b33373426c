"""Which jets are tagged: one assignment drawn reproducibly, or all of them with their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

from hepsilon.arrays import keys
from hepsilon.arrays.columns import offsets_of, unflatten
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.weights import kernels as tag_kernels
from hepsilon.weights.bins import PerWorkingPoint, TagBins
from hepsilon.weights.conditions import Condition, as_condition

__all__ = ["MAX_ASSIGNMENTS", "TagAssignments", "enumerate_tags", "sample_tags"]

MAX_ASSIGNMENTS = 10_000
"""Largest number of assignments of one event, unless asked for more."""
MAX_ENTRIES = 200_000_000
"""Largest number of tags (assignments times jets) of one call: 200 MB."""


def _columns(events: ak.Array | Sequence[Any], n_events: int) -> list[Array]:
    """run, luminosityBlock and event as unsigned numbers."""
    if isinstance(events, ak.Array) and set(keys.EVENT_NAMES) <= set(ak.fields(events)):
        events = [events[name] for name in keys.EVENT_NAMES]
    try:
        columns = [np.asarray(ak.to_numpy(c, allow_missing=False)) for c in events]
    except (TypeError, ValueError):
        columns = []
    if len(columns) != 3 or any(
        c.shape != (n_events,) or c.dtype.kind not in "iu" for c in columns
    ):
        raise InputError(
            f"events: expected (run, luminosityBlock, event), whole numbers of {n_events} events, "
            f"or records with these fields, received {[(c.dtype.name, c.shape) for c in columns]}"
        )
    return [c.astype(np.uint64) for c in columns]


def sample_tags(
    eps: PerWorkingPoint,
    events: ak.Array | Sequence[Any],
    n_tags: int | Condition = 2,
    *,
    at_least: bool = False,
    jets: slice | ak.Array | None = slice(0, 2),
    seed: int = 1,
    **options: Any,
) -> ak.Array:
    """One assignment of tags per event, in proportion to its probability given the condition.

    A pure function of the event's numbers, the seed and the event's efficiencies: chunking,
    order and executor never change it. Give the event the weight :func:`truth_tag_weight` with
    the same arguments.

    Parameters
    ----------
    eps, n_tags, at_least, jets : various
        As for :func:`hepsilon.truth_tag_weight`.
    events : ak.Array or sequence of object
        The events, with the fields run, luminosityBlock and event, or these three columns.
    seed : int, default 1
        Other seeds give other, independent draws.
    options : object
        ``working_points``, ``scale_factors``, ``direct`` and ``tagged``, likewise.

    Returns
    -------
    ak.Array
        Jagged like all jets; booleans for one working point, else the number of working points that
        the jet passes (int8). Jets that do not count, and those of events in which the condition is
        impossible (weight 0), are not tagged.

    Raises
    ------
    InputError
        As :func:`hepsilon.truth_tag_weight`, or for other numbers of events.
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"expected a seed between 0 and 2^64 - 1, received {seed}")
    condition = as_condition(n_tags, at_least)
    bins = TagBins.of(eps, jets=jets, **options)
    bins.warn()
    run, lumi, event = _columns(events, len(bins.offsets) - 1)
    key = keys.event_key(run, lumi, event, keys.event_key(*_seed(seed), keys.TAG_SALT)[0])
    table = condition.transitions(bins.working_points)
    drawn = tag_kernels.sample_bins(bins.offsets, bins.weights, table, key)
    return bins.jagged(_as_tags(bins, np.maximum(drawn, 0)), fill=0)


def _seed(seed: int) -> tuple[Array, Array, Array]:
    zero = np.zeros(1, np.uint64)
    return np.array([seed], np.uint64), zero, zero


def _as_tags(bins: TagBins, drawn: Array) -> Array:
    """Booleans for one working point, else the bins as they are."""
    return drawn > 0 if bins.n_bins == 2 else drawn


@dataclass(frozen=True)
class TagAssignments:
    """All ways in which jets can meet a condition, with their weights.

    Attributes
    ----------
    tags : ak.Array
        Events x assignments x jets that count; booleans for one working point, else the number of
        working points that the jet passes (int8).
    weights : ak.Array
        Events x assignments; they sum to :func:`hepsilon.truth_tag_weight`.
    """

    tags: ak.Array
    weights: ak.Array
    _position: ak.Array  # of each jet that counts, among all jets of all events
    _offsets: Array  # of all jets

    def jets(self, records: ak.Array) -> ak.Array:
        """The tagged jets of every assignment: events x assignments x tagged jets.

        Parameters
        ----------
        records : ak.Array
            The jets that the efficiencies were of, jagged.

        Raises
        ------
        InputError
            For other events than those.
        """
        if not np.array_equal(offsets_of(records), self._offsets):
            raise InputError("expected the jets whose tags were enumerated")
        position = ak.broadcast_arrays(self._position[:, None], self.tags)[0]
        chosen = position[self.tags > 0]
        index = ak.to_numpy(ak.flatten(chosen, axis=None))
        per_assignment = ak.to_numpy(ak.flatten(ak.num(chosen, axis=2), axis=None))
        found = ak.unflatten(ak.flatten(records, axis=1)[index], per_assignment)
        return ak.unflatten(found, ak.num(self.weights, axis=1))


def enumerate_tags(
    eps: PerWorkingPoint,
    n_tags: int | Condition = 2,
    *,
    at_least: bool = False,
    jets: slice | ak.Array | None = slice(0, 2),
    max_assignments: int = MAX_ASSIGNMENTS,
    **options: Any,
) -> TagAssignments:
    """All assignments of tags that meet a condition: what :func:`sample_tags` draws one of.

    There is no sampling noise, but more to compute. Assignments of weight zero are left out.

    Parameters
    ----------
    eps, n_tags, at_least, jets : various
        As for :func:`hepsilon.truth_tag_weight`.
    max_assignments : int, default MAX_ASSIGNMENTS
        Bound on their number in one event.
    options : object
        ``working_points``, ``scale_factors``, ``direct`` and ``tagged``, likewise.

    Raises
    ------
    InputError
        As :func:`hepsilon.truth_tag_weight`, or if there are more assignments.
    """
    condition = as_condition(n_tags, at_least)
    bins = TagBins.of(eps, jets=jets, **options)
    bins.warn()
    table = condition.transitions(bins.working_points)
    counts = tag_kernels.count_assignments(bins.offsets, bins.weights, table)
    n_jets = np.diff(bins.offsets)
    _check_numbers(counts, n_jets, max_assignments, condition)
    numbers = counts.astype(np.int64)
    tags, weights = tag_kernels.list_assignments(bins.offsets, bins.weights, table, numbers)
    per_assignment = ak.unflatten(ak.Array(_as_tags(bins, tags)), np.repeat(n_jets, numbers))
    index = np.arange(bins.offsets[-1]) if bins.index is None else bins.index
    return TagAssignments(
        ak.unflatten(per_assignment, numbers),
        ak.unflatten(weights, numbers),
        unflatten(index, bins.offsets),
        bins.all_offsets,
    )


def _check_numbers(counts: Array, n_jets: Array, most: int, condition: Condition) -> None:
    many = int(np.count_nonzero(counts > most))
    remedy = "count fewer jets (jets=), or draw one assignment with sample_tags"
    if many:
        worst = int(np.argmax(counts))
        raise InputError(
            f"{many} of {len(counts)} events have more than {most} assignments with {condition} "
            f"(up to {counts[worst]:.0f} for {n_jets[worst]} jets); {remedy}, or raise "
            "max_assignments"
        )
    entries = float(np.sum(counts * n_jets))
    if entries > MAX_ENTRIES:
        raise InputError(
            f"{counts.sum():.0f} assignments of {len(counts)} events with {entries:.0f} tags are "
            f"too many to hold (at most {MAX_ENTRIES}); use smaller chunks, {remedy}"
        )
