"""Training columns: what is read from files, flat, in an order of its own."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.file import Config
from hepsilon.config.task import Task
from hepsilon.data.features import event_matrix, feature_matrix
from hepsilon.data.reading import EventChunk, read_chunks
from hepsilon.data.selection import inside_fiducial, passed, select
from hepsilon.data.sorting import Spool
from hepsilon.data.weights import limit_chunks
from hepsilon.errors import InputError, TrainingError

__all__ = ["TrainingColumns", "check_response", "load_columns", "read_columns"]

BLOCK_OBJECTS = 1 << 20
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


def _chunk_columns(chunk: EventChunk, task: Task) -> TrainingColumns:
    records = select(chunk.records, task)
    if task.of_events:
        offsets, nodes = event_matrix(records, task, task.features)
        response = np.repeat(ak.to_numpy(passed(chunk.events, task)), np.diff(offsets))
        response = response.astype(np.float32)
    else:
        offsets, nodes = feature_matrix(records, task.features)
        response = flat(passed(records, task), np.float32, name=task.passed.field)
    weights = check_finite(np.asarray(chunk.weights, np.float64), task.weight or "weight")
    keys = event_key(chunk.run, chunk.luminosity_block, chunk.event, SPLIT_SALT)
    columns = TrainingColumns(offsets, nodes, response, weights, keys)
    return columns if task.fiducial is None else columns.take(_fiducial_events(records, task))


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
    chunks, task : iterable of EventChunk, Task
        What is read.
    progress : callable, optional
        Called with the number of events of each chunk.
    folder : Path, optional
        Where events are sorted that are more than the limit; by default that of temporary files.
        Nothing is left there.
    memory_limit : int, optional
        Bytes of columns from which on they are read-only memory maps of files without a name; by
        default a quarter of the memory that this process may use.

    Raises
    ------
    InputError
        If columns are missing or not finite, or no event has an object.
    TrainingError
        If events that are more than the limit do not fit on disk.
    """
    empty = True
    with Spool(usable_memory() // 4 if memory_limit is None else memory_limit, folder) as spool:
        for chunk in chunks:
            part, empty = _chunk_columns(chunk, task), False
            spool.add(part.keys, np.diff(part.offsets), part.weights, part.nodes, part.passed)
            if progress is not None:
                progress(len(chunk.event))
        if empty:
            raise InputError("the files hold no events")
        if not spool.n_events:
            raise InputError(f"no event has a {task.collection} object that passes the selection")
        return TrainingColumns(**spool.finish())


def read_columns(
    files: Sequence[str | Path],
    config: Config,
    *,
    folder: Path | None = None,
    memory_limit: int | None = None,
    progress: bool = True,
) -> TrainingColumns:
    """Columns of all files, with a progress bar (see :func:`load_columns`)."""
    n_read = 0

    def count(n_events: int) -> None:
        nonlocal n_read
        n_read += n_events
        advance(n_events)

    with progress_bar("reading events", None, show=progress) as advance:
        chunks = limit_chunks(read_chunks(files, config.task, config.input), config.input)
        columns = load_columns(chunks, config.task, count, folder=folder, memory_limit=memory_limit)
    if config.task.fiducial is not None and columns.n_events < n_read:
        outside = n_read - columns.n_events
        logger.warning("%d of %d events are outside the fiducial region", outside, n_read)
    return columns


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
