"""Angular distances, pair masses and neighbour summaries on awkward arrays.

All functions take jagged records with the fields ``pt`` [GeV], ``eta``, ``phi`` [rad] and
``mass`` [GeV], as far as they need them, such as ``events.Jet``.
"""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepsilon.arrays import kernels
from hepsilon.arrays.columns import flat, offsets_of, shortened, unflatten
from hepsilon.errors import InputError

__all__ = [
    "count_close",
    "delta_phi",
    "delta_r_to_all",
    "delta_r_to_nearest",
    "invariant_mass",
    "leading_pair_delta_r",
    "leading_pair_mass",
    "momentum_components",
    "pair_masses",
    "proximity",
    "spherical_momentum",
]


def _columns(records: ak.Array, *names: str) -> list[npt.NDArray[Any]]:
    """Offsets and flat float64 columns of ``records``."""
    missing = [name for name in names if name not in ak.fields(records)]
    if missing:
        raise InputError(
            f"expected the fields {list(names)}, but {missing} are not among "
            f"{shortened(ak.fields(records), missing[0])}"
        )
    return [offsets_of(records), *(flat(records[name], name=name) for name in names)]


def delta_phi(phi1: ak.Array, phi2: ak.Array) -> ak.Array:
    """``phi1 - phi2`` wrapped into [-pi, pi) [rad].

    Parameters
    ----------
    phi1, phi2 : ak.Array of float, rad
        Azimuthal angles, jagged or one per event; they are broadcast together.

    Returns
    -------
    ak.Array of float64, rad
        Differences, jagged if one of the angles is.

    Raises
    ------
    InputError
        If jagged angles have missing events or objects, or are not numbers.
    """
    first, second = ak.broadcast_arrays(phi1, phi2)
    if first.ndim == 1:
        return ak.Array(kernels.delta_phi(ak.to_numpy(first), ak.to_numpy(second)))
    return unflatten(kernels.delta_phi(flat(first), flat(second)), offsets_of(first))


def delta_r_to_all(records: ak.Array) -> ak.Array:
    """Delta R of each object to every other object of its event.

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        Objects with the fields ``eta`` and ``phi`` [rad].

    Returns
    -------
    ak.Array of float64, shape (n_events, objects, other objects)
        Distances, in the order of the objects.

    Raises
    ------
    InputError
        If a field is missing or holds missing values.
    """
    offsets, eta, phi = _columns(records, "eta", "phi")
    counts = np.diff(offsets)
    distances = ak.Array(kernels.delta_r_to_all(offsets, eta, phi))
    per_object = ak.unflatten(distances, np.repeat(counts - 1, counts))
    return ak.unflatten(per_object, counts)


def delta_r_to_nearest(records: ak.Array) -> ak.Array:
    """Delta R of each object to the nearest other object of its event.

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        Objects with the fields ``eta`` and ``phi`` [rad].

    Returns
    -------
    ak.Array of float64, shape (n_events, objects)
        Distances; infinity for an object that is alone.

    Raises
    ------
    InputError
        If a field is missing or holds missing values.
    """
    offsets, eta, phi = _columns(records, "eta", "phi")
    return unflatten(kernels.delta_r_to_nearest(offsets, eta, phi), offsets)


def proximity(records: ak.Array) -> ak.Array:
    """Neighbour summary ``exp(-delta R)``, with the distance to the nearest other object.

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        Objects with the fields ``eta`` and ``phi`` [rad].

    Returns
    -------
    ak.Array of float64, shape (n_events, objects)
        Numbers in [0, 1]; 0 for an object that is alone.

    Raises
    ------
    InputError
        If a field is missing or holds missing values.
    """
    offsets, eta, phi = _columns(records, "eta", "phi")
    return unflatten(np.exp(-kernels.delta_r_to_nearest(offsets, eta, phi)), offsets)


def count_close(records: ak.Array, radius: float = 1.0) -> ak.Array:
    """Neighbour summary: number of other objects of the event within a radius.

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        Objects with the fields ``eta`` and ``phi`` [rad].
    radius : float, default 1.0
        Delta R below which another object counts.

    Returns
    -------
    ak.Array of int64, shape (n_events, objects)
        Number of other objects for each object.

    Raises
    ------
    InputError
        If a field is missing or holds missing values.
    """
    offsets, eta, phi = _columns(records, "eta", "phi")
    return unflatten(kernels.count_within(offsets, eta, phi, radius), offsets)


def pair_masses(records: ak.Array) -> ak.Array:
    """Invariant masses of all pairs i < j of objects of an event [GeV].

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        Objects with the fields ``pt`` [GeV], ``eta``, ``phi`` [rad] and ``mass`` [GeV].

    Returns
    -------
    ak.Array of float64, shape (n_events, pairs), GeV
        Masses in lexicographic order of the pairs: (0, 1), (0, 2), ..., (1, 2), ...

    Raises
    ------
    InputError
        If a field is missing or holds missing values.
    """
    columns = _columns(records, "pt", "eta", "phi", "mass")
    counts = np.diff(columns[0])
    return ak.unflatten(ak.Array(kernels.pair_masses(*columns)), counts * (counts - 1) // 2)


def leading_pair_mass(records: ak.Array) -> npt.NDArray[np.float64]:
    """Invariant mass of the first two objects of every event [GeV].

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        Objects with the fields ``pt`` [GeV], ``eta``, ``phi`` [rad] and ``mass`` [GeV].

    Returns
    -------
    ndarray of float64, shape (n_events,), GeV
        Masses; NaN for an event with fewer than two objects.

    Raises
    ------
    InputError
        If a field is missing or holds missing values.
    """
    result: npt.NDArray[np.float64] = kernels.leading_pair_mass(
        *_columns(records, "pt", "eta", "phi", "mass")
    )
    return result


def leading_pair_delta_r(records: ak.Array) -> npt.NDArray[np.float64]:
    """Delta R of the first two objects of every event.

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        Objects with the fields ``eta`` and ``phi`` [rad].

    Returns
    -------
    ndarray of float64, shape (n_events,)
        Distances; NaN for an event with fewer than two objects.

    Raises
    ------
    InputError
        If a field is missing or holds missing values.
    """
    distances = delta_r_to_nearest(records[:, :2])
    result = ak.to_numpy(ak.fill_none(ak.firsts(distances), np.nan))
    return np.where(np.isfinite(result), result, np.nan)


def invariant_mass(records: ak.Array) -> ak.Array:
    """Mass of every object from the fields energy, px, py and pz; 0 where round-off is below.

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        Objects of every event.

    Returns
    -------
    ak.Array of float64, shape (n_events, objects)
        Masses, in the unit of the energies.
    """
    squares = [ak.values_astype(records[name], np.float64) ** 2 for name in ("px", "py", "pz")]
    energy = ak.values_astype(records["energy"], np.float64)
    return np.sqrt(np.maximum(energy**2 - sum(squares), 0.0))


def spherical_momentum(records: ak.Array, name: str) -> ak.Array:
    """``pt`` [GeV], ``eta`` or ``phi`` [rad] from the fields px, py and pz.

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        Objects with the fields ``px``, ``py`` and, for ``eta``, ``pz`` [GeV].
    name : {"pt", "eta", "phi"}
        Quantity to compute: ``hypot(px, py)``, ``arcsinh(pz / pt)`` or ``arctan2(py, px)``.

    Returns
    -------
    ak.Array of float, shape (n_events, objects)
        Value for every object.
    """
    columns = (records["px"], records["py"])
    if name == "phi":
        return np.arctan2(columns[1], columns[0])
    pt = np.hypot(*columns)
    return pt if name == "pt" else np.arcsinh(records["pz"] / pt)


def momentum_components(records: ak.Array, name: str) -> ak.Array:
    """``px``, ``py`` or ``pz`` [GeV] from the fields pt, eta and phi.

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        Objects with the fields ``pt`` [GeV], and ``phi`` [rad] or, for ``pz``, ``eta``.
    name : {"px", "py", "pz"}
        Component to compute: ``pt cos(phi)``, ``pt sin(phi)`` or ``pt sinh(eta)``.

    Returns
    -------
    ak.Array of float, shape (n_events, objects), GeV
        Value for every object.
    """
    factor = {"px": np.cos, "py": np.sin, "pz": np.sinh}[name]
    return records["pt"] * factor(records["eta" if name == "pz" else "phi"])
