"""Simulate jets with a known efficiency, fill the map, and see where it fails."""

import sys
import tempfile
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

import hepsilon
from hepsilon.arrays.geometry import delta_r_to_nearest
from hepsilon.data.dataset import read_columns
from hepsilon.simulation import toy_task, write_jets

n_events = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
folder = Path(tempfile.mkdtemp())
file = write_jets(folder / "train.root", n_events, seed=1)

config = hepsilon.Config(task=toy_task())
efficiency = hepsilon.EfficiencyMap.fit(config.task, read_columns([file], config))
efficiency.save(folder / "map.hepsilon")

# A map is an efficiency like any other: columns in, columns out.
events = uproot.open(file)["Events"].arrays()
found = efficiency.evaluate(events, out_of_domain="ignore")
jets, eps = found.records, found.eps  # the jets that the map knows, and its answer for each

# The map averages over the environment: it is right on average and wrong for close-by jets.
b_jet = jets.hadronFlavour == 5
distance = delta_r_to_nearest(jets)
for low, high in ((0.0, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, np.inf)):
    chosen = b_jet & (distance >= low) & (distance < high)
    print(
        f"b jets with delta R in [{low}, {high}): map {ak.mean(eps[chosen]):.3f}, "
        f"truth {ak.mean(jets.trueEfficiency[chosen]):.3f}"
    )
