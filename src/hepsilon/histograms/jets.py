"""Observables of jets."""

from __future__ import annotations

import awkward as ak

from hepsilon.arrays import geometry
from hepsilon.histograms.observables import Observable, regular

__all__ = ["JET_OBSERVABLES"]


def transverse_momentum(records: ak.Array) -> ak.Array:
    """``pt`` [GeV]."""
    return records["pt"]


def pseudorapidity(records: ak.Array) -> ak.Array:
    """``eta``."""
    return records["eta"]


PAIR_MASS_EDGES = (
    *regular(3, 0.0, 60.0)[:-1],
    *regular(12, 60.0, 120.0)[:-1],  # fine where a Z or H candidate would be
    *regular(4, 120.0, 200.0)[:-1],
    *regular(15, 200.0, 800.0),
)
JET_OBSERVABLES: tuple[Observable, ...] = (
    Observable("pt", transverse_momentum, "object", regular(29, 20.0, 600.0), r"$p_T$ [GeV]"),
    Observable("eta", pseudorapidity, "object", regular(25, -2.5, 2.5), r"$\eta$"),
    Observable(
        "delta_r",
        geometry.delta_r_to_nearest,
        "object",
        regular(32, 0.0, 3.2),
        r"$\Delta R$ to the nearest jet",
    ),
    Observable(
        "pair_mass",
        geometry.leading_pair_mass,
        "event",
        PAIR_MASS_EDGES,
        "mass of the leading pair [GeV]",
    ),
    Observable(
        "pair_delta_r",
        geometry.leading_pair_delta_r,
        "event",
        regular(32, 0.0, 3.2),
        r"$\Delta R$ of the leading pair",
    ),
)
"""Observables of the paper: single jets, and the leading pair."""
