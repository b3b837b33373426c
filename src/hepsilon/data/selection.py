"""Selection, order, fiducial region and response of a task's objects."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import check_finite
from hepsilon.arrays.columns import flat, offsets_of, unflatten
from hepsilon.arrays.fields import field
from hepsilon.arrays.types import Array
from hepsilon.config.task import Cut, Task
from hepsilon.errors import InputError

__all__ = [
    "cut_mask",
    "fiducial_events",
    "inside_fiducial",
    "ordered",
    "passed",
    "passing",
    "select",
]


def ordered(records: ak.Array, task: Task) -> ak.Array:
    """The records with the objects of every event in the order of the task.

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        The objects.
    task : Task
        Task with the field of the order, ``order_by``; without one nothing changes.

    Returns
    -------
    ak.Array of records, shape (n_events, objects)
        Objects by falling values of the field.
    """
    if task.order_by is None:
        return records
    values = field(records, task.order_by)
    keys = check_finite(flat(values, name=task.order_by), task.order_by)
    keys = unflatten(keys, offsets_of(values))  # without the option type of nullable columns
    return records[ak.argsort(keys, axis=1, ascending=False, stable=True)]


def cut_mask(values: Any, cut: Cut) -> Any:
    """Tell which values meet a requirement.

    Parameters
    ----------
    values : ak.Array or ndarray
        The field, or number of the event, of the cut.
    cut : Cut
        The requirement.

    Returns
    -------
    ak.Array or ndarray of bool
        Like the values.
    """
    mask = values == values  # noqa: PLR0124
    if cut.min is not None:
        mask = mask & (values >= cut.min)
    if cut.max is not None:
        mask = mask & (values <= cut.max)
    if cut.abs_max is not None:
        mask = mask & (abs(values) <= cut.abs_max)
    if cut.equals is not None:
        mask = mask & (values == cut.equals)
    return mask


def passing(records: ak.Array, cut: Cut) -> ak.Array:
    """Tell which objects meet a requirement.

    Parameters
    ----------
    records : ak.Array of records, jagged
        The objects.
    cut : Cut
        The requirement.

    Returns
    -------
    ak.Array of bool, jagged
        True for those that do.

    Raises
    ------
    InputError
        If the field is missing, or has values that are NaN or missing.
    """
    values = field(records, cut.field)
    undefined = int(ak.sum(ak.is_none(values, axis=1))) + int(ak.sum(values != values))  # noqa: PLR0124
    if undefined:
        raise InputError(
            f"{cut.field}: {undefined} values are NaN or missing, for which the requirement "
            f"{cut} has no answer"
        )
    return ak.fill_none(cut_mask(values, cut), False)


def select(records: ak.Array, task: Task) -> ak.Array:
    """Take the objects that pass the selection of the task, in their events.

    Parameters
    ----------
    records : ak.Array of records, jagged
        The objects.
    task : Task
        The task.

    Returns
    -------
    ak.Array of records, jagged
        As many events, with the objects that are left.

    Raises
    ------
    InputError
        If a field of the selection is missing, or has values that are NaN or missing.
    """
    for cut in task.selection:
        records = records[passing(records, cut)]
    return records


def inside_fiducial(records: ak.Array, task: Task) -> Array:
    """True for each event whose objects are all inside the task's fiducial region.

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        The objects.
    task : Task
        Task with the region; without one all events are inside.

    Returns
    -------
    ndarray of bool, shape (n_events,)
        Whether the event is inside.
    """
    inside = np.ones(len(records), bool)
    for cut in task.fiducial.cuts if task.fiducial else ():
        inside &= ak.to_numpy(ak.all(passing(records, cut), axis=1))
    return inside


def fiducial_events(records: ak.Array, task: Task, among: Array | None = None) -> Array:
    """Tell which events are inside the fiducial region, or refuse those that are not.

    Parameters
    ----------
    records : ak.Array of records, jagged
        Selected objects of every event.
    task : Task
        Task of events; its region says whether an event outside is an error.
    among : ndarray of bool, shape (n_events,), optional
        Events that count; by default all.

    Returns
    -------
    ndarray of bool, shape (n_events,)
        True for those that count and are inside.

    Raises
    ------
    InputError
        If events are outside and the task forbids it, with their number.
    """
    inside = inside_fiducial(records, task)
    counted = np.ones(len(inside), bool) if among is None else among
    outside = int(np.count_nonzero(counted & ~inside))
    if outside and task.fiducial is not None and task.fiducial.outside == "raise":
        raise InputError(
            f"{outside} of {int(counted.sum())} events are outside the fiducial region of the "
            'task; select them away, or drop them with outside = "drop" in [task.fiducial]'
        )
    return np.asarray(inside & counted)


def passed(records: ak.Array, task: Task) -> ak.Array:
    """The response: which objects passed (bool, jagged); of a task of events, which events.

    Where there are several working points, the number of them that each object passes (jagged).

    Parameters
    ----------
    records : ak.Array
        The objects, or the events of a task of events.
    task : Task
        Task with the response and its working points.

    Returns
    -------
    ak.Array of bool or int
        Response of each object (jagged), or of each event.

    Raises
    ------
    InputError
        For a missing field or NaN values.
    """
    values = field(records, task.passed.field)
    undefined = int(ak.sum(values != values))  # noqa: PLR0124
    if undefined:
        raise InputError(f"{task.passed.field}: {undefined} values are NaN")
    cuts = task.passed.above
    if cuts is None:
        _check_binary(values, task.passed.field)
        return values == 1
    if len(cuts) == 1:
        return values > cuts[0]
    return sum(ak.values_astype(values > cut, np.int16) for cut in cuts)


def _check_binary(values: ak.Array, name: str) -> None:
    """Refuse a response that is neither boolean nor 0 or 1.

    Raises
    ------
    InputError
        With the number of each value.
    """
    content = ak.drop_none(ak.flatten(values, axis=None))
    if ak.all((content == 0) | (content == 1)):
        return
    found, counts = np.unique(np.asarray(ak.to_numpy(content)), return_counts=True)
    numbers = dict(zip(found.tolist(), counts.tolist(), strict=True))
    shown = ", ".join(f"{value:g}: {count}" for value, count in list(numbers.items())[:8])
    more = f" and {len(numbers) - 8} more values" if len(numbers) > 8 else ""
    raise InputError(
        f"{name}: expected a response of 0 or 1, or a boolean, received {shown}{more}; name the "
        f'cuts that count as passed, such as passed = {{ field = "{name}", above = [0.5] }}'
    )
