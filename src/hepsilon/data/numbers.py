"""Numbers of the event in events of any schema: weights, event numbers, flags."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import check_finite
from hepsilon.arrays.columns import shortened
from hepsilon.arrays.keys import EVENT_NAMES
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.elements import has_element, split_element
from hepsilon.data.layout import Layout, column_of
from hepsilon.data.selection import cut_mask
from hepsilon.errors import InputError

__all__ = [
    "event_column",
    "event_ids",
    "event_mask",
    "event_selection",
    "event_weights",
    "metadata",
    "per_event",
    "place_of",
]


def metadata(events: ak.Array) -> Mapping[str, Any]:
    """Take what coffea, or the reader of this package, says about a chunk of events.

    Parameters
    ----------
    events : ak.Array
        A chunk.

    Returns
    -------
    mapping of str to Any
        ``dataset``, ``filename``, ``fileuuid``, ``entrystart`` as far as they are known.
    """
    said = events.attrs.get("metadata")
    if said is None and "metadata" not in ak.fields(events):
        said = getattr(events, "metadata", None)
    return said or {}


def place_of(events: ak.Array) -> str:
    """File that events come from, for errors."""
    return str(metadata(events).get("filename", "the events"))


def per_event(array: ak.Array, column: str, place: str) -> Array:
    """A column with one number per event; what is missing becomes NaN.

    Parameters
    ----------
    array : ak.Array, shape (n_events,)
        Column as it was read.
    column : str
        Its name, for errors.
    place : str
        Name of the file, for errors.

    Returns
    -------
    ndarray, shape (n_events,)
        One number of each event.
    """
    if array.ndim != 1 or ak.fields(array):
        raise InputError(f"{place}: expected one number per event in {column!r}, got {array.type}")
    if ak.any(ak.is_none(array)):
        array = ak.fill_none(ak.values_astype(array, np.float64), np.nan)
    values = np.asarray(ak.to_numpy(array, allow_missing=False))
    if values.dtype.kind not in "biuf":
        raise InputError(f"{place}: expected one number per event in {column!r}, got {array.type}")
    return values


def event_column(events: ak.Array, name: str, config: InputConfig) -> Array:
    """Take a column with one number for every event.

    Parameters
    ----------
    events : ak.Array
        A chunk of any schema.
    name : str
        Name of the number, or of an event number.
    config : InputConfig
        Places of the columns.

    Returns
    -------
    ndarray, shape (n_events,)
        The numbers; NaN where one is missing.

    Raises
    ------
    InputError
        If the events do not have it.
    """
    constant = config.branches.get(name)
    if isinstance(constant, float):
        return np.full(len(events), constant)
    known = Layout.of_numbers(events, config)
    column = known.of_event(name)
    assert column is not None
    return per_event(column_of(events, column), column, place_of(events))


def event_selection(
    events: ak.Array, task: Task, config: InputConfig
) -> tuple[Array, dict[str, Array]]:
    """Tell which events no sound number of the task's selection drops, and give the numbers.

    A number that is NaN or infinite drops no event: where no other cut does, it is damage. An event
    without the object of a number such as ``Muon_pt[0]`` fails every cut on it.

    Parameters
    ----------
    events : ak.Array
        A chunk of any schema.
    task, config : Task or InputConfig
        The selection, and places of the columns.

    Returns
    -------
    kept : ndarray of bool, shape (n_events,)
        True for those that are not dropped.
    numbers : dict of str to ndarray, shape (n_events,)
        Numbers of the cuts, by name.

    Raises
    ------
    InputError
        If the events do not have a number of the selection.
    """
    names = dict.fromkeys(cut.field for cut in task.event_selection)
    numbers = {name: event_column(events, name, config) for name in names}
    kept = np.ones(len(events), bool)
    for name in names:
        kept &= _has_object(events, name, config)
    for cut in task.event_selection:
        values = numbers[cut.field]
        kept &= ~np.isfinite(values) | np.asarray(cut_mask(values, cut))
    return kept, numbers


def _has_object(events: ak.Array, name: str, config: InputConfig) -> Array:
    """True for events that have the object whose number is meant, if it is one of an object."""
    column = Layout.of_numbers(events, config).of_event(name)
    if column is None:  # a number that all events have
        return np.ones(len(events), bool)
    lists, number = split_element(column)
    if number is None or column in ak.fields(events):
        return np.ones(len(events), bool)
    return has_element(column_of(events, lists), number, lists)


def event_mask(events: ak.Array, task: Task, config: InputConfig) -> Array:
    """Tell which events pass the task's selection of events.

    Parameters
    ----------
    events : ak.Array
        A chunk of any schema.
    task, config : Task or InputConfig
        The selection, and places of the columns.

    Returns
    -------
    ndarray of bool, shape (n_events,)
        True for those that pass.

    Raises
    ------
    InputError
        If a number of the selection is missing, or is NaN in an event that no other cut drops.
    """
    kept, numbers = event_selection(events, task, config)
    for name, values in numbers.items():
        check_finite(values[kept], name)
    return kept


def event_weights(events: ak.Array, task: Task, config: InputConfig) -> Array:
    """Take the task's event weight, times the weight of the sample.

    Parameters
    ----------
    events : ak.Array
        A chunk of any schema.
    task, config : Task or InputConfig
        Name of the weight, and places of the columns.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        The weights; ones where the task names none.

    Raises
    ------
    InputError
        If the events do not have it.
    """
    sample = float(metadata(events).get("sample_weight", 1.0))
    if task.weight is None:
        return np.full(len(events), sample)
    return event_column(events, task.weight, config).astype(np.float64) * sample


def event_ids(events: ak.Array, config: InputConfig) -> tuple[Array, Array, Array]:
    """Take the numbers that tell events apart.

    Parameters
    ----------
    events : ak.Array
        A chunk of any schema.
    config : InputConfig
        Places of the columns, and whether file and entry take the place of the event's numbers.

    Returns
    -------
    tuple of ndarray of uint64, each of shape (n_events,)
        Run, luminosity block and event number of each event. Where there is no event number, or
        ``event_key = "entry"``: a number of the file, zero, and the number of the entry.

    Raises
    ------
    InputError
        If ``schema = "nanoaod"`` and one is missing, or they cannot be numbers of events.
    """
    layout = Layout.of_numbers(events, config)
    required = config.schema_ == "nanoaod" and config.event_key == "event"
    if config.event_key == "entry":
        return _entry_ids(events)
    names = [layout.of_event(name, required=required) for name in EVENT_NAMES]
    if names[-1] is None:
        return _entry_ids(events)
    zeros = np.zeros(len(events), np.uint64)
    columns = [zeros if n is None else _whole(events, n) for n in names]
    return columns[0], columns[1], columns[2]


def _whole(events: ak.Array, column: str) -> Array:
    values = per_event(column_of(events, column), column, place_of(events))
    if values.dtype.kind == "f":
        check_finite(values, f"{place_of(events)}: {column}")
        wrong = int(np.count_nonzero(values != np.floor(values)))
        if wrong:
            raise InputError(f"{place_of(events)}: {column}: {wrong} values are no whole numbers")
        limit = 2.0 ** (np.finfo(values.dtype).nmant + 1)
        rounded = int(np.count_nonzero(np.abs(values) > limit))
        if rounded:
            raise InputError(
                f"{place_of(events)}: {column}: {rounded} values are above {limit:.0f}, where "
                f"{values.dtype} does not hold every whole number: events cannot be told apart; "
                'let file and entry do so by event_key = "entry" under [input]'
            )
    return (
        values.astype(np.int64).astype(np.uint64)
        if values.dtype.kind != "u"
        else (values.astype(np.uint64))
    )


def _entry_ids(events: ak.Array) -> tuple[Array, Array, Array]:
    """File, zero, and entry."""
    said = metadata(events)
    if "entrystart" not in said or "fileuuid" not in said:
        raise InputError(
            "expected event numbers, or a chunk that knows its file and entries (as coffea's "
            f"Runner gives it), received {shortened(ak.fields(events), 'event')}; name the event "
            "number under [input.branches]"
        )
    uuid = str(said["fileuuid"]).encode()
    file = zlib.crc32(uuid) | zlib.crc32(uuid[::-1]) << 32
    entries = np.arange(len(events), dtype=np.uint64) + np.uint64(said["entrystart"])
    return np.full(len(events), file, np.uint64), np.zeros(len(events), np.uint64), entries
