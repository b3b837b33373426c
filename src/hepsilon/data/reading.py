"""Chunks of events from files of any format.

Files are divided into parts, ranges of entries; each part is read on its own, by whatever process,
and becomes events in the terms of a task (:func:`hepsilon.data.events.event_chunk`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import awkward as ak
import numpy as np

from hepsilon.arrays.keys import EVENT_NAMES
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.events import EventChunk, event_chunk
from hepsilon.data.formats import Table, open_table
from hepsilon.data.layout import Layout
from hepsilon.data.parts import (
    CHUNK_EVENTS,
    NUMBER,
    Part,
    Skipped,
    Wanted,
    event_starts,
    needed_columns,
    split_files,
)
from hepsilon.data.sources import Files
from hepsilon.errors import InputError

__all__ = ["part_chunk", "read_chunks", "read_events"]


def read_events(
    part: Part,
    task: Task,
    config: InputConfig,
    wanted: Wanted,
    skipped: Skipped,
) -> Iterator[ak.Array]:
    """Read a part of a file as flat events, which say where they come from.

    Parameters
    ----------
    part : Part
        The part.
    task, config : Task or InputConfig
        Names of the columns, and their places.
    wanted : Wanted
        Columns that are needed.
    skipped : Skipped
        Where entries are counted that are left out because they are damaged.

    Yields
    ------
    ak.Array of records, shape (n_events,)
        Columns under the names that they have in the file; all entries of the part at once, unless
        some are damaged.

    Raises
    ------
    InputError
        If a basket is damaged, unless it shall be skipped.
    """
    with open_table(part.source.path, part.treename) as table:
        columns = sorted(needed_columns(table, part.source.path, task, config, wanted))
        for start, stop, read in _readable(table, columns, part, config, skipped):
            events = read
            if config.rows == "objects":
                starts = event_starts(table, part.source.path, task, config, start, stop)
                events = _grouped(read, np.diff([*starts, stop]), part, task, config, wanted)
            yield ak.Array(events, attrs={"metadata": _metadata(part, start, stop)})


def _metadata(part: Part, start: int, stop: int) -> dict[str, object]:
    """Say where events come from, in the words of coffea."""
    return {
        "dataset": part.source.dataset,
        "filename": part.source.path,
        "treename": part.treename,
        "fileuuid": part.fileuuid,
        "entrystart": start,
        "entrystop": stop,
        "sample_weight": part.source.weight,
    }


def _readable(
    table: Table, columns: Sequence[str], part: Part, config: InputConfig, skipped: Skipped
) -> Iterator[tuple[int, int, ak.Array]]:
    """Entries of a part: all, or what can be read of them where damages are to be skipped."""
    ranges = [(part.entrystart, part.entrystop)]
    try:
        whole = table.read(columns, *ranges[0])
    except InputError:
        if config.damaged != "skip":
            raise
        ranges = _good_ranges(table, columns, part, skipped)
    else:
        yield *ranges[0], whole
        return
    for start, stop in ranges:
        yield start, stop, table.read(columns, start, stop)


def _good_ranges(
    table: Table, columns: Sequence[str], part: Part, skipped: Skipped
) -> list[tuple[int, int]]:
    """Ranges of entries without damages, which are counted."""
    good = np.ones(part.entrystop - part.entrystart + 2, bool)
    good[[0, -1]] = False
    for damage in table.damages(columns, part.entrystart, part.entrystop):
        good[damage.start - part.entrystart + 1 : damage.stop - part.entrystart + 1] = False
    lost = part.entrystop - part.entrystart - int(good.sum())
    if lost:
        text = f"{part.source.path}: {NUMBER} entries were left out, which are damaged"
        skipped.counts[text] += lost
    edges = part.entrystart + np.flatnonzero(good[1:] != good[:-1])
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _grouped(
    rows: ak.Array, counts: Array, part: Part, task: Task, config: InputConfig, wanted: Wanted
) -> ak.Array:
    """Events from rows that hold one object each."""
    first = np.cumsum(counts) - counts
    layout = Layout.of_names(frozenset(ak.fields(rows)), part.source.path, task, config)
    ids = [layout.of_event(name, required=False) for name in EVENT_NAMES]
    numbers = {name for name in [*ids, *(layout.of_event(n) for n in wanted.numbers)] if name}
    columns = {}
    for name in ak.fields(rows):
        jagged = ak.unflatten(rows[name], counts)
        if name not in numbers:
            columns[name] = jagged
            continue
        columns[name] = own = rows[name][first]
        a_number = (jagged == jagged) | (own == own)  # noqa: PLR0124  # two NaN are alike
        unlike = (jagged != own) & a_number
        differ = int(ak.sum(ak.any(unlike, axis=1)))
        if differ:
            raise InputError(
                f"{part.source.path}: {name} is a number of the event, but differs between the "
                f"rows of {differ} events"
            )
    return ak.zip(columns, depth_limit=1)


def read_chunks(
    files: Files,
    task: Task,
    config: InputConfig,
    *,
    fields: list[str] | None = None,
    step: int = CHUNK_EVENTS,
    max_events: int | None = None,
) -> Iterator[EventChunk]:
    """Read the columns of a task from files, chunk by chunk.

    Parameters
    ----------
    files : str, Path, Source or iterable of these
        The files (see :func:`hepsilon.data.sources.find_sources`).
    task, config : Task or InputConfig
        Names of the columns, and their places.
    fields : list of str, optional
        Fields of the collection; by default what training the task needs.
    step : int, default CHUNK_EVENTS
        Largest number of entries of a chunk.
    max_events : int, optional
        Number of entries after which no more are read.

    Yields
    ------
    EventChunk
        Events in the order of the files.

    Raises
    ------
    InputError
        For a missing or unreadable file, tree or column, or damaged numbers.
    """
    wanted = Wanted.of_task(task)
    if fields is not None:
        wanted = Wanted(tuple(fields), numbers=wanted.numbers)
    skipped = Skipped()
    parts = split_files(
        files, task, config, wanted, step=step, max_events=max_events, skipped=skipped
    )
    for part in parts:
        for events in read_events(part, task, config, wanted, skipped):
            yield part_chunk(events, task, config, wanted, skipped)
    skipped.report()


def part_chunk(
    events: ak.Array, task: Task, config: InputConfig, wanted: Wanted, skipped: Skipped
) -> EventChunk:
    """Put events of a file in the terms of a task, and count what is left out.

    Parameters
    ----------
    events : ak.Array
        Flat events (see :func:`read_events`).
    task, config : Task or InputConfig
        Names of the columns, and their places.
    wanted : Wanted
        Columns that are needed.
    skipped : Skipped
        Where events with damaged numbers are counted.

    Returns
    -------
    EventChunk
        The events.
    """
    fields = None if wanted.optional is None else (*wanted.fields, *wanted.optional)
    chunk = event_chunk(events, task, config, fields=fields)
    if chunk.n_damaged:
        what = "events were left out, whose numbers are NaN, infinite or missing"
        skipped.counts[f"{chunk.file}: {NUMBER} {what}"] += chunk.n_damaged
    if chunk.n_limited:
        text = f"{NUMBER} weights are larger than max_weight and were clipped"
        skipped.counts[text] += chunk.n_limited
    return chunk
