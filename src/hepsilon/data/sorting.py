"""Sorting more events by their keys than memory holds.

Events are collected in memory. Beyond a limit they go to disk as sorted runs, one behind the
other; in the end the runs are merged, one range of keys after the other. The files have no name
(:func:`tempfile.TemporaryFile`): whatever ends the process, nothing is left behind, and nothing
half-written can be taken for complete.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np

from hepsilon.arrays.columns import object_rows
from hepsilon.arrays.types import Array, Nodes
from hepsilon.errors import TrainingError

__all__ = ["Spool"]

PER_EVENT = ("keys", "counts", "weights")
PER_OBJECT = ("nodes", "passed")
RANGES = 1024
"""Ranges of keys, by their upper bits; as many as fit in memory are merged at once."""
EDGES = np.arange(1, RANGES, dtype=np.uint64) << np.uint64(65 - RANGES.bit_length())


def _joined(parts: list[Array]) -> Array:
    """The parts as one array. They are given up at once: there may be no room for more copies."""
    joined = parts[0] if len(parts) == 1 else np.concatenate(parts)
    parts.clear()
    return joined


def _sorted(parts: dict[str, list[Array]]) -> Iterator[tuple[str, Array]]:
    """Name and content of each array, sorted by key; equal keys keep their order.

    One after the other, so that each can be written and given up before the next is sorted.
    """
    keys, counts = _joined(parts["keys"]), _joined(parts["counts"])
    order = np.argsort(keys, kind="stable")
    yield "keys", keys[order]
    yield "counts", counts[order]
    yield "weights", _joined(parts["weights"])[order]
    rows = object_rows((np.cumsum(counts) - counts)[order], counts[order])
    del keys, counts, order
    for name in PER_OBJECT:
        yield name, _joined(parts[name])[rows]


class _DiskArray:
    """An array whose rows are appended to a file without a name."""

    def __init__(self, folder: Path | None, row_shape: tuple[int, ...], dtype: Any) -> None:
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self.row_shape, self.dtype, self.size = row_shape, np.dtype(dtype), 0
        self.row_bytes = self.dtype.itemsize * int(np.prod(row_shape))

    def append(self, rows: Array) -> None:
        """Write rows behind the others."""
        self.file.write(np.ascontiguousarray(rows, self.dtype).data)
        self.size += len(rows)

    def read(self, ranges: list[tuple[int, int]]) -> Array:
        """The rows of these ranges, one behind the other."""
        array = np.empty((sum(stop - start for start, stop in ranges), *self.row_shape), self.dtype)
        filled = 0
        for start, stop in ranges:
            self.file.seek(start * self.row_bytes)
            self.file.readinto(array[filled : filled + stop - start].data)
            filled += stop - start
        return array

    def mapped(self) -> Array:
        """The array as a read-only memory map, which keeps the file."""
        self.file.flush()
        return np.memmap(self.file, self.dtype, "r", shape=(self.size, *self.row_shape))

    def close(self) -> None:
        """Close the file; what could not be written does not matter any more."""
        with suppress(OSError):
            self.file.close()


@contextmanager
def _disk(folder: Path | None) -> Iterator[None]:
    """Say which disk is full or broken."""
    try:
        yield
    except OSError as error:
        place = tempfile.gettempdir() if folder is None else folder
        raise TrainingError(
            f"the events do not fit in memory and cannot be sorted in {place}: {error}; sorting "
            "needs twice the size of the columns there: free space, or name another folder"
        ) from None


class Spool:
    """Collects events and sorts them by key, on disk where they are too many.

    Equal keys keep the order in which they were added. Events without objects are dropped. Use
    it in a ``with`` statement, which closes the files; the sorted arrays outlive it.

    Parameters
    ----------
    memory_limit : int
        Bytes of events that are held before they go to disk; sorting takes up to about twice as
        much again.
    folder : Path, optional
        Where the files are (made if missing); by default that of temporary files. They end with the
        arrays or with the process.
    """

    def __init__(self, memory_limit: int, folder: Path | None = None) -> None:
        self.memory_limit, self.folder = memory_limit, folder
        self.n_events = 0
        self._files = ExitStack()
        self._held: dict[str, list[Array]] = {name: [] for name in (*PER_EVENT, *PER_OBJECT)}
        self._held_bytes = 0
        self._runs: dict[str, _DiskArray] = {}
        self._bounds: list[Array] = []  # of each run: where the ranges begin (events, objects)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()

    def add(self, keys: Array, counts: Array, weights: Array, nodes: Nodes, passed: Array) -> None:
        """Add events.

        Parameters
        ----------
        keys, counts, weights : ndarray
            uint64 key, int64 number of objects and weight of each event.
        nodes, passed : ndarray
            Features (``n_objects, n_features``) and response of their objects.

        Raises
        ------
        TrainingError
            If the disk is full.
        """
        some = counts > 0
        parts = (keys[some], counts[some], weights[some], nodes, passed)
        self.n_events += len(parts[0])
        for name, part in zip(self._held, parts, strict=True):
            self._held[name].append(part)
            self._held_bytes += part.nbytes
        if self._held_bytes > self.memory_limit:
            with _disk(self.folder):
                self._spill()

    def finish(self) -> dict[str, Array]:
        """All events (at least one) in the order of their keys; to be called once.

        Returns
        -------
        dict of str to ndarray
            ``offsets`` (int64, shape (n_events + 1,)), ``nodes``, ``passed``, ``weights`` and
            ``keys``: in memory, or read-only memory maps if the limit was exceeded.

        Raises
        ------
        TrainingError
            If the disk is full.
        """
        if not self._runs:
            arrays = dict(_sorted(self._held))
            arrays["offsets"] = np.concatenate([[0], np.cumsum(arrays.pop("counts"))])
            return arrays
        with _disk(self.folder):
            if self._held["keys"]:
                self._spill()
            return self._merged()

    def _array(self, row_shape: tuple[int, ...], dtype: Any) -> _DiskArray:
        array = _DiskArray(self.folder, row_shape, dtype)
        self._files.callback(array.close)
        return array

    def _spill(self) -> None:
        """Write what is held as one more sorted run."""
        if not self._runs:
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
            for name, (part, *_) in self._held.items():
                self._runs[name] = self._array(part.shape[1:], part.dtype)
        start = np.array([[self._runs[name].size] for name in ("keys", "nodes")])
        for name, array in _sorted(self._held):
            self._runs[name].append(array)
            if name == "keys":
                events = np.concatenate([[0], np.searchsorted(array, EDGES), [len(array)]])
            elif name == "counts":
                objects = np.concatenate([[0], np.cumsum(array)])[events]
        self._bounds.append(start + np.stack([events, objects]))
        self._held_bytes = 0

    def _groups(self, bounds: Array) -> Iterator[tuple[int, int]]:
        """First and last range of keys of what is merged at once."""
        n_events, n_objects = np.diff(bounds).sum(axis=0)
        sizes = n_events * sum(self._runs[name].row_bytes for name in PER_EVENT)
        sizes += n_objects * sum(self._runs[name].row_bytes for name in PER_OBJECT)
        first, held = 0, 0
        for i, size in enumerate(sizes.tolist()):
            if held and held + size > self.memory_limit:
                yield first, i
                first, held = i, 0
            held += size
        yield first, RANGES

    def _merged(self) -> dict[str, Array]:
        """The runs as one, mapped from disk."""
        bounds = np.stack(self._bounds)  # (runs, 2, RANGES + 1)
        final = {name: self._array(run.row_shape, run.dtype) for name, run in self._runs.items()}
        offsets = final["offsets"] = final.pop("counts")
        offsets.append(np.zeros(1))
        for first, last in self._groups(bounds):
            events, objects = (bounds[:, i, [first, last]].tolist() for i in range(2))
            group = {name: [self._runs[name].read(events)] for name in PER_EVENT}
            group |= {name: [self._runs[name].read(objects)] for name in PER_OBJECT}
            for name, array in _sorted(group):
                if name == "counts":
                    offsets.append(final["nodes"].size + np.cumsum(array))
                else:
                    final[name].append(array)
        return {name: array.mapped() for name, array in final.items()}
