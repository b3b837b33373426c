"""Products of what last layers see with a kernel, such as that of replicas.

A library of linear algebra adds up in an order that depends on the CPU, on the number of rows and
on where a row stands: in another chunk of its file a jet would get another replica, by 1e-7 of it.
The loop here adds up every row alike. It takes two to three times as long, which is little beside
the network that gives the features.
"""

from __future__ import annotations

import numpy as np

from hepsilon.arrays.kernels import njit
from hepsilon.arrays.types import Array

__all__ = ["multiplied"]


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
    out = np.zeros((len(features), kernel.shape[1]), np.float32)
    _add_products(np.ascontiguousarray(features), kernel, out)
    return out


@njit
def _add_products(features: Array, kernel: Array, out: Array) -> None:
    """Add the product of two matrices, four inputs at a time: a quarter of the passes."""
    inputs, columns = kernel.shape
    by_four = inputs - inputs % 4
    for i in range(len(features)):
        row, seen = out[i], features[i]
        for k in range(0, by_four, 4):
            a, b, c, d = seen[k], seen[k + 1], seen[k + 2], seen[k + 3]
            first, second, third, fourth = kernel[k], kernel[k + 1], kernel[k + 2], kernel[k + 3]
            for j in range(columns):
                row[j] += (a * first[j] + b * second[j]) + (c * third[j] + d * fourth[j])
        for k in range(by_four, inputs):
            last, own = seen[k], kernel[k]
            for j in range(columns):
                row[j] += last * own[j]
