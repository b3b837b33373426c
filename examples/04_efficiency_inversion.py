"""Learn the efficiency of two tracks from phase-space events; correct another amplitude with 1/E.

python examples/04_efficiency_inversion.py [EVENTS]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import awkward as ak
import hist
import numpy as np
import uproot

import hepsilon
from hepsilon.config import ModelConfig, TrainingConfig
from hepsilon.histograms.tracks import system_mass
from hepsilon.simulation import track_task, write_tracks

n_events = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
folder = Path(tempfile.mkdtemp())
training = write_tracks(folder / "phasespace.root", n_events, seed=1)
measured = write_tracks(folder / "rho.root", n_events // 2, amplitude="rho", seed=2)

config = hepsilon.Config(
    task=track_task(),  # or hepsilon.load_config("training/tracks.toml").task
    model=ModelConfig(architecture="product"),
    training=TrainingConfig(epochs=6),
)
efficiency = hepsilon.train(config, [training], folder / "tracks.hepsilon").efficiency

# selected events, as they would come from data: reconstructed tracks
with uproot.open(measured) as file:
    events = file["Events"].arrays()
names = ("px", "py", "pz", "charge", "mass")
generated = ak.zip({name: events[f"Track_{name}"] for name in names})
tracks = ak.zip({name: events[f"TrackReco_{name}"] for name in names})[events["reco"]]

weights = hepsilon.inversion_weight(efficiency(tracks, out_of_domain="ignore"), floor=1e-3)
axis = hist.axis.Regular(20, 0.4, 1.2, name="M", label="$M$ [GeV]")
corrected = hist.Hist(axis, storage=hist.storage.Weight())
corrected.fill(system_mass(tracks), weight=np.asarray(weights))
before = hist.Hist(axis).fill(system_mass(generated))

error = np.sqrt(weights.variance.sum())
print(f"selected {len(weights)} of {len(events)} events")
print(f"corrected for the efficiency: {weights.weight.sum():.0f} +- {error:.0f}")
print(f"clipped: {weights.n_clipped} events, {weights.clipped_share:.1%} of the weight")
print("corrected / generated in bins of M:", np.round(corrected.values() / before.values(), 2))
