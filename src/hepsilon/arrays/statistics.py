"""Statistics of weighted sums and of probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from hepsilon.arrays.types import Array

__all__ = ["bernoulli_divergence", "effective_sample_size"]


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
