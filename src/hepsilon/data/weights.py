"""Weights of a sample: the largest one, since few events must not decide, and those of objects."""

from __future__ import annotations

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import check_finite
from hepsilon.arrays.columns import flat, offsets_of
from hepsilon.arrays.fields import field
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.errors import InputError

__all__ = ["limit_weights", "object_weights", "one_by_one"]


def limit_weights(weights: Array, config: InputConfig, place: str = "") -> tuple[Array, int]:
    """Clip weights to the largest one that is allowed, or refuse larger ones.

    Parameters
    ----------
    weights : ndarray of float64, shape (n_events,)
        Weights; of negative ones the absolute value counts.
    config : InputConfig
        Largest weight, and what is done with larger ones.
    place : str, optional
        File that they come from.

    Returns
    -------
    limited : ndarray of float64, shape (n_events,)
        The weights, or clipped ones.
    count : int
        Number of weights that were clipped.

    Raises
    ------
    InputError
        For larger weights that are not to be clipped, with their number and the largest one.
    """
    limit = config.max_weight
    if limit is None:
        return weights, 0
    sizes = np.abs(weights)
    count = int(np.count_nonzero(sizes > limit))
    if count and config.max_weight_policy == "raise":
        raise InputError(
            f"{place + ': ' if place else ''}{count} of {len(weights)} weights are larger than "
            f"max_weight = {limit:g} (the largest one is {np.nanmax(sizes):g}); remove these "
            'events, or clip them with max_weight_policy = "clip" in [input]'
        )
    return np.clip(weights, -limit, limit), count


def object_weights(records: ak.Array, task: Task) -> Array | None:
    """Weights of the objects beside those of their events, such as sWeights.

    Parameters
    ----------
    records : ak.Array of records, jagged
        The objects.
    task : Task
        Name of the weight.

    Returns
    -------
    ndarray of float64, shape (n_objects,), or None
        None where the task names no weight of objects.

    Raises
    ------
    InputError
        If the field is missing or not finite.
    """
    name = task.object_weight
    if name is None:
        return None
    return check_finite(flat(field(records, name), np.float64, name=name), name)


def one_by_one(records: ak.Array, weights: Array, task: Task) -> tuple[ak.Array, Array]:
    """Every object as an event of its own, with the weight of its event times its own.

    Parameters
    ----------
    records : ak.Array of records, jagged
        The objects.
    weights : ndarray of float64, shape (n_events,)
        Weights of the events.
    task : Task
        Name of the weight of objects.

    Returns
    -------
    records : ak.Array of records, shape (n_objects, 1)
        The objects, jagged.
    weights : ndarray of float64, shape (n_objects,)
        Their weights.
    """
    counts = np.diff(offsets_of(records))
    own, spread = object_weights(records, task), np.repeat(weights, counts)
    alone = ak.unflatten(ak.flatten(records, axis=1), np.ones(int(counts.sum()), np.int64))
    return alone, spread if own is None else spread * own
