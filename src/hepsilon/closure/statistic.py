"""The exact closure statistic.

Given the true efficiency, observed and expected sums differ by a number with mean zero and known
variance, bin by bin, normalisation included:

- tagging, true probability p, weight w: ``sum w (t - p)`` has the variance ``sum w^2 p (1 - p)``;
- inversion, response R: ``sum w (R / E - 1)`` over generated events has ``sum w^2 (1 - E) / E``.

With the true efficiency the pulls have unit width and chi2/ndf is one. How many bins are joined
depends on effective numbers of entries only, never on the unit of the weights.

These variances are the statistical error of the sample alone. To them the covariance of the
efficiency itself is added, where it has replicas: its diagonal to the variances of pulls, and all
of it to the chi2 (see :func:`hepsilon.uncertainty.replicas.shrunk_covariance`). Both errors are
independent where the efficiency has learned from other events. How many bins are joined is
decided by the sample alone, and the chi2 without the efficiency's own error is kept beside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2

from hepsilon.arrays.types import Array
from hepsilon.closure.model import ObservableClosure
from hepsilon.uncertainty.replicas import replica_covariance, shrunk_covariance

__all__ = ["MIN_INFORMATION", "MIN_VARIANCE", "Comparison", "compare", "compare_inversion"]

Enough = Callable[[Array], bool]
"""Whether the sums of a joined bin hold enough statistics."""
MIN_VARIANCE = 5.0
"""Neighbouring bins are joined for the chi2 until each holds this variance, in units of the squared
weight of an effective entry, ``sum w^2 / sum w``: with fewer expected tags the difference is not
Gaussian, and the chi2 not distributed as one."""
MIN_INFORMATION = 25.0
"""For inverted efficiencies, whose variance does not count events, bins are joined until
``expected^2 / variance``, the effective number of selected events, reaches this."""
MOST_BINS = 100
"""Largest number of bins whose covariance is kept."""
ROUNDED = 1.0 - 1e-9
"""The limits hold up to the rounding of sums, which is different in every unit of the weights."""


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
        Variance of their difference if the expectation is true, with the efficiency's own error.
    pull : ndarray of float64, shape of the bins
        Difference in units of its error; NaN where the variance is zero.
    chi2 : float
        Sum over bins that are joined until each holds enough statistics.
    ndf : int
        Number of these bins.
    p_value : float
        Chance of a larger chi2; NaN without bins.
    efficiency_variance : ndarray of float64, shape of the bins, or None
        Part of ``variance`` that is the efficiency's own; None where that is not known, as all that
        follow.
    efficiency_variance_of_sum : float or None
        Variance of the sum of all bins by the efficiency's own error.
    sample_chi2, sample_p_value : float or None
        Numbers by the statistical error of the sample alone.
    covariance : ndarray of float64, shape (n, n), or None
        Covariance of the bins by the efficiency's own error, of one axis with at most 100 bins.
    """

    edges: Array | tuple[Array, ...]
    observed: Array
    expected: Array
    variance: Array
    pull: Array
    chi2: float
    ndf: int
    p_value: float
    efficiency_variance: Array | None = None
    efficiency_variance_of_sum: float | None = None
    sample_chi2: float | None = None
    sample_p_value: float | None = None
    covariance: Array | None = None

    def plain(self) -> dict[str, Any]:
        """Plain lists and numbers, None for NaN: the fields of :class:`ObservableClosure`.

        What belongs to the efficiency's own error is left out where that is not known.
        """
        known = {name: value for name, value in vars(self).items() if value is not None}
        return {name: _plain(value) for name, value in known.items()}

    def record(self) -> ObservableClosure:
        """The part of ``closure.json`` that holds this comparison."""
        return ObservableClosure(**self.plain())


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    return None if value != value else value  # noqa: PLR0124


def _joined(sums: Array, groups: Array) -> Array:
    """Sums of the joined bins, shape (joined bins, n_sums)."""
    return np.stack([np.bincount(groups, weights=column) for column in sums.T], axis=1)


def _groups(sums: Array, enough: Enough) -> Array:
    """Number of the joined bin each bin belongs to; a rest too small joins the last one.

    Parameters
    ----------
    sums : ndarray of float64, shape (n_bins, n_sums)
        Sums of every bin that ``enough`` is asked about.
    enough : callable
        Whether such sums, added up over neighbours, suffice.
    """
    groups = np.zeros(len(sums), np.int64)
    current, held = 0, np.zeros(sums.shape[1])
    for i, own in enumerate(sums):
        if enough(held):
            current, held = current + 1, np.zeros(sums.shape[1])
        groups[i] = current
        held = held + own
    if not enough(held) and current > 0:
        groups[groups == current] = current - 1
    return groups


def _compare(
    edges: Array | tuple[Array, ...],
    observed: Array,
    expected: Array,
    variance: Array,
    sums: Array,
    enough: Enough,
    replicas: Array | None,
) -> Comparison:
    difference = observed - expected
    own = np.zeros_like(variance) if replicas is None else np.var(replicas, axis=0, ddof=1)
    total = variance + own
    pull = np.divide(difference, np.sqrt(total), out=np.full(total.shape, np.nan), where=total > 0)
    groups = _groups(sums, enough)
    used = np.array([enough(held) for held in _joined(sums, groups)], bool)
    joined = _joined(np.stack([difference.ravel(), variance.ravel()], axis=1), groups)[used]
    ndf = int(used.sum())

    def chance(statistic: float) -> float:
        return float(chi2.sf(statistic, ndf)) if ndf else float("nan")

    by_sample = float(np.sum(joined[:, 0] ** 2 / joined[:, 1]))
    if replicas is None:
        return Comparison(edges, observed, expected, total, pull, by_sample, ndf, chance(by_sample))
    flat = replicas.reshape(len(replicas), -1)
    statistic = by_sample
    if ndf:
        moved = _joined(flat.T, groups)[used].T
        matrix = np.diag(joined[:, 1]) + shrunk_covariance(moved)
        statistic = float(joined[:, 0] @ np.linalg.solve(matrix, joined[:, 0]))
    kept = total.ndim == 1 and total.size <= MOST_BINS
    return Comparison(
        edges,
        observed,
        expected,
        total,
        pull,
        statistic,
        ndf,
        chance(statistic),
        efficiency_variance=own,
        efficiency_variance_of_sum=float(np.var(flat.sum(axis=1), ddof=1)),
        sample_chi2=by_sample,
        sample_p_value=chance(by_sample),
        covariance=_six_digits(replica_covariance(replicas)) if kept else None,
    )


def _six_digits(numbers: Array) -> Array:
    """Numbers as far as few replicas know them: most of ``closure.json`` are covariances."""
    return np.array([float(f"{number:.6g}") for number in numbers.ravel()]).reshape(numbers.shape)


def _enough_variance(held: Array) -> bool:
    """Whether sums of w, w^2 and variance suffice; where weights cancel they never do."""
    weights, squares, variance = held
    return bool(variance > 0.0 and variance * weights**2 >= ROUNDED * MIN_VARIANCE * squares**2)


def compare(
    edges: Array | tuple[Array, ...],
    observed: Array,
    expected: Array,
    variance: Array,
    weights: tuple[Array, Array] | None = None,
    replicas: Array | None = None,
) -> Comparison:
    """Pulls and chi2 of observed against expected sums, in one or two dimensions.

    Parameters
    ----------
    edges : ndarray of float64, shape (n + 1,), or tuple of them
        Bin edges, of two dimensions one array for each.
    observed, expected : ndarray of float64, shape of the bins
        Weighted sums in the bins.
    variance : ndarray of float64, shape of the bins
        Variance of their difference if the expectation is true.
    weights : tuple of two ndarrays of float64, shape of the bins, optional
        Sums of w and of w^2 of all entries (tagged or not) in the bins, which say what an entry
        weighs; by default every entry has the weight one.
    replicas : ndarray of float64, shape (n_replicas, bins...), optional
        Expected sums in two or more replicas of the efficiency, whose covariance is its own error.

    Returns
    -------
    Comparison
        Pulls of the bins, and chi2 over joined bins: the result does not depend on the unit of
        the weights.
    """
    one = np.ones_like(variance)  # the sums of w and w^2 of weights of one are equal
    columns = (*(weights or (one, one)), variance)
    sums = np.stack([column.ravel() for column in columns], axis=1)
    return _compare(edges, observed, expected, variance, sums, _enough_variance, replicas)


def compare_inversion(
    edges: Array | tuple[Array, ...],
    corrected: Array,
    generated: Array,
    variance: Array,
    replicas: Array | None = None,
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
    replicas : ndarray of float64, shape (n_replicas, bins...), optional
        Corrected sums in two or more replicas of E, whose covariance is its own error.

    Returns
    -------
    Comparison
        Pulls of the bins, and chi2 over joined bins.
    """

    def enough(held: Array) -> bool:
        n, v = held
        return bool(v > 0.0 and n * n >= ROUNDED * MIN_INFORMATION * v)

    sums = np.stack([generated.ravel(), variance.ravel()], axis=1)
    return _compare(edges, corrected, generated, variance, sums, enough, replicas)
