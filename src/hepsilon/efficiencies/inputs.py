"""Inputs of efficiencies: events, jagged records, and flat tables of any kind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

from hepsilon.arrays.columns import offsets_of, shortened, unflatten
from hepsilon.arrays.fields import inputs_of
from hepsilon.arrays.keys import EVENT_NAMES
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.layout import Layout, collection_in
from hepsilon.data.numbers import event_mask
from hepsilon.data.objects import collection
from hepsilon.data.selection import fiducial_events, ordered, select
from hepsilon.errors import InputError

__all__ = [
    "Given",
    "are_events",
    "fitting",
    "given_objects",
    "kept_records",
    "objects_of_events",
]

ROW = "hepsilon_row"
Form = Callable[[ak.Array], Any]


@dataclass(frozen=True)
class Given:
    """Objects that an efficiency answers for, and the form of its answers.

    Attributes
    ----------
    objects : ak.Array of records, jagged
        The objects of every event.
    shown : object
        What the answers are aligned with: the input, or of events what was kept of them.
    form : callable
        Brings an answer, jagged like ``objects`` or one per event, into the form of the input.
    kept : ak.Array of bool, or None
        Of events: True for what the selection kept, jagged like the collection, or one per event;
        None where records were given.
    """

    objects: ak.Array
    shown: Any
    form: Form
    kept: ak.Array | None = None


def given_objects(
    given: Any,
    task: Task | None,
    names: tuple[str, ...],
    config: InputConfig,
    *,
    needs_partners: bool,
) -> Given:
    """Objects of events, of jagged records, or of a flat table.

    Parameters
    ----------
    given : ak.Array, DataFrame, ndarray, dict or list
        What the efficiency was asked about (see
        :meth:`hepsilon.efficiencies.base.Efficiency.__call__`).
    task : Task or None
        Task of the efficiency; without it events are refused.
    names : tuple of str
        Features in the order of the columns of a plain array: those of the task.
    config : InputConfig
        Places of the columns in events.
    needs_partners : bool
        Whether the answer depends on the other objects of the event: flat tables are refused then.

    Returns
    -------
    Given
        Jagged records, and the form that the answers take.

    Raises
    ------
    InputError
        For anything else, or a flat table where the objects of an event are needed.
    """
    origin = type(given).__module__.partition(".")[0]
    if origin in ("dask_awkward", "dask"):
        raise InputError(
            f"expected arrays, received {type(given).__name__} of {origin}, which holds none yet: "
            "use dak.map_partitions(efficiency, events.Jet), which reads only the columns that the "
            "efficiency needs, or compute() it first"
        )
    if origin == "pandas" and hasattr(given, "columns"):
        return _of_frame(given, needs_partners)
    array = _as_awkward(given, names)
    if not _is_flat(array):
        regular = isinstance(array.type.content, ak.types.RegularType)
        form: Form = _regular if regular else _same
        return Given(array, given, _numpy(form) if isinstance(given, np.ndarray) else form)
    if are_events(array, task, config):
        if task is None:
            raise InputError(
                "expected the objects of a collection such as events.Jet, received events; an "
                "efficiency without a task does not know which collection is meant"
            )
        return objects_of_events(array, task, config)
    if _are_lists(array, names):
        lists = [n for n in ak.fields(array) if array.layout[n].purelist_depth == 2]
        return Given(_zipped({name: array[name] for name in lists}), given, _same)
    if needs_partners:
        raise InputError(_flat_refused(f"flat records with the fields {shortened(array.fields)}"))
    form = _numpy(_flattened) if isinstance(given, np.ndarray) else _flattened
    return Given(ak.unflatten(array, np.ones(len(array), np.int64)), given, form)


def objects_of_events(events: ak.Array, task: Task, config: InputConfig) -> Given:
    """Objects of a task in events: its collection, selection, order and fiducial region.

    Parameters
    ----------
    events : ak.Array
        Events with a collection of the task.
    task : Task
        Task that names the collection.
    config : InputConfig
        Places of the columns. Branches of the objects of which the events have none are those of
        other files, such as the ntuple of the training: then the patterns of the names apply.

    Returns
    -------
    Given
        Selected objects, jagged, and the form that the answers take.

    Raises
    ------
    InputError
        If the events lack the collection or a field of the selection, or are outside the fiducial
        region where the task makes that an error.
    """
    config = fitting(events, task, config)
    among = event_mask(events, task, config) if task.event_selection else None
    objects, kept = kept_records(collection(events, task, config), task, among)
    return Given(objects, objects, _same, kept)


def fitting(events: ak.Array, task: Task, config: InputConfig) -> InputConfig:
    """Places of the columns, without branches of the objects if the events have none of them.

    Parameters
    ----------
    events : ak.Array
        Events with a collection of the task.
    task : Task
        Task that names the collection.
    config : InputConfig
        Places of the columns in the files of the training.

    Returns
    -------
    InputConfig
        Places in these events.
    """
    layout = Layout.of_events(events, task, config)
    numbers = {*EVENT_NAMES, *task.event_fields}
    named = {
        name: branch
        for name, branch in config.branches.items()
        if name not in numbers and not isinstance(branch, float | int)
    }
    if not named or any(layout.has_object(name) for name in named):
        return config
    left = {name: branch for name, branch in config.branches.items() if name not in named}
    return config.model_copy(update={"branches": left})


def kept_records(
    objects: ak.Array, task: Task, among: Array | None = None
) -> tuple[ak.Array, ak.Array]:
    """Selected objects, ordered and inside the fiducial region, and what was kept.

    Parameters
    ----------
    objects : ak.Array of records, jagged
        Objects of every event.
    task : Task
        Task with the selection.
    among : ndarray of bool, shape (n_events,), optional
        True for the events that were selected: objects of others are not kept.

    Returns
    -------
    selected : ak.Array of records, jagged
        Objects as the training had them.
    kept : ak.Array of bool
        Jagged like the objects; of a task of events one for each event.

    Raises
    ------
    InputError
        For a missing field, or events outside the fiducial region where the task makes that an
        error.
    """
    kept = _kept(objects, task)
    if among is not None and not task.of_events:
        kept = (_all(objects) if kept is None else kept) & among
    selected = objects if kept is None else objects[kept]
    if not task.of_events:
        return selected, _all(objects) if kept is None else kept
    inside = fiducial_events(selected, task, among)
    return ordered(selected[inside], task), ak.Array(inside)


def _kept(objects: ak.Array, task: Task) -> ak.Array | None:
    """True for the objects that the selection keeps (jagged); None for all of them."""
    if not task.selection:
        return None
    rows = select(ak.with_field(objects, ak.local_index(objects, axis=1), ROW), task)[ROW]
    offsets = offsets_of(objects)
    kept = np.zeros(offsets[-1], bool)
    kept[ak.to_numpy(ak.flatten(rows + offsets[:-1], axis=1))] = True
    return unflatten(kept, offsets)


def _all(objects: ak.Array) -> ak.Array:
    offsets = offsets_of(objects)
    return unflatten(np.ones(offsets[-1], bool), offsets)


def _is_flat(array: ak.Array) -> bool:
    """Whether an array has one record an entry, and not a list of them."""
    layout = ak.to_layout(array)
    while layout.is_indexed and not layout.is_option:
        layout = layout.content
    return bool(layout.is_record)


def are_events(array: ak.Array, task: Task | None, config: InputConfig) -> bool:
    """Whether records are events with a collection of objects, and not objects themselves.

    Parameters
    ----------
    array : ak.Array
        Events or objects.
    task : Task or None
        Task that names the collection; without one any collection counts.
    config : InputConfig
        Branches of its objects: one for each object, or lists, make events, too.

    Returns
    -------
    bool
        True for events.
    """
    if not _is_flat(array):
        return False
    if task is None:
        return any(array.layout[name].fields for name in ak.fields(array))
    if collection_in(ak.fields(array), task.collection) in ak.fields(array):
        return True
    prefix = f"{task.collection}_"
    fields = set(ak.fields(array))
    names = {name for name in fields if name.startswith(prefix)}
    for branch in config.branches.values():
        if isinstance(branch, tuple) and fields.issuperset(branch):
            return True
        names |= fields.intersection([branch] if isinstance(branch, str) else [])
    return any(array.layout[name].purelist_depth > 1 for name in names)


def _are_lists(array: ak.Array, names: tuple[str, ...]) -> bool:
    """Whether the features of records, or what they are computed from, are lists of an event."""
    wanted = {*names, *(each for name in names for each in inputs_of(name))}
    here = wanted.intersection(ak.fields(array))
    return any(array.layout[name].purelist_depth > 1 for name in here)


def _as_awkward(given: Any, names: tuple[str, ...]) -> ak.Array:
    """An array of whatever awkward takes, and of plain columns in the order of the features."""
    if isinstance(given, ak.Array):
        return given
    if isinstance(given, np.ndarray) and given.dtype.names is None:
        return _of_columns(given, names)
    try:
        if isinstance(given, np.ndarray):
            columns = {name: ak.Array(np.asarray(given[name])) for name in given.dtype.names}
            return ak.zip(columns, depth_limit=given.ndim)
        if isinstance(given, dict):
            columns = {name: _column(column) for name, column in given.items()}
            return ak.zip(columns, depth_limit=1)
        if isinstance(given, list | tuple):
            return ak.Array(list(given))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"{type(given).__name__}: expected columns of as many numbers each; {error}"
        ) from None
    raise InputError(
        "expected an awkward array of events or records, a pandas DataFrame, a dict of columns, a "
        f"NumPy array or a list of records, received {type(given).__name__}"
    )


def _column(column: Any) -> ak.Array:
    """A column of a dict; other packages' columns say themselves how they become an array."""
    return ak.Array(column if isinstance(column, ak.Array | list) else np.asarray(column))


def _of_columns(given: Array, names: tuple[str, ...]) -> ak.Array:
    """Records from an array whose last axis has the features."""
    if given.ndim not in (2, 3) or given.shape[-1] != len(names):
        raise InputError(
            f"expected an array (n, {len(names)}) with the columns {list(names)} in this order, "
            f"or (n_events, n_objects, {len(names)}), received the shape {given.shape}"
        )
    if given.dtype.kind not in "biuf":
        raise InputError(f"expected an array of numbers, received the type {given.dtype}")
    columns = {name: ak.Array(given[..., i]) for i, name in enumerate(names)}
    return ak.zip(columns, depth_limit=given.ndim - 1)


def _zipped(columns: dict[str, ak.Array]) -> ak.Array:
    try:
        return ak.zip(columns, depth_limit=2)
    except ValueError:
        raise InputError(
            f"the columns {list(columns)} do not have the same number of objects in every event"
        ) from None


def _flat_refused(received: str) -> str:
    return (
        "this efficiency depends on the other objects of the event (its network looks at them, or "
        "a feature does): expected jagged records (events x objects), or a DataFrame with an index "
        f"of (event, object), received {received}; ak.unflatten(records, counts) groups objects"
    )


def _of_frame(frame: Any, needs_partners: bool) -> Given:
    """Objects of a pandas DataFrame, one a row; a MultiIndex says which ones share an event."""
    if not frame.columns.is_unique:
        raise InputError("expected columns of different names in the DataFrame")
    kinds = {name: getattr(kind, "kind", "O") for name, kind in frame.dtypes.items()}
    numbers = [name for name, kind in kinds.items() if kind in "biuf" and isinstance(name, str)]
    columns = {name: ak.Array(_numbers(frame[name])) for name in numbers}
    index, n_rows = frame.index, len(frame)
    if index.nlevels == 1:
        if needs_partners:
            raise InputError(_flat_refused(f"a DataFrame of {n_rows} rows with a plain index"))
        counts = order = None
    else:
        if index.has_duplicates:
            raise InputError(
                f"{int(index.duplicated().sum())} of {n_rows} rows have the index {index.names} of "
                "another row; events of several files need a level that tells the files apart, "
                "such as pandas.concat(..., keys=files) makes"
            )
        codes, events = index.droplevel(-1).factorize()
        if (codes < 0).any():
            raise InputError(f"the index {index.names} has missing values")
        order, counts = np.argsort(codes, kind="stable"), np.bincount(codes, minlength=len(events))
    if not columns:
        raise InputError(f"expected columns of numbers, received {shortened(map(str, kinds))}")
    flat = ak.zip(columns, depth_limit=1)
    if counts is None or order is None:
        objects = ak.unflatten(flat, np.ones(n_rows, np.int64))
        return Given(objects, frame, lambda values: _like_frame(_flat_numpy(values), index))

    def like_rows(values: ak.Array) -> Any:
        if values.ndim == 1 or (len(values) and not _is_jagged(values)):  # one for each event
            return _like_frame(ak.to_numpy(values), events)
        rows = _flat_numpy(values)
        back = np.empty_like(rows)
        back[order] = rows
        return _like_frame(back, index)

    return Given(ak.unflatten(flat[order], counts), frame, like_rows)


def _is_jagged(values: ak.Array) -> bool:
    return isinstance(values.type.content, ak.types.ListType)


def _numbers(column: Any) -> Array:
    """Numbers of a column of a DataFrame; missing ones are NaN, which features refuse."""
    if isinstance(column.dtype, np.dtype):
        return np.asarray(column.to_numpy())
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))


def _like_frame(rows: Array, index: Any) -> Any:
    """A Series, a DataFrame of several numbers a row, or an array of more axes than these have."""
    pandas = sys.modules["pandas"]
    if rows.ndim > 2:
        return rows
    return (pandas.Series if rows.ndim == 1 else pandas.DataFrame)(rows, index=index)


def _same(values: ak.Array) -> ak.Array:
    return values


def _regular(values: ak.Array) -> ak.Array:
    return ak.to_regular(values, axis=1) if values.ndim > 1 else values


def _flattened(values: ak.Array) -> ak.Array:
    return ak.flatten(values, axis=1)


def _flat_numpy(values: ak.Array) -> Array:
    return np.asarray(ak.to_numpy(_flattened(values)))


def _numpy(form: Form) -> Form:
    return lambda values: ak.to_numpy(form(values))
