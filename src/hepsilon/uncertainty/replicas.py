"""Covariance of bins over the replicas of an efficiency, which are fewer than what they move."""

from __future__ import annotations

import numpy as np

from hepsilon.arrays.types import Array

__all__ = ["replica_covariance", "shrunk_covariance"]


def replica_covariance(values: Array) -> Array:
    """Covariance of the bins of a histogram over the replicas of an efficiency.

    Parameters
    ----------
    values : ndarray of float64, shape (n_replicas, bins...)
        Content of the bins in two or more replicas.

    Returns
    -------
    ndarray of float64, shape (n_bins, n_bins)
        Sample covariance (n - 1 in the denominator); the bins of several axes are flattened in C
        order.
    """
    return np.atleast_2d(np.cov(values.reshape(len(values), -1), rowvar=False))


def shrunk_covariance(values: Array) -> Array:
    """Covariance whose correlations are pulled towards zero as far as few replicas leave them open.

    A sample covariance of K replicas has a rank below K; directions that no replica happened to
    move would count as known exactly. Correlations are therefore multiplied by one minus the
    intensity of Schaefer and Strimmer (Stat. Appl. Genet. Mol. Biol. 4 (2005) 32), their estimated
    variance over their squares, which vanishes with many replicas; variances stay what they are.

    Parameters
    ----------
    values : ndarray of float64, shape (n_replicas, n_bins)
        Content of the bins in two or more replicas.

    Returns
    -------
    ndarray of float64, shape (n_bins, n_bins)
        Covariance, positive definite where all variances are positive.
    """
    covariance = replica_covariance(values)
    spread = np.sqrt(np.diag(covariance))
    scale = np.outer(spread, spread)
    correlation = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0.0)
    others = correlation[~np.eye(len(correlation), dtype=bool)]
    squares = float(np.sum(others**2))
    noise = float(np.sum((1.0 - others**2) ** 2)) / (len(values) - 1)
    intensity = min(1.0, noise / squares) if squares > 0.0 else 0.0
    shrunk = (1.0 - intensity) * covariance
    np.fill_diagonal(shrunk, np.diag(covariance))
    return np.asarray(shrunk)
