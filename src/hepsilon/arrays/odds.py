"""Odds of the bins between working points: in them efficiencies move without leaving (0, 1)."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax

from hepsilon.arrays.kernels import bins_between
from hepsilon.arrays.types import Array

__all__ = ["from_log_odds", "log_odds"]

SMALLEST = 1e-12
"""Probability of a bin between working points, of which logarithms are taken."""


def log_odds(eps: Array, smallest: float = SMALLEST) -> Array:
    """Logarithms of the odds of the bins between working points, relative to passing none.

    Parameters
    ----------
    eps : ndarray of float64, shape (n, working points, ...)
        Probability to pass each working point, from the loosest to the tightest.
    smallest : float, default 1e-12
        Probability of a bin of which logarithms are taken where it is smaller.

    Returns
    -------
    ndarray of float64, shape of eps
        Of one working point the logits.
    """
    points = eps.shape[1]
    rows = np.moveaxis(eps, 1, -1).reshape(-1, points)
    bins = np.maximum(bins_between(np.ascontiguousarray(rows), 0.0)[0], smallest)
    odds = np.log(bins[:, 1:] / bins[:, :1])
    return np.moveaxis(odds.reshape(len(eps), *eps.shape[2:], points), -1, 1)


def from_log_odds(odds: Array) -> Array:
    """Efficiencies from logarithms of odds.

    Parameters
    ----------
    odds : ndarray of float64, shape (n, working points)
        What :func:`log_odds` gives.

    Returns
    -------
    ndarray of float64, shape (n, working points)
        Values in [0, 1], which fall from one working point to the next.
    """
    if odds.shape[1] == 1:
        return np.asarray(expit(odds))
    bins = softmax(np.concatenate([np.zeros((len(odds), 1)), odds], axis=1), axis=1)
    return np.asarray(np.minimum(np.cumsum(bins[:, :0:-1], axis=1)[:, ::-1], 1.0))
