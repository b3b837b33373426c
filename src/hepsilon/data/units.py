"""Units: momenta, energies and masses are in GeV behind this module, whatever the records hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import awkward as ak

from hepsilon.data.elements import list_of

__all__ = ["IN_GEV", "Unit", "edges_in_gev", "in_gev", "is_angle", "is_momentum"]

Unit = Literal["GeV", "MeV"]
IN_GEV: dict[Unit, float] = {"GeV": 1.0, "MeV": 1e-3}
"""Factors from units of the records to GeV."""
MOMENTA = (
    "pt",
    "px",
    "py",
    "pz",
    "p",
    "et",
    "e",
    "energy",
    "m",
    "mass",
    "msoftdrop",
    "sumet",
    "ht",
)
ANGLES = ("phi",)


def _last(name: str) -> str:
    return list_of(name).lower().replace(".", "_").rsplit("_", 1)[-1]


def is_momentum(name: str) -> bool:
    """Tell whether a field is a momentum, energy or mass by its name.

    Parameters
    ----------
    name : str
        Name of the field; of ``"gen_pt"`` the last part counts.

    Returns
    -------
    bool
        True for pt, px, py, pz, p, et, e, energy, m, mass and the like.
    """
    return _last(name) in MOMENTA


def is_angle(name: str) -> bool:
    """Tell whether a field is an azimuth by its name.

    Parameters
    ----------
    name : str
        Name of the field.

    Returns
    -------
    bool
        True for phi.
    """
    return _last(name) in ANGLES


def edges_in_gev(edges: Mapping[str, Sequence[float]], unit: Unit) -> dict[str, tuple[float, ...]]:
    """Convert bin edges of features to GeV, where they are momenta.

    Parameters
    ----------
    edges : mapping of str to sequence of float
        Edges by feature.
    unit : {"GeV", "MeV"}
        Their unit.

    Returns
    -------
    dict of str to tuple of float
        Edges by feature.
    """
    factors = {name: IN_GEV[unit] if is_momentum(name) else 1.0 for name in edges}
    return {name: tuple(factors[name] * x for x in values) for name, values in edges.items()}


def in_gev(records: ak.Array, unit: Unit) -> ak.Array:
    """Give records whose momenta, energies and masses are in GeV.

    Parameters
    ----------
    records : ak.Array of records, jagged
        Objects whose momenta are in ``unit``.
    unit : {"GeV", "MeV"}
        Unit of the records.

    Returns
    -------
    ak.Array of records, jagged
        The records themselves where nothing is to be done.
    """
    if IN_GEV[unit] == 1.0:
        return records
    for name in ak.fields(records):
        if is_momentum(name):
            records = ak.with_field(records, records[name] * IN_GEV[unit], name)
    return records
