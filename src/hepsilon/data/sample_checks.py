"""Checks of a training sample: its response, its event numbers and its unit."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from hepsilon.arrays.repeats import repeats_text
from hepsilon.arrays.types import Array
from hepsilon.config.file import Config
from hepsilon.config.task import Task
from hepsilon.data.missing import is_missing
from hepsilon.data.training_columns import BLOCK_OBJECTS, FileResponse, TrainingColumns
from hepsilon.data.units import is_momentum
from hepsilon.errors import InputError

__all__ = ["check_files", "check_response", "report_columns"]

CONSTANT_OBJECTS = 20
"""Objects of a file from which on one value of the response is no chance."""
TYPICAL_MOMENTUM = 0.08, 500.0
"""Medians of momenta [GeV] outside of which the unit is asked for."""
logger = logging.getLogger("hepsilon")


def check_files(files: Mapping[str, FileResponse], task: Task) -> None:
    """Refuse a file in which a discriminant is one constant, unlike in the others.

    A discriminant that was not computed is filled with a constant. Flags and whole numbers may well
    be the same for all objects of a file, such as when a rare response did not occur.

    Parameters
    ----------
    files : mapping of str to FileResponse
        Response by file.
    task : Task
        Name of the response.

    Raises
    ------
    InputError
        If a file has one value only, and others have values that are no whole numbers.
    """
    if all(file.whole for file in files.values()):
        return
    for name, file in files.items():
        if file.size >= CONSTANT_OBJECTS and file.low == file.high:
            raise InputError(
                f"{name}: {task.passed.field} is {file.low:g} for all {file.size} "
                f"{task.collection} objects, unlike in other files; is the field computed in it?"
            )


def _warn_of_repeats(keys: Array, event_key: str) -> None:
    """Say how many events share their numbers with others; keys are in order."""
    blocks = (keys[i : i + BLOCK_OBJECTS + 1] for i in range(0, len(keys), BLOCK_OBJECTS))
    repeated = sum(int(np.count_nonzero(block[1:] == block[:-1])) for block in blocks)
    if repeated and event_key == "event":
        logger.warning("%s", repeats_text(repeated, len(keys)))


def _warn_of_unit(columns: TrainingColumns, task: Task) -> None:
    """Ask whether momenta are in the unit that the task declares."""
    sample = columns.nodes[:BLOCK_OBJECTS]
    for number, name in enumerate(task.features):
        if is_momentum(name) and not name.endswith("mass"):
            values = sample[~is_missing(sample[:, number]), number]
            if not len(values):
                continue  # a feature that is always missing is refused elsewhere
            typical = float(np.median(np.abs(values)))
            low, high = TYPICAL_MOMENTUM
            if not low <= typical <= high:
                other = "MeV" if typical > high else "GeV"
                logger.warning(
                    "half of the objects have a %s below %.4g GeV, as the task declares its unit "
                    'to be %s; if it is %s, set unit = "%s" under [task]',
                    *(name, typical, task.unit, other, other),
                )
                return


def report_columns(columns: TrainingColumns, config: Config, n_read: int) -> None:
    """Warn of what a user may not know about a sample.

    Parameters
    ----------
    columns : TrainingColumns
        Columns in the order of the events' keys.
    config : Config
        The task, and what its event numbers are.
    n_read : int
        Number of events that were read.
    """
    if config.task.fiducial is not None and columns.n_events < n_read:
        outside = n_read - columns.n_events
        logger.warning("%d of %d events are outside the fiducial region", outside, n_read)
    if not config.task.alone:  # there the objects of an event share its key
        _warn_of_repeats(columns.keys, config.input.event_key)
    _warn_of_unit(columns, config.task)


def check_response(columns: TrainingColumns, task: Task) -> None:
    """Refuse a sample in which all objects have the same response to a working point.

    A discriminant that was not computed is filled with one constant (such as -1) by many inputs;
    an efficiency of zero or one everywhere is not what anybody wants to learn from it.

    Parameters
    ----------
    columns : TrainingColumns
        Columns of the sample.
    task : Task
        Name and cuts of the response.

    Raises
    ------
    InputError
        If no object, or every object, passed.
    """
    size = len(columns.passed)
    for number, cut in enumerate(task.passed.above or (None,)):
        passed = sum(np.count_nonzero(block.passed > number) for block in columns.blocks())
        if not 0 < passed < size:
            raise InputError(
                f"{'every' if passed else 'no'} one of {size} {task.collection} objects has "
                f"{task.passed.field}{'' if cut is None else f' above {cut}'}; expected some that "
                "pass and some that do not. Is the field computed in these files?"
            )
