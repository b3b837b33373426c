"""Checks of numbers: finite values, probabilities of objects and of events."""

from __future__ import annotations

import awkward as ak
import numpy as np

from hepsilon.arrays.columns import flat, offsets_of
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError

__all__ = ["check_finite", "checked", "checked_events", "probabilities"]


def probabilities(values: Array, name: str) -> Array:
    """The values, or an InputError that counts those that are NaN or outside [0, 1]."""
    bad = int(np.count_nonzero(~((values >= 0.0) & (values <= 1.0))))
    if bad:
        raise InputError(f"{name}: {bad} of {values.size} values are NaN or outside [0, 1]")
    return values


def checked(eps: ak.Array, name: str = "efficiency") -> tuple[Array, Array]:
    """Offsets and flat float64 values of jagged probabilities.

    Raises
    ------
    InputError
        Counting the values that are NaN or outside [0, 1].
    """
    return offsets_of(eps), probabilities(flat(eps, name=name), name)


def checked_events(eps: ak.Array | Array, n_events: int, name: str = "efficiency") -> Array:
    """Probabilities of events as float64 (``n_events``).

    Raises
    ------
    InputError
        For another number of events, missing values, or values that are NaN or outside [0, 1].
    """
    try:
        values = np.asarray(ak.to_numpy(eps, allow_missing=False), np.float64)
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    if values.shape != (n_events,):
        raise InputError(
            f"{name}: expected one number for each of {n_events} events, received "
            f"{getattr(eps, 'type', values.shape)}"
        )
    return probabilities(values, name)


def check_finite(column: Array, name: str) -> Array:
    """Return the column, or raise an InputError that counts what is not finite."""
    bad = int(np.count_nonzero(~np.isfinite(column)))
    if bad:
        raise InputError(f"{name}: {bad} of {column.size} values are NaN or infinite")
    return column
