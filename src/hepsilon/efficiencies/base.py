"""The protocol of an efficiency, and the columns, domain and checks that all of them share."""

from __future__ import annotations

import sys
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import checked_events, probabilities
from hepsilon.arrays.columns import flat_rows, unflatten
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.task import Task
from hepsilon.data.features import FeatureSpec, event_matrix
from hepsilon.errors import DomainError, InputError, OutOfDomainWarning

__all__ = [
    "Efficiency",
    "Evaluation",
    "OutOfDomain",
    "SupportsEfficiency",
    "SupportsEvaluation",
    "check_policy",
]


@runtime_checkable
class SupportsEfficiency(Protocol):
    """Anything that maps jagged records to one probability per object, or one per event.

    This much is asked of a user's own function. All classes of hepsilon can do more, see
    :class:`SupportsEvaluation`.
    """

    def __call__(self, records: ak.Array, /) -> ak.Array:
        """Efficiency of every object, jagged like ``records``, or of every event; float64."""
        ...


POLICIES = ("warn", "raise", "ignore")
OutOfDomain: TypeAlias = Literal["warn", "raise", "ignore"] | SupportsEfficiency
"""Policy for objects outside the domain; an efficiency is evaluated for them instead."""


@dataclass(frozen=True)
class Evaluation:
    """Efficiencies, their replicas and the domain, jagged like the records or one per event.

    Attributes
    ----------
    eps : ak.Array of float64
        Values in (0, 1); several working points lie on one more axis.
    replicas : ak.Array of float64, or None
        Other values that the efficiency could have come out with as well, on one more axis after
        that of the working points: the networks of an ensemble, or draws from a map's posterior.
        Their number is a constant of the efficiency. None where they were not asked for, and where
        the efficiency knows no uncertainty of its own.
    in_domain : ak.Array of bool
        True inside the region that the training sample covered.
    """

    eps: ak.Array
    replicas: ak.Array | None
    in_domain: ak.Array


@runtime_checkable
class SupportsEvaluation(SupportsEfficiency, Protocol):
    """The whole protocol: what every efficiency of hepsilon can do, whatever is behind it.

    A class of your own keeps to it with these three besides the call, and need not derive from
    anything; :func:`hepsilon.testing.check_efficiency` tests that it keeps the contracts.

    Attributes
    ----------
    working_points : tuple of int or str
        Names (or numbers) of the working points, from the loosest to the tightest.
    """

    @property
    def working_points(self) -> tuple[int | str, ...]:
        """Names (or numbers) of the working points, from the loosest to the tightest."""
        ...

    def evaluate(
        self, records: ak.Array, /, *, out_of_domain: OutOfDomain = "warn", replicas: bool = True
    ) -> Evaluation:
        """Efficiency, replicas (all there are, or None) and domain in one pass."""
        ...

    def in_domain(self, records: ak.Array, /) -> ak.Array:
        """Whether each object, or event, is inside the region that is known; bool."""
        ...


def check_policy(out_of_domain: OutOfDomain) -> None:
    """Refuse a policy for objects out of domain that does not exist.

    Raises
    ------
    InputError
        With the policies that exist.
    """
    if not callable(out_of_domain) and out_of_domain not in POLICIES:
        raise InputError(
            f"out_of_domain: expected one of {POLICIES} or an efficiency, "
            f"received {out_of_domain!r}"
        )


def _fallback(
    efficiency: SupportsEfficiency, records: ak.Array, expected: Array, of_events: bool
) -> Array:
    """Flat values of another efficiency, for the same objects or events."""
    if of_events:
        return checked_events(efficiency(records), len(expected) - 1, "fallback")
    offsets, values = flat_rows(efficiency(records), name="fallback")
    if not np.array_equal(offsets, expected):
        raise InputError("the fallback gave other numbers of objects per event than it received")
    return probabilities(values, "fallback")


def _replaced(values: Array, other: Array, outside: Array) -> Array:
    """The values of another efficiency for the objects outside."""
    return np.where(outside.reshape(-1, *[1] * (values.ndim - 1)), other, values)


def _warn(message: str) -> None:
    """Warn where this module was called, through however many of its own functions."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, OutOfDomainWarning, stacklevel=level)


class Efficiency(ABC):
    """An efficiency learned on a sample: it knows its task and the domain of that sample.

    Subclasses give :attr:`task`, :attr:`features` and :meth:`_predict`; checks, the domain and the
    shapes of the answers come from here. It keeps to :class:`SupportsEvaluation`.

    Examples
    --------
    A class of your own needs one method and two attributes:

    >>> import numpy as np
    >>> from hepsilon import Efficiency, Task
    >>> from hepsilon.config import Passed
    >>> from hepsilon.data.features import Feature, FeatureSpec
    >>> class TurnOn(Efficiency):
    ...     task = Task(features=("pt",), passed=Passed(field="fired"))
    ...     features = FeatureSpec(
    ...         features=(Feature(name="pt", kind="numeric", low=20.0, high=500.0),)
    ...     )
    ...
    ...     def _predict(self, offsets, nodes, replicas):
    ...         return 0.5 + 0.4 * np.tanh((nodes[:, 0].astype(float) - 50.0) / 10.0), None
    """

    @property
    @abstractmethod
    def task(self) -> Task:
        """The task: objects or events, their features and what "passed" means."""

    @property
    @abstractmethod
    def features(self) -> FeatureSpec:
        """The features with the ranges that the sample covered."""

    @property
    def working_points(self) -> tuple[int | str, ...]:
        """Names (or numbers) of the working points, from the loosest to the tightest."""
        return self.task.passed.working_points

    @abstractmethod
    def _predict(
        self, offsets: Offsets, nodes: Nodes, replicas: bool
    ) -> tuple[Array, Array | None]:
        """Efficiencies and replicas of flat columns: all that a subclass must be able to do.

        Parameters
        ----------
        offsets : ndarray of int64, shape (n_events + 1,)
            Event i has the objects ``offsets[i]:offsets[i + 1]``.
        nodes : ndarray of float32, shape (n_objects, n_features)
            Raw features in the order of :attr:`features`.
        replicas : bool
            Whether the replicas are wanted.

        Returns
        -------
        eps : ndarray of float64, shape (n_entries,) or (n_entries, n_working_points)
            In (0, 1), for every object or, of a task of events, every event.
        replicas : ndarray of float64, shape of eps and (n_replicas,), or None
            None where they are not wanted, or no uncertainty is known.
        """

    def _covered(self, nodes: Nodes) -> Array:
        """True for each object inside the domain."""
        return self.features.in_domain(nodes)

    def _columns(self, records: ak.Array) -> tuple[Array, Array]:
        """Offsets and features of the objects, in the task's order."""
        if self.task.of_events:
            return event_matrix(records, self.task, self.features.names)
        return self.features.matrix(records, self.task.unit)

    def _inside(self, offsets: Offsets, nodes: Nodes) -> Array:
        """True for each object, or event, inside the domain: all objects of the event are."""
        covered = self._covered(nodes)
        if not self.task.of_events or not len(nodes):
            return covered
        return np.asarray(np.logical_and.reduceat(covered, offsets[:-1]))

    def _like_records(self, values: Array, offsets: Offsets) -> ak.Array:
        return ak.Array(values) if self.task.of_events else unflatten(values, offsets)

    def __call__(self, records: ak.Array, /, *, out_of_domain: OutOfDomain = "warn") -> ak.Array:
        """Efficiency of every object; of a task of events, of every event.

        Parameters
        ----------
        records : ak.Array, jagged
            Objects such as ``events.Jet``. The other objects of an event may matter: give the same
            selection as in the training (``task.selection``).
        out_of_domain : {"warn", "raise", "ignore"} or an efficiency, default "warn"
            Policy for objects (events) outside the region that the sample covered: ``"warn"`` with
            the count, ``"raise"`` a DomainError, ``"ignore"``, or another efficiency that is
            evaluated for them instead.

        Returns
        -------
        ak.Array of float64
            Values in (0, 1), jagged like ``records``, or one per event. Several working points lie
            on one more axis, from the loosest to the tightest.

        Raises
        ------
        InputError
            If a field is missing or not finite, events are option-typed, the policy does not exist,
            or the other efficiency answers for other objects.
        DomainError
            For objects outside the domain with ``out_of_domain="raise"``.
        """
        return self.evaluate(records, out_of_domain=out_of_domain, replicas=False).eps

    def evaluate(
        self, records: ak.Array, /, *, out_of_domain: OutOfDomain = "warn", replicas: bool = True
    ) -> Evaluation:
        """Efficiency, replicas and domain in one pass.

        Parameters
        ----------
        records : ak.Array, jagged
            Objects such as ``events.Jet``, selected as in the training.
        out_of_domain : {"warn", "raise", "ignore"} or an efficiency, default "warn"
            Policy for objects (events) outside the domain, as for a call. The values of another
            efficiency take the place of all replicas, too.
        replicas : bool, default True
            Whether the replicas are wanted. Their number belongs to the efficiency (networks of an
            ensemble, 20 draws of a map) and does not depend on the records.

        Returns
        -------
        Evaluation
            ``eps``, ``replicas`` (None without an uncertainty of its own) and ``in_domain``.

        Raises
        ------
        InputError, DomainError
            For the same reasons as a call.
        """
        check_policy(out_of_domain)
        offsets, nodes = self._columns(records)
        inside = self._inside(offsets, nodes)
        some_outside = not inside.all()
        if out_of_domain == "raise" and some_outside:
            raise DomainError(self._describe(nodes, ~inside))
        eps, drawn = self._predict(offsets, nodes, replicas)
        if callable(out_of_domain) and some_outside:
            other = _fallback(out_of_domain, records, offsets, self.task.of_events)
            if eps[:1].size != other[:1].size:
                raise InputError("the fallback has another number of working points")
            other = other.reshape(eps.shape)
            eps = _replaced(eps, other, ~inside)
            drawn = None if drawn is None else _replaced(drawn, other[..., None], ~inside)
        elif out_of_domain == "warn" and some_outside:
            _warn(self._describe(nodes, ~inside))
        return Evaluation(
            self._like_records(eps, offsets),
            None if drawn is None else self._like_records(drawn, offsets),
            self._like_records(inside, offsets),
        )

    def replicas(self, records: ak.Array, /) -> ak.Array:
        """Replicas of the efficiencies whatever the domain, always with their axis.

        Parameters
        ----------
        records : ak.Array, jagged
            Objects such as ``events.Jet``, selected as in the training.

        Returns
        -------
        ak.Array of float64
            One more axis than the efficiencies. An efficiency that knows no uncertainty of its own
            is its only replica.
        """
        offsets, nodes = self._columns(records)
        eps, drawn = self._predict(offsets, nodes, True)
        return self._like_records(eps[..., None] if drawn is None else drawn, offsets)

    def in_domain(self, records: ak.Array, /) -> ak.Array:
        """Whether the sample covered each object; of a task of events, each event.

        Parameters
        ----------
        records : ak.Array, jagged
            Objects such as ``events.Jet``, selected as in the training.

        Returns
        -------
        ak.Array of bool
            Jagged like ``records``, or one per event. An event is covered if all its objects are.
        """
        offsets, nodes = self._columns(records)
        return self._like_records(self._inside(offsets, nodes), offsets)

    def _describe(self, nodes: Nodes, outside: Array) -> str:
        covered = self.features.covers(nodes)
        counts = {name: int((~inside).sum()) for name, inside in covered.items()}
        where = ", ".join(f"{count} in {name}" for name, count in counts.items() if count)
        return (
            f"{int(outside.sum())} of {len(outside)} {self.task.level}s are outside the region "
            f"that the training sample covered ({where or 'empty bins'})"
        )
