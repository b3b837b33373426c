"""Conversion of awkward arrays to offsets and flat NumPy content, and back.

Counts come from ``ak.num`` and the content from ``ak.flatten``, never from ``layout.content``: a
slice keeps the whole content behind shifted offsets, and masked, virtual and list layouts would
each need a case of their own. Offsets are the running sum of the counts. Missing objects are an
error, and so are missing events, which no offsets can express.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepsilon.arrays.types import Array, Offsets
from hepsilon.errors import InputError

__all__ = [
    "Column",
    "column_names",
    "flat",
    "flat_rows",
    "jagged_records",
    "object_rows",
    "offsets_of",
    "shortened",
    "unflatten",
]

Column = str | tuple[str, ...]
"""Name of a jagged column, or of one column with a number per event for each object."""


def shortened(names: Iterable[str], like: str = "") -> str:
    """List of names for an error: a dozen at most, and how many more there are.

    Parameters
    ----------
    names : iterable of str
        Names that are valid.
    like : str, default ""
        Name that was received; names that resemble it come first.

    Returns
    -------
    str
        Text of the list.
    """
    names = list(names)
    close = difflib.get_close_matches(like, names, n=3, cutoff=0.5) if like else []
    shown = (close + [name for name in names if name not in close])[:12]
    return f"{shown}" + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _check_jagged(array: ak.Array) -> None:
    """Refuse what has no unambiguous objects per event."""
    if not isinstance(array, ak.Array):
        raise InputError(f"expected an awkward array, received {type(array).__name__}")
    layout = ak.to_layout(array, primitive_policy="error")
    while layout.is_indexed and not layout.is_option:
        layout = layout.content
    if layout.is_numpy:
        layout = layout.to_RegularArray()
    if layout.is_option:
        raise InputError(
            "expected one list of objects per event, received an option-typed event axis "
            f"({array.type}); drop the missing events or fill them with ak.fill_none(..., [])"
        )
    if not layout.is_list:
        raise InputError(
            f"expected a jagged array (events x objects) such as events.Jet, received {array.type}"
        )


def offsets_of(array: ak.Array) -> Array:
    """Offsets of the objects of each event, starting at zero.

    Parameters
    ----------
    array : ak.Array, shape (n_events, objects)
        Jagged awkward array, any layout (sliced, masked, list, regular, virtual).

    Returns
    -------
    ndarray of int64, shape (n_events + 1,)
        Bounds of the objects of each event: event i has the objects from number ``offsets[i]`` to
        ``offsets[i + 1] - 1``.

    Raises
    ------
    InputError
        If the events are option-typed or the array is not jagged.
    """
    _check_jagged(array)
    counts = ak.to_numpy(ak.num(array, axis=1))
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def flat(
    array: ak.Array, dtype: npt.DTypeLike | None = np.float64, *, name: str = "array"
) -> Array:
    """Contiguous flat content of a jagged array of numbers, in the events' order.

    The result may share memory with the array: do not write into it.

    Parameters
    ----------
    array : ak.Array, shape (n_events, objects)
        Jagged array with one number per object.
    dtype : dtype or None, default np.float64
        Type of the result; None as it is. Cast flavours (uint8 in NanoAOD v12) to a signed type.
    name : str, default "array"
        Name of the numbers, for the error.

    Returns
    -------
    ndarray of ``dtype``, shape (n_objects,)
        Numbers of all objects.

    Raises
    ------
    InputError
        If events are option-typed, objects are missing, or entries are not numbers.
    """
    _check_jagged(array)
    if array.ndim != 2 or ak.fields(array):
        raise InputError(f"{name}: expected one number per object, received {array.type}")
    content = ak.flatten(array, axis=1)
    missing = int(ak.sum(ak.is_none(content)))
    if missing:
        raise InputError(
            f"{name}: {missing} of {len(content)} objects are missing (None); "
            "drop them (ak.drop_none) or fill them first"
        )
    try:
        values = ak.to_numpy(content, allow_missing=False)
    except (TypeError, ValueError):  # unions and other layouts that are no array
        values = np.empty(0, object)
    if values.dtype.kind not in "biuf":
        raise InputError(f"{name}: expected one number per object, received {array.type}")
    return np.ascontiguousarray(values, dtype=dtype)


def flat_rows(array: ak.Array, *, name: str = "array") -> tuple[Array, Array]:
    """Offsets, and flat float64 content with one row per object.

    Parameters
    ----------
    array : ak.Array, shape (n_events, objects[, n_columns])
        Jagged array with one number per object, which is one column, or with equally many numbers
        for each object. An array without objects tells their number only if its last axis is
        regular; otherwise it counts as one column.
    name : str, default "array"
        Name of the numbers, for the error.

    Returns
    -------
    offsets : ndarray of int64, shape (n_events + 1,)
        Bounds of the objects of each event.
    rows : ndarray of float64, shape (n_objects, n_columns)
        Numbers of all objects.

    Raises
    ------
    InputError
        If :func:`flat` refuses the array, or objects have different numbers of columns.
    """
    offsets = offsets_of(array)
    if array.ndim != 3:
        return offsets, flat(array, name=name)[:, None]
    rows = ak.flatten(array, axis=1)
    widths = ak.to_numpy(ak.num(rows, axis=1)) if len(rows) else np.array([_width(rows)])
    if widths[0] == 0 or not (widths == widths[0]).all():
        raise InputError(f"{name}: expected as many numbers for each object, received {array.type}")
    return offsets, flat(rows, name=name).reshape(len(rows), widths[0])


def _width(rows: ak.Array) -> int:
    """Number of columns of an empty array of rows: that of its type if it has one, else 1."""
    layout = ak.to_layout(rows)
    while layout.is_indexed and not layout.is_option:
        layout = layout.content
    layout = layout.to_RegularArray() if layout.is_numpy else layout
    return int(layout.size) if layout.is_regular else 1


def unflatten(content: Array, offsets: Offsets) -> ak.Array:
    """Cut flat content into events: the inverse of :func:`flat`.

    Parameters
    ----------
    content : ndarray, shape (n_objects, ...)
        Numbers of all objects; trailing axes are kept.
    offsets : ndarray of int64, shape (n_events + 1,)
        Bounds of the objects of each event.

    Returns
    -------
    ak.Array, shape (n_events, objects, ...)
        The numbers, jagged.
    """
    return ak.unflatten(ak.Array(np.asarray(content)), np.diff(offsets))


def object_rows(starts: Array, counts: Array) -> Array:
    """Rows of the objects of chosen events, in the order of these events.

    Parameters
    ----------
    starts : ndarray of int64, shape (n_events,)
        Row of the first object of each event.
    counts : ndarray of int64, shape (n_events,)
        Number of objects of each event.

    Returns
    -------
    ndarray of int64, shape (sum of ``counts``,)
        Row of every object.
    """
    rows = np.repeat(starts - (np.cumsum(counts) - counts), counts)
    rows += np.arange(len(rows))
    return rows


def column_names(columns: Iterable[Column | None]) -> list[str]:
    """Names of all columns that are needed, each once.

    Parameters
    ----------
    columns : iterable of str, tuple of str, or None
        Names of jagged columns, or of the columns that hold one object each; None adds no name.

    Returns
    -------
    list of str
        The names, in the order in which they first occur.
    """
    names: list[str] = []
    for column in columns:
        names += [column] if isinstance(column, str) else column or ()
    return list(dict.fromkeys(names))


def jagged_records(columns: dict[str, ak.Array | list[ak.Array]]) -> ak.Array:
    """Jagged records from jagged columns, or from columns with one object each.

    Parameters
    ----------
    columns : dict of str to ak.Array or list of ak.Array
        Content of each field: a jagged column, shape (n_events, objects), or a list with one
        column, shape (n_events,), for each object of the events.

    Returns
    -------
    ak.Array of records, shape (n_events, objects)
        Records with these fields.

    Raises
    ------
    InputError
        If fields have different numbers of objects in an event.
    """
    jagged = {}
    for field, column in columns.items():
        if isinstance(column, list):
            stacked = np.stack([ak.to_numpy(part) for part in column], axis=1)
            jagged[field] = ak.from_regular(ak.Array(stacked), axis=1)
        else:
            jagged[field] = column
    try:
        return ak.zip(jagged, depth_limit=2)
    except ValueError:
        raise InputError(
            f"the columns {list(columns)} do not have the same number of objects in every event"
        ) from None
