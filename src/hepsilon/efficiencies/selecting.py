"""The selection of a training: what it keeps of events, and which given objects fail it."""

from __future__ import annotations

from collections.abc import Iterator

import awkward as ak
import numpy as np

from hepsilon.arrays.columns import offsets_of
from hepsilon.arrays.fields import field
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Cut, Task
from hepsilon.data.selection import select
from hepsilon.efficiencies.inputs import are_events, kept_records, objects_of_events
from hepsilon.errors import InputError

__all__ = ["failed_cuts", "missing_cuts", "selected_objects"]

ROW = "hepsilon_row"


def selected_objects(given: ak.Array, task: Task, config: InputConfig | None = None) -> ak.Array:
    """What a task keeps of events, or of the objects of every event.

    Parameters
    ----------
    given : ak.Array
        Events with the task's collection, or the objects of every event (jagged).
    task : Task
        Task with the selection; of a task of events also the order and the fiducial region.
    config : InputConfig, optional
        Places of the columns in events whose branches do not follow ``COLLECTION_field``.

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
    if config is not None or are_events(given, task):
        return objects_of_events(given, task, config or InputConfig(schema="nanoaod")).objects
    return kept_records(given, task)[0]


def _cuts(task: Task) -> Iterator[tuple[str, Cut]]:
    """All cuts on objects, by what they are called in a message."""
    for cut in task.selection:
        yield f"the selection {cut}", cut
    for cut in task.fiducial.cuts if task.fiducial else ():
        yield f"the fiducial region {cut}", cut


def _values(records: ak.Array, cut: Cut) -> ak.Array | None:
    """The field of a cut; None where it is neither there nor can be computed."""
    try:
        return field(records, cut.field)
    except InputError:
        return None


def missing_cuts(records: ak.Array, task: Task) -> list[str]:
    """Cuts whose fields the records do not have.

    Parameters
    ----------
    records : ak.Array, jagged
        Objects.
    task : Task
        Task with the selection.

    Returns
    -------
    list of str
        Names of the cuts.
    """
    return [name for name, cut in _cuts(task) if _values(records, cut) is None]


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
    """
    failed = {}
    for name, cut in _cuts(task):
        values = _values(records, cut)
        if values is None:
            continue
        offsets = offsets_of(values)
        rows = ak.unflatten(np.arange(offsets[-1]), np.diff(offsets))
        narrow = ak.zip({cut.field: values, ROW: rows}, depth_limit=2)
        passes = select(narrow, task.model_copy(update={"selection": (cut,)}))[ROW]
        fails = np.ones(offsets[-1], bool)
        fails[ak.to_numpy(ak.flatten(passes, axis=1))] = False
        failed[name] = fails
    return failed
