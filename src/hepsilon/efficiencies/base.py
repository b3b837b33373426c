"""The protocol of an efficiency, and what all of them share: columns, domain, checks."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import checked_events, probabilities
from hepsilon.arrays.columns import flat_rows, unflatten
from hepsilon.arrays.types import Array
from hepsilon.config.task import Task
from hepsilon.data.features import FeatureSpec, event_matrix
from hepsilon.errors import DomainError, InputError, OutOfDomainWarning

__all__ = ["Efficiency", "Evaluation", "OutOfDomain", "SupportsEfficiency"]


@runtime_checkable
class SupportsEfficiency(Protocol):
    """Anything that maps jagged records to one probability per object, or one per event."""

    def __call__(self, records: ak.Array, /) -> ak.Array:
        """Efficiency of every object, jagged like ``records``, or of every event; float64."""
        ...


POLICIES = ("warn", "raise", "ignore")
OutOfDomain: TypeAlias = Literal["warn", "raise", "ignore"] | SupportsEfficiency


def _fallback(
    efficiency: SupportsEfficiency, records: ak.Array, expected: Array, level: str
) -> Array:
    """Flat values of another efficiency, for the same objects or events."""
    if level == "event":
        return checked_events(efficiency(records), len(expected) - 1, "fallback")
    offsets, values = flat_rows(efficiency(records), name="fallback")
    if not np.array_equal(offsets, expected):
        raise InputError("the fallback gave other numbers of objects per event than it received")
    return probabilities(values, "fallback")


def _replaced(values: Array, other: Array, outside: Array) -> Array:
    """The values of another efficiency for the objects outside."""
    return np.where(outside.reshape(-1, *[1] * (values.ndim - 1)), other, values)


@dataclass(frozen=True)
class Evaluation:
    """What an efficiency says of records, jagged like them, or one per event.

    Attributes
    ----------
    eps : ak.Array
        float64 in (0, 1); of several working points with one more axis.
    replicas : ak.Array or None
        With one more axis after that, as the efficiency could have come out as well: the networks
        of an ensemble, or draws from a map's posterior; None where it knows no uncertainty of its
        own.
    in_domain : ak.Array
        True inside the region that the training sample covered.
    """

    eps: ak.Array
    replicas: ak.Array | None
    in_domain: ak.Array


class Efficiency(ABC):
    """An efficiency learned on a sample: knows its task and the domain of that sample.

    Subclasses give :attr:`task`, :attr:`features` and :meth:`_evaluate`.
    """

    @property
    @abstractmethod
    def task(self) -> Task:
        """What it is an efficiency of."""

    @property
    @abstractmethod
    def features(self) -> FeatureSpec:
        """The features with the ranges that the sample covered."""

    @property
    def working_points(self) -> tuple[int | str, ...]:
        """Names (or numbers) of the working points, from the loosest to the tightest."""
        return self.task.passed.working_points

    @abstractmethod
    def _evaluate(self, offsets: Array, nodes: Array) -> Array:
        """Efficiency of every object, or of every event, float64 in (0, 1).

        Of several working points (entries, working points).
        """

    def _evaluate_all(self, offsets: Array, nodes: Array) -> tuple[Array, Array | None]:
        """The same, and its replicas with one more axis; None where no uncertainty is known."""
        return self._evaluate(offsets, nodes), None

    def _covered(self, nodes: Array) -> Array:
        """True for each object inside the domain."""
        return self.features.in_domain(nodes)

    def _columns(self, records: ak.Array) -> tuple[Array, Array]:
        """Offsets and features of the objects, in the task's order."""
        if self.task.level == "event":
            return event_matrix(records, self.task, self.features.names)
        return self.features.matrix(records)

    def _inside(self, offsets: Array, nodes: Array) -> Array:
        """True for each object, or event, inside the domain: all objects of the event are."""
        covered = self._covered(nodes)
        if self.task.level == "object" or not len(nodes):
            return covered
        return np.asarray(np.logical_and.reduceat(covered, offsets[:-1]))

    def _like_records(self, values: Array, offsets: Array) -> ak.Array:
        return ak.Array(values) if self.task.level == "event" else unflatten(values, offsets)

    def __call__(self, records: ak.Array, /, *, out_of_domain: OutOfDomain = "warn") -> ak.Array:
        """Efficiency of every object; of a task of events, of every event.

        Parameters
        ----------
        records : ak.Array
            Jagged objects such as ``events.Jet``. The other objects of an event may matter: give
            the same selection as in the training (``task.selection``).
        out_of_domain : OutOfDomain, default "warn"
            What to do with objects (events) outside the region that the sample covered: ``"warn"``
            with the count, ``"raise"`` a DomainError, ``"ignore"``, or another efficiency that is
            evaluated for them instead.

        Returns
        -------
        ak.Array
            Jagged like ``records``, or one per event; float64 in (0, 1). Of several working.
        points with one more axis, from the loosest to the tightest.
        """
        return self._evaluation(records, out_of_domain, False).eps

    def evaluate(
        self, records: ak.Array, /, *, out_of_domain: OutOfDomain = "warn", replicas: bool = True
    ) -> Evaluation:
        """Efficiency, replicas and domain in one pass.

        Parameters
        ----------
        records, out_of_domain : ak.Array or OutOfDomain, default "warn"
            As for a call. Where another efficiency is evaluated instead, so are all replicas.
        replicas : bool, default True
            Whether they are wanted.
        """
        return self._evaluation(records, out_of_domain, replicas)

    def _evaluation(
        self, records: ak.Array, out_of_domain: OutOfDomain, with_replicas: bool
    ) -> Evaluation:
        if not callable(out_of_domain) and out_of_domain not in POLICIES:
            raise InputError(
                f"out_of_domain: expected one of {POLICIES} or an efficiency, "
                f"received {out_of_domain!r}"
            )
        offsets, nodes = self._columns(records)
        inside = self._inside(offsets, nodes)
        some_outside = not inside.all()
        if out_of_domain == "raise" and some_outside:
            raise DomainError(self._describe(nodes, ~inside))
        values, replicas = (
            self._evaluate_all(offsets, nodes)
            if with_replicas
            else (self._evaluate(offsets, nodes), None)
        )
        if callable(out_of_domain) and some_outside:
            other = _fallback(out_of_domain, records, offsets, self.task.level)
            if values[:1].size != other[:1].size:
                raise InputError("the fallback has another number of working points")
            other = other.reshape(values.shape)
            values = _replaced(values, other, ~inside)
            if replicas is not None:
                replicas = _replaced(replicas, other[..., None], ~inside)
        elif out_of_domain == "warn" and some_outside:
            warnings.warn(self._describe(nodes, ~inside), OutOfDomainWarning, stacklevel=3)
        return Evaluation(
            self._like_records(values, offsets),
            None if replicas is None else self._like_records(replicas, offsets),
            self._like_records(inside, offsets),
        )

    def in_domain(self, records: ak.Array) -> ak.Array:
        """For each object, or event, whether the sample covered it (bool)."""
        offsets, nodes = self._columns(records)
        return self._like_records(self._inside(offsets, nodes), offsets)

    def _describe(self, nodes: Array, outside: Array) -> str:
        covered = self.features.covers(nodes)
        counts = {name: int((~inside).sum()) for name, inside in covered.items()}
        where = ", ".join(f"{count} in {name}" for name, count in counts.items() if count)
        return (
            f"{int(outside.sum())} of {len(outside)} {self.task.level}s are outside the region "
            f"that the training sample covered ({where or 'empty bins'})"
        )
