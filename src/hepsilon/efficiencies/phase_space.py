"""Efficiencies at points of phase space: plain arrays of momenta, with gradients.

What a matrix-element method needs: E of the particles of many hypothetical events, as a vectorised
function of NumPy arrays of four-momenta, and its derivatives where the backend has them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.config.task import Task
from hepsilon.data.units import IN_GEV, is_momentum
from hepsilon.efficiencies.protocol import OutOfDomain, SupportsEfficiency
from hepsilon.errors import ConfigError, InputError

__all__ = ["AtMomenta", "at_momenta"]


@dataclass(frozen=True)
class AtMomenta:
    """Efficiencies at points of phase space.

    Attributes
    ----------
    eps : ndarray of float64, shape (n_events,) or (n_events, n_objects)
        Efficiency of every event, or of every object; several working points on one more axis.
    gradient : ndarray of float64, shape of eps and of the momenta of an event, or None
        Derivatives [1/GeV]: of E of an event (n_events, n_objects, components), with the working
        points before the objects. Of objects each one's efficiency by its own momentum. None where
        it was not asked for.
    """

    eps: Array
    gradient: Array | None = None


def at_momenta(
    efficiency: SupportsEfficiency,
    momenta: Array,
    *,
    gradient: bool = False,
    out_of_domain: OutOfDomain = "warn",
    **columns: Array,
) -> AtMomenta:
    """Evaluate an efficiency at given momenta.

    Parameters
    ----------
    efficiency : SupportsEfficiency
        Efficiency of events, or of objects; for gradients a network that Keras evaluates.
    momenta : ndarray, shape (n_events, n_objects, 4) or (n_events, n_objects, 3), GeV
        Four-momenta (E, px, py, pz), or momenta (px, py, pz).
    gradient : bool, default False
        Whether derivatives by the momenta are wanted.
    out_of_domain : {"warn", "raise", "ignore"} or an efficiency, default "warn"
        Policy for points outside the domain, as for a call. There is no gradient with another
        efficiency.
    **columns : ndarray, shape (n_events, n_objects) or (n_objects,)
        Other fields of the objects, such as ``charge``, in the task's units.

    Returns
    -------
    AtMomenta
        Efficiencies in the order of the events and objects given, and their gradient.

    Raises
    ------
    InputError
        For other shapes, momenta that are not finite, or points without a gradient.
    ConfigError
        For a gradient of what has none.

    Examples
    --------
    >>> import numpy as np
    >>> from hepsilon import FieldEfficiency
    >>> from hepsilon.efficiencies.phase_space import at_momenta
    >>> momenta = np.array([[[50.0, 30.0, 0.0, 40.0]]])
    >>> at_momenta(FieldEfficiency("known"), momenta, known=np.array([[0.5]])).eps
    array([[0.5]])
    """
    points = np.asarray(momenta, np.float64)
    if points.ndim != 3 or points.shape[1] < 1 or points.shape[2] not in (3, 4):
        raise InputError(
            "momenta: expected the shape (n_events, n_objects, 4) of (E, px, py, pz), or 3 of (px, "
            f"py, pz), received {points.shape}"
        )
    if not np.isfinite(points).all():
        wrong = int(np.count_nonzero(~np.isfinite(points)))
        raise InputError(f"momenta: {wrong} of {points.size} numbers are NaN or infinite")
    records = _records(points, getattr(efficiency, "task", None), columns)
    if gradient and callable(out_of_domain):
        raise ConfigError("another efficiency for points outside has no gradient here")
    with np.errstate(divide="ignore", invalid="ignore"):  # what is not finite is refused
        if gradient:
            return _with_gradient(efficiency, records, points, out_of_domain)
        if hasattr(efficiency, "evaluate"):
            found = efficiency.evaluate(records, out_of_domain=out_of_domain, replicas=False).eps
        else:
            found = efficiency(records)
    return AtMomenta(np.asarray(ak.to_numpy(found), np.float64))


def _records(points: Array, task: Task | None, columns: dict[str, Array]) -> ak.Array:
    """Objects of every event with their fields, momenta in the unit of the task."""
    factor = 1.0 if task is None else 1.0 / IN_GEV[task.unit]
    names = ("energy", "px", "py", "pz")[-points.shape[2] :]
    content = dict(zip(names, np.moveaxis(points * factor, 2, 0), strict=True))
    for name, column in columns.items():
        if name in content:
            raise InputError(f"{name} is among the momenta, and was given beside them, too")
        try:
            content[name] = np.broadcast_to(column, points.shape[:2])
        except ValueError:
            raise InputError(
                f"{name}: expected {points.shape[:2]} numbers, or one for each of "
                f"{points.shape[1]} objects, received the shape {np.shape(column)}"
            ) from None
    counts = np.full(len(points), points.shape[1])
    flat = {name: np.ascontiguousarray(column).ravel() for name, column in content.items()}
    return ak.unflatten(ak.zip(flat), counts)


def _with_gradient(
    efficiency: Any, records: ak.Array, points: Array, out_of_domain: OutOfDomain
) -> AtMomenta:
    """Efficiencies, and their gradient by the chain rule."""
    derive = getattr(efficiency, "value_and_gradient", None)
    if derive is None:
        raise ConfigError(
            f"{type(efficiency).__name__} has no gradient: only networks have one (bins are flat)"
        )
    eps, slopes = derive(records, out_of_domain=out_of_domain)
    values = np.asarray(ak.to_numpy(eps), np.float64)
    n_events, n_objects, n_components = points.shape
    flat = points.reshape(-1, n_components)
    total: Array | None = None
    for name, column in slopes.items():
        own = _slope(name, flat)
        rows = np.asarray(ak.to_numpy(ak.flatten(column, axis=1)), np.float64)
        part = rows.reshape(len(rows), -1)[:, :, None] * own[:, None, :]
        total = part if total is None else total + part
    if total is None:
        total = np.zeros((len(flat), 1, n_components))
    # objects, working points, components: of an event the working points come first
    shaped = total.reshape(n_events, n_objects, total.shape[1], n_components)
    of_events = efficiency.task.of_events
    if len(efficiency.working_points) == 1:
        shaped = shaped[:, :, 0]
    elif of_events:
        shaped = np.moveaxis(shaped, 2, 1)
    wrong = int(np.count_nonzero(~np.isfinite(shaped).all(axis=tuple(range(1, shaped.ndim)))))
    if wrong:
        raise InputError(
            f"{wrong} of {n_events} points have no gradient: momenta along the beam, or equal ones"
        )
    return AtMomenta(values, shaped)


def _slope(name: str, points: Array) -> Array:
    """Derivatives of a feature by the components of the momentum, shape (n, components)."""
    px, py, pz = points[:, -3:].T
    squared = px**2 + py**2
    pt = np.sqrt(squared)
    p = np.sqrt(squared + pz**2)
    zero, one = np.zeros_like(px), np.ones_like(px)
    energy = points[:, 0] if points.shape[1] == 4 else None
    known: dict[str, Callable[[], tuple[Array, ...]]] = {
        "px": lambda: (zero, one, zero, zero),
        "py": lambda: (zero, zero, one, zero),
        "pz": lambda: (zero, zero, zero, one),
        "pt": lambda: (zero, px / pt, py / pt, zero),
        "phi": lambda: (zero, -py / squared, px / squared, zero),
        "eta": lambda: (zero, -pz * px / (squared * p), -pz * py / (squared * p), 1.0 / p),
    }
    if energy is not None:
        mass = np.sqrt(np.maximum(energy**2 - p**2, 0.0))
        known["energy"] = lambda: (one, zero, zero, zero)
        known["mass"] = lambda: (energy / mass, -px / mass, -py / mass, -pz / mass)
    if name not in known:
        if is_momentum(name):
            raise ConfigError(f"the feature {name!r} has no derivative by the momenta given here")
        return np.zeros((len(points), points.shape[1]))  # of the other columns
    columns = known[name]()
    return np.stack(columns[-points.shape[1] :], axis=1)
