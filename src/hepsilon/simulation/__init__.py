"""Toy simulations whose true efficiency is known, written as NanoAOD-like ROOT files."""

from hepsilon.simulation.efficiency import FLAVOURS, environment_factor, jet_efficiency
from hepsilon.simulation.jets import (
    JetColumns,
    alternative_jets,
    training_jets,
    true_efficiency,
)
from hepsilon.simulation.writer import write_jets

__all__ = [
    "FLAVOURS",
    "JetColumns",
    "alternative_jets",
    "environment_factor",
    "jet_efficiency",
    "training_jets",
    "true_efficiency",
    "write_jets",
]
