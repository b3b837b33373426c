"""An observable: the sum of the momenta of central jets."""

import awkward as ak

from hepsilon.histograms import register_observable


@register_observable("central_ht", ("pt", "eta"), label=r"central $H_T$ [GeV]", unit="GeV")
def central_ht(jets: ak.Array) -> ak.Array:
    """Sum of pt over the jets of an event with |eta| < 1.5 [GeV]."""
    return ak.sum(jets["pt"][abs(jets["eta"]) < 1.5], axis=1)
