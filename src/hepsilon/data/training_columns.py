"""Training columns: the objects of many events, flat, in memory or mapped from disk."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hepsilon.arrays.columns import object_rows
from hepsilon.arrays.keys import key_uniform
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.errors import TrainingError

__all__ = ["BLOCK_OBJECTS", "FileResponse", "PartColumns", "TrainingColumns"]

BLOCK_OBJECTS = 1 << 20


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
        """Consecutive events: views, but for the offsets.

        Parameters
        ----------
        start, stop : int
            Range of the events.

        Returns
        -------
        TrainingColumns
            These events.
        """
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

    def alone(self, weights: Array | None = None) -> TrainingColumns:
        """Every object as an event of its own, with the key of its event.

        Parameters
        ----------
        weights : ndarray of float64, shape (n_objects,), optional
            Weights of the objects, which multiply those of their events.

        Returns
        -------
        TrainingColumns
            One row for each object.
        """
        counts = np.diff(self.offsets)
        own = np.repeat(self.weights, counts)
        return TrainingColumns(
            np.arange(len(self.nodes) + 1),
            self.nodes,
            self.passed,
            own if weights is None else own * weights,
            np.repeat(self.keys, counts),
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
class FileResponse:
    """Field of the response in one file: how many values there are, and what they are like.

    Attributes
    ----------
    size : int
        Number of values, without those that are NaN or missing.
    low, high : float
        Smallest and largest one; infinite without values.
    whole : bool
        Whether all are whole numbers, as flags and identifications are.
    """

    size: int = 0
    low: float = np.inf
    high: float = -np.inf
    whole: bool = True

    @classmethod
    def of(cls, values: Array) -> FileResponse:
        """Describe the values of some objects."""
        found = values[~np.isnan(values)]
        low, high = np.min(found, initial=np.inf), np.max(found, initial=-np.inf)
        return cls(len(found), float(low), float(high), bool(np.all(found == np.floor(found))))

    def __add__(self, other: FileResponse) -> FileResponse:
        low, high = min(self.low, other.low), max(self.high, other.high)
        return FileResponse(self.size + other.size, low, high, self.whole and other.whole)


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
    response : FileResponse
        Field of the response.
    """

    columns: TrainingColumns
    file: str
    n_read: int
    response: FileResponse
