"""Dependence on the simulation: sums by two efficiencies that were learned from two generators.

Both efficiencies are used for the same objects, so that what differs is what they have learned. The
error of the difference is that of both trainings, which are independent: it does not contain the
statistical error of the sample that they are applied to, which both share. Two efficiencies of one
training (those in the two samples of a ratio) have the same replicas, and what they share cancels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.closure.record import ClosureRecord
from hepsilon.histograms.methods import ALL, OTHER, TAG_COUNTS, part_of
from hepsilon.processors.outputs import Output, TaggingOutput

__all__ = ["Dependence", "Ratio", "RatioBins", "dependence_of"]


class Ratio(ClosureRecord):
    """One sum by another efficiency, relative to that by this one.

    Attributes
    ----------
    relative_difference : float or None
        other / this - 1; None where this is zero.
    error : float or None
        Its error by both trainings; None where one of them knows none.
    pull : float or None
        Difference in units of its error.
    """

    relative_difference: float | None
    error: float | None
    pull: float | None


class RatioBins(ClosureRecord):
    """Sums in bins by another efficiency, relative to those by this one.

    Attributes
    ----------
    relative_difference, error : list of float or None
        As in :class:`Ratio`, for each bin.
    """

    relative_difference: list[float | None]
    error: list[float | None]


class Dependence(ClosureRecord):
    """Differences of a method to one that was learned from another simulation.

    Attributes
    ----------
    totals : dict of str to Ratio
        Sums over everything (``"all"``) and by category.
    observables : dict of str to RatioBins
        By ``OBSERVABLE`` and ``OBSERVABLE|CATEGORY``, of observables in one dimension.
    """

    totals: dict[str, Ratio]
    observables: dict[str, RatioBins]


@dataclass(frozen=True)
class _Sums:
    """Sums by one efficiency (bins), and in all its replicas (replicas, bins)."""

    values: Array
    replicas: Array | None

    def variance(self) -> Array:
        """Variance by the replicas; NaN where there are none."""
        if self.replicas is None or len(self.replicas) < 2:
            return np.full(self.values.shape, np.nan)
        return np.asarray(np.var(self.replicas, axis=0, ddof=1))

    def whole(self) -> _Sums:
        """Sum of all bins as one."""
        replicas = None if self.replicas is None else self.replicas.sum(axis=1, keepdims=True)
        return _Sums(self.values.sum(keepdims=True), replicas)


def _compared(this: _Sums, other: _Sums, paired: bool) -> tuple[Array, Array]:
    """Relative difference of the sums, and its error."""
    ratio, error = (np.full(this.values.shape, np.nan) for _ in range(2))
    seen = this.values != 0.0
    np.divide(other.values, this.values, out=ratio, where=seen)
    variance = other.variance() + ratio**2 * this.variance()
    if paired and this.replicas is not None and other.replicas is not None:
        variance = np.var(other.replicas - ratio * this.replicas, axis=0, ddof=1)
    np.divide(np.sqrt(variance), np.abs(this.values), out=error, where=seen)
    return ratio - 1.0, error


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _ratio(this: _Sums, other: _Sums, paired: bool) -> Ratio:
    (difference,), (error,) = _compared(this, other, paired)
    pull = difference / error if error > 0.0 else np.nan
    return Ratio(relative_difference=_number(difference), error=_number(error), pull=_number(pull))


def _bins(this: _Sums, other: _Sums, paired: bool) -> RatioBins:
    difference, error = _compared(this, other, paired)
    return RatioBins(
        relative_difference=[_number(x) for x in difference], error=[_number(x) for x in error]
    )


class _Filled:
    """Sums of one dataset by method, whatever the use case is."""

    def __init__(self, output: Output) -> None:
        self.output: Any = output
        self.tagging = isinstance(output, TaggingOutput)

    def total(self, method: str) -> _Sums:
        """Sum over all objects, or all events."""
        totals: Any = self.output.totals
        replicas = self.output.total_replicas.get(method)
        value = (totals if self.tagging else totals["weights"])[method].value
        drawn = None if replicas is None else replicas.values()[:, None]
        return _Sums(np.array([float(value)]), drawn)

    def observables(self) -> Iterator[tuple[str, str]]:
        """Names of the observables in one dimension, with their categories."""
        for name, filled in self.output.observables.items():
            if name == TAG_COUNTS or len(filled.axes) != (3 if self.tagging else 2):
                continue
            for category in filled.axes["category"] if self.tagging else [ALL]:
                yield name, category

    def bins(self, name: str, category: str, method: str, *, flow: bool = False) -> _Sums:
        """Sums in the bins of an observable."""
        scope = {"category": category} if self.tagging else {}
        filled = part_of(self.output.observables[name], method=method, **scope)
        drawn = self.output.efficiency_replicas.get(method)
        replicas = None
        if drawn is not None:
            of_name: Any = part_of(drawn[name], **scope) if scope else drawn[name]
            replicas = of_name.values(flow=flow)
        return _Sums(filled.values(flow=flow), replicas)

    def categories(self) -> dict[str, str]:
        """Observable of objects whose bins add up to each category."""
        if not isinstance(self.output, TaggingOutput) or not self.output.profiles:
            return {}
        name, profile = next(iter(self.output.profiles.items()))
        return {c: name for c in profile.axes["category"] if c != OTHER}


def dependence_of(
    output: Output, method: str, others: Sequence[str], paired: Collection[str] = ()
) -> dict[str, Dependence]:
    """Compare the sums by one efficiency with those by others.

    Parameters
    ----------
    output : TaggingOutput or InversionOutput
        Output of a processor for one dataset.
    method : str
        Label of the method.
    others : sequence of str
        Labels of the others, which were learned from other simulations.
    paired : collection of str, optional
        Those of them whose replicas are those of the method: both are of one training.

    Returns
    -------
    dict of str to Dependence
        By label of the other.
    """
    filled, found = _Filled(output), {}
    for other in others:
        both = other in paired
        totals = {ALL: _ratio(filled.total(method), filled.total(other), both)}
        for category, name in filled.categories().items():
            this, that = (
                filled.bins(name, category, m, flow=True).whole() for m in (method, other)
            )
            totals[category] = _ratio(this, that, both)
        observables = {
            name if category == ALL else f"{name}|{category}": _bins(
                filled.bins(name, category, method), filled.bins(name, category, other), both
            )
            for name, category in filled.observables()
        }
        found[other] = Dependence(totals=totals, observables=observables)
    return found
