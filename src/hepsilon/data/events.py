"""Events of any schema, in the terms of a task: objects, weights, event numbers, numbers of events.

Training reads columns from files, a processor receives events from coffea; both go through
:func:`event_chunk`, so that the names, checks and selections of a task mean one thing everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, partial

import awkward as ak
import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.damage import Damages, inputs_here
from hepsilon.data.numbers import (
    event_column,
    event_ids,
    event_selection,
    event_weights,
    metadata,
    place_of,
)
from hepsilon.data.objects import collection
from hepsilon.data.selection import counted_objects
from hepsilon.data.weights import limit_weights

__all__ = ["EventChunk", "event_chunk"]


@dataclass(frozen=True)
class EventChunk:
    """Consecutive events of one file.

    Attributes
    ----------
    records : ak.Array of records, jagged
        All objects of the collection, before the selection of objects.
    weights : ndarray of float64, shape (n_events,)
        Weights of the events.
    run, luminosity_block, event : ndarray of uint64, shape (n_events,)
        Numbers that identify the events.
    events : ak.Array of records, shape (n_events,), or None
        Numbers of the event that a task of events needs, such as its response.
    file : str
        File they come from.
    kept : ndarray of int64, shape (n_events,), or None
        Their positions among the events that were read.
    n_read : int
        Number of events before the selection of events.
    n_damaged : int
        Number of events that were skipped for damaged numbers.
    n_limited : int
        Number of events whose weight was clipped to the largest one that is allowed.
    """

    records: ak.Array
    weights: Array
    run: Array
    luminosity_block: Array
    event: Array
    events: ak.Array | None = None
    file: str = ""
    kept: Array | None = None
    n_read: int = 0
    n_damaged: int = 0
    n_limited: int = 0


def event_chunk(
    events: ak.Array,
    task: Task,
    config: InputConfig,
    *,
    fields: Iterable[str] | None = None,
    response: bool = True,
    truth: bool = False,
    numbered: bool = True,
) -> EventChunk:
    """Put events of any schema in the terms of a task, and check their numbers.

    Events that fail the task's selection of events are left out. Those with damaged numbers in what
    the task needs are an error, or are left out and counted; numbers of objects that a sound number
    of the selection drops are no damage.

    Parameters
    ----------
    events : ak.Array
        A chunk of any schema.
    task, config : Task or InputConfig
        The task, and places of the columns.
    fields : iterable of str, optional
        Fields of flat events that are wanted; by default all.
    response : bool, default True
        Whether the response is needed.
    truth : bool, default False
        Whether the true efficiency of events is needed.
    numbered : bool, default True
        Whether the numbers that tell events apart are needed; zeros stand for them if not.

    Returns
    -------
    EventChunk
        The events.

    Raises
    ------
    InputError
        For a missing column, or damaged numbers.
    """
    place, n_read = place_of(events), len(events)
    passing, numbers_of_cuts = event_selection(events, task, config)
    kept = np.flatnonzero(passing)
    ids = event_ids(events, config) if numbered else (np.zeros(n_read, np.uint64),) * 3
    damages = Damages(len(kept))
    for name, values in numbers_of_cuts.items():
        damages.of_events(name, values[kept])
    if task.event_selection:
        events = _same_metadata(events[kept], events)
    records = collection(events, task, config, fields=fields)
    weights = event_weights(events, task, config)
    damages.of_events(task.weight or "weight", weights)
    weights, n_limited = limit_weights(weights, config, place)
    names = frozenset(ak.fields(records))
    needed = list(task.object_fields)
    if not response and not task.of_events:
        needed = [name for name in needed if name != task.passed.field]
    unknown, counted = task.may_be_nan, cache(partial(counted_objects, records, task))
    inputs = [each for name in needed for each in inputs_here(name, names)]
    for name in dict.fromkeys(inputs):
        infinite, nan = name != task.passed.field, name not in unknown
        damages.of_objects(name, records[name], counted, infinite=infinite, nan=nan)
    wanted = [task.passed.field] if response else []
    wanted += task.truth_fields if truth else ()
    numbers = {n: event_column(events, n, config) for n in wanted if task.of_events}
    for name, values in numbers.items():
        damages.of_events(name, values)
    if damages.counts and config.damaged == "raise":
        raise damages.error(place)
    good = ~damages.bad
    run, luminosity_block, event = (column[kept][good] for column in ids)
    return EventChunk(
        records if good.all() else records[good],
        weights[good],
        run,
        luminosity_block,
        event,
        events=ak.zip({n: v[good] for n, v in numbers.items()}) if numbers else None,
        file=place,
        kept=kept[good],
        n_read=n_read,
        n_damaged=int(np.count_nonzero(damages.bad)),
        n_limited=n_limited,
    )


def _same_metadata(events: ak.Array, original: ak.Array) -> ak.Array:
    """Selected events that still say where they come from."""
    said = dict(metadata(original))
    return ak.Array(events, attrs={**events.attrs, "metadata": said}) if said else events
