"""Checks of numbers: finite values, probabilities of objects and of events."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepsilon.arrays.columns import flat, offsets_of
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError

__all__ = ["check_finite", "check_seed", "checked", "checked_events", "probabilities"]


def probabilities(values: Array, name: str) -> Array:
    """Check that numbers are probabilities.

    Parameters
    ----------
    values : ndarray of float64
        Numbers of any shape.
    name : str
        Name of the numbers, for the error.

    Returns
    -------
    ndarray of float64, shape of ``values``
        The array that was given, unchanged.

    Raises
    ------
    InputError
        If values are NaN or outside [0, 1], with their number.
    """
    bad = int(np.count_nonzero(~((values >= 0.0) & (values <= 1.0))))
    if bad:
        raise InputError(f"{name}: {bad} of {values.size} values are NaN or outside [0, 1]")
    return values


def checked(eps: ak.Array, name: str = "efficiency") -> tuple[Array, Array]:
    """Offsets and flat float64 values of jagged probabilities.

    Parameters
    ----------
    eps : ak.Array of float, shape (n_events, objects)
        Probability of every object, jagged.
    name : str, default "efficiency"
        Name of the numbers, for the error.

    Returns
    -------
    offsets : ndarray of int64, shape (n_events + 1,)
        Bounds of the objects of each event.
    values : ndarray of float64, shape (n_objects,)
        Probabilities of all objects.

    Raises
    ------
    InputError
        If the array is not jagged, objects or events are missing, or values are NaN or outside
        [0, 1], with their number.
    """
    return offsets_of(eps), probabilities(flat(eps, name=name), name)


def checked_events(eps: ak.Array | Array, n_events: int, name: str = "efficiency") -> Array:
    """Probabilities of events as float64, one for each.

    Parameters
    ----------
    eps : ak.Array or ndarray, shape (n_events,)
        Probability of every event.
    n_events : int
        Number of events.
    name : str, default "efficiency"
        Name of the numbers, for the error.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        The probabilities.

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
    """Check that a column holds finite numbers only.

    Parameters
    ----------
    column : ndarray of float
        Numbers of any shape.
    name : str
        Name of the column, for the error.

    Returns
    -------
    ndarray of float, shape of ``column``
        The array that was given, unchanged.

    Raises
    ------
    InputError
        If values are NaN or infinite, with their number.
    """
    bad = int(np.count_nonzero(~np.isfinite(column)))
    if bad:
        raise InputError(f"{name}: {bad} of {column.size} values are NaN or infinite")
    return column


def check_seed(seed: Any, low: int = 0, bits: int = 64) -> int:
    """The seed, or an error: 1.5 is not taken as 1.

    Parameters
    ----------
    seed : int
        Seed.
    low : int, default 0
        Smallest one that is allowed.
    bits : int, default 64
        Number of bits of the largest one.

    Returns
    -------
    int
        The seed.

    Raises
    ------
    ValueError
        If it is not a whole number, or out of range.
    """
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not low <= seed < 2**bits:
        kind = "a seed" if whole else "a whole number as seed,"
        raise ValueError(f"expected {kind} between {low} and 2^{bits} - 1, received {seed!r}")
    return int(seed)
