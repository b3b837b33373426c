"""A derived feature: what the other jets of the event recoil with."""

import awkward as ak
import numpy as np

from hepsilon.arrays.fields import register_field


@register_field("recoil", ("pt", "phi"), partners=True, unit=100.0)
def recoil(jets: ak.Array, unit: float) -> ak.Array:
    """Size of the transverse momentum of all other jets of the event, in units of ``unit`` GeV."""
    px, py = jets["pt"] * np.cos(jets["phi"]), jets["pt"] * np.sin(jets["phi"])
    return np.hypot(ak.sum(px, axis=1) - px, ak.sum(py, axis=1) - py) / unit
