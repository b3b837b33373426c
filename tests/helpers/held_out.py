"""Closure of a training on held-out events, made up."""

from __future__ import annotations

from hepsilon.efficiencies.held_out_cards import HeldOutBins, HeldOutCard


def held_out_card() -> HeldOutCard:
    """Totals that are clearly off, and two bins of pt in two categories, one of them empty."""
    flavours = "hadronFlavour 5", "hadronFlavour 0"
    total = HeldOutBins(
        name="all",
        bins=("all", "all"),
        categories=flavours,
        n_effective=(40_000.0, 9000.0),
        observed=(8955.0, 45.0),
        expected=(9950.0, 50.0),
        variance=(2500.0, 42.25),
        chi2=396.0,
        ndf=2,
        p_value=1e-86,
    )
    pt = HeldOutBins(
        name="pt",
        bins=("pt below 60", "pt from 60") * 2,
        categories=(flavours[0],) * 2 + (flavours[1],) * 2,
        n_effective=(20_000.0, 20_000.0, 0.0, 9000.0),
        observed=(4455.0, 4500.0, 0.0, 45.0),
        expected=(4950.0, 5000.0, 0.0, 50.0),
        variance=(1250.0, 1250.0, 0.0, 42.25),
        efficiency_variance=(100.0, 100.0, 0.0, 4.0),
        chi2=397.0,
        ndf=3,
        p_value=1e-85,
    )
    return HeldOutCard(events="validation", n_events=1234, inputs=(total, pt))
