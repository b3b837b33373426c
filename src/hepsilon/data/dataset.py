"""Training columns: what is read from files, flat, in an order of its own."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import awkward as ak
import numpy as np

from hepsilon._system.progress import progress_bar
from hepsilon._system.resources import usable_memory
from hepsilon.arrays.checks import check_finite
from hepsilon.arrays.columns import flat, object_rows
from hepsilon.arrays.keys import SPLIT_SALT, event_key, key_uniform
from hepsilon.arrays.repeats import repeats_text
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.file import Config
from hepsilon.config.task import Task
from hepsilon.data.features import event_matrix, feature_matrix
from hepsilon.data.reading import EventChunk, read_chunks
from hepsilon.data.selection import inside_fiducial, passed, select
from hepsilon.data.sorting import Spool
from hepsilon.data.sources import Files
from hepsilon.data.units import is_momentum
from hepsilon.errors import InputError, TrainingError

__all__ = [
    "PartColumns",
    "TrainingColumns",
    "check_response",
    "load_columns",
    "part_columns",
    "read_columns",
    "report_columns",
    "sorted_columns",
]

BLOCK_OBJECTS = 1 << 20
CONSTANT_OBJECTS = 20
"""Objects of a file from which on one value of the response is no chance."""
TYPICAL_MOMENTUM = 0.02, 500.0
"""Medians of momenta [GeV] outside of which the unit is asked for."""
logger = logging.getLogger("hepsilon")


@dataclass(frozen=True)
class TrainingColumns:
    """Objects of many events, in memory or mapped from disk.

    Attributes
    ----------
    offsets : ndarray
        int64 (``n_events + 1``).
    nodes : ndarray
        float32 features (``n_objects, n_features``), raw.
    passed : ndarray
        float32 response (``n_objects``), 0 or 1, or the number of working points that the object
        passes; of a task of events the event's response, once for each object.
    weights : ndarray
        float64 event weight (``n_events``).
    keys : ndarray
        uint64 hash of (run, luminosityBlock, event) (``n_events``).
    """

    offsets: Offsets
    nodes: Nodes
    passed: Array
    weights: Array
    keys: Array

    @property
    def n_events(self) -> int:
        """Number of events with at least one object."""
        return len(self.offsets) - 1

    @property
    def object_weights(self) -> Array:
        """Event weight of each object: 8 bytes per object; see :meth:`blocks`."""
        return np.repeat(self.weights, np.diff(self.offsets))

    @property
    def passed_rate(self) -> float:
        """Weighted share of the objects that pass (the loosest working point)."""
        sums = [
            (np.sum(block.object_weights * (block.passed > 0.5)), np.sum(block.object_weights))
            for block in self.blocks()
        ]
        passed, total = np.sum(sums, axis=0)
        return float(passed / total)

    def blocks(self) -> Iterator[TrainingColumns]:
        """All events in order, about a million objects at a time: what is mapped is not copied."""
        starts = np.arange(0, len(self.nodes), BLOCK_OBJECTS)
        bounds = np.unique([*np.searchsorted(self.offsets[:-1], starts), self.n_events])
        return (self.between(start, stop) for start, stop in pairwise(bounds))

    def between(self, start: int, stop: int) -> TrainingColumns:
        """Consecutive events: views, but for the offsets."""
        objects = slice(self.offsets[start], self.offsets[stop])
        return TrainingColumns(
            self.offsets[start : stop + 1] - self.offsets[start],
            self.nodes[objects],
            self.passed[objects],
            self.weights[start:stop],
            self.keys[start:stop],
        )

    def take(self, events: Array) -> TrainingColumns:
        """The chosen events, in the given order."""
        starts = self.offsets[events]
        counts = self.offsets[events + 1] - starts
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = object_rows(starts, counts)
        return TrainingColumns(
            offsets, self.nodes[rows], self.passed[rows], self.weights[events], self.keys[events]
        )

    def joined(self, objects: int) -> TrainingColumns:
        """Events with that many objects each as events with one object that has all features."""
        return TrainingColumns(
            np.arange(self.n_events + 1),
            self.nodes.reshape(self.n_events, objects * self.nodes.shape[1]),
            self.passed[::objects],
            self.weights,
            self.keys,
        )

    def split(self, fraction: float) -> tuple[TrainingColumns, TrainingColumns]:
        """Training and validation events: a pure function of the event's key.

        Both sides are ranges, and views, where the events are in the order of their keys.

        Raises
        ------
        TrainingError
            If one side has no event.
        """
        if np.all(self.keys[:-1] <= self.keys[1:]):
            border = bisect_left(self.keys, fraction, key=lambda k: key_uniform(np.array([k]))[0])
            sides = self.between(border, self.n_events), self.between(0, border)
        else:
            validation = key_uniform(self.keys) < fraction
            sides = self.take(np.flatnonzero(~validation)), self.take(np.flatnonzero(validation))
        if not all(side.n_events for side in sides):
            raise TrainingError(
                f"{self.n_events} events with objects are too few for a validation share of "
                f"{fraction}: {sides[0].n_events} to train, {sides[1].n_events} to validate"
            )
        return sides


@dataclass(frozen=True)
class PartColumns:
    """Training columns of a part of one file, and what tells whether its response was computed.

    Attributes
    ----------
    columns : TrainingColumns
        Columns in the order of the file.
    file : str
        The file.
    n_read : int
        Number of events that were read.
    low, high : float
        Range of the field of the response; infinite where there are no values.
    """

    columns: TrainingColumns
    file: str
    n_read: int
    low: float
    high: float


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
    records = select(chunk.records, task)
    if task.of_events:
        offsets, nodes = event_matrix(records, task, task.features)
        response = np.repeat(ak.to_numpy(passed(chunk.events, task)), np.diff(offsets))
        response, values = response.astype(np.float32), response
    else:
        offsets, nodes = feature_matrix(records, task.features, task.unit)
        response = flat(passed(records, task), np.float32, name=task.passed.field)
        values = flat(records[task.passed.field])
    weights = check_finite(np.asarray(chunk.weights, np.float64), task.weight or "weight")
    keys = event_key(chunk.run, chunk.luminosity_block, chunk.event, SPLIT_SALT)
    columns = TrainingColumns(offsets, nodes, response, weights, keys)
    if task.fiducial is not None:
        columns = columns.take(_fiducial_events(records, task))
    low, high = np.min(values, initial=np.inf), np.max(values, initial=-np.inf)
    n_read = chunk.n_read or len(chunk.event)
    return PartColumns(columns, chunk.file, n_read, float(low), float(high))


def _fiducial_events(records: ak.Array, task: Task) -> Array:
    """Events inside the fiducial region; others are an error, or dropped where the task says so.

    Raises
    ------
    InputError
        If events are outside and the task forbids it, with their number.
    """
    inside = inside_fiducial(records, task)
    outside = int(np.count_nonzero(~inside))
    if outside and task.fiducial is not None and task.fiducial.outside == "raise":
        raise InputError(
            f"{outside} of {len(inside)} events are outside the fiducial region of the task; "
            'select them away, or drop them with outside = "drop" in [task.fiducial]'
        )
    return np.flatnonzero(inside)


@dataclass
class _FileResponse:
    """Response of the objects of one file: their number, and the range of its field."""

    size: int = 0
    low: float = np.inf
    high: float = -np.inf

    def add(self, part: PartColumns) -> None:
        self.size += len(part.columns.passed)
        self.low, self.high = min(self.low, part.low), max(self.high, part.high)


def _check_files(files: Mapping[str, _FileResponse], task: Task) -> None:
    """Refuse a file in which the response has one value, unlike in the others.

    Raises
    ------
    InputError
        If it cannot be by chance.
    """
    for name, file in files.items():
        if file.size >= CONSTANT_OBJECTS and file.low == file.high and len(files) > 1:
            raise InputError(
                f"{name}: {task.passed.field} is {file.low:g} for all {file.size} "
                f"{task.collection} objects, unlike in other files; is the field computed in it?"
            )


def _warn_of_repeats(keys: Array, event_key: str) -> None:
    """Say how many events share their numbers with others; keys are in order."""
    blocks = (keys[i : i + BLOCK_OBJECTS + 1] for i in range(0, len(keys), BLOCK_OBJECTS))
    repeated = sum(int(np.count_nonzero(block[1:] == block[:-1])) for block in blocks)
    if repeated and event_key == "event":
        logger.warning("%s", repeats_text(repeated, len(keys)))


def _warn_of_unit(columns: TrainingColumns, task: Task) -> None:
    """Ask whether momenta are in the unit that the task declares."""
    sample = columns.nodes[:BLOCK_OBJECTS]
    for number, name in enumerate(task.features):
        if is_momentum(name) and not name.endswith("mass"):
            typical = float(np.median(np.abs(sample[:, number])))
            low, high = TYPICAL_MOMENTUM
            if not low <= typical <= high:
                other = "MeV" if typical > high else "GeV"
                logger.warning(
                    "half of the objects have a %s below %.4g GeV, as the task declares its unit "
                    'to be %s; if it is %s, set unit = "%s" under [task]',
                    *(name, typical, task.unit, other, other),
                )
                return


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
    """Sort the columns of all parts by the events' keys (see :func:`load_columns`)."""
    files: dict[str, _FileResponse] = {}
    with Spool(usable_memory() // 4 if memory_limit is None else memory_limit, folder) as spool:
        for part in parts:
            columns = part.columns
            spool.add(
                *(columns.keys, np.diff(columns.offsets), columns.weights),
                *(columns.nodes, columns.passed),
            )
            files.setdefault(part.file, _FileResponse()).add(part)
            if progress is not None:
                progress(part.n_read)
        if not files:
            raise InputError("the files hold no events")
        if not spool.n_events:
            raise InputError(f"no event has a {task.collection} object that passes the selection")
        _check_files(files, task)
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


def report_columns(columns: TrainingColumns, config: Config, n_read: int) -> None:
    """Warn of what a user may not know about a sample.

    Parameters
    ----------
    columns : TrainingColumns
        Columns in the order of the events' keys.
    config : Config
        The task, and what its event numbers are.
    n_read : int
        Number of events that were read.
    """
    if config.task.fiducial is not None and columns.n_events < n_read:
        outside = n_read - columns.n_events
        logger.warning("%d of %d events are outside the fiducial region", outside, n_read)
    _warn_of_repeats(columns.keys, config.input.event_key)
    _warn_of_unit(columns, config.task)


def check_response(columns: TrainingColumns, task: Task) -> None:
    """Refuse a sample in which all objects have the same response to a working point.

    A discriminant that was not computed is filled with one constant (such as -1) by many inputs;
    an efficiency of zero or one everywhere is not what anybody wants to learn from it.

    Raises
    ------
    InputError
        If no object, or every object, passed.
    """
    size = len(columns.passed)
    for number, cut in enumerate(task.passed.above or (None,)):
        passed = sum(np.count_nonzero(block.passed > number) for block in columns.blocks())
        if not 0 < passed < size:
            raise InputError(
                f"{'every' if passed else 'no'} one of {size} {task.collection} objects has "
                f"{task.passed.field}{'' if cut is None else f' above {cut}'}; expected some that "
                "pass and some that do not. Is the field computed in these files?"
            )
