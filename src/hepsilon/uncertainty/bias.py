r"""Bias of an efficiency by region, from what passed beyond what it expects.

The logit of an entry is taken to be wrong by the sum of one shift for every region that it is in.
Residuals :math:`r = \sum w (t - p)` of the regions are then, to first order, :math:`D u` plus
noise: :math:`u` are the shifts, :math:`D = \sum w\, p (1 - p)` over the entries that two regions
share, and the noise has a known covariance R. It is the binomial one, :math:`\sum w^2 p (1 - p)`,
plus that of the efficiency itself, minus what a training has taken from the residuals where the
entry was among its events.

*How large are the shifts?* Those of one component (an input in one category) have one variance. The
expected squares of the residuals are linear in these variances; least squares gives an estimate of
all of them with its covariance (the moment estimator of variance components of Haseman and Elston,
Behav. Genet. 2 (1972) 3). It may be negative, a variance may not: what is taken is the mean of the
Gaussian of the estimate where all variances are between zero and one. It is close to the estimate
where that is significant, and where nothing is seen it is what could not have been seen, which
falls with the number of events. An excess is not counted twice where inputs depend on each other.
That each variance may be anything makes their sum large where there are many and nothing is seen.
Those that are not seen may therefore have a common scale, which is fitted with them: each is then
taken to be exponential with that mean, which is anything between zero and one itself.

*What is known of each of them?* Given the residuals, shifts are Gaussian with mean m and covariance
P. The efficiency is not corrected by m; what it is wrong by has the second moment
:math:`m m^T + P`: large where a deviation is seen, no more than the noise where none is, and the
variance of the component in regions where nothing can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.special import ndtr, ndtri

from hepsilon.arrays.types import Array

__all__ = ["BiasMoments", "Residuals", "bias_moments"]

LARGEST = 1.0
"""Largest variance of shifts: where entries are so few that nothing is known, odds may be wrong by
a factor of e."""
REWEIGHTED = 3
"""Number of fits of the variances, each with the weights that the one before it gives."""
SEED, BURN_IN, SWEEPS = 1, 50, 600
"""Of the Gibbs sampler for the mean of the variances: they are then known to a few per cent."""
SWEEPS_OF_SCALE = 1500
"""The same with a common scale, which moves slowly where it is small."""
SMALLEST_SCALE = 1e-9
SEEN = 3.0
"""Errors, as they are without any shifts, above which a variance is seen."""
SHARE = 1e-4
"""Directions with a smaller share of the variance are left out."""
FLOOR = 0.02
"""Smallest noise of a direction, in units of the binomial one: fits end before their optimum."""


@dataclass(frozen=True)
class Residuals:
    """Sums over entries in all regions; those of several outputs are regions of their own.

    Attributes
    ----------
    values : ndarray of float64, shape (n,)
        Passed minus expected, weighted.
    slopes : ndarray of float64, shape (n, n)
        Change of the expected sums by shifts of the logits.
    binomial : ndarray of float64, shape (n, n)
        Covariance of the sums if the efficiency is true.
    noise : ndarray of float64, shape (n, n)
        Covariance of the residuals without shifts, with the error of the efficiency.
    components : ndarray of int64, shape (n,)
        Which variance the shift of each region has.
    """

    values: Array
    slopes: Array
    binomial: Array
    noise: Array
    components: Array


@dataclass(frozen=True)
class BiasMoments:
    """Shifts of the logits by region.

    Attributes
    ----------
    variances : ndarray of float64, shape (n_components,)
        Variance of the shifts of each component.
    factor : ndarray of float64, shape (n, n_directions)
        Factor of the second moment of all shifts.
    """

    variances: Array
    factor: Array


def bias_moments(residuals: Residuals, *, common_scale: bool = False) -> BiasMoments:
    """Estimate the variances of the shifts, and their second moment given the residuals.

    Parameters
    ----------
    residuals : Residuals
        Sums in all regions.
    common_scale : bool, default False
        Whether the variances that are not seen have a common scale, instead of being anything each
        for itself.

    Returns
    -------
    BiasMoments
        Without directions where there are no entries.
    """
    slopes, values = residuals.slopes, residuals.values
    noise = _possible(residuals.noise, np.diag(residuals.binomial))
    variances = _variances(residuals, noise, common_scale)
    prior = variances[residuals.components]
    active = np.flatnonzero(prior > 0.0)
    if not len(active):
        return BiasMoments(variances, np.zeros((len(values), 0)))
    effect = slopes[:, active] * prior[active]  # prior covariance of shifts and residuals
    total = slopes[:, active] @ effect.T + noise
    unit = np.sqrt(np.diag(total))  # weights of regions may differ by orders of magnitude
    unit[unit == 0.0] = 1.0
    scaled = total / unit / unit[:, None], effect / unit[:, None]
    gain = np.linalg.lstsq(*scaled, rcond=1e-10)[0].T / unit
    mean = gain @ values
    moment = np.outer(mean, mean) + np.diag(prior[active]) - gain @ effect
    spread, vectors = np.linalg.eigh(0.5 * (moment + moment.T))
    kept = spread > SHARE * max(float(spread.sum()), 0.0)
    factor = np.zeros((len(values), int(kept.sum())))
    factor[active] = (vectors[:, kept] * np.sqrt(spread[kept]))[:, ::-1]
    return BiasMoments(variances, factor)


def _possible(noise: Array, binomial: Array) -> Array:
    """Covariance in which no direction is known better than fits end."""
    scale = np.sqrt(np.maximum(binomial, np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(0.5 * (noise + noise.T) / np.outer(scale, scale))
    floored = (vectors * np.maximum(values, FLOOR)) @ vectors.T
    return np.asarray(floored * np.outer(scale, scale))


def _variances(residuals: Residuals, noise: Array, common_scale: bool) -> Array:
    """Variances of the components, from the squares of the residuals."""
    components = residuals.components
    size = int(components.max()) + 1
    parts = [residuals.slopes[:, components == component] for component in range(size)]
    squares = np.stack([np.sum(part**2, axis=1) for part in parts], axis=1)
    excess = residuals.values**2 - np.diag(noise)
    binomial = np.diag(residuals.binomial)
    fitted, variances = binomial, np.zeros(size)
    for _ in range(REWEIGHTED):
        weights = np.divide(1.0, fitted, out=np.zeros_like(fitted), where=fitted > 0.0)
        rows = squares * weights[:, None]
        scale = np.linalg.norm(rows, axis=0)
        scale[scale == 0.0] = 1.0
        rows = rows / scale
        variances = nnls(rows, excess * weights)[0] / scale
        fitted = binomial + squares @ variances
    total = noise + sum(v * (part @ part.T) for v, part in zip(variances, parts, strict=True))
    # squares of Gaussian numbers have the covariance 2 C^2, element by element
    weighted = total * np.sqrt(np.outer(weights, weights))
    covariance = rows.T @ (2.0 * weighted**2) @ rows
    normal = rows.T @ rows
    inverse = np.linalg.pinv(covariance, rcond=1e-8, hermitian=True)
    precision = normal @ inverse @ normal
    projected = normal @ inverse @ (rows.T @ (excess * weights))
    start = np.minimum(variances, LARGEST) * scale
    upper, alike = LARGEST * scale, np.zeros(size, bool)
    if common_scale:
        weighted = noise * np.sqrt(np.outer(weights, weights))
        solved = np.linalg.pinv(normal, rcond=1e-8, hermitian=True) @ rows.T
        chance = np.sqrt(np.maximum(np.diag(solved @ (2.0 * weighted**2) @ solved.T), 0.0))
        alike = variances * scale < SEEN * chance
    found: Array = _mean_inside(precision, projected, start, upper, alike) / scale
    return found


def _mean_inside(
    precision: Array, projected: Array, start: Array, upper: Array, alike: Array
) -> Array:
    """Mean of a Gaussian where all its numbers are between zero and limits, by Gibbs sampling.

    Parameters
    ----------
    precision : ndarray of float64, shape (n, n)
        Inverse of its covariance.
    projected : ndarray of float64, shape (n,)
        The precision times its mean.
    start : ndarray of float64, shape (n,)
        First point, inside the limits.
    upper : ndarray of float64, shape (n,)
        Upper limits.
    alike : ndarray of bool, shape (n,)
        Numbers that, in units of their limits, are exponential with one mean, which is uniform
        between zero and one itself.
    """
    known = np.flatnonzero(np.diag(precision) > 0.0)
    precision = precision[np.ix_(known, known)]
    spread = 1.0 / np.sqrt(np.diag(precision))
    point, total = start[known].copy(), np.zeros(len(known))
    rng = np.random.default_rng(SEED)
    some, unit = np.flatnonzero(alike[known]), upper[known]
    sweeps = SWEEPS_OF_SCALE if len(some) > 1 else SWEEPS
    pull = np.zeros(len(known))  # towards zero, by the scale
    for sweep in range(sweeps):
        if len(some) > 1:  # the scale is inverse gamma, given the numbers
            mean_of_some = np.sum(point[some] / unit[some]) / rng.standard_gamma(len(some) - 1.0)
            pull[some] = 1.0 / (np.clip(mean_of_some, SMALLEST_SCALE, 1.0) * unit[some])
        uniform = rng.random(len(known))
        for i, s in enumerate(spread):
            mean = point[i] + (projected[known[i]] - pull[i] - precision[i] @ point) * s**2
            below, inside = ndtr(-mean / s), ndtr((upper[known[i]] - mean) / s)
            if inside - below > 1e-9:
                drawn = mean + s * ndtri(below + (inside - below) * uniform[i])
            elif mean < 0.0:  # the tail of a Gaussian is exponential
                drawn = s**2 / mean * np.log1p(-uniform[i])
            else:
                drawn = upper[known[i]]
            point[i] = min(max(drawn, 0.0), upper[known[i]])
        if sweep >= BURN_IN:
            total += point
    found = np.zeros(len(start))
    found[known] = total / (sweeps - BURN_IN)
    return found
