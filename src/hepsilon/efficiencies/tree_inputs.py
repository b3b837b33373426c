"""Inputs of the trees that refine a network: the features, and what follows from them.

All are float32 and follow from one event alone, by the same steps in every chunk: which side of a
threshold an object is on does not depend on how the events are read.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from hepsilon.arrays.kernels import njit
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.task import Task
from hepsilon.data.missing import MISSING

__all__ = ["input_names", "tree_inputs"]

FAR, DISTANCE = 100.0, "delta R"
"""Distance to a partner that there is not: further than any is; first words of its name."""
MOST_PAIRS = 6
"""Number of pairs of objects of an event, of which each has its own inputs."""
ANGLES, CARTESIAN = ("eta", "phi"), ("px", "py", "pz")


def _angles(names: tuple[str, ...]) -> bool:
    return set(ANGLES) <= set(names) or set(CARTESIAN) <= set(names)


def input_names(task: Task, partners: bool) -> tuple[str, ...]:
    """Name the inputs in the order of their columns.

    Parameters
    ----------
    task : Task
        The task.
    partners : bool
        Whether to look at the other objects of an event; of a task of events they always are.

    Returns
    -------
    tuple of str
        Names for people.
    """
    names = task.features
    if task.of_events:
        return _event_names(task)
    if not partners:
        return names
    near = ("delta R to the nearest", "delta R to the second nearest")
    nearest = tuple(f"{name} of the nearest" for name in names)
    return (*names, "number of objects", *((*near, *nearest) if _angles(names) else ()))


def _few(task: Task) -> int:
    """Number of objects of an event, where each has inputs of its own; else 0."""
    n = task.objects or 0
    return n if n * (n - 1) // 2 <= MOST_PAIRS else 0


def _columns(task: Task) -> tuple[str, ...]:
    """Columns of every object of an event: the features, and what momenta say besides."""
    more = ("pt", "eta", "phi") if set(CARTESIAN) <= set(task.features) else ()
    return (*task.features, *(name for name in more if name not in task.features))


def _event_names(task: Task) -> tuple[str, ...]:
    columns, few = _columns(task), _few(task)
    found = [f"{name} {kind}" for name in columns for kind in ("smallest", "largest", "mean")]
    found += ["delta R smallest"] if _angles(columns) else []
    if not few:
        return ("number of objects", *found)
    found += [f"{name} {i + 1}" for i in range(few) for name in columns]
    if _angles(columns):
        for i, j in combinations(range(few), 2):
            found += [f"{kind} {i + 1}-{j + 1}" for kind in ("delta R", "delta eta", "delta phi")]
    return tuple(found)


def tree_inputs(task: Task, partners: bool, offsets: Offsets, nodes: Nodes) -> Array:
    """Compute the inputs of all objects, or of all events of a task of events.

    Parameters
    ----------
    task : Task
        The task.
    partners : bool
        Whether to look at the other objects of an event (see :func:`input_names`).
    offsets : ndarray of int64, shape (n_events + 1,)
        Event i has the objects ``offsets[i]:offsets[i + 1]``.
    nodes : ndarray of float32, shape (n_objects, n_features)
        Raw features of the task, one row for each object.

    Returns
    -------
    ndarray of float32, shape (n_entries, n_inputs)
        Columns in the order of :func:`input_names`.
    """
    if task.of_events:
        return _of_events(task, offsets, nodes)
    if not partners:
        return np.asarray(nodes, np.float32)
    counts = np.diff(offsets)
    columns = [nodes, np.repeat(counts, counts)[:, None]]
    if _angles(task.features):
        columns += _near(task.features, offsets, nodes)
    return np.concatenate(columns, axis=1).astype(np.float32)


def _eta_phi(names: tuple[str, ...], nodes: Array) -> tuple[Array, Array]:
    column = {name: nodes[:, i].astype(np.float64) for i, name in enumerate(names)}
    if set(ANGLES) <= column.keys():
        return column["eta"], column["phi"]
    pt = np.maximum(np.sqrt(column["px"] ** 2 + column["py"] ** 2), 1e-6)
    return np.arcsinh(column["pz"] / pt), np.arctan2(column["py"], column["px"])


def _near(names: tuple[str, ...], offsets: Offsets, nodes: Nodes) -> list[Array]:
    """Distances to the two nearest partners, and the features of the nearest."""
    distances, nearest = _two_nearest(offsets, *_eta_phi(names, nodes), nodes)
    alone = nearest < 0
    features = np.where(alone[:, None], MISSING, nodes[np.maximum(nearest, 0)])
    return [distances, features]


@njit
def _before(nodes: Array, i: int, j: int) -> bool:
    """Whether the features of i are larger than those of j, in the order of the columns."""
    for k in range(nodes.shape[1]):
        if nodes[i, k] != nodes[j, k]:
            return bool(nodes[i, k] > nodes[j, k])
    return False


@njit
def _distance(d_eta: float, d_phi: float) -> float:
    turns = np.floor(d_phi / (2.0 * np.pi) + 0.5)
    wrapped = d_phi - 2.0 * np.pi * turns
    return float(np.float32(np.sqrt(d_eta * d_eta + wrapped * wrapped)))


@njit
def _two_nearest(offsets: Array, eta: Array, phi: Array, nodes: Array) -> tuple[Array, Array]:
    """Two smallest distances of each object, and its nearest partner, whatever their order."""
    distances = np.full((eta.size, 2), np.float32(FAR), np.float32)
    nearest = np.full(eta.size, -1, np.int64)
    for event in range(offsets.size - 1):
        for i in range(offsets[event], offsets[event + 1]):
            for j in range(offsets[event], offsets[event + 1]):
                if i == j:
                    continue
                found = _distance(eta[i] - eta[j], phi[i] - phi[j])
                first = nearest[i]
                closer = first < 0 or found < distances[i, 0]
                if closer or (found == distances[i, 0] and _before(nodes, j, first)):
                    distances[i, 1] = distances[i, 0]
                    distances[i, 0], nearest[i] = found, j
                elif found < distances[i, 1]:
                    distances[i, 1] = found
    return distances, nearest


@njit
def _summaries(values: Array, offsets: Array, out: Array) -> None:
    """Put the smallest, largest and mean value of every column into ``out``, event by event.

    Values are summed from the smallest one: the order of the objects does not matter.
    """
    found = np.empty(np.max(np.diff(offsets)), values.dtype)
    for event in range(offsets.size - 1):
        n = offsets[event + 1] - offsets[event]
        for column in range(values.shape[1]):
            for i in range(n):
                value, place = values[offsets[event] + i, column], i
                while place > 0 and found[place - 1] > value:
                    found[place] = found[place - 1]
                    place -= 1
                found[place] = value
            total = 0.0
            for i in range(n):
                total += np.float64(found[i])
            out[event, 3 * column] = found[0]
            out[event, 3 * column + 1] = found[n - 1]
            out[event, 3 * column + 2] = total / n


def _of_events(task: Task, offsets: Offsets, nodes: Nodes) -> Array:
    columns, n_events, few = _columns(task), len(offsets) - 1, _few(task)
    values = nodes.astype(np.float64)
    if len(columns) > len(task.features):
        values = np.concatenate([values, _spherical(task, columns, values)], axis=1)
    out = np.empty((n_events, len(input_names(task, True))), np.float32)
    if not n_events:
        return out
    if not few:
        out[:, 0] = np.diff(offsets)
    place = 0 if few else 1
    single = values.astype(np.float32)
    _summaries(single, offsets, out[:, place:])
    place += 3 * len(columns)
    if _angles(columns):
        distances, _ = _two_nearest(offsets, *_eta_phi(columns, values), single)
        out[:, place] = np.minimum.reduceat(distances[:, 0], offsets[:-1])
        place += 1
    if few:
        ordered = values[_in_order(columns, offsets, values)].reshape(n_events, few, len(columns))
        stop = place + few * len(columns)
        out[:, place:stop] = ordered.reshape(n_events, -1)
        if _angles(columns):
            out[:, stop:] = np.stack(_pairs(columns, ordered), axis=1)
    return out


def _spherical(task: Task, columns: tuple[str, ...], values: Array) -> Array:
    px, py, pz = (values[:, task.features.index(name)] for name in CARTESIAN)
    pt = np.maximum(np.sqrt(px * px + py * py), 1e-6)
    found = {"pt": pt, "eta": np.arcsinh(pz / pt), "phi": np.arctan2(py, px)}
    return np.stack([found[name] for name in columns[len(task.features) :]], axis=1)


def _in_order(columns: tuple[str, ...], offsets: Offsets, values: Array) -> Array:
    """Rows of each event by falling charge, then by falling pt, then by all other columns."""
    first = [name for name in ("charge", "pt") if name in columns]
    names = [*first, *(name for name in columns if name not in first)]
    return _sorted_rows(values[:, [columns.index(name) for name in names]], offsets)


@njit
def _sorted_rows(values: Array, offsets: Array) -> Array:
    """Rows of each event by falling values of the first column, then of the next, and so on."""
    rows = np.arange(offsets[-1])
    for event in range(offsets.size - 1):
        for i in range(offsets[event] + 1, offsets[event + 1]):
            row, place = rows[i], i
            while place > offsets[event] and _before(values, row, rows[place - 1]):
                rows[place] = rows[place - 1]
                place -= 1
            rows[place] = row
    return rows


def _pairs(columns: tuple[str, ...], single: Array) -> list[Array]:
    """Distance and differences of each pair, the latter first minus second."""
    eta, phi = (single[..., columns.index(name)] for name in ANGLES)
    found = []
    for i, j in combinations(range(single.shape[1]), 2):
        d_eta, d_phi = eta[:, i] - eta[:, j], phi[:, i] - phi[:, j]
        d_phi = d_phi - 2.0 * np.pi * np.floor(d_phi / (2.0 * np.pi) + 0.5)
        found += [np.sqrt(d_eta * d_eta + d_phi * d_phi), d_eta, d_phi]
    return found
