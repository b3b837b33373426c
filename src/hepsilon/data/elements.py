"""Numbers of the event that one object of a list has: ``Muon_pt[0]``, the pt of the first muon.

They bring other collections into a task: the features of its objects, the cuts on events, weights
and responses may be such numbers. An event without that object has no number: NaN stands for it,
which a feature declares as missing (``missing = { "Muon_pt[0]" = ["nan"] }``), and no cut passes.
"""

from __future__ import annotations

import re

import awkward as ak
import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.errors import InputError

__all__ = ["element", "has_element", "list_of", "split_element"]

ELEMENT = re.compile(r"(?P<column>.+)\[(?P<number>\d{1,4})\]")


def split_element(name: str) -> tuple[str, int | None]:
    """Take a name apart: the column with the lists, and the number of the object.

    Parameters
    ----------
    name : str
        Name of a column, such as ``"Muon_pt[0]"`` or ``"MET_pt"``.

    Returns
    -------
    column : str
        The name without the number.
    number : int or None
        Number of the object, from zero; None for a name without one.
    """
    match = ELEMENT.fullmatch(name)
    return (match["column"], int(match["number"])) if match else (name, None)


def list_of(name: str) -> str:
    """Name of the column that is read for a number: without the number of the object."""
    return split_element(name)[0]


def element(values: ak.Array, number: int, column: str) -> ak.Array:
    """Take the number of one object of every event.

    Parameters
    ----------
    values : ak.Array, shape (n_events, objects)
        Column with one number for each object.
    number : int
        Number of the object, from zero, in the order of the file.
    column : str
        Name of the column, for errors.

    Returns
    -------
    ak.Array, shape (n_events,)
        The numbers; where events lack the object float64, and NaN for these.

    Raises
    ------
    InputError
        If the column has no numbers of objects.
    """
    _check(values, number, column)
    taken = ak.pad_none(values, number + 1, axis=1)[:, number]
    if not ak.any(ak.is_none(taken)):
        return ak.drop_none(taken)
    return ak.fill_none(ak.values_astype(taken, np.float64), np.nan)


def has_element(values: ak.Array, number: int, column: str) -> Array:
    """Tell which events have an object of that number.

    Parameters
    ----------
    values : ak.Array, shape (n_events, objects)
        Column with one number for each object.
    number : int
        Number of the object, from zero.
    column : str
        Name of the column, for errors.

    Returns
    -------
    ndarray of bool, shape (n_events,)
        True for those that have it.
    """
    _check(values, number, column)
    return np.asarray(ak.to_numpy(ak.num(values, axis=1)) > number)


def _check(values: ak.Array, number: int, column: str) -> None:
    if values.ndim != 2 or ak.fields(values):
        raise InputError(
            f"{column}[{number}]: expected a list with one number for each object in {column!r}, "
            f"got {values.type}"
        )
    missing = int(ak.sum(ak.is_none(values, axis=0)))
    if missing:
        raise InputError(f"{missing} of {len(values)} events are missing in {column!r}")
