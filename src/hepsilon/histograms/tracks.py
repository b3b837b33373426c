"""Observables of systems of charged tracks: those of the paper's reference code, and by charge.

The functions take jagged records with momenta as ``px, py, pz`` or ``pt, eta, phi`` [GeV, rad] and
a ``mass`` [GeV], in the order of the task. They are module-level functions, so that processors
pickle.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import awkward as ak
import numpy as np

from hepsilon.arrays.fields import field
from hepsilon.arrays.geometry import delta_phi
from hepsilon.arrays.levels import Level
from hepsilon.arrays.types import Array
from hepsilon.histograms.observables import (
    GEV,
    INVERSE_GEV,
    Observable,
    Observable2D,
    n_objects,
    of_field,
    regular,
)

__all__ = [
    "TRACK_CATALOGUE",
    "TrackObservable",
    "bending",
    "opening_azimuth",
    "rapidity_difference",
    "signed_azimuth",
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

    Returns
    -------
    ndarray of float64, shape (n_events,)
        Mass of each event.
    """
    energy = _sum(_energy(records, mass))
    square: Array = energy**2 - sum(_total(records, name) ** 2 for name in ("px", "py", "pz"))
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def system_rapidity(records: ak.Array, mass: float | None = None) -> Array:
    """Rapidity of the system of all tracks; NaN without tracks.

    Parameters
    ----------
    records : ak.Array
        The tracks.
    mass : float, optional
        Mass of every track [GeV], where the records do not have the field.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        Rapidity of each event.
    """
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
    """A field of one track of every event; NaN where there are fewer.

    Parameters
    ----------
    records : ak.Array
        The tracks.
    name : str
        Field, or one that is computed.
    number : int
        Position of the track in its event, from zero.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        Value of that track, in the field's unit.
    """
    return _of_track(field(records, name), number)


def rapidity_difference(records: ak.Array, mass: float | None = None) -> Array:
    """Rapidity of the first track minus that of the second; NaN where there are fewer.

    Parameters
    ----------
    records : ak.Array
        The tracks.
    mass : float, optional
        Mass of every track [GeV], where the records do not have the field.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        Difference in each event.
    """
    rapidity = np.arctanh(field(records, "pz") / _energy(records, mass))
    return _of_track(rapidity, 0) - _of_track(rapidity, 1)


def opening_azimuth(records: ak.Array) -> Array:
    """Azimuth between the first two tracks, in [0, pi] [rad]; NaN where there are fewer."""
    first, second = (track_field(records, "phi", number) for number in range(2))
    known = ~np.isnan(second)
    out = np.full(len(first), np.nan)
    out[known] = np.abs(ak.to_numpy(delta_phi(ak.Array(first[known]), ak.Array(second[known]))))
    return out


def signed_azimuth(records: ak.Array) -> ak.Array:
    """Charge times azimuth of every track [rad]: where it is bent to, by sign."""
    return field(records, "charge") * field(records, "phi")


def bending(records: ak.Array) -> ak.Array:
    """Charge over transverse momentum of every track, its curvature [1/GeV]."""
    return field(records, "charge") / field(records, "pt")


PAIRS = (
    ("eta", "phi"),
    ("eta1", "eta2"),
    ("pt1", "pt2"),
    ("M", "dphi"),
    ("M", "Pt"),
    ("M", "pt1"),
)
SINGLE = ("M", "Y", "Pt", "pt", "eta", "dy", "qphi", "bending")


def _axis(
    bins: int,
    name: str,
    function: Callable[..., Any],
    low_high: tuple[float, float],
    label: str,
    fields: tuple[str, ...],
    objects: int = 1,
    *,
    unit: str = "",
    level: Level = "event",
    limited: bool = False,
) -> Observable:
    """Observable with regular bins; ``limited`` means that no value is possible beyond them."""
    edges, limits = regular(bins, *low_high), low_high if limited else (None, None)
    return Observable(name, function, level, edges, label, fields, objects, unit, limits, "default")


def _axes(
    mass: float | None,
    mass_range: tuple[float, float],
    pt_range: tuple[float, float],
    eta_max: float,
    bins: int,
) -> dict[str, Observable]:
    """All observables in one dimension, by name."""
    of_mass = {"mass": mass} if mass is not None else {}
    energy = ("px", "py", "pz", *(["mass"] if mass is None else []))
    eta, total = (-eta_max, eta_max), (0.0, pt_range[1])
    curvature = 1.0 / pt_range[0] if pt_range[0] > 0.0 else 1.0
    make = partial(_axis, bins)

    def track(name: str, number: int) -> Callable[..., Any]:
        return partial(track_field, name=name, number=number)

    def of(name: str) -> Callable[..., Any]:
        return partial(field, name=name)

    of_object = partial(make, level="object")
    angle = partial(make, unit="rad", limited=True)
    full = (-np.pi, np.pi)
    made = (
        make("M", partial(system_mass, **of_mass), mass_range, r"$M$ [GeV]", energy, unit=GEV),
        make("Y", partial(system_rapidity, **of_mass), eta, r"$Y$", energy),
        make("Pt", system_pt, total, r"$P_T$ [GeV]", ("px", "py"), unit=GEV),
        of_object("pt", of("pt"), pt_range, r"track $p_T$ [GeV]", ("pt",), unit=GEV),
        of_object("eta", of("eta"), eta, r"track $\eta$", ("eta",)),
        angle("phi", of("phi"), full, r"track $\phi$ [rad]", ("phi",), level="object"),
        make(
            "dy",
            partial(rapidity_difference, **of_mass),
            (-2 * eta_max, 2 * eta_max),
            r"$\Delta y$",
            energy,
            2,
        ),
        angle("dphi", opening_azimuth, (0.0, np.pi), r"$\Delta\phi$ [rad]", ("phi",), 2),
        make("eta1", track("eta", 0), eta, r"$\eta_1$", ("eta",)),
        make("eta2", track("eta", 1), eta, r"$\eta_2$", ("eta",), 2),
        make("pt1", track("pt", 0), pt_range, r"$p_{T,1}$ [GeV]", ("pt",), unit=GEV),
        make("pt2", track("pt", 1), pt_range, r"$p_{T,2}$ [GeV]", ("pt",), 2, unit=GEV),
        angle(
            "qphi",
            signed_azimuth,
            full,
            r"track $q \times \phi$ [rad]",
            ("charge", "phi"),
            level="object",
        ),
        of_object(
            "bending",
            bending,
            (-curvature, curvature),
            r"track $q / p_T$ [1/GeV]",
            ("charge", "pt"),
            unit=INVERSE_GEV,
        ),
    )
    return {observable.name: observable for observable in made}


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
    """All observables of the reference plotting code, and two that tell charges apart.

    M, Y, Pt of the system, pt and eta of the tracks, delta y, charge times azimuth (``qphi``) and
    charge over pt (``bending``) of the tracks; in two dimensions (eta, phi) of the tracks,
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

    Returns
    -------
    tuple of Observable or Observable2D
        Observables, those in two dimensions last.
    """
    ranges = (mass, mass_range, (pt_min, pt_max), eta_max)
    one, two = _axes(*ranges, bins), _axes(*ranges, bins_2d)
    double = [Observable2D(f"{x}_{y}", two[x], two[y]) for x, y in PAIRS]
    return (*(one[name] for name in SINGLE), *double)


def _catalogue() -> dict[str, TrackObservable]:
    axes = _axes(None, (0.25, 2.75), (0.2, 2.0), 0.9, 50)
    others = (
        of_field("mass", "track mass [GeV]", unit=GEV),
        of_field("charge", "track charge"),
        Observable(
            "number",
            n_objects,
            "event",
            regular(10, -0.5, 9.5),
            "number of tracks",
            (),
            origin="sample",
        ),
    )
    double = {o.name: o for o in track_observables() if isinstance(o, Observable2D)}
    return {**axes, **{o.name: o for o in others}, **double}


TRACK_CATALOGUE: Final[dict[str, TrackObservable]] = _catalogue()
"""All observables of tracks that have a name; every numeric field of a track is another one."""
