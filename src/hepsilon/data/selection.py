"""Selection, order, fiducial region and response of a task's objects."""

from __future__ import annotations

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import check_finite
from hepsilon.arrays.columns import flat, offsets_of, unflatten
from hepsilon.arrays.fields import field
from hepsilon.arrays.types import Array
from hepsilon.config.task import Cut, Task
from hepsilon.errors import InputError

__all__ = ["inside_fiducial", "ordered", "passed", "select"]


def ordered(records: ak.Array, task: Task) -> ak.Array:
    """The records with the objects of every event in the order of the task."""
    if task.order_by is None:
        return records
    values = field(records, task.order_by)
    keys = check_finite(flat(values, name=task.order_by), task.order_by)
    keys = unflatten(keys, offsets_of(values))  # without the option type of nullable columns
    return records[ak.argsort(keys, axis=1, ascending=False, stable=True)]


def _mask(records: ak.Array, cut: Cut) -> ak.Array:
    values = field(records, cut.field)
    mask = ak.ones_like(values, dtype=bool)
    if cut.min is not None:
        mask = mask & (values >= cut.min)
    if cut.max is not None:
        mask = mask & (values <= cut.max)
    if cut.abs_max is not None:
        mask = mask & (abs(values) <= cut.abs_max)
    return ak.fill_none(mask, False)


def select(records: ak.Array, task: Task) -> ak.Array:
    """Objects that pass the selection of the task, in their events."""
    for cut in task.selection:
        records = records[_mask(records, cut)]
    return records


def inside_fiducial(records: ak.Array, task: Task) -> Array:
    """True for each event whose objects are all inside the task's fiducial region."""
    inside = np.ones(len(records), bool)
    for cut in task.fiducial.cuts if task.fiducial else ():
        inside &= ak.to_numpy(ak.all(_mask(records, cut), axis=1))
    return inside


def passed(records: ak.Array, task: Task) -> ak.Array:
    """The response: which objects passed (bool, jagged); of a task of events, which events.

    Where there are several working points, the number of them that each object passes (jagged).

    Parameters
    ----------
    records : ak.Array
        The objects, or the events of a task of events.

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
        return values == 1
    if len(cuts) == 1:
        return values > cuts[0]
    return sum(ak.values_astype(values > cut, np.int16) for cut in cuts)
