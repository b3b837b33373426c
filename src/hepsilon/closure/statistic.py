"""The exact closure statistic.

Given the true efficiency, observed and expected sums differ by a number with mean zero and known
variance, bin by bin, normalisation included:

- tagging, true probability p, weight w: ``sum w (t - p)`` has the variance ``sum w^2 p (1 - p)``;
- inversion, response R: ``sum w (R / E - 1)`` over generated events has ``sum w^2 (1 - E) / E``.

With the true efficiency the pulls have unit width and chi2/ndf is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2

from hepsilon.arrays.types import Array
from hepsilon.closure.model import ObservableClosure

__all__ = ["MIN_INFORMATION", "MIN_VARIANCE", "Comparison", "compare", "compare_inversion"]

Enough = Callable[[float, float], bool]
MIN_VARIANCE = 5.0
"""Neighbouring bins are joined for the chi2 until each holds this variance: with fewer expected
tags the difference is not Gaussian, and the chi2 not distributed as one."""
MIN_INFORMATION = 25.0
"""For inverted efficiencies, whose variance does not count events, bins are joined until
``expected^2 / variance``, the effective number of selected events, reaches this."""


@dataclass(frozen=True)
class Comparison:
    """Observed against expected in the bins of one observable.

    Attributes
    ----------
    edges : ndarray of float64, shape (n + 1,), or tuple of them
        Bin edges of the axis, or of each of two axes; flow is not compared.
    observed, expected : ndarray of float64, shape of the bins
        Weighted sums.
    variance : ndarray of float64, shape of the bins
        Variance of their difference if the expectation is true.
    pull : ndarray of float64, shape of the bins
        Difference in units of its error; NaN where the variance is zero.
    chi2 : float
        Sum over bins that are joined until each holds enough statistics.
    ndf : int
        Number of these bins.
    p_value : float
        Chance of a larger chi2; NaN without bins.
    """

    edges: Array | tuple[Array, ...]
    observed: Array
    expected: Array
    variance: Array
    pull: Array
    chi2: float
    ndf: int
    p_value: float

    def plain(self) -> dict[str, Any]:
        """Plain lists and numbers, None for NaN: the fields of :class:`ObservableClosure`."""
        return {name: _plain(value) for name, value in vars(self).items()}

    def record(self) -> ObservableClosure:
        """The part of ``closure.json`` that holds this comparison."""
        return ObservableClosure(**self.plain())


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    return None if value != value else value  # noqa: PLR0124


def _joined(values: Array, groups: Array) -> Array:
    return np.bincount(groups, weights=values)


def _groups(expected: Array, variance: Array, enough: Enough) -> Array:
    """Number of the joined bin each bin belongs to; a rest too small joins the last one."""
    groups = np.zeros(len(variance), np.int64)
    current, held = 0, (0.0, 0.0)
    for i, (n, v) in enumerate(zip(expected, variance, strict=True)):
        if enough(*held):
            current, held = current + 1, (0.0, 0.0)
        groups[i] = current
        held = held[0] + n, held[1] + v
    if not enough(*held) and current > 0:
        groups[groups == current] = current - 1
    return groups


def _compare(
    edges: Array | tuple[Array, ...],
    observed: Array,
    expected: Array,
    variance: Array,
    enough: Enough,
) -> Comparison:
    difference = observed - expected
    pull = np.divide(
        difference, np.sqrt(variance), out=np.full(variance.shape, np.nan), where=variance > 0
    )
    groups = _groups(expected.ravel(), variance.ravel(), enough)
    joined = [_joined(x.ravel(), groups) for x in (difference, expected, variance)]
    used = np.array([enough(n, v) for _, n, v in zip(*joined, strict=True)], bool)
    statistic = float(np.sum(joined[0][used] ** 2 / joined[2][used]))
    ndf = int(used.sum())
    p_value = float(chi2.sf(statistic, ndf)) if ndf else float("nan")
    return Comparison(edges, observed, expected, variance, pull, statistic, ndf, p_value)


def compare(edges: Array, observed: Array, expected: Array, variance: Array) -> Comparison:
    """Pulls and chi2 of observed against expected sums.

    Parameters
    ----------
    edges : ndarray of float64, shape (n + 1,)
        Bin edges.
    observed, expected : ndarray of float64, shape (n,)
        Weighted sums in the bins.
    variance : ndarray of float64, shape (n,)
        Variance of their difference if the expectation is true.

    Returns
    -------
    Comparison
        Pulls of the bins, and chi2 over joined bins.
    """

    def enough(_: float, v: float) -> bool:
        return v >= MIN_VARIANCE

    return _compare(edges, observed, expected, variance, enough)


def compare_inversion(
    edges: Array | tuple[Array, ...], corrected: Array, generated: Array, variance: Array
) -> Comparison:
    """Pulls and chi2 of sums of 1/E against generated events, in one or two dimensions.

    Parameters
    ----------
    edges : ndarray of float64, shape (n + 1,), or tuple of them
        Bin edges, of two dimensions one array for each.
    corrected, generated : ndarray of float64, shape of the bins
        Weighted sums in the bins.
    variance : ndarray of float64, shape of the bins
        Variance of their difference if E is true.

    Returns
    -------
    Comparison
        Pulls of the bins, and chi2 over joined bins.
    """

    def enough(n: float, v: float) -> bool:
        return v > 0.0 and n * n >= MIN_INFORMATION * v

    return _compare(edges, corrected, generated, variance, enough)
