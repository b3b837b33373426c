"""The protocol of an efficiency: what processors, closures and everybody else may rely on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import awkward as ak

from hepsilon.errors import InputError

__all__ = [
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
        that of the working points: draws of the last layers of networks or from a map's posterior,
        or the networks of an ensemble. Replica k of all objects belongs together. None where they
        were not asked for, and where the efficiency knows no uncertainty of its own.
    in_domain : ak.Array of bool
        True inside the region that the training sample covered.
    records : ak.Array of records, jagged
        What the numbers are aligned with: the objects that were given, or of events those that
        the selection of the training kept.
    kept : ak.Array of bool, or None
        Where events were given: True for what the selection kept, jagged like the collection in the
        events; of a task of events one for each event. None where records were given.
    """

    eps: Any
    replicas: Any
    in_domain: Any
    records: Any = None
    kept: ak.Array | None = None


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
        self,
        records: ak.Array,
        /,
        *,
        out_of_domain: OutOfDomain = "warn",
        replicas: bool | int = True,
    ) -> Evaluation:
        """Efficiency, replicas (or None) and domain in one pass.

        Parameters
        ----------
        records : ak.Array, jagged
            Events, or objects with the fields that the efficiency needs.
        out_of_domain : {"warn", "raise", "ignore"} or an efficiency, default "warn"
            Policy for objects (events) outside the region that is known.
        replicas : bool or int, default True
            Whether replicas are wanted, or how many.

        Returns
        -------
        Evaluation
            ``eps`` in [0, 1], ``replicas`` (or None) and ``in_domain``.
        """
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
