"""The selection of a training: what it keeps of events, and which given objects fail it."""

from __future__ import annotations

import awkward as ak

from hepsilon.arrays.columns import offsets_of
from hepsilon.arrays.fields import available
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Cut, Task
from hepsilon.data.selection import Failures
from hepsilon.efficiencies.inputs import are_events, kept_records, objects_of_events

__all__ = ["cuts_of", "failed_cuts", "selected_objects"]


def selected_objects(given: ak.Array, task: Task, config: InputConfig) -> ak.Array:
    """Events and objects that the selection of a task keeps.

    Parameters
    ----------
    given : ak.Array
        Events with the task's collection, or the objects of every event (jagged).
    task : Task
        Task with the selection; of a task of events also the order and the fiducial region.
    config : InputConfig
        Places of the columns in events.

    Returns
    -------
    ak.Array of records, jagged
        Objects as the training had them.

    Raises
    ------
    InputError
        If events or objects lack what the task needs, or events are outside the fiducial region
        where the task makes that an error.
    """
    if are_events(given, task, config):
        return objects_of_events(given, task, config).objects
    return kept_records(given, task)[0]


def cuts_of(task: Task) -> dict[str, Cut]:
    """All cuts on objects, by their names in a message.

    Parameters
    ----------
    task : Task
        Task with the selection and, of a task of events, the fiducial region.

    Returns
    -------
    dict of str to Cut
        In the order of the task.
    """
    fiducial = task.fiducial.cuts if task.fiducial else ()
    named = {f"the selection {cut}": cut for cut in task.selection}
    return named | {f"the fiducial region {cut}": cut for cut in fiducial}


def failed_cuts(records: ak.Array, task: Task) -> dict[str, Array]:
    """By each cut that can be checked, True for the objects that fail it.

    Parameters
    ----------
    records : ak.Array of records, jagged
        Objects of every event.
    task : Task
        Task with the selection and, of a task of events, the fiducial region.

    Returns
    -------
    dict of str to ndarray of bool, shape (n_objects,)
        In the order of the task; a cut on a field that is not there is left out.

    Raises
    ------
    InputError
        For numbers that are NaN, infinite or missing in an object that fails no other cut.
    """
    names = frozenset(ak.fields(records))
    cuts = {name: cut for name, cut in cuts_of(task).items() if available(names, cut.field)}
    failures = Failures.of(records, cuts.values(), task)
    failures.check(~failures.any(offsets_of(records)[-1]))
    return dict(zip(cuts, failures.failed, strict=True))
