"""Products of what last layers see with a kernel, such as that of replicas.

A library of linear algebra adds up in an order that depends on the CPU, on the number of rows and
on where a row stands: in another chunk of its file a jet would get another replica, by 1e-7 of it.
The loop here adds up every row alike. It takes twice as long, which is little beside the network
that gives the features.
"""

from __future__ import annotations

import numpy as np

from hepsilon.arrays.kernels import njit
from hepsilon.arrays.types import Array

__all__ = ["multiplied"]

LANES = 8
"""Columns that a CPU treats at once; zeros fill their number up to a multiple."""
ROWS = 256
"""Rows of a block, which stays in the cache; an even number."""


def multiplied(features: Array, kernel: Array | None) -> Array:
    """Multiply features with a kernel, each row alike whatever rows stand beside it.

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
    (n, inputs), columns = features.shape, kernel.shape[1]
    wide = np.zeros((inputs, columns + -columns % LANES), np.float32)
    wide[:, :columns] = kernel
    features, out = np.ascontiguousarray(features), np.empty((n, columns), np.float32)
    block = np.empty((ROWS, wide.shape[1]), np.float32)
    for first in range(0, n, ROWS):
        part = out[first : first + ROWS]
        block[:] = 0.0
        _add_products(features[first : first + ROWS], wide, block)
        part[:] = block[: len(part), :columns]
    return out


@njit
def _add_products(features: Array, kernel: Array, out: Array) -> None:
    """Add the product of two matrices, for two rows and four inputs at a time.

    Parameters
    ----------
    features : ndarray of float32, shape (n, n_inputs)
        What the last layers see.
    kernel : ndarray of float32, shape (n_inputs, n_columns)
        The kernel.
    out : ndarray of float32, shape (n or more, even, n_columns)
        What the product is added to.
    """
    n, inputs = features.shape
    columns, by_four = kernel.shape[1], inputs - inputs % 4
    for i in range(0, n, 2):
        other = i + 1 if i + 1 < n else i
        row, next_row = out[i], out[i + 1]
        for k in range(0, by_four, 4):
            a, b = features[i, k], features[i, k + 1]
            c, d = features[i, k + 2], features[i, k + 3]
            e, f = features[other, k], features[other, k + 1]
            g, h = features[other, k + 2], features[other, k + 3]
            one, two, three, four = kernel[k], kernel[k + 1], kernel[k + 2], kernel[k + 3]
            for j in range(columns):
                row[j] += (a * one[j] + b * two[j]) + (c * three[j] + d * four[j])
                next_row[j] += (e * one[j] + f * two[j]) + (g * three[j] + h * four[j])
        for k in range(by_four, inputs):
            a, e, one = features[i, k], features[other, k], kernel[k]
            for j in range(columns):
                row[j] += a * one[j]
                next_row[j] += e * one[j]
