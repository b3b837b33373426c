"""Chunks of events from ROOT (TTree, RNTuple) and parquet files."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pyarrow.parquet
import uproot

from hepsilon.columns import Column, column_names, jagged_records, shortened
from hepsilon.config import InputConfig, Task
from hepsilon.errors import InputError
from hepsilon.features import INPUTS

__all__ = ["EVENT_NAMES", "Chunk", "check_file", "read_chunks"]

Array = npt.NDArray[Any]
CHUNK_EVENTS = 200_000
EVENT_NAMES = ("run", "luminosityBlock", "event")


@dataclass(frozen=True)
class Chunk:
    """Consecutive events of one file: jagged records and per-event columns.

    ``events`` holds the numbers of the event that a task of events needs, such as its response.
    """

    records: ak.Array
    weights: Array
    run: Array
    luminosity_block: Array
    event: Array
    events: ak.Array | None = None


def task_fields(task: Task) -> list[str]:
    """Fields of the collection that the training of a task reads."""
    cuts = [*task.selection, *(task.fiducial.cuts if task.fiducial else ())]
    names = [*task.features, *(cut.field for cut in cuts)]
    names += [task.passed.field] if task.level == "object" else []
    names += [task.order_by] if task.order_by else []
    return list(dict.fromkeys(names))


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


def _columns(source: Any) -> list[str]:
    if isinstance(source, pyarrow.parquet.ParquetFile):
        return list(source.schema_arrow.names)
    return list(source.keys())


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


class _Layout:
    """Which column of one file holds which name."""

    def __init__(self, source: Any, path: Path, task: Task, config: InputConfig) -> None:
        self.available = set(_columns(source))
        self.path, self.task, self.branches = path, task, config.branches
        self.nested = isinstance(source, pyarrow.parquet.ParquetFile) and (
            task.collection in self.available
        )

    def of_event(self, name: str, required: bool) -> str | None:
        """Column of a per-event quantity; None if it is optional and missing."""
        column = self.branches.get(name, name)
        if not isinstance(column, str):
            raise InputError(f"[input.branches] {name}: expected one branch, received {column}")
        if column in self.available:
            return column
        if required or name in self.branches:
            raise InputError(f"{self.path}: expected the column {column!r} ({name})")
        return None

    def of_object(self, field: str) -> Column:
        """Column of a field of the collection, or one for each object."""
        column = self.branches.get(field, f"{self.task.collection}_{field}")
        wanted = [column] if isinstance(column, str) else column
        missing = [name for name in wanted if name not in self.available]
        if missing:
            raise InputError(
                f"{self.path}: expected the column {missing[0]!r} for the field {field!r}, "
                f"received {shortened(sorted(self.available), missing[0])}; name another one "
                "under [input.branches]"
            )
        return column

    def of_objects(self, fields: Iterable[str]) -> dict[str, Column]:
        """Columns of the fields, and of what fields that the file does not have come from."""
        columns: dict[str, Column] = {}
        for field in fields:
            try:
                columns[field] = self.of_object(field)
            except InputError:
                if field not in INPUTS:
                    raise
                try:
                    columns |= {name: self.of_object(name) for name in INPUTS[field]}
                except InputError:
                    self.of_object(field)  # the user asked for this one
        return columns


def check_file(path: str | Path, task: Task, config: InputConfig, *, response: bool = True) -> None:
    """Check that a file has what applying a task needs, as flat columns.

    Parameters
    ----------
    path, task, config : the file, what is read, and where it is.
    response : whether response and truth are needed (of tasks of events).

    Raises
    ------
    InputError : for a missing or unreadable file, tree or column, or for a parquet file whose
        collection is one nested column.
    """
    path = Path(path)
    layout = _Layout(_open(path, config.tree), path, task, config)
    if layout.nested:
        raise InputError(
            f"{path}: coffea reads flat columns ({task.collection}_pt, ...) of parquet files, "
            f"not one nested column {task.collection!r}; training reads both"
        )
    numbers = [task.weight] if task.weight else []
    truth = list(task.truth_fields)
    if task.level == "event" and response:
        numbers += [task.passed.field, *truth]
    layout.of_objects(task_fields(task) + (truth if task.level == "object" else []))
    for name in numbers:
        layout.of_event(name, required=True)


def _content_id(path: Path) -> int:
    """Number that tells files apart, wherever they lie: a checksum of the name and the content."""
    with path.open("rb") as file:
        return zlib.crc32(file.read(1 << 20), zlib.crc32(path.name.encode()))


def _without_missing(array: ak.Array, column: str, path: Path) -> ak.Array:
    """The same array without the option type that nullable columns (parquet) have.

    Raises
    ------
    InputError : if events are missing.
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
) -> Iterator[Chunk]:
    source = _open(path, config.tree)
    layout = _Layout(source, path, task, config)
    ids = {n: layout.of_event(n, config.schema_ == "nanoaod") for n in EVENT_NAMES}
    weight = layout.of_event(task.weight, required=True) if task.weight else None
    objects = {} if layout.nested else layout.of_objects(fields)
    response = layout.of_event(task.passed.field, True) if task.level == "event" else None
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
        yield Chunk(records, weights, run, luminosity_block, event, events)
        start += len(batch)


def read_chunks(
    files: Iterable[str | Path],
    task: Task,
    config: InputConfig,
    *,
    fields: list[str] | None = None,
    step: int = CHUNK_EVENTS,
) -> Iterator[Chunk]:
    """Read the columns of a task from files, chunk by chunk.

    Parameters
    ----------
    files : ROOT (TTree or RNTuple) or parquet files.
    task, config : what to read and where it is.
    fields : fields of the collection; by default what training the task needs.
    step : events per chunk.

    Raises
    ------
    InputError : for a missing or unreadable file, tree or column.
    """
    for path in files:
        wanted = task_fields(task) if fields is None else fields
        yield from _read_file(Path(path), task, config, wanted, step)
