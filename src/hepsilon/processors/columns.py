"""Columns of files that a processor reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hepsilon.config.task import Task
from hepsilon.data.layout import task_fields
from hepsilon.data.reading import Wanted
from hepsilon.efficiencies.base import SupportsEfficiency
from hepsilon.efficiencies.field import FieldEfficiency

__all__ = ["wanted_columns"]


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


def _fields_of(efficiency: SupportsEfficiency) -> tuple[str, ...] | None:
    """Fields that an efficiency reads, as far as it says."""
    if isinstance(efficiency, FieldEfficiency):
        return efficiency.fields
    task = getattr(efficiency, "task", None)
    return tuple(task_fields(task)) if isinstance(task, Task) else None
