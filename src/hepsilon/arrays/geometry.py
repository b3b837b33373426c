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
    """``phi1 - phi2`` wrapped into [-pi, pi) [rad]; jagged or per event, broadcast together."""
    first, second = ak.broadcast_arrays(phi1, phi2)
    if first.ndim == 1:
        return ak.Array(kernels.delta_phi(ak.to_numpy(first), ak.to_numpy(second)))
    return unflatten(kernels.delta_phi(flat(first), flat(second)), offsets_of(first))


def delta_r_to_all(records: ak.Array) -> ak.Array:
    """Delta R of each object to every other object of its event (events x objects x others)."""
    offsets, eta, phi = _columns(records, "eta", "phi")
    counts = np.diff(offsets)
    distances = ak.Array(kernels.delta_r_to_all(offsets, eta, phi))
    per_object = ak.unflatten(distances, np.repeat(counts - 1, counts))
    return ak.unflatten(per_object, counts)


def delta_r_to_nearest(records: ak.Array) -> ak.Array:
    """Delta R of each object to the nearest other one; infinity where it is alone."""
    offsets, eta, phi = _columns(records, "eta", "phi")
    return unflatten(kernels.delta_r_to_nearest(offsets, eta, phi), offsets)


def proximity(records: ak.Array) -> ak.Array:
    """Neighbour summary ``exp(-delta R)`` to the nearest other object: in [0, 1], 0 if alone."""
    offsets, eta, phi = _columns(records, "eta", "phi")
    return unflatten(np.exp(-kernels.delta_r_to_nearest(offsets, eta, phi)), offsets)


def count_close(records: ak.Array, radius: float = 1.0) -> ak.Array:
    """Neighbour summary: number of other objects with delta R below ``radius``."""
    offsets, eta, phi = _columns(records, "eta", "phi")
    return unflatten(kernels.count_within(offsets, eta, phi, radius), offsets)


def pair_masses(records: ak.Array) -> ak.Array:
    """Invariant masses of all pairs i < j of an event, in lexicographic order [GeV]."""
    columns = _columns(records, "pt", "eta", "phi", "mass")
    counts = np.diff(columns[0])
    return ak.unflatten(ak.Array(kernels.pair_masses(*columns)), counts * (counts - 1) // 2)


def leading_pair_mass(records: ak.Array) -> npt.NDArray[np.float64]:
    """Invariant mass of the first two objects per event; NaN where there are fewer [GeV]."""
    result: npt.NDArray[np.float64] = kernels.leading_pair_mass(
        *_columns(records, "pt", "eta", "phi", "mass")
    )
    return result


def leading_pair_delta_r(records: ak.Array) -> npt.NDArray[np.float64]:
    """Delta R of the first two objects of every event; NaN where there are fewer."""
    distances = delta_r_to_nearest(records[:, :2])
    result = ak.to_numpy(ak.fill_none(ak.firsts(distances), np.nan))
    return np.where(np.isfinite(result), result, np.nan)


def spherical_momentum(records: ak.Array, name: str) -> ak.Array:
    """``pt`` [GeV], ``eta`` or ``phi`` [rad] from the fields px, py and pz."""
    columns = (records["px"], records["py"])
    if name == "phi":
        return np.arctan2(columns[1], columns[0])
    pt = np.hypot(*columns)
    return pt if name == "pt" else np.arcsinh(records["pz"] / pt)


def momentum_components(records: ak.Array, name: str) -> ak.Array:
    """``px``, ``py`` or ``pz`` [GeV] from the fields pt, eta and phi."""
    factor = {"px": np.cos, "py": np.sin, "pz": np.sinh}[name]
    return records["pt"] * factor(records["eta" if name == "pz" else "phi"])
