"""Events of any schema, in the terms of a task: objects, weights, event numbers, numbers of events.

Training reads columns from files, a processor receives events from coffea; both go through
:func:`event_chunk`, so that the names, checks and selections of a task mean one thing everywhere.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import check_finite
from hepsilon.arrays.columns import flat, jagged_records, offsets_of, shortened
from hepsilon.arrays.fields import DERIVED, available, inputs_of
from hepsilon.arrays.keys import EVENT_NAMES
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.layout import Column, Layout, column_of, task_fields, task_numbers
from hepsilon.data.selection import cut_mask
from hepsilon.data.weights import limit_weights
from hepsilon.errors import InputError

__all__ = [
    "EventChunk",
    "collection",
    "event_chunk",
    "event_column",
    "event_ids",
    "event_mask",
    "event_weights",
    "metadata",
]

KINEMATICS = ("pt", "eta", "phi", "mass")


@dataclass(frozen=True)
class EventChunk:
    """Consecutive events of one file.

    Attributes
    ----------
    records : ak.Array of records, jagged
        All objects of the collection, before the selection of objects.
    weights : ndarray of float64, shape (n_events,)
        Weights of the events.
    run, luminosity_block, event : ndarray of uint64, shape (n_events,)
        Numbers that identify the events.
    events : ak.Array of records, shape (n_events,), or None
        Numbers of the event that a task of events needs, such as its response.
    file : str
        File they come from.
    kept : ndarray of int64, shape (n_events,), or None
        Their positions among the events that were read.
    n_read : int
        Number of events before the selection of events.
    n_damaged : int
        Number of events that were skipped for damaged numbers.
    n_limited : int
        Number of events whose weight was clipped to the largest one that is allowed.
    """

    records: ak.Array
    weights: Array
    run: Array
    luminosity_block: Array
    event: Array
    events: ak.Array | None = None
    file: str = ""
    kept: Array | None = None
    n_read: int = 0
    n_damaged: int = 0
    n_limited: int = 0


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


def _place(events: ak.Array) -> str:
    return str(metadata(events).get("filename", "the events"))


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
                raise _no_objects(_place(events), names, config)
            return _completed(_with_numbers(records, events, task, layout))
    wanted = _fields_here(layout, task) if fields is None else fields
    numbers = {*task_numbers(task), *task.truth_fields} - set(task_fields(task))
    columns = layout.of_objects(n for n in wanted if n not in numbers or not task.of_events)
    if not columns:
        raise InputError(
            f"expected a collection {layout.collection!r} or columns {layout.collection}_*, "
            f"received {shortened(ak.fields(events), layout.collection)}"
        )
    return _completed(_records(events, columns, layout, config))


def _fields_here(layout: Layout, task: Task) -> list[str]:
    """All fields that the events hold; one that is mapped and that the task needs must be there."""
    needed = set(task_fields(task))
    return [n for n in layout.all_fields() if n in needed or layout.has_object(n)]


def _with_numbers(records: ak.Array, events: ak.Array, task: Task, layout: Layout) -> ak.Array:
    """Records of a schema, with fields of other columns as ``[input.branches]`` says.

    Numbers of the event stand for fields that the records lack, as in flat events.
    """
    names, numbers = frozenset(ak.fields(records)), {*EVENT_NAMES, *task_numbers(task)}
    mapped = [name for name in layout.branches if name not in numbers]
    lacking = [n for n in task_fields(task) if n not in mapped and not available(names, n)]
    place = _place(events)
    for name in (*mapped, *lacking):
        if name in lacking and not layout.has_object(name):
            continue  # whoever needs the field says what is missing
        column = layout.of_object(name)
        if isinstance(column, float):
            records = ak.with_field(records, column, name)
        elif isinstance(column, str):
            records = ak.with_field(records, column_of(events, column), name)
        else:
            parts = [_per_event(column_of(events, c), c, place) for c in column]
            records = ak.with_field(records, jagged_records({name: parts})[name], name)
    return records


def _records(
    events: ak.Array, columns: Mapping[str, Column], layout: Layout, config: InputConfig
) -> ak.Array:
    """Jagged records from columns of flat events."""
    place = _place(events)
    jagged: dict[str, ak.Array | list[ak.Array]] = {}
    shared: dict[str, ak.Array | float] = {}
    for name, column in columns.items():
        if isinstance(column, float):
            shared[name] = column
        elif isinstance(column, tuple):
            jagged[name] = [_per_event(column_of(events, c), c, place) for c in column]
        else:
            array = _without_missing(column_of(events, column), column, place)
            (shared if array.ndim == 1 else jagged)[name] = array
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
    wrong = int(np.count_nonzero(np.asarray(ak.to_numpy(events[counter])) != counts))
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


def _per_event(array: ak.Array, column: str, place: str) -> Array:
    """A column with one number per event; what is missing becomes NaN."""
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
    known = Layout.of_numbers(events, config)
    column = known.of_event(name)
    assert column is not None
    return _per_event(column_of(events, column), column, _place(events))


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
        If a number of the selection is missing, or is NaN.
    """
    mask = np.ones(len(events), bool)
    for cut in task.event_selection:
        values = event_column(events, cut.field, config)
        mask &= np.asarray(cut_mask(check_finite(values, cut.field), cut))
    return mask


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
    run, luminosity_block, event : ndarray of uint64, shape (n_events,)
        Numbers of each event. Where there is no event number, or ``event_key = "entry"``: a number
        of the file, zero, and the number of the entry.

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
    values = _per_event(column_of(events, column), column, _place(events))
    if values.dtype.kind == "f":
        check_finite(values, f"{_place(events)}: {column}")
        wrong = int(np.count_nonzero(values != np.floor(values)))
        if wrong:
            raise InputError(f"{_place(events)}: {column}: {wrong} values are no whole numbers")
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


@dataclass
class _Damages:
    """Events with numbers that are not finite, by the field they are in."""

    n_events: int
    counts: dict[str, tuple[int, int]] = attribute(default_factory=dict)

    def __post_init__(self) -> None:
        self.bad = np.zeros(self.n_events, bool)

    def of_events(self, name: str, values: Array) -> None:
        """Note the numbers of events that are NaN or infinite."""
        wrong = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
        self._note(name, wrong, wrong)

    def of_objects(self, name: str, values: ak.Array, *, infinite: bool = True) -> None:
        """Note the numbers of objects that are NaN, missing or (unless allowed) infinite."""
        offsets = offsets_of(values)
        if ak.any(ak.is_none(ak.flatten(values, axis=1))):
            values = ak.fill_none(ak.values_astype(values, np.float64), np.nan)
        content = flat(values, name=name)
        wrong = ~np.isfinite(content) if infinite else np.isnan(content)
        if wrong.any():
            of_event = np.zeros(self.n_events, bool)
            of_event[np.repeat(np.arange(self.n_events), np.diff(offsets))[wrong]] = True
            self._note(name, wrong, of_event)

    def _note(self, name: str, wrong: Array, of_event: Array) -> None:
        if wrong.any():
            self.counts[name] = int(np.count_nonzero(wrong)), len(wrong)
            self.bad |= of_event

    def error(self, place: str) -> InputError:
        """The error that names every field."""
        each = [f"{name}: {bad} of {size} values" for name, (bad, size) in self.counts.items()]
        return InputError(
            f"{place}: numbers are NaN, infinite or missing in {', '.join(each)}; mend the file, "
            'or skip these events by damaged = "skip" under [input]'
        )


def _inputs(name: str, names: frozenset[str]) -> list[str]:
    """The field itself, or the fields that it is computed from; none where it is missing."""
    if name in names:
        return [name]
    if not available(names, name):
        return []  # whoever needs the field says what is missing
    return [each for other in inputs_of(name) for each in _inputs(other, names)]


def event_chunk(
    events: ak.Array,
    task: Task,
    config: InputConfig,
    *,
    fields: Iterable[str] | None = None,
    response: bool = True,
    truth: bool = False,
    numbered: bool = True,
) -> EventChunk:
    """Put events of any schema in the terms of a task, and check their numbers.

    Events that fail the task's selection of events are left out. Those with damaged numbers in what
    the task needs are an error, or are left out and counted.

    Parameters
    ----------
    events : ak.Array
        A chunk of any schema.
    task, config : Task or InputConfig
        The task, and places of the columns.
    fields : iterable of str, optional
        Fields of flat events that are wanted; by default all.
    response : bool, default True
        Whether the response is needed.
    truth : bool, default False
        Whether the true efficiency of events is needed.
    numbered : bool, default True
        Whether the numbers that tell events apart are needed; zeros stand for them if not.

    Returns
    -------
    EventChunk
        The events.

    Raises
    ------
    InputError
        For a missing column, or damaged numbers.
    """
    place, n_read = _place(events), len(events)
    kept = np.arange(n_read)
    ids = event_ids(events, config) if numbered else (np.zeros(n_read, np.uint64),) * 3
    damages = _Damages(n_read)
    for cut in task.event_selection:
        values = event_column(events, cut.field, config)
        damages.of_events(cut.field, values)
        kept = kept[np.asarray(cut_mask(values[kept], cut)) | damages.bad[kept]]
    if task.event_selection:
        events = _same_metadata(events[kept], events)
    damages.bad, damages.n_events = damages.bad[kept], len(kept)
    records = collection(events, task, config, fields=fields)
    weights = event_weights(events, task, config)
    damages.of_events(task.weight or "weight", weights)
    weights, n_limited = limit_weights(weights, config, place)
    names = frozenset(ak.fields(records))
    needed = task_fields(task)
    if not response and not task.of_events:
        needed = [name for name in needed if name != task.passed.field]
    inputs = [each for name in needed for each in _inputs(name, names)]
    for name in dict.fromkeys(inputs):
        damages.of_objects(name, records[name], infinite=name != task.passed.field)
    wanted = [task.passed.field] if response else []
    wanted += task.truth_fields if truth else ()
    numbers = {n: event_column(events, n, config) for n in wanted if task.of_events}
    for name, values in numbers.items():
        damages.of_events(name, values)
    if damages.counts and config.damaged == "raise":
        raise damages.error(place)
    good = ~damages.bad
    run, luminosity_block, event = (column[kept][good] for column in ids)
    return EventChunk(
        records if good.all() else records[good],
        weights[good],
        run,
        luminosity_block,
        event,
        events=ak.zip({n: v[good] for n, v in numbers.items()}) if numbers else None,
        file=place,
        kept=kept[good],
        n_read=n_read,
        n_damaged=int(np.count_nonzero(damages.bad)),
        n_limited=n_limited,
    )


def _same_metadata(events: ak.Array, original: ak.Array) -> ak.Array:
    """Selected events that still say where they come from."""
    said = dict(metadata(original))
    return ak.Array(events, attrs={**events.attrs, "metadata": said}) if said else events
