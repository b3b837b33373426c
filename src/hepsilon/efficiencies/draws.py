r"""Draws of efficiencies from Gaussian changes of their logits, which keep their mean and variance.

A logit that is known to :math:`\pm s` moves a small efficiency by factors :math:`e^{s \xi}`, whose
mean is :math:`e^{s^2/2}`. For jets that hardly ever pass, whose logits are known to two or three,
draws would be ten times the efficiency on average, and the error of a sum over them would be far
larger than the one that the events leave. To first order it is the shares of the bins between
working points (and of what passes none) that change, by the factors :math:`1 + d_a`, with
:math:`d_a = \delta_a - \sum_b \pi_b \delta_b` for the changes :math:`\delta` of the logits and the
shares :math:`\pi`. Draws are positive numbers of this mean and of this variance W instead,

.. math:: \exp(g_a d_a - g_a^2 W_a / 2) \quad \mathrm{with} \quad g_a^2 W_a = \ln(1 + W_a),

divided by their sum. Small changes stay as they are, :math:`g \to 1`. The variances W of an entry
are the mean squares of its first :data:`PROBES` draws, however many are asked for.
"""

from __future__ import annotations

import math

import numpy as np

from hepsilon.arrays.kernels import njit
from hepsilon.arrays.types import Array

__all__ = ["LARGEST_LOGIT", "PROBES", "drawn_efficiencies", "moved", "tempered"]

PROBES = 20
"""Draws that the size of the changes is taken from: always the first ones; a multiple of four."""
TINY, BELOW_ONE = np.finfo(float).tiny, 1.0 - np.finfo(float).epsneg
LARGEST_LOGIT, LARGEST_CHANGE = 300.0, np.float32(80.0)
"""Beyond them a probability is zero or one in any case; below them no product overflows."""
SMALL = 0.01
"""Variance below which three terms of a series are exact in float32."""


@njit
def moved(logits: Array, table: Array, numbers: Array) -> None:
    """Add rows of a table to changes of logits, as far as :data:`LARGEST_CHANGE`.

    Parameters
    ----------
    logits : ndarray of float32, shape (n, n_columns)
        Changes of the logits, one column for each working point and replica.
    table : ndarray of float32, shape (n_rows, n_columns)
        What is added.
    numbers : ndarray of int64, shape (n, n_families)
        Rows of the table that each row gets.
    """
    n_columns, families = table.shape[1], numbers.shape[1]
    for i in range(len(logits)):
        row = logits[i]
        for family in range(0, families - 1, 2):  # in pairs: half as many passes
            one, other = table[numbers[i, family]], table[numbers[i, family + 1]]
            for k in range(n_columns):
                row[k] += one[k] + other[k]
        if families % 2:
            last = table[numbers[i, families - 1]]
            for k in range(n_columns):
                row[k] += last[k]
    flat = logits.reshape(-1)
    for k in range(flat.size):
        flat[k] = min(max(flat[k], -LARGEST_CHANGE), LARGEST_CHANGE)


@njit
def _mean_square(draws: Array) -> float:
    """Mean square of the first draws, in four sums that do not wait for each other."""
    a = b = c = d = np.float32(0.0)
    for k in range(0, PROBES, 4):
        a += draws[k] * draws[k]
        b += draws[k + 1] * draws[k + 1]
        c += draws[k + 2] * draws[k + 2]
        d += draws[k + 3] * draws[k + 3]
    return (np.float64(a) + np.float64(b) + np.float64(c) + np.float64(d)) / PROBES


@njit
def _squeezed(variance: float) -> tuple[float, float]:
    """Factor of the changes, and the variance that they then have."""
    if variance < SMALL:
        factor = 1.0 - variance * (0.25 - variance * (13.0 / 96.0))
        return factor, variance * (1.0 - variance * (0.5 - variance / 3.0))
    squeezed = math.log1p(variance)
    return math.sqrt(squeezed / variance), squeezed


@njit
def tempered(changes: Array, odds: Array) -> None:
    """Turn Gaussian changes of logits into those of draws that keep mean and variance.

    Parameters
    ----------
    changes : ndarray of float32, shape (n, n_working_points, n_replicas)
        Changes of the logits, of :data:`PROBES` replicas or more; they are overwritten.
    odds : ndarray of float64, shape (n, n_working_points)
        Odds of each bin between working points, relative to that of what passes none.
    """
    n, points, replicas = changes.shape
    mean = np.empty(replicas, np.float32)
    for i in range(n):
        if points == 1:
            row = changes[i, 0]
            share = odds[i, 0] / (1.0 + odds[i, 0])
            square = _mean_square(row)
            own, own_square = _squeezed((1.0 - share) ** 2 * square)
            none, none_square = _squeezed(share**2 * square)
            factor = np.float32(own * (1.0 - share) + none * share)
            shift = np.float32(0.5 * (none_square - own_square))
            for k in range(replicas):
                row[k] = factor * row[k] + shift
            continue
        total = 1.0 + np.sum(odds[i])
        mean[:] = 0.0
        for point in range(points):
            share = np.float32(odds[i, point] / total)
            for k in range(replicas):
                mean[k] += share * changes[i, point, k]
        none, none_square = _squeezed(_mean_square(mean))
        for point in range(points):
            row = changes[i, point]
            for k in range(replicas):
                row[k] -= mean[k]
            own, own_square = _squeezed(_mean_square(row))
            factor, back = np.float32(own), np.float32(none)
            shift = np.float32(0.5 * (none_square - own_square))
            for k in range(replicas):
                row[k] = factor * row[k] + back * mean[k] + shift


def drawn_efficiencies(odds: Array, changes: Array, out: Array) -> None:
    """Efficiencies of all entries with changed logits.

    Parameters
    ----------
    odds : ndarray of float64, shape (n, n_working_points)
        Odds of each bin between working points, relative to that of what passes none.
    changes : ndarray of float32, shape (n, n_working_points, n_replicas)
        Changes of the logits; they are overwritten.
    out : ndarray of float64, shape of changes
        Where values in (0, 1) are put, which fall from one working point to the next.
    """
    np.exp(changes, out=changes)
    if odds.shape[1] == 1:
        _probability(odds[:, 0], changes[:, 0], out[:, 0])
    else:
        _probabilities(odds, changes, out)


@njit
def _probabilities(odds: Array, factors: Array, out: Array) -> None:
    """Probabilities to pass each working point from the odds of the bins between them.

    Parameters
    ----------
    odds : ndarray of float64, shape (n, n_working_points)
        Odds of each bin, relative to that of what passes none.
    factors : ndarray of float32, shape (n, n_working_points, n_replicas)
        What each replica multiplies them with.
    out : ndarray of float64, shape of factors
        Where the probabilities are put.
    """
    points, replicas = factors.shape[1:]
    total = np.empty(replicas)
    for i in range(len(odds)):
        total[:] = 0.0
        for point in range(points - 1, -1, -1):
            for k in range(replicas):
                total[k] += odds[i, point] * factors[i, point, k]
                out[i, point, k] = total[k]
        for point in range(points):
            for k in range(replicas):
                value = out[i, point, k] / (1.0 + total[k])
                out[i, point, k] = min(max(value, TINY), BELOW_ONE)


@njit
def _probability(odds: Array, factors: Array, out: Array) -> None:
    """Probabilities to pass a single working point.

    Parameters
    ----------
    odds : ndarray of float64, shape (n,)
        Odds of each object.
    factors : ndarray of float32, shape (n, n_replicas)
        What each replica multiplies them with.
    out : ndarray of float64, shape of factors
        Where the probabilities are put.
    """
    for i in range(len(odds)):
        for k in range(factors.shape[1]):
            changed = odds[i] * factors[i, k]
            out[i, k] = min(max(changed / (1.0 + changed), TINY), BELOW_ONE)
