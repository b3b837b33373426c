"""The protocol of an efficiency, and what all of them share: columns, domain, checks."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepsilon.columns import flat, offsets_of, shortened, unflatten
from hepsilon.config import Task
from hepsilon.errors import DomainError, InputError, OutOfDomainWarning
from hepsilon.features import FeatureSpec

__all__ = ["Efficiency", "FieldEfficiency", "OutOfDomain", "SupportsEfficiency", "checked"]

Array = npt.NDArray[Any]


@runtime_checkable
class SupportsEfficiency(Protocol):
    """Anything that maps jagged records to one probability per object."""

    def __call__(self, records: ak.Array, /) -> ak.Array:
        """Efficiency of every object, jagged like ``records``, float64."""
        ...


POLICIES = ("warn", "raise", "ignore")
OutOfDomain: TypeAlias = Literal["warn", "raise", "ignore"] | SupportsEfficiency


def checked(eps: ak.Array, name: str = "efficiency") -> tuple[Array, Array]:
    """Offsets and flat float64 values of jagged probabilities.

    Raises
    ------
    InputError : counting the values that are NaN or outside [0, 1].
    """
    offsets, values = offsets_of(eps), flat(eps, name=name)
    bad = int(np.count_nonzero(~((values >= 0.0) & (values <= 1.0))))
    if bad:
        raise InputError(f"{name}: {bad} of {values.size} values are NaN or outside [0, 1]")
    return offsets, values


def _fallback(efficiency: SupportsEfficiency, records: ak.Array, expected: Array) -> Array:
    """Flat values of another efficiency, for the same objects."""
    offsets, values = checked(efficiency(records), "fallback")
    if not np.array_equal(offsets, expected):
        raise InputError("the fallback gave other numbers of objects per event than it received")
    return values


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

    @abstractmethod
    def _evaluate(self, offsets: Array, nodes: Array) -> Array:
        """Efficiency of every object (``n_objects``), float64 in (0, 1)."""

    def _covered(self, nodes: Array) -> Array:
        """True for each object inside the domain."""
        return self.features.in_domain(nodes)

    def __call__(self, records: ak.Array, /, *, out_of_domain: OutOfDomain = "warn") -> ak.Array:
        """Efficiency of every object.

        Parameters
        ----------
        records : jagged objects such as ``events.Jet``. The other objects of an event may
            matter: give the same selection as in the training (``task.selection``).
        out_of_domain : what to do with objects outside the region that the sample covered:
            ``"warn"`` with the count, ``"raise"`` a DomainError, ``"ignore"``, or another
            efficiency that is evaluated for them instead.

        Returns
        -------
        ak.Array : jagged like ``records``, float64 in (0, 1).
        """
        if not callable(out_of_domain) and out_of_domain not in POLICIES:
            raise InputError(
                f"out_of_domain: expected one of {POLICIES} or an efficiency, "
                f"received {out_of_domain!r}"
            )
        offsets, nodes = self.features.matrix(records)
        outside = ~self._covered(nodes)
        if out_of_domain == "raise" and outside.any():
            raise DomainError(self._describe(nodes, outside))
        values = self._evaluate(offsets, nodes)
        if callable(out_of_domain) and outside.any():
            values = np.where(outside, _fallback(out_of_domain, records, offsets), values)
        elif out_of_domain == "warn" and outside.any():
            warnings.warn(self._describe(nodes, outside), OutOfDomainWarning, stacklevel=2)
        return unflatten(values, offsets)

    def in_domain(self, records: ak.Array) -> ak.Array:
        """For each object, whether the sample covered it (bool, jagged like ``records``)."""
        offsets, nodes = self.features.matrix(records)
        return unflatten(self._covered(nodes), offsets)

    def _describe(self, nodes: Array, outside: Array) -> str:
        covered = self.features.covers(nodes)
        counts = {name: int((~inside).sum()) for name, inside in covered.items()}
        where = ", ".join(f"{count} in {name}" for name, count in counts.items() if count)
        return (
            f"{int(outside.sum())} of {len(nodes)} objects are outside the region that the "
            f"training sample covered ({where or 'empty bins'})"
        )


class FieldEfficiency:
    """A field of the records taken as efficiency, such as the simulated truth.

    Parameters
    ----------
    field : name of the field, with values in [0, 1].
    """

    def __init__(self, field: str) -> None:
        self.field = field

    def __repr__(self) -> str:
        return f"FieldEfficiency({self.field!r})"

    def __call__(self, records: ak.Array, /) -> ak.Array:
        """Values of the field as float64, jagged like ``records``."""
        if self.field not in ak.fields(records):
            received = shortened(ak.fields(records), self.field)
            raise InputError(f"expected the field {self.field!r}, received {received}")
        offsets, values = checked(records[self.field], self.field)
        return unflatten(values, offsets)
