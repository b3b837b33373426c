"""Observables of systems of charged tracks, those of the paper's reference code.

The functions take jagged records with momenta as ``px, py, pz`` or ``pt, eta, phi`` [GeV, rad] and
a ``mass`` [GeV], in the order of the task. They are module-level functions, so that processors
pickle.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import awkward as ak
import numpy as np

from hepsilon.arrays.fields import field
from hepsilon.arrays.geometry import delta_phi
from hepsilon.arrays.types import Array
from hepsilon.histograms.observables import Observable, Observable2D, regular

__all__ = [
    "TrackObservable",
    "opening_azimuth",
    "rapidity_difference",
    "system_mass",
    "system_pt",
    "system_rapidity",
    "track_observables",
]

TrackObservable = Observable | Observable2D


def _energy(records: ak.Array, mass: float | None) -> ak.Array:
    """Energy of every track; its mass is a field unless one is given."""
    masses = field(records, "mass") if mass is None else mass
    squares = sum(field(records, name) ** 2 for name in ("px", "py", "pz"))
    return np.sqrt(squares + masses**2)


def _sum(values: ak.Array) -> Array:
    """Sum over the tracks of every event; NaN without tracks."""
    sums = ak.fill_none(ak.sum(values, axis=1, mask_identity=True), np.nan)
    return np.asarray(ak.to_numpy(sums), np.float64)


def _total(records: ak.Array, name: str) -> Array:
    return _sum(field(records, name))


def system_mass(records: ak.Array, mass: float | None = None) -> Array:
    """Invariant mass of all tracks of the event [GeV]; NaN without tracks.

    Parameters
    ----------
    records : ak.Array
        The tracks.
    mass : float, optional
        Mass of every track [GeV], where the records do not have the field.
    """
    energy = _sum(_energy(records, mass))
    square: Array = energy**2 - sum(_total(records, name) ** 2 for name in ("px", "py", "pz"))
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def system_rapidity(records: ak.Array, mass: float | None = None) -> Array:
    """Rapidity of the system of all tracks; NaN without tracks."""
    energy = _sum(_energy(records, mass))
    ratio = np.divide(
        _total(records, "pz"), energy, out=np.full(len(energy), np.nan), where=energy > 0
    )
    return np.asarray(np.arctanh(ratio))


def system_pt(records: ak.Array) -> Array:
    """Transverse momentum of the system of all tracks [GeV]; NaN without tracks."""
    return np.hypot(_total(records, "px"), _total(records, "py"))


def _of_track(values: ak.Array, number: int) -> Array:
    padded = ak.fill_none(ak.pad_none(values, number + 1, axis=1)[:, number], np.nan)
    return np.asarray(ak.to_numpy(padded), np.float64)


def track_field(records: ak.Array, name: str, number: int) -> Array:
    """A field of one track of every event; NaN where there are fewer."""
    return _of_track(field(records, name), number)


def rapidity_difference(records: ak.Array, mass: float | None = None) -> Array:
    """Rapidity of the first track minus that of the second; NaN where there are fewer."""
    rapidity = np.arctanh(field(records, "pz") / _energy(records, mass))
    return _of_track(rapidity, 0) - _of_track(rapidity, 1)


def opening_azimuth(records: ak.Array) -> Array:
    """Azimuth between the first two tracks, in [0, pi] [rad]; NaN where there are fewer."""
    first, second = (track_field(records, "phi", number) for number in range(2))
    known = ~np.isnan(second)
    out = np.full(len(first), np.nan)
    out[known] = np.abs(ak.to_numpy(delta_phi(ak.Array(first[known]), ak.Array(second[known]))))
    return out


def track_observables(
    mass: float | None = None,
    *,
    mass_range: tuple[float, float] = (0.25, 2.75),
    pt_max: float = 2.0,
    pt_min: float = 0.2,
    eta_max: float = 0.9,
    bins: int = 50,
    bins_2d: int = 20,
) -> tuple[TrackObservable, ...]:
    """All observables of the reference plotting code, in one and two dimensions.

    M, Y, Pt of the system, pt and eta of the tracks, delta y; (eta, phi) of the tracks,
    (eta1, eta2), (pt1, pt2), (M, delta phi), (M, Pt), (M, pt1).

    Parameters
    ----------
    mass : float, optional
        Mass of every track [GeV], where the records do not have the field.
    mass_range : tuple of (float, float), default (0.25, 2.75)
        Range of the system's mass [GeV].
    pt_max, pt_min, eta_max : float
        Ranges of the axes of the tracks [GeV].
    bins, bins_2d : int, default 50 or int, default 20
        Number of bins of an axis in one and in two dimensions.
    """

    def make(
        name: str, function: Callable[..., Any], low: float, high: float, label: str
    ) -> Callable[[int], Observable]:
        level = "object" if name in ("pt", "eta", "phi") else "event"
        return lambda n: Observable(name, function, level, regular(n, low, high), label)  # type: ignore[arg-type]

    def track(name: str, number: int) -> Callable[..., Any]:
        return partial(track_field, name=name, number=number)

    def of(name: str) -> Callable[..., Any]:
        return partial(field, name=name)

    of_mass = {"mass": mass} if mass is not None else {}
    pt, eta = (pt_min, pt_max), (-eta_max, eta_max)
    axes = {
        "M": make("M", partial(system_mass, **of_mass), *mass_range, r"$M$ [GeV]"),
        "Y": make("Y", partial(system_rapidity, **of_mass), -eta_max, eta_max, r"$Y$"),
        "Pt": make("Pt", system_pt, 0.0, pt_max, r"$P_T$ [GeV]"),
        "pt": make("pt", of("pt"), *pt, r"track $p_T$ [GeV]"),
        "eta": make("eta", of("eta"), *eta, r"track $\eta$"),
        "phi": make("phi", of("phi"), -np.pi, np.pi, r"track $\phi$ [rad]"),
        "dy": make(
            "dy", partial(rapidity_difference, **of_mass), -2 * eta_max, 2 * eta_max, r"$\Delta y$"
        ),
        "dphi": make("dphi", opening_azimuth, 0.0, np.pi, r"$\Delta\phi$ [rad]"),
        "eta1": make("eta1", track("eta", 0), *eta, r"$\eta_1$"),
        "eta2": make("eta2", track("eta", 1), *eta, r"$\eta_2$"),
        "pt1": make("pt1", track("pt", 0), *pt, r"$p_{T,1}$ [GeV]"),
        "pt2": make("pt2", track("pt", 1), *pt, r"$p_{T,2}$ [GeV]"),
    }
    single = [axes[name](bins) for name in ("M", "Y", "Pt", "pt", "eta", "dy")]
    pairs = [("eta", "phi"), ("eta1", "eta2"), ("pt1", "pt2"), ("M", "dphi"), ("M", "Pt")]
    pairs += [("M", "pt1")]
    double = [Observable2D(f"{x}_{y}", axes[x](bins_2d), axes[y](bins_2d)) for x, y in pairs]
    return (*single, *double)
