"""Selection, order, fiducial region and response of a task's objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import check_finite
from hepsilon.arrays.columns import flat, offsets_of, unflatten
from hepsilon.arrays.fields import field, partners_of
from hepsilon.arrays.types import Array, Offsets
from hepsilon.config.task import Cut, Task
from hepsilon.errors import InputError

__all__ = [
    "Failures",
    "counted_objects",
    "cut_mask",
    "fiducial_events",
    "inside_fiducial",
    "ordered",
    "passed",
    "places",
    "select",
]

PLACE = "hepsilon_place"
"""Field with the position of an object, for a moment."""


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


def places(records: ak.Array, task: Task) -> Array:
    """Position of the objects in the task's order among those given.

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        The objects.
    task : Task
        Task with the field of the order.

    Returns
    -------
    ndarray of int64, shape (n_objects,)
        Row i of :func:`ordered` is this row of the records, both flat.
    """
    rows = unflatten(np.arange(offsets_of(records)[-1]), offsets_of(records))
    return flat(ordered(ak.with_field(records, rows, PLACE), task)[PLACE]).astype(np.int64)


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


@dataclass(frozen=True)
class Failures:
    """Answers of requirements for objects: one rule for numbers that are no numbers.

    A number that is NaN, infinite or missing drops no object: where no other one does, it is
    damage.
    The field of the response may be infinite, as discriminants are.

    Attributes
    ----------
    cuts : tuple of Cut
        The requirements.
    failed : tuple of ndarray of bool, each of shape (n_objects,)
        By requirement, True for the objects whose sound number does not meet it.
    unsound : tuple of ndarray of bool, each of shape (n_objects,)
        By requirement, True for the objects whose number has no answer.
    """

    cuts: tuple[Cut, ...]
    failed: tuple[Array, ...]
    unsound: tuple[Array, ...]

    @classmethod
    def of(cls, records: ak.Array, cuts: Iterable[Cut], task: Task) -> Failures:
        """Put requirements to the objects.

        Parameters
        ----------
        records : ak.Array of records, jagged
            The objects.
        cuts : iterable of Cut
            Requirements on their fields.
        task : Task
            Task with the response.

        Returns
        -------
        Failures
            The answers.
        """
        cuts, failed, unsound = tuple(cuts), [], []
        for cut in cuts:
            values = field(records, cut.field)
            if ak.any(ak.is_none(values, axis=1)):
                values = ak.fill_none(ak.values_astype(values, np.float64), np.nan)
            numbers = flat(values, None, name=cut.field)
            wrong = np.zeros(len(numbers), bool)
            if numbers.dtype.kind == "f":
                known = cut.field == task.passed.field
                wrong = np.isnan(numbers) if known else ~np.isfinite(numbers)
            failed.append(~wrong & ~cut_mask(numbers, cut))
            unsound.append(wrong)
        return cls(cuts, tuple(failed), tuple(unsound))

    def any(self, size: int) -> Array:
        """True for each of ``size`` objects that a sound number drops."""
        return np.asarray(np.logical_or.reduce([np.zeros(size, bool), *self.failed]))

    def undecided(self, size: int) -> Array:
        """True for each of ``size`` objects that have a number without an answer."""
        return np.asarray(np.logical_or.reduce([np.zeros(size, bool), *self.unsound]))

    def check(self, among: Array) -> None:
        """Refuse numbers without an answer where they decide.

        Parameters
        ----------
        among : ndarray of bool, shape (n_objects,)
            Objects that nothing else drops.

        Raises
        ------
        InputError
            With the field and the number of the first requirement.
        """
        for cut, wrong in zip(self.cuts, self.unsound, strict=True):
            count = int(np.count_nonzero(wrong & among))
            if count:
                raise InputError(
                    f"{cut.field}: {count} values are NaN, infinite or missing, for which the "
                    f"requirement {cut} has no answer"
                )


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
        If a field of the selection is missing, or has values that are NaN, infinite or missing in
        objects that no other requirement drops.
    """
    together = not partners_of(cut.field for cut in task.selection)
    for cuts in [task.selection] if together else [(cut,) for cut in task.selection]:
        failures, offsets = Failures.of(records, cuts, task), offsets_of(records)
        kept = ~failures.any(offsets[-1])
        failures.check(kept)
        records = records if kept.all() else records[unflatten(kept, offsets)]
    return records


def counted_objects(records: ak.Array, task: Task) -> Array:
    """True for each object whose damaged numbers matter: those that no sound number drops.

    Parameters
    ----------
    records : ak.Array of records, jagged
        The objects, before the selection.
    task : Task
        Task with the selection and the fiducial region.

    Returns
    -------
    ndarray of bool, shape (n_objects,)
        False for objects that fail the selection, and for those of events outside the region. All
        count where a requirement depends on the other objects of the event.
    """
    offsets = offsets_of(records)
    size = offsets[-1]
    region = task.fiducial.cuts if task.fiducial else ()
    if partners_of(cut.field for cut in (*task.selection, *region)):
        return np.ones(size, bool)
    selection = Failures.of(records, task.selection, task)
    kept = ~selection.any(size)
    if not region:
        return kept
    outside = Failures.of(records, region, task).any(size) & kept & ~selection.undecided(size)
    return np.asarray(kept & np.repeat(~_any_object(outside, offsets), np.diff(offsets)))


def _any_object(objects: Array, offsets: Offsets) -> Array:
    """True for each event with such an object."""
    return np.asarray(np.diff(np.concatenate([[0], np.cumsum(objects)])[offsets]) > 0)


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

    Raises
    ------
    InputError
        For numbers that are NaN, infinite or missing in an event that no other one places outside.
    """
    if task.fiducial is None:
        return np.ones(len(records), bool)
    offsets = offsets_of(records)
    failures = Failures.of(records, task.fiducial.cuts, task)
    inside = ~_any_object(failures.any(offsets[-1]), offsets)
    failures.check(np.repeat(inside, np.diff(offsets)))
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
