"""Arrays without data, with which dask-awkward finds out which columns a graph needs.

In a graph of ``efficiency(events.Jet)`` with lazy events an efficiency is called once with such an
array, and with data in the workers. It then says which fields it reads, and what its answer looks
like, which an array with no events tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any

import awkward as ak

from hepsilon.arrays.fields import available
from hepsilon.arrays.lazy import is_traced, mapped, without_data
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.damage import inputs_here
from hepsilon.data.elements import list_of
from hepsilon.data.layout import Column, Layout, column_of
from hepsilon.efficiencies.inputs import are_events, fitting
from hepsilon.efficiencies.protocol import Evaluation

__all__ = ["answer_of_traced", "is_traced", "lazy_evaluation"]

PARTS = ("eps", "replicas", "in_domain")
"""Arrays of an answer that graphs compute."""


def answer_of_traced(
    answer: Callable[[ak.Array], Any], given: ak.Array, task: Task, config: InputConfig
) -> Any:
    """Note what an efficiency reads of an array without data, and make its answer, without data.

    Parameters
    ----------
    answer : callable
        Function of an array without events, which gives a record of arrays.
    given : ak.Array
        Objects, or events with the task's collection, without data.
    task : Task
        Task of the efficiency.
    config : InputConfig
        Places of the columns in events.

    Returns
    -------
    Evaluation
        The answer, whose arrays have no data.
    """
    unread = {task.object_weight} if task.of_events else {task.object_weight, task.passed.field}
    read = [name for name in task.object_fields if name not in unread]
    if are_events(given, task, config):
        _touch_events(given, task, fitting(given, task, config), read)
    else:
        _touch(given, read)
    empty = given.layout.form.length_zero_array(highlevel=False)
    result = answer(ak.Array(empty, behavior=given.behavior, attrs=given.attrs))
    if not is_dataclass(result) or isinstance(result, type):
        raise TypeError(f"expected a record of arrays, received {type(result).__name__}")
    changes = {f.name: without_data(getattr(result, f.name)) for f in fields(result)}
    return replace(result, **changes)


def lazy_evaluation(
    efficiency: Any, given: Any, out_of_domain: Any, replicas: bool | int
) -> Evaluation:
    """Evaluate an efficiency inside a graph of dask-awkward: one task for all parts of the answer.

    Parameters
    ----------
    efficiency : Efficiency
        The efficiency.
    given : dask_awkward.Array
        Objects, or events with the task's collection.
    out_of_domain : str or efficiency
        Policy for objects outside the domain.
    replicas : bool or int
        Number of replicas.

    Returns
    -------
    Evaluation
        The answer, whose arrays are lazy. The replicas of an efficiency without any are None.
    """
    options = {"out_of_domain": out_of_domain, "replicas": replicas}
    together = mapped(partial(_together, efficiency, options), given, label="efficiency")
    parts = [name for name in PARTS if name in together.fields]
    answers = {name: together[name] if name in parts else None for name in PARTS}
    return Evaluation(**answers, records=given, kept=None)


def _together(efficiency: Any, options: dict[str, Any], given: ak.Array) -> ak.Array:
    """The parts of an answer as one record for each event."""
    found = efficiency.evaluate(given, **options)
    parts = {name: getattr(found, name) for name in PARTS}
    known = {name: part for name, part in parts.items() if part is not None}
    return ak.zip(known, depth_limit=1)


def _touch(objects: ak.Array, names: Iterable[str]) -> None:
    """Note that fields are read, or those that they are computed from."""
    here = frozenset(ak.fields(objects))
    for name in names:
        for each in inputs_here(name, here):
            ak.typetracer.touch_data(objects[each])


def _touch_events(events: ak.Array, task: Task, config: InputConfig, names: Iterable[str]) -> None:
    """Note that fields of the task's collection are read, and numbers of the event."""
    layout, lacking = Layout.of_events(events, task, config), list(names)
    if layout.collection in ak.fields(events) and ak.fields(events[layout.collection]):
        objects = events[layout.collection]
        _touch(objects, names)
        here = frozenset(ak.fields(objects))
        lacking = [n for n in names if not available(here, n) and layout.has_object(n)]
    columns = layout.of_objects(lacking).values()
    for each in (c for column in columns for c in _names(column)):
        ak.typetracer.touch_data(column_of(events, list_of(each)))
    numbers = Layout.of_numbers(events, config)
    for cut in task.event_selection:
        column = numbers.of_event(cut.field)
        if column is not None:
            ak.typetracer.touch_data(column_of(events, list_of(column)))


def _names(column: Column) -> tuple[str, ...]:
    """Branches of a field; none of a constant."""
    if isinstance(column, tuple):
        return column
    return (column,) if isinstance(column, str) else ()
