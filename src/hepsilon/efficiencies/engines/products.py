"""Products of what last layers see with a kernel, such as that of replicas."""

from __future__ import annotations

import numpy as np

from hepsilon.arrays.batches import ROWS_AT_ONCE, filled
from hepsilon.arrays.types import Array

__all__ = ["multiplied"]

ONE_THREAD = 1 << 18
"""Multiplications up to which BLAS uses the thread that it is called from: more of them would wait
for each other, since the batches are shared among threads already."""


def multiplied(features: Array, kernel: Array | None) -> Array:
    """Multiply features with a kernel, in parts that one thread multiplies.

    Parameters
    ----------
    features : ndarray of float32, shape (n, n_inputs)
        What the last layers see.
    kernel : ndarray of float32, shape (n_inputs, n_columns), or None
        The kernel.

    Returns
    -------
    ndarray of float32, shape (n, n_columns)
        The product; the features themselves where there is no kernel.
    """
    if kernel is None:
        return features
    given = filled(features)
    out = np.empty((len(given), kernel.shape[1]), np.float32)
    rows = max(1, ONE_THREAD // max(1, kernel.size * ROWS_AT_ONCE)) * ROWS_AT_ONCE
    for first in range(0, len(given), rows):
        part = slice(first, first + rows)
        np.matmul(given[part], kernel, out=out[part])
    return out[: len(features)]
