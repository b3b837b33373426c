"""Assignments of tags to the jets of an event: one drawn reproducibly, or all with their weights.

An assignment says of every jet how many working points it passes. Its weight is the product of
the weights of these bins (:class:`hepsilon.weights.bins.TagBins`). Those that meet a condition are
never found by trying all of them, of which there are ``n_bins ** n_jets``: for every jet and every
state of the condition's automaton the kernels first sum, from the last jet to the first, the weight
of all ways to go on to acceptance. With these sums a draw goes through the jets once, taking each
bin with its probability given the bins before it; and a list goes depth first only into branches
that end in acceptance, so the work is proportional to its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

from hepsilon.arrays import keys
from hepsilon.arrays.checks import check_seed
from hepsilon.arrays.columns import offsets_of, unflatten
from hepsilon.arrays.lazy import in_graphs
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.weights import kernels as tag_kernels
from hepsilon.weights.bins import PerWorkingPoint, TagBins
from hepsilon.weights.conditions import Condition, as_condition

__all__ = ["MAX_ASSIGNMENTS", "TagAssignments", "enumerate_tags", "sample_tags"]

MAX_ASSIGNMENTS = 10_000
"""Largest number of assignments that one event may have, unless asked for more."""
MAX_BINS = 128
"""Largest number of bins (working points and one) whose numbers fit into one byte."""
MAX_ENTRIES = 200_000_000
"""Largest number of tags (assignments times jets) of one call: 200 MB at one byte each."""


def _columns(events: ak.Array | Sequence[Any], n_events: int) -> list[Array]:
    """Columns run, luminosityBlock and event as unsigned numbers."""
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


@in_graphs
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
    """Draw one assignment of tags per event, by its probability given that the condition is met.

    The draw is a pure function of the event's numbers, its efficiencies and the seed: chunking,
    order and executor never change it. An event whose tags are drawn has the weight of
    :func:`hepsilon.truth_tag_weight` with equal arguments.

    Parameters
    ----------
    eps : ak.Array or mapping of str to ak.Array, shape (n_events, jets[, working points])
        Efficiency of every jet, as for :func:`hepsilon.truth_tag_weight`.
    events : ak.Array or sequence of three ndarrays of int, shape (n_events,)
        Events with the fields ``run``, ``luminosityBlock`` and ``event``, or these three columns.
    n_tags : int or Condition, default 2
        Number of tags, or a condition, as for :func:`hepsilon.truth_tag_weight`.
    at_least : bool, default False
        Ask for that many tags or more, instead of exactly that many.
    jets : slice, jagged ak.Array of bool, or None, default slice(0, 2)
        Jets that count, as for :func:`hepsilon.truth_tag_weight`.
    seed : int, default 1
        Number from 0 to 2^64 - 1; other seeds give other, independent draws.
    **options
        ``working_points``, ``scale_factors``, ``direct`` and ``tagged``, as for
        :func:`hepsilon.truth_tag_weight`.

    Returns
    -------
    ak.Array of bool or int8, jagged like all jets
        Tags: booleans for one working point, else the number of working points that the jet
        passes. Jets that do not count, and those of events in which the condition is impossible
        (weight 0), are not tagged.

    Raises
    ------
    InputError
        If the arguments are not valid for :func:`hepsilon.truth_tag_weight`, or ``events`` are not
        three columns of whole numbers for as many events.
    ValueError
        If the seed is not a whole number, or out of range.

    Examples
    --------
    Of the first event exactly one jet is tagged; the second cannot have a tag:

    >>> import awkward as ak
    >>> import numpy as np
    >>> from hepsilon import sample_tags
    >>> eps = ak.Array([[0.5, 0.5], [0.0, 0.0]])
    >>> run, lumi, event = np.array([1, 1]), np.array([7, 7]), np.array([21, 22])
    >>> tags = sample_tags(eps, (run, lumi, event), 1)
    >>> ak.sum(tags, axis=1).to_list()
    [1, 0]
    """
    seed = check_seed(seed)
    condition = as_condition(n_tags, at_least)
    bins = _listed(TagBins.of(eps, jets=jets, **options))
    bins.warn()
    run, lumi, event = _columns(events, len(bins.offsets) - 1)
    key = keys.event_key(run, lumi, event, keys.event_key(*_seed(seed), keys.TAG_SALT)[0])
    table = condition.transitions(bins.working_points)
    drawn = tag_kernels.sample_bins(bins.offsets, bins.weights, table, key)
    return bins.jagged(_as_tags(bins, np.maximum(drawn, 0)), fill=0)


def _seed(seed: int) -> tuple[Array, Array, Array]:
    zero = np.zeros(1, np.uint64)
    return np.array([seed], np.uint64), zero, zero


def _listed(bins: TagBins) -> TagBins:
    """The bins, if their numbers fit into the tags that are written out."""
    if bins.n_bins > MAX_BINS:
        raise InputError(
            f"expected at most {MAX_BINS - 1} working points to list tags of, received "
            f"{bins.n_bins - 1}"
        )
    return bins


def _as_tags(bins: TagBins, drawn: Array) -> Array:
    """Tags from bins: booleans for one working point, else the bins themselves."""
    return drawn > 0 if bins.n_bins == 2 else drawn


@dataclass(frozen=True)
class TagAssignments:
    """All ways in which jets can meet a condition, with their weights.

    Attributes
    ----------
    tags : ak.Array of bool or int8, shape (n_events, assignments, jets that count)
        Booleans for one working point, else the number of working points that the jet passes.
    weights : ak.Array of float64, shape (n_events, assignments)
        Weight of every assignment; in each event they sum to :func:`hepsilon.truth_tag_weight`.
    """

    tags: ak.Array
    weights: ak.Array
    _position: ak.Array  # of each jet that counts, among all jets of all events
    _offsets: Array  # of all jets

    def jets(self, records: ak.Array) -> ak.Array:
        """Tagged jets of every assignment.

        Parameters
        ----------
        records : jagged ak.Array, shape (n_events, jets)
            Jets whose tags were enumerated, or a column of them: those that do not count as well.

        Returns
        -------
        ak.Array, shape (n_events, assignments, tagged jets)
            The records of the tagged jets, in the order of the collection.

        Raises
        ------
        InputError
            If the numbers of jets in the events are not those whose tags were enumerated.
        """
        if not np.array_equal(offsets_of(records), self._offsets):
            raise InputError("expected the jets whose tags were enumerated")
        position = ak.broadcast_arrays(self._position[:, None], self.tags)[0]
        chosen = position[self.tags > 0]
        index = ak.to_numpy(ak.flatten(chosen, axis=None))
        per_assignment = ak.to_numpy(ak.flatten(ak.num(chosen, axis=2), axis=None))
        chosen_records = ak.unflatten(ak.flatten(records, axis=1)[index], per_assignment)
        return ak.unflatten(chosen_records, ak.num(self.weights, axis=1))


def enumerate_tags(
    eps: PerWorkingPoint,
    n_tags: int | Condition = 2,
    *,
    at_least: bool = False,
    jets: slice | ak.Array | None = slice(0, 2),
    max_assignments: int = MAX_ASSIGNMENTS,
    **options: Any,
) -> TagAssignments:
    """List all assignments of tags that meet a condition, with their weights.

    Histograms of tagged jets that are filled with every assignment have no sampling noise, unlike
    those of :func:`hepsilon.sample_tags`, which draws one of them; but there is more to compute.
    Assignments of weight zero are left out.

    Parameters
    ----------
    eps : ak.Array or mapping of str to ak.Array, shape (n_events, jets[, working points])
        Efficiency of every jet, as for :func:`hepsilon.truth_tag_weight`.
    n_tags : int or Condition, default 2
        Number of tags, or a condition, as for :func:`hepsilon.truth_tag_weight`.
    at_least : bool, default False
        Ask for that many tags or more, instead of exactly that many.
    jets : slice, jagged ak.Array of bool, or None, default slice(0, 2)
        Jets that count, as for :func:`hepsilon.truth_tag_weight`.
    max_assignments : int, default 10000
        Largest number of assignments that one event may have.
    **options
        ``working_points``, ``scale_factors``, ``direct`` and ``tagged``, as for
        :func:`hepsilon.truth_tag_weight`.

    Returns
    -------
    TagAssignments
        Tags and weights of all assignments.

    Raises
    ------
    InputError
        If the arguments are not valid for :func:`hepsilon.truth_tag_weight`, or an event has more
        than ``max_assignments``.

    Examples
    --------
    >>> import awkward as ak
    >>> from hepsilon import enumerate_tags
    >>> found = enumerate_tags(ak.Array([[0.5, 0.25, 1.0]]), 2, jets=None)
    >>> found.tags.to_list()
    [[[False, True, True], [True, False, True]]]
    >>> found.weights.to_list()
    [[0.125, 0.375]]
    """
    condition = as_condition(n_tags, at_least)
    bins = _listed(TagBins.of(eps, jets=jets, **options))
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
