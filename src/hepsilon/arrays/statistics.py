"""Statistics of weighted sums and of probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from hepsilon.arrays.types import Array

__all__ = [
    "ObservedEfficiency",
    "area_under_curve",
    "bernoulli_divergence",
    "effective_sample_size",
    "observed_efficiency",
]


def effective_sample_size(total: npt.ArrayLike, squares: npt.ArrayLike) -> Array:
    """Number of entries of equal weight that are worth as much as weighted ones.

    This is ``(sum w)^2 / sum w^2`` (L. Kish, "Survey Sampling", 1965). Any other variance of the
    sum may stand in place of the sum of squares.

    Parameters
    ----------
    total : array_like of float64
        Sums of the weights.
    squares : array_like of float64, shape of ``total``
        Sums of their squares, or variances of the sums.

    Returns
    -------
    ndarray of float64, shape of ``total``
        The effective numbers; zero where there is no variance.
    """
    sums, variances = np.asarray(total, np.float64), np.asarray(squares, np.float64)
    out = np.zeros(np.broadcast_shapes(sums.shape, variances.shape))
    np.divide(np.square(sums), variances, out=out, where=variances > 0.0)
    return out


@dataclass(frozen=True)
class ObservedEfficiency:
    """Shares of weighted entries that passed, with intervals.

    Attributes
    ----------
    value : ndarray of float64
        Share of the sum of weights; NaN where that sum is not positive. Negative weights can move
        it out of [0, 1].
    low, high : ndarray of float64, shape of ``value``
        Ends of the 68 % interval of Clopper and Pearson on effective counts, in [0, 1] and not
        empty at 0 and 1; 0 and 1 where nothing is known. Outside of [0, 1] that of the nearest
        possible value.
    n_effective : ndarray of float64, shape of ``value``
        Effective number of entries.
    unphysical : ndarray of bool, shape of ``value``
        Whether negative weights make the share negative, larger than one, or undefined.
    """

    value: Array
    low: Array
    high: Array
    n_effective: Array
    unphysical: Array


def observed_efficiency(
    passed: npt.ArrayLike, total: npt.ArrayLike, squares: npt.ArrayLike
) -> ObservedEfficiency:
    """Observed efficiency of weighted entries in bins.

    Parameters
    ----------
    passed : array_like of float64
        Sums of the weights of the entries that passed.
    total : array_like of float64, shape of ``passed``
        Sums of the weights of all entries.
    squares : array_like of float64, shape of ``passed``
        Sums of the squared weights of all entries.

    Returns
    -------
    ObservedEfficiency
        It does not depend on the unit of the weights.
    """
    from hist.intervals import clopper_pearson_interval  # slow to import, and only needed here

    k, n, v = (np.asarray(x, np.float64) for x in (passed, total, squares))
    n_effective = np.where(n > 0.0, effective_sample_size(n, v), 0.0)
    value = np.divide(k, n, out=np.full(n.shape, np.nan), where=n > 0.0)
    known = np.nan_to_num(np.clip(value, 0.0, 1.0))
    low, high = clopper_pearson_interval(n_effective * known, n_effective)
    low, high = np.where(n > 0.0, low, 0.0), np.where(n > 0.0, high, 1.0)
    unphysical = (value < 0.0) | (value > 1.0) | (n < 0.0) | ((n == 0.0) & (v > 0.0))
    return ObservedEfficiency(value, low, high, n_effective, unphysical)


def area_under_curve(score: Array, signal: Array, background: Array) -> float:
    """Probability that a signal entry has a larger score than one of the background.

    Parameters
    ----------
    score : ndarray of float64, shape (n,)
        Scores.
    signal, background : ndarray of float64, shape (n,)
        Weights of each entry as signal and as background.

    Returns
    -------
    float
        Area; ties count one half.
    """
    _, place = np.unique(score, return_inverse=True)
    a, b = (np.bincount(place, weights=w) for w in (signal, background))
    total = float(a.sum() * b.sum())
    return float(np.sum(a * (np.cumsum(b) - 0.5 * b)) / total) if total else 0.5


def bernoulli_divergence(true: Array, eps: Array) -> Array:
    """Kullback-Leibler divergence of one probability from another, each of a single trial.

    Parameters
    ----------
    true, eps : ndarray of float64
        The true and the predicted probability.

    Returns
    -------
    ndarray of float64
        ``true log(true / eps) + (1 - true) log((1 - true) / (1 - eps))`` [nats].
    """
    result: Array = rel_entr(true, eps) + rel_entr(1.0 - true, 1.0 - eps)
    return result
