"""Collections and numbers of the events of any schema, by the names of a task."""

from __future__ import annotations

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import check_finite
from hepsilon.arrays.columns import column_names, jagged_records, shortened
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.weights import limit_weights
from hepsilon.errors import InputError

__all__ = ["collection", "event_column", "event_ids", "event_weights"]


def collection(
    events: ak.Array, task: Task, config: InputConfig, name: str | None = None
) -> ak.Array:
    """Objects of a task from the events of any schema.

    NanoAOD-like events have the collection as a field; of flat events the branches
    ``COLLECTION_field`` (or those named in ``config.branches``) are zipped.

    Parameters
    ----------
    events : ak.Array
        A chunk.
    task : Task
        Task whose collection is wanted, unless ``name`` is another one.
    config : InputConfig
        Places of the columns.
    name : str, optional
        Name of another collection.

    Returns
    -------
    ak.Array of records, jagged
        Objects of every event.

    Raises
    ------
    InputError
        If the events have neither the collection nor such branches.
    """
    fields, name = ak.fields(events), name or task.collection
    if name in fields:
        try:
            return events[name]
        except ValueError:  # coffea's jets want a charge, which NanoAODSchema fills for TTrees only
            layout = events.layout[name]
            return ak.Array(ak.without_parameters(layout, highlevel=False))
    prefix = f"{name}_"
    branches: dict[str, str | tuple[str, ...]] = {
        field.removeprefix(prefix): field for field in fields if field.startswith(prefix)
    }
    special = {"run", "luminosityBlock", "event", task.weight}
    if task.of_events:
        special |= {task.passed.field, *task.truth_fields}
    branches |= {k: v for k, v in config.branches.items() if k not in special}
    wanted = column_names(branches.values())
    missing = [branch for branch in wanted if branch not in fields]
    if missing or not branches:
        raise InputError(
            f"expected a collection {name!r} or branches {prefix}*"
            f"{f' and {missing}' if missing else ''}, received {shortened(fields)}"
        )
    return jagged_records(
        {
            field: events[b] if isinstance(b, str) else [events[name] for name in b]
            for field, b in branches.items()
        }
    )


def event_column(events: ak.Array, name: str, config: InputConfig) -> Array:
    """Column with one number for every event.

    Raises
    ------
    InputError
        If the events do not have it.
    """
    branch = config.branches.get(name, name)
    if not isinstance(branch, str) or branch not in ak.fields(events):
        received = shortened(ak.fields(events), str(branch))
        raise InputError(f"expected the column {branch!r} ({name}), received {received}")
    return np.asarray(ak.to_numpy(events[branch]))


def event_weights(events: ak.Array, task: Task, config: InputConfig) -> Array:
    """The task's event weight, finite and limited as the input says; ones if it has none.

    Raises
    ------
    InputError
        If the events do not have it, or it is not finite, or larger than ``max_weight``.
    """
    if task.weight is None:
        return np.ones(len(events))
    column = event_column(events, task.weight, config).astype(np.float64)
    return limit_weights(check_finite(column, task.weight), config)


def event_ids(events: ak.Array, config: InputConfig) -> tuple[Array, Array, Array]:
    """Columns run, luminosityBlock and event; zero where flat events have no such column.

    Raises
    ------
    InputError
        If the events have no event numbers, which replicas are a function of.
    """
    zero = np.zeros(len(events), np.uint64)
    columns = []
    for name in ("run", "luminosityBlock", "event"):
        known = config.branches.get(name, name) in ak.fields(events) or name == "event"
        columns.append(event_column(events, name, config).astype(np.uint64) if known else zero)
    return columns[0], columns[1], columns[2]
