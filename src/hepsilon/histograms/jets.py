"""Observables of jets."""

from __future__ import annotations

from typing import Final

import awkward as ak

from hepsilon.arrays import geometry
from hepsilon.arrays.fields import field
from hepsilon.histograms.observables import (
    GEV,
    AnyObservable,
    Observable,
    n_objects,
    of_field,
    regular,
)

__all__ = ["JET_CATALOGUE", "JET_OBSERVABLES"]


def transverse_momentum(records: ak.Array) -> ak.Array:
    """``pt`` [GeV]."""
    return field(records, "pt")


def pseudorapidity(records: ak.Array) -> ak.Array:
    """``eta``."""
    return field(records, "eta")


PAIR_MASS_EDGES = (
    *regular(3, 0.0, 60.0)[:-1],
    *regular(12, 60.0, 120.0)[:-1],  # fine where a Z or H candidate would be
    *regular(4, 120.0, 200.0)[:-1],
    *regular(15, 200.0, 800.0),
)
JET_OBSERVABLES: tuple[Observable, ...] = (
    Observable(
        "pt",
        transverse_momentum,
        "object",
        regular(29, 20.0, 600.0),
        r"$p_T$ [GeV]",
        ("pt",),
        1,
        GEV,
        origin="default",
    ),
    Observable(
        "eta",
        pseudorapidity,
        "object",
        regular(25, -2.5, 2.5),
        r"$\eta$",
        ("eta",),
        1,
        origin="default",
    ),
    Observable(
        "delta_r",
        geometry.delta_r_to_nearest,
        "object",
        regular(32, 0.0, 3.2),
        r"$\Delta R$ to the nearest jet",
        ("eta", "phi"),
        2,
        origin="default",
    ),
    Observable(
        "pair_mass",
        geometry.leading_pair_mass,
        "event",
        PAIR_MASS_EDGES,
        "mass of the leading pair [GeV]",
        ("pt", "eta", "phi", "mass"),
        2,
        GEV,
        origin="default",
    ),
    Observable(
        "pair_delta_r",
        geometry.leading_pair_delta_r,
        "event",
        regular(32, 0.0, 3.2),
        r"$\Delta R$ of the leading pair",
        ("eta", "phi"),
        2,
        origin="default",
    ),
)
"""Observables of the paper: single jets, and the leading pair."""
OTHERS = (
    of_field("phi", r"$\phi$ [rad]", unit="rad"),
    of_field("mass", "mass [GeV]", unit=GEV),
    of_field("charge"),
    Observable(
        "number",
        n_objects,
        "event",
        regular(10, -0.5, 9.5),
        "number of jets",
        (),
        origin="sample",
    ),
)
JET_CATALOGUE: Final[dict[str, AnyObservable]] = {o.name: o for o in (*JET_OBSERVABLES, *OTHERS)}
"""All observables of jets that have a name; every numeric field of the jets is another one."""
