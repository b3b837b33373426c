"""Training columns of files: read, checked, and sorted by the events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import awkward as ak
import numpy as np

from hepsilon._system.progress import progress_bar
from hepsilon._system.resources import usable_memory
from hepsilon.arrays.checks import check_finite
from hepsilon.arrays.columns import flat
from hepsilon.arrays.fields import field
from hepsilon.arrays.keys import SPLIT_SALT, event_key
from hepsilon.arrays.types import Array
from hepsilon.config.file import Config
from hepsilon.config.task import Task
from hepsilon.data.events import EventChunk
from hepsilon.data.features import check_number, event_matrix, feature_matrix
from hepsilon.data.reading import read_chunks
from hepsilon.data.sample_checks import check_files, report_columns
from hepsilon.data.selection import fiducial_events, passed, select
from hepsilon.data.sorting import Spool
from hepsilon.data.sources import Files
from hepsilon.data.training_columns import FileResponse, PartColumns, TrainingColumns
from hepsilon.data.weights import object_weights
from hepsilon.errors import InputError

__all__ = ["load_columns", "part_columns", "read_columns", "sorted_columns"]


def part_columns(chunk: EventChunk, task: Task) -> PartColumns:
    """Make the training columns of one chunk.

    Parameters
    ----------
    chunk : EventChunk
        Events of a file.
    task : Task
        Selection, features and response.

    Returns
    -------
    PartColumns
        Columns in the order of the chunk.

    Raises
    ------
    InputError
        If columns are missing or not finite.
    """
    records, events = select(chunk.records, task), chunk.events
    inside: Array | slice = slice(None)
    if task.of_events:
        check_number(records, task)
    if task.fiducial is not None:
        inside = np.flatnonzero(fiducial_events(records, task))
        records = records[inside]
    if task.of_events:
        offsets, nodes = event_matrix(records, task, task.features)
        response = ak.to_numpy(passed(events, task))[inside]
        response = np.repeat(response, np.diff(offsets))
        response, values = response.astype(np.float32), response
    else:
        offsets, nodes = feature_matrix(records, task.features, task.unit, task.missing)
        response = flat(passed(records, task), np.float32, name=task.passed.field)
        values = flat(field(records, task.passed.field))
    weights = check_finite(np.asarray(chunk.weights, np.float64), task.weight or "weight")
    keys = event_key(chunk.run, chunk.luminosity_block, chunk.event, SPLIT_SALT)
    columns = TrainingColumns(offsets, nodes, response, weights[inside], keys[inside])
    if task.alone:
        columns = columns.alone(object_weights(records, task))
    n_read = chunk.n_read or len(chunk.event)
    return PartColumns(columns, chunk.file, n_read, FileResponse.of(np.asarray(values, np.float64)))


def load_columns(
    chunks: Iterable[EventChunk],
    task: Task,
    progress: Callable[[int], None] | None = None,
    *,
    folder: Path | None = None,
    memory_limit: int | None = None,
) -> TrainingColumns:
    """Read all chunks, sorted by the events' keys.

    The order, and with it the training, does not depend on how events are spread over files, nor
    on where they are sorted. Events without objects are left out: there is nothing to learn from
    them.

    Parameters
    ----------
    chunks : iterable of EventChunk
        Events of the files.
    task : Task
        Selection, features and response.
    progress : callable, optional
        Called with the number of events of each chunk.
    folder : Path, optional
        Where events are sorted that are more than the limit; by default that of temporary files.
        Nothing is left there.
    memory_limit : int, optional
        Bytes of columns from which on they are read-only memory maps of files without a name; by
        default a quarter of the memory that this process may use.

    Returns
    -------
    TrainingColumns
        Columns of all events with objects.

    Raises
    ------
    InputError
        If columns are missing or not finite, no event has an object, or a file has one response
        only.
    TrainingError
        If events that are more than the limit do not fit on disk.
    """
    parts = (part_columns(chunk, task) for chunk in chunks)
    return sorted_columns(parts, task, progress, folder=folder, memory_limit=memory_limit)


def sorted_columns(
    parts: Iterable[PartColumns],
    task: Task,
    progress: Callable[[int], None] | None = None,
    *,
    folder: Path | None = None,
    memory_limit: int | None = None,
) -> TrainingColumns:
    """Sort the columns of all parts by the events' keys (see :func:`load_columns`).

    Parameters
    ----------
    parts : iterable of PartColumns
        Columns of the parts of all files.
    task : Task
        Task whose response the files are checked for.
    progress : callable, optional
        Called with the number of events of each part.
    folder : Path, optional
        Folder with room for what does not fit into memory.
    memory_limit : int, optional
        Bytes above which columns are kept on disk.

    Returns
    -------
    TrainingColumns
        All events, in the order of their keys.
    """
    files: dict[str, FileResponse] = {}
    with Spool(usable_memory() // 4 if memory_limit is None else memory_limit, folder) as spool:
        for part in parts:
            columns = part.columns
            spool.add(
                *(columns.keys, np.diff(columns.offsets), columns.weights),
                *(columns.nodes, columns.passed),
            )
            files[part.file] = files.get(part.file, FileResponse()) + part.response
            if progress is not None:
                progress(part.n_read)
        if not files:
            raise InputError("the files hold no events")
        if not spool.n_events:
            raise InputError(f"no event has a {task.collection} object that passes the selection")
        check_files(files, task)
        return TrainingColumns(**spool.finish())


def read_columns(
    files: Files,
    config: Config,
    *,
    folder: Path | None = None,
    memory_limit: int | None = None,
    max_events: int | None = None,
    progress: bool = True,
) -> TrainingColumns:
    """Read the training columns of all files, with a progress bar.

    Parameters
    ----------
    files : str, Path, Source or iterable of these
        The files (see :func:`hepsilon.data.sources.find_sources`).
    config : Config
        The task, and places of the columns.
    folder : Path, optional
        Where events are sorted that are more than memory holds.
    memory_limit : int, optional
        Bytes of columns that are held in memory (see :func:`load_columns`).
    max_events : int, optional
        Number of events after which no more are read.
    progress : bool, default True
        Whether to show the bar.

    Returns
    -------
    TrainingColumns
        Columns of all events with objects.

    Raises
    ------
    InputError
        For files, columns or numbers that cannot be used.
    """
    n_read = 0

    def count(n_events: int) -> None:
        nonlocal n_read
        n_read += n_events
        advance(n_events)

    with progress_bar("reading events", None, show=progress) as advance:
        chunks = read_chunks(files, config.task, config.input, max_events=max_events)
        columns = load_columns(chunks, config.task, count, folder=folder, memory_limit=memory_limit)
    report_columns(columns, config, n_read)
    return columns
