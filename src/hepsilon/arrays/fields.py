"""A field of the records, or the kernel that computes it from other fields."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import awkward as ak

from hepsilon.arrays import geometry
from hepsilon.arrays.columns import shortened
from hepsilon.errors import InputError

__all__ = ["DERIVED", "INPUTS", "field"]

DERIVED: dict[str, Callable[[ak.Array], ak.Array]] = {
    "proximity": geometry.proximity,
    "n_close": geometry.count_close,
    **{name: partial(geometry.spherical_momentum, name=name) for name in ("pt", "eta", "phi")},
    **{name: partial(geometry.momentum_components, name=name) for name in ("px", "py", "pz")},
}
"""Fields that are computed where the records do not have them."""
INPUTS: dict[str, tuple[str, ...]] = {
    "proximity": ("eta", "phi"),
    "n_close": ("eta", "phi"),
    "pt": ("px", "py"),
    "eta": ("px", "py", "pz"),
    "phi": ("px", "py"),
    "px": ("pt", "phi"),
    "py": ("pt", "phi"),
    "pz": ("pt", "eta"),
}
"""Fields that each derived field is computed from."""


def field(records: ak.Array, name: str) -> ak.Array:
    """A field of the records, or what :data:`DERIVED` computes in its place.

    Parameters
    ----------
    records : ak.Array of records, shape (n_events, objects)
        Objects of every event.
    name : str
        Name of the field.

    Returns
    -------
    ak.Array, shape (n_events, objects)
        Value of the field for every object; momenta are in GeV, angles in rad.

    Raises
    ------
    InputError
        If the records do not have the field, nor those that it is computed from.
    """
    available = ak.fields(records)
    if name in available:
        return records[name]
    if name in DERIVED and set(INPUTS[name]) <= set(available):
        return DERIVED[name](records)
    raise InputError(
        f"expected the field {name!r}, received records with the fields "
        f"{shortened(available, name)}"
    )
