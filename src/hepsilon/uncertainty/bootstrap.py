"""Statistical errors by Efron's bootstrap, with replicas that are a pure function of the event.

Every event has a Poisson(1) count in every replica, computed from (run, luminosityBlock, event,
replica). It does not depend on chunking, executor or order, and is equal in all histograms, so that
their bins are correlated as they should be.
"""

from __future__ import annotations

from typing import Any

import hist
import numpy as np

from hepsilon.arrays import keys
from hepsilon.arrays.types import Array
from hepsilon.histograms.entries import Entries, method_row
from hepsilon.histograms.methods import one_method

__all__ = ["bootstrap_counts", "bootstrap_key", "covariance", "fill_replicas"]


def bootstrap_key(run: Array, luminosity_block: Array, event: Array) -> Array:
    """64-bit key of every event, which decides its counts in all replicas.

    Parameters
    ----------
    run, luminosity_block, event : ndarray of int, shape (n_events,)
        Numbers that identify each event.

    Returns
    -------
    ndarray of uint64, shape (n_events,)
        Key of each event.
    """
    columns = [np.asarray(c).astype(np.uint64) for c in (run, luminosity_block, event)]
    key: Array = keys.event_key(columns[0], columns[1], columns[2], keys.REPLICA_SALT)
    return key


def bootstrap_counts(key: Array, replicas: int) -> Array:
    """Poisson(1) count of every event in every replica.

    Parameters
    ----------
    key : ndarray of uint64, shape (n_events,)
        Key of each event (see :func:`bootstrap_key`).
    replicas : int
        Number of replicas.

    Returns
    -------
    ndarray of uint8, shape (n_events, replicas)
        Number of times that the event is in the bootstrap sample.
    """
    counts: Array = keys.poisson_counts(key, replicas)
    return counts


def fill_replicas(
    histogram: hist.Hist[Any], method: str, entries: Entries, key: Array, weight: Array
) -> None:
    """Fill all replicas of one method in one pass.

    Parameters
    ----------
    histogram : hist.Hist
        Histogram with the axes method, replica and those of the observable.
    method : str
        Name of the method.
    entries : Entries
        Entries of the observable.
    key : ndarray of uint64, shape (n_events,)
        Key of every event (see :func:`bootstrap_key`).
    weight : ndarray of float64, shape (n_entries,)
        Weight of every entry.
    """
    size, replicas = int(np.prod(entries.shape)), histogram.axes["replica"].size
    filled = keys.fill_replicas(entries.bins, key[entries.event], weight, size, replicas)
    row = method_row(histogram, method)
    row += filled.T.reshape(replicas, *entries.shape)


def covariance(histogram: hist.Hist[Any], method: str) -> Array:
    """Covariance of all bins, over the replicas of one method.

    Parameters
    ----------
    histogram : hist.Hist
        Histogram with the axes method, replica and those of the observable.
    method : str
        Name of the method.

    Returns
    -------
    ndarray of float64, shape (n_bins, n_bins)
        Sample covariance (n - 1 in the denominator) of the bins without flow; those of several axes
        are flattened in C order.
    """
    values = one_method(histogram, method).values()
    result: Array = np.atleast_2d(np.cov(values.reshape(len(values), -1), rowvar=False))
    return result
