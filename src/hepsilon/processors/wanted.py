"""Columns of files that a processor reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import awkward as ak

from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.features import FeatureSpec
from hepsilon.data.layout import Layout
from hepsilon.data.parts import Wanted
from hepsilon.efficiencies.field import FieldEfficiency
from hepsilon.efficiencies.protocol import SupportsEfficiency
from hepsilon.errors import ConfigError, InputError

__all__ = ["check_levels", "explained", "wanted_columns", "wanted_fields"]


def wanted_columns(
    task: Task,
    efficiencies: Iterable[SupportsEfficiency],
    observables: Iterable[Any],
    *,
    response: bool = True,
    reconstructed: str | None = None,
) -> Wanted:
    """List the columns that a task, its efficiencies and observables need.

    A function of one's own, as efficiency or observable, may read any field of the objects: then
    all are read.

    Parameters
    ----------
    task : Task
        The task.
    efficiencies : iterable of SupportsEfficiency
        Efficiencies that are evaluated.
    observables : iterable of Observable
        Observables that are filled; ``fields`` says what they read.
    response : bool, default True
        Whether response and truth are needed.
    reconstructed : str, optional
        Collection of reconstructed objects.

    Returns
    -------
    Wanted
        The columns.
    """
    own = Wanted.of_task(task, response=response, truth=response)
    known = [_fields_of(each) for each in efficiencies]
    known += [getattr(observable, "fields", None) for observable in observables]
    optional: tuple[str, ...] | None = ()
    for fields in known:
        optional = None if fields is None or optional is None else (*optional, *fields)
    return Wanted(own.fields, optional, own.numbers, reconstructed)


def wanted_fields(
    events: ak.Array, task: Task, config: InputConfig, wanted: Wanted, name: str | None = None
) -> list[str] | None:
    """List the fields of the objects that are wanted and exist.

    Parameters
    ----------
    events : ak.Array of records
        Events of any schema.
    task, config : Task or InputConfig
        Names of the columns, and their places.
    wanted : Wanted
        Columns that are needed.
    name : str, optional
        Collection of reconstructed objects, in place of the task's.

    Returns
    -------
    list of str or None
        The fields; None for all.
    """
    if wanted.optional is None:
        return None
    layout, found = Layout.of_events(events, task, config, name), list(wanted.fields)
    for field in wanted.optional:
        try:
            layout.of_objects([field])
        except InputError:
            continue  # what needs it is left out
        found.append(field)
    return list(dict.fromkeys(found))


def _fields_of(efficiency: SupportsEfficiency) -> tuple[str, ...] | None:
    """Fields that an efficiency reads, as far as it says."""
    if isinstance(efficiency, FieldEfficiency):
        return efficiency.fields
    task = getattr(efficiency, "task", None)
    return tuple(task.object_fields) if isinstance(task, Task) else None


def check_levels(efficiencies: Mapping[str, Any], task: Task) -> None:
    """Refuse efficiencies of events for a task of objects, those of objects for one of events.

    Parameters
    ----------
    efficiencies : mapping of str to object
        Efficiencies by name; those without a task are not known.
    task : Task
        Task that they are asked for.

    Raises
    ------
    ConfigError
        If one answers for the other level.
    """
    for name, efficiency in efficiencies.items():
        own = getattr(efficiency, "task", None)
        if isinstance(own, Task) and own.of_events != task.of_events:
            level = "events" if task.of_events else f"{task.collection} objects"
            other = "events" if own.of_events else f"{own.collection} objects"
            raise ConfigError(
                f"{name}: expected an efficiency of {level}, as the task is, received one of "
                f"{other}"
            )


@contextmanager
def explained(efficiencies: Iterable[Any]) -> Iterator[None]:
    """Say of an error of the input that a field is not registered here, where that is so.

    Parameters
    ----------
    efficiencies : iterable of object
        Efficiencies, whose features may be computed.
    """
    try:
        yield
    except InputError as error:
        for efficiency in efficiencies:
            features = getattr(efficiency, "features", None)
            problem = features.problem() if isinstance(features, FeatureSpec) else None
            if problem is not None and problem not in str(error):
                raise InputError(f"{error}; {problem}") from None
        raise
