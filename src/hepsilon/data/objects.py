"""Objects of a task in events of any schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import awkward as ak
import numpy as np

from hepsilon.arrays.columns import jagged_records, offsets_of, shortened
from hepsilon.arrays.fields import DERIVED, available
from hepsilon.arrays.keys import EVENT_NAMES
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.layout import Column, Layout, column_of
from hepsilon.data.numbers import per_event, place_of
from hepsilon.errors import InputError

__all__ = ["collection"]

KINEMATICS = ("pt", "eta", "phi", "mass")


def collection(
    events: ak.Array,
    task: Task,
    config: InputConfig,
    name: str | None = None,
    fields: Iterable[str] | None = None,
) -> ak.Array:
    """Take the objects of a task from events of any schema.

    Events of a schema have the collection as a field; of flat events the columns that follow a
    pattern, such as ``COLLECTION_field``, or are named under ``[input.branches]`` are put together.
    Numbers of the event that the task names as features become fields of its objects. ``pt``,
    ``eta``, ``phi`` and ``mass`` are computed where only ``px, py, pz`` and ``energy`` exist.

    Parameters
    ----------
    events : ak.Array
        A chunk.
    task : Task
        Task whose collection is wanted.
    config : InputConfig
        Places of the columns.
    name : str, optional
        Collection of reconstructed objects, with the branches of ``config.reconstructed``.
    fields : iterable of str, optional
        Fields that are wanted; by default all.

    Returns
    -------
    ak.Array of records, jagged
        Objects of every event.

    Raises
    ------
    InputError
        If the events have neither the collection nor such columns.
    """
    layout = Layout.of_events(events, task, config, name)
    if layout.collection in ak.fields(events):
        records = column_of(events, layout.collection)
        if ak.fields(records):
            if records.ndim == 1:
                names = [f"{layout.collection}_{field}" for field in ak.fields(records)]
                raise _no_objects(place_of(events), names, config)
            return _completed(_with_numbers(records, events, task, layout))
    wanted = _fields_here(layout, task) if fields is None else fields
    numbers = {*task.event_fields, *task.truth_fields} - set(task.object_fields)
    columns = layout.of_objects(n for n in wanted if n not in numbers or not task.of_events)
    if not columns:
        raise InputError(
            f"expected a collection {layout.collection!r} or columns {layout.collection}_*, "
            f"received {shortened(ak.fields(events), layout.collection)}"
        )
    # an evaluation reads neither response nor weight
    asked = {*task.object_fields} - {task.passed.field, task.object_weight}
    needed = frozenset(asked if fields is None else columns)
    return _completed(_defined(_records(events, columns, layout, config, needed), task))


def _defined(records: ak.Array, task: Task) -> ak.Array:
    """Records whose missing numbers are NaN, but for fields of the task, which are checked."""
    for name in set(ak.fields(records)) - set(task.object_fields):
        values = records[name]
        if values.ndim == 2 and ak.any(ak.is_none(values, axis=1)):
            filled = ak.fill_none(ak.values_astype(values, np.float64), np.nan)
            records = ak.with_field(records, filled, name)
    return records


def _fields_here(layout: Layout, task: Task) -> list[str]:
    """All fields that the events hold; one that is mapped and that the task needs must be there.

    Numbers of the event that the task names are among them.
    """
    held, needed = layout.all_fields(), task.object_fields
    fields = [n for n in held if n in needed or layout.has_object(n)]
    return fields + [n for n in needed if n not in held and layout.has_object(n)]


def _with_numbers(records: ak.Array, events: ak.Array, task: Task, layout: Layout) -> ak.Array:
    """Records of a schema, with fields of other columns as ``[input.branches]`` says.

    Numbers of the event stand for fields that the records lack, as in flat events.
    """
    names, numbers = frozenset(ak.fields(records)), {*EVENT_NAMES, *task.event_fields}
    mapped = [name for name in layout.branches if name not in numbers]
    lacking = [n for n in task.object_fields if n not in mapped and not available(names, n)]
    place = place_of(events)
    for name in (*mapped, *lacking):
        if name in lacking and not layout.has_object(name):
            continue  # whoever needs the field says what is missing
        column = layout.of_object(name)
        if isinstance(column, float):
            records = ak.with_field(records, column, name)
        elif isinstance(column, str):
            records = ak.with_field(records, column_of(events, column), name)
        else:
            parts = [per_event(column_of(events, c), c, place) for c in column]
            records = ak.with_field(records, jagged_records({name: parts})[name], name)
    return records


def _records(
    events: ak.Array,
    columns: Mapping[str, Column],
    layout: Layout,
    config: InputConfig,
    needed: frozenset[str],
) -> ak.Array:
    """Jagged records from columns of flat events.

    Columns that nobody needs are left out where a graph of dask has not read them.
    """
    place = place_of(events)
    jagged: dict[str, ak.Array | list[ak.Array]] = {}
    shared: dict[str, ak.Array | float] = {}
    for name, column in columns.items():
        if isinstance(column, float):
            shared[name] = column
            continue
        try:
            if isinstance(column, tuple):
                jagged[name] = [per_event(column_of(events, c), c, place) for c in column]
            else:
                array = _without_missing(column_of(events, column), column, place)
                (shared if array.ndim == 1 else jagged)[name] = array
        except (RuntimeError, TypeError):  # awkward's placeholder of a column that was not read
            if name in needed:
                raise
    if not jagged:
        raise _no_objects(place, list(columns), config)
    try:
        records = jagged_records(jagged)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    for name, value in shared.items():
        records = ak.with_field(records, value, name)
    _check_counter(events, records, layout, place)
    return records


def _no_objects(place: str, names: list[str], config: InputConfig) -> InputError:
    """The error of a table with one object per row, where events are needed."""
    received = (
        f"{place}: expected columns with the objects of each event, but {shortened(names)} hold "
        "one number per row; "
    )
    if config.rows == "objects":
        return InputError(
            f"{received}coffea gives the rows of such a table in chunks that divide events: run "
            "the processor by hepsilon.closure.run_processor, which reads whole events"
        )
    return InputError(
        f'{received}where every row is one object, say so by rows = "objects" under [input]'
    )


def _check_counter(events: ak.Array, records: ak.Array, layout: Layout, place: str) -> None:
    """Refuse a number of objects (nJet) that the columns contradict."""
    counter = layout.counter
    if counter is None or counter not in ak.fields(events) or events[counter].ndim != 1:
        return
    counts = np.diff(offsets_of(records))
    try:
        told = np.asarray(ak.to_numpy(events[counter]))
    except (RuntimeError, TypeError):  # awkward's placeholder of a column that was not read
        return
    wrong = int(np.count_nonzero(told != counts))
    if wrong:
        raise InputError(
            f"{place}: {counter} disagrees with the number of {layout.collection} objects in "
            f"{wrong} of {len(counts)} events; the file was filled wrongly"
        )


def _completed(records: ak.Array) -> ak.Array:
    """Records with pt, eta, phi and mass, where they can be computed from other momenta."""
    names = frozenset(ak.fields(records))
    for name in KINEMATICS:
        if name not in names and set(DERIVED[name].inputs) <= names:
            records = ak.with_field(records, DERIVED[name](records), name)
    return records


def _without_missing(array: ak.Array, column: str, place: str) -> ak.Array:
    """Remove the option type that nullable columns have.

    Raises
    ------
    InputError
        If events are missing.
    """
    missing = int(ak.sum(ak.is_none(array, axis=0)))
    if missing and array.ndim > 1:
        raise InputError(f"{place}: {missing} of {len(array)} events are missing in {column!r}")
    return array if missing else ak.drop_none(array, axis=0)
