"""Values that stand for a missing number, and how they are marked in a matrix of features."""

from __future__ import annotations

from typing import Literal, TypeAlias

import awkward as ak
import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.config.task import NAN

__all__ = ["MISSING", "Sentinels", "filled", "is_missing", "is_sentinel"]

Sentinels: TypeAlias = tuple[float | Literal["nan"], ...]
"""Values of a feature that stand for a missing one."""
MISSING = np.float32(-1e30)
"""Value of a missing feature in a matrix: finite, and far from every number."""


def is_missing(column: Array) -> Array:
    """True where a feature in a matrix is missing."""
    return np.asarray(column <= 0.5 * MISSING)


def filled(values: ak.Array, sentinels: Sentinels) -> ak.Array:
    """None as NaN, where NaN stands for a missing value.

    Parameters
    ----------
    values : ak.Array of float, jagged
        Field of the objects.
    sentinels : tuple of float or "nan"
        Values that stand for a missing one.

    Returns
    -------
    ak.Array of float, jagged
        The field, unchanged without ``"nan"``.
    """
    if NAN not in sentinels:
        return values
    return ak.fill_none(ak.values_astype(values, np.float64), np.nan, axis=-1)


def is_sentinel(values: Array, sentinels: Sentinels) -> Array:
    """True where a value is one of those that stand for a missing one, in float32.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        Values of a feature.
    sentinels : tuple of float or "nan"
        Values that stand for a missing one.

    Returns
    -------
    ndarray of bool, shape (n,)
        Whether the value is missing.
    """
    found = np.zeros(len(values), bool)
    for sentinel in sentinels:
        if sentinel == NAN:
            found |= np.isnan(values)
        else:
            found |= values.astype(np.float32) == np.float32(sentinel)
    return found
