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

from hepsilon.columns import shortened
from hepsilon.config import InputConfig, Task
from hepsilon.errors import InputError
from hepsilon.features import DERIVED

__all__ = ["Chunk", "check_file", "read_chunks"]

Array = npt.NDArray[Any]
CHUNK_EVENTS = 200_000
EVENT_NAMES = ("run", "luminosityBlock", "event")
GEOMETRY = ("eta", "phi")


@dataclass(frozen=True)
class Chunk:
    """Consecutive events of one file: jagged records and per-event columns."""

    records: ak.Array
    weights: Array
    run: Array
    luminosity_block: Array
    event: Array


def task_fields(task: Task) -> list[str]:
    """Fields of the collection that the training of a task reads."""
    names = [f for f in task.features if f not in DERIVED]
    if len(names) < len(task.features):
        names += GEOMETRY
    names += [cut.field for cut in task.selection if cut.field not in DERIVED]
    return list(dict.fromkeys([*names, task.passed.field]))


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
        if column in self.available:
            return column
        if required or name in self.branches:
            raise InputError(f"{self.path}: expected the column {column!r} ({name})")
        return None

    def of_object(self, field: str) -> str:
        """Column of a field of the collection."""
        column = self.branches.get(field, f"{self.task.collection}_{field}")
        if column not in self.available:
            raise InputError(
                f"{self.path}: expected the column {column!r} for the field {field!r}, received "
                f"{shortened(sorted(self.available), column)}; name another one under "
                "[input.branches]"
            )
        return column


def check_file(path: str | Path, task: Task, config: InputConfig) -> None:
    """Check that a file has what applying a task needs, as flat columns.

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
    for field in [*task_fields(task), *([task.truth] if task.truth else [])]:
        layout.of_object(field)
    if task.weight:
        layout.of_event(task.weight, required=True)


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
    events = {n: layout.of_event(n, config.schema_ == "nanoaod") for n in EVENT_NAMES}
    weight = layout.of_event(task.weight, required=True) if task.weight else None
    objects = {} if layout.nested else {field: layout.of_object(field) for field in fields}
    wanted = [*objects.values(), *(c for c in (*events.values(), weight) if c)]
    columns = list(dict.fromkeys(wanted + ([task.collection] if layout.nested else [])))
    start = 0
    for batch in _iterate(source, columns, step):
        if layout.nested:
            records = _without_missing(batch[task.collection], task.collection, path)
        else:
            parts = {f: _without_missing(batch[c], c, path) for f, c in objects.items()}
            records = ak.zip(parts, depth_limit=2)
        weights = np.ones(len(batch))
        if weight is not None:
            weights = _per_event(batch[weight], weight, path)
        yield Chunk(records, weights, *_event_numbers(batch, events, path, start))
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
