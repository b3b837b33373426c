"""Statistical errors by Efron's bootstrap, with replicas that are a pure function of the event.

Every event has a Poisson(1) count in every replica, computed from (run, luminosityBlock, event,
replica): the same for any chunking, executor and order, and the same for all histograms, so that
their bins are correlated as they should be.
"""

from __future__ import annotations

from typing import Any

import hist
import numpy as np
import numpy.typing as npt

from hepsilon import kernels

__all__ = ["bootstrap_counts", "bootstrap_key", "covariance", "replica_histogram", "fill_replicas"]

Array = npt.NDArray[Any]

SALT = 3


def bootstrap_key(run: Array, luminosity_block: Array, event: Array) -> Array:
    """64-bit key of every event, of which all its replicas are a function (uint64)."""
    columns = (np.asarray(c).astype(np.uint64) for c in (run, luminosity_block, event))
    key: Array = kernels.event_key(*columns, SALT)
    return key


def bootstrap_counts(key: Array, replicas: int) -> Array:
    """Poisson(1) count of every event in every replica, uint8 (events, replicas)."""
    counts: Array = kernels.poisson_counts(key, replicas)
    return counts


def replica_histogram(axes: list[Any], methods: list[str], replicas: int) -> hist.Hist[Any]:
    """An empty histogram with the axes method, replica, and the given ones."""
    return hist.Hist(
        hist.axis.StrCategory(methods, name="method"),
        hist.axis.Integer(0, replicas, name="replica", flow=False),
        *axes,
        storage=hist.storage.Double(),
    )


def fill_replicas(
    histogram: hist.Hist[Any], method: str, values: list[Array], key: Array, weight: Array
) -> None:
    """Fill all replicas of one method in one pass.

    Parameters
    ----------
    histogram : from :func:`replica_histogram`.
    method : its name.
    values : for each axis of the observable one number per entry; NaN is left out.
    key : of the event of every entry (see :func:`bootstrap_key`).
    weight : of every entry.
    """
    axes = histogram.axes[2:]
    exists = ~np.isnan(np.asarray(values)).any(axis=0)
    shape = tuple(axis.extent for axis in axes)
    index = [axis.index(v[exists]) + 1 for axis, v in zip(axes, values, strict=True)]
    entry_bin = np.ravel_multi_index(index, shape)
    size, replicas = int(np.prod(shape)), histogram.axes["replica"].size
    filled = kernels.fill_replicas(entry_bin, key[exists], weight[exists], size, replicas)
    view = histogram.view(flow=True)
    view[histogram.axes["method"].index(method)] += filled.T.reshape(replicas, *shape)


def covariance(histogram: hist.Hist[Any], method: str) -> Array:
    """Covariance of all bins (flattened, without flow) over the replicas of one method."""
    values = histogram[{"method": method}].values()
    result: Array = np.atleast_2d(np.cov(values.reshape(len(values), -1), rowvar=False))
    return result
