"""Toy simulations whose true efficiency is known, written as NanoAOD-like ROOT files."""

from hepsilon.simulation.amplitudes import (
    AMPLITUDES,
    FINAL_STATES,
    Amplitude,
    FiducialRegion,
    generate_tracks,
)
from hepsilon.simulation.detector import ALICE_LIKE, Detector, Sector, Tracks
from hepsilon.simulation.efficiency import FLAVOURS, environment_factor, jet_efficiency
from hepsilon.simulation.jets import JetColumns, alternative_jets, training_jets, true_efficiency
from hepsilon.simulation.ratios import RatioColumns, ratio_jets, write_ratio_jets
from hepsilon.simulation.tasks import toy_task, track_task
from hepsilon.simulation.writer import write_jets, write_tracks

__all__ = [
    "ALICE_LIKE",
    "AMPLITUDES",
    "FINAL_STATES",
    "FLAVOURS",
    "Amplitude",
    "Detector",
    "FiducialRegion",
    "JetColumns",
    "RatioColumns",
    "Sector",
    "Tracks",
    "alternative_jets",
    "environment_factor",
    "generate_tracks",
    "jet_efficiency",
    "ratio_jets",
    "toy_task",
    "track_task",
    "training_jets",
    "true_efficiency",
    "write_jets",
    "write_ratio_jets",
    "write_tracks",
]
