"""Chunks of events from ROOT (TTree, RNTuple) and parquet files."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.parquet
import uproot

from hepsilon.arrays.columns import Column, column_names, jagged_records
from hepsilon.arrays.keys import EVENT_NAMES
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.layout import Layout, task_fields
from hepsilon.errors import InputError

__all__ = ["EventChunk", "check_file", "read_chunks"]

CHUNK_EVENTS = 200_000


@dataclass(frozen=True)
class EventChunk:
    """Consecutive events of one file: jagged records and per-event columns.

    ``events`` holds the numbers of the event that a task of events needs, such as its response.
    """

    records: ak.Array
    weights: Array
    run: Array
    luminosity_block: Array
    event: Array
    events: ak.Array | None = None


def _open(path: Path, tree: str) -> Any:
    """The tree, RNTuple or parquet file, with errors that say what was expected."""
    if not path.is_file():
        raise InputError(f"no file {str(path)!r}")
    try:
        if path.suffix in (".parquet", ".pq"):
            return pyarrow.parquet.ParquetFile(path)
        file = uproot.open(path)
    except Exception as error:
        raise InputError(f"{path} is not a readable ROOT or parquet file: {error}") from None
    names = [name.split(";")[0] for name in file.keys(recursive=False)]
    if tree not in names:
        raise InputError(f"{path}: expected a tree {tree!r}, the file holds {names}")
    return file[tree]


def _iterate(source: Any, columns: list[str], step: int) -> Iterator[ak.Array]:
    if isinstance(source, pyarrow.parquet.ParquetFile):
        for batch in source.iter_batches(step, columns=columns):
            yield ak.from_arrow(batch)
    else:
        for start in range(0, source.num_entries, step):
            try:
                batch = source.arrays(columns, entry_start=start, entry_stop=start + step)
            except OSError as error:
                raise InputError(f"{source.file.file_path} is damaged: {error}") from None
            yield batch


def check_file(path: str | Path, task: Task, config: InputConfig, *, response: bool = True) -> None:
    """Check that a file has what applying a task needs, as flat columns.

    Parameters
    ----------
    path, task, config : str or Path or Task or InputConfig
        The file, what is read, and where it is.
    response : bool, default True
        Whether response and truth are needed, for tasks of events.

    Raises
    ------
    InputError
        For a missing or unreadable file, tree or column, or for a parquet file whose collection is
        one nested column.
    """
    path = Path(path)
    layout = Layout(_open(path, config.tree), path, task, config)
    if layout.nested:
        raise InputError(
            f"{path}: coffea reads flat columns ({task.collection}_pt, ...) of parquet files, "
            f"not one nested column {task.collection!r}; training reads both"
        )
    numbers = [task.weight] if task.weight else []
    truth = list(task.truth_fields)
    if task.of_events and response:
        numbers += [task.passed.field, *truth]
    layout.of_objects(task_fields(task) + (truth if not task.of_events else []))
    for name in numbers:
        layout.of_event(name, required=True)


def _content_id(path: Path) -> int:
    """Number that tells files apart, wherever they lie: a checksum of the name and the content."""
    with path.open("rb") as file:
        return zlib.crc32(file.read(1 << 20), zlib.crc32(path.name.encode()))


def _without_missing(array: ak.Array, column: str, path: Path) -> ak.Array:
    """Remove the option type that nullable columns (parquet) have.

    Raises
    ------
    InputError
        If events are missing.
    """
    missing = int(ak.sum(ak.is_none(array, axis=0)))
    if missing:
        raise InputError(f"{path}: {missing} of {len(array)} events are missing in {column!r}")
    return ak.drop_none(array, axis=0)


def _per_event(array: ak.Array, column: str, path: Path) -> Array:
    """A column with one number per event."""
    if array.ndim != 1 or ak.fields(array):
        raise InputError(f"{path}: expected one number per event in {column!r}, got {array.type}")
    return np.asarray(ak.to_numpy(_without_missing(array, column, path)))


def _objects(batch: ak.Array, columns: dict[str, Column], path: Path) -> ak.Array:
    """The objects of the events, from one jagged column per field or one column per object."""
    fields = {
        field: _without_missing(batch[c], c, path)
        if isinstance(c, str)
        else [_per_event(batch[name], name, path) for name in c]
        for field, c in columns.items()
    }
    try:
        return jagged_records(fields)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _event_numbers(
    batch: ak.Array, columns: dict[str, str | None], path: Path, start: int
) -> list[Array]:
    """run, luminosityBlock, event; where a flat file has none: checksum and entry number."""
    entries = np.arange(start, start + len(batch), dtype=np.uint64)
    if columns["event"] is None:
        file_id = np.uint64(_content_id(path))
        return [np.full(len(batch), file_id), np.zeros(len(batch), np.uint64), entries]
    zeros = np.zeros(len(batch), np.uint64)
    return [
        zeros if column is None else _per_event(batch[column], column, path).astype(np.uint64)
        for column in columns.values()
    ]


def _read_file(
    path: Path, task: Task, config: InputConfig, fields: list[str], step: int
) -> Iterator[EventChunk]:
    source = _open(path, config.tree)
    layout = Layout(source, path, task, config)
    ids = {n: layout.of_event(n, config.schema_ == "nanoaod") for n in EVENT_NAMES}
    weight = layout.of_event(task.weight, required=True) if task.weight else None
    objects = {} if layout.nested else layout.of_objects(fields)
    response = layout.of_event(task.passed.field, True) if task.of_events else None
    columns = column_names([*objects.values(), *ids.values(), weight, response])
    columns += [task.collection] if layout.nested else []
    start = 0
    for batch in _iterate(source, columns, step):
        if layout.nested:
            records = _without_missing(batch[task.collection], task.collection, path)
        else:
            records = _objects(batch, objects, path)
        weights = np.ones(len(batch))
        if weight is not None:
            weights = _per_event(batch[weight], weight, path)
        events = None
        if response is not None:
            events = ak.zip({task.passed.field: _per_event(batch[response], response, path)})
        run, luminosity_block, event = _event_numbers(batch, ids, path, start)
        yield EventChunk(records, weights, run, luminosity_block, event, events)
        start += len(batch)


def read_chunks(
    files: Iterable[str | Path],
    task: Task,
    config: InputConfig,
    *,
    fields: list[str] | None = None,
    step: int = CHUNK_EVENTS,
) -> Iterator[EventChunk]:
    """Read the columns of a task from files, chunk by chunk.

    Parameters
    ----------
    files : iterable of str or Path
        ROOT (TTree or RNTuple) or parquet files.
    task, config : Task or InputConfig
        What to read and where it is.
    fields : list of str, optional
        Fields of the collection; by default what training the task needs.
    step : int, default CHUNK_EVENTS
        Events per chunk.

    Raises
    ------
    InputError
        For a missing or unreadable file, tree or column.
    """
    for path in files:
        wanted = task_fields(task) if fields is None else fields
        yield from _read_file(Path(path), task, config, wanted, step)
