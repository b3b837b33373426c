"""Rows of a matrix product whose result does not depend on which other rows stand beside them.

Libraries of linear algebra treat four and more rows at a time, and those that are left over (or a
single one) by other code, which adds up in another order: in float32 an object would get another
number, by 1e-7 of it, in another chunk of its file. With rows of zeros up to a multiple of four
nothing is left over.
"""

from __future__ import annotations

import numpy as np

from hepsilon.arrays.types import Array

__all__ = ["ROWS_AT_ONCE", "filled"]

ROWS_AT_ONCE = 4
"""Rows up to a multiple of which a batch is filled."""


def filled(rows: Array, step: int = ROWS_AT_ONCE) -> Array:
    """Rows with as many of zeros after them as make their number a multiple.

    Parameters
    ----------
    rows : ndarray, shape (n, ...)
        Rows of a batch.
    step : int, default 4
        What their number is to be a multiple of.

    Returns
    -------
    ndarray, shape (n + more, ...)
        The rows themselves where nothing is left over.
    """
    more = -len(rows) % step
    if not more:
        return rows
    return np.concatenate([rows, np.zeros((more, *rows.shape[1:]), rows.dtype)])
