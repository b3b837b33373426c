"""Train a small network, ship one file, and call it on jets: efficiencies and event weights."""

import sys
import tempfile
from pathlib import Path

import awkward as ak
import numpy as np

import hepsilon
from hepsilon.config import ModelConfig, TrainingConfig
from hepsilon.simulation import toy_task, write_jets

n_events = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
folder = Path(tempfile.mkdtemp())
train_file = write_jets(folder / "train.root", n_events, seed=1)

config = hepsilon.Config(
    task=toy_task(),
    model=ModelConfig(architecture="gnn", width=16, blocks=1),
    training=TrainingConfig(epochs=3),
)
hepsilon.train(config, [train_file], folder / "gnn.hepsilon")

# Anywhere else: one file, lazily loaded, one call.
efficiency = hepsilon.load(folder / "gnn.hepsilon")
jets = ak.Array(
    [
        [
            {"pt": 120.0, "eta": 0.1, "phi": 0.2, "hadronFlavour": 5},
            {"pt": 80.0, "eta": 0.3, "phi": 0.6, "hadronFlavour": 5},
        ],
        [],
        [
            {"pt": 60.0, "eta": -1.0, "phi": 3.0, "hadronFlavour": 0},
            {"pt": 40.0, "eta": 1.2, "phi": 0.1, "hadronFlavour": 4},
        ],
    ]
)
eps = efficiency(jets)
print("efficiencies:", eps.to_list())
for n_tags in (0, 1, 2):
    weights = hepsilon.truth_tag_weight(eps, n_tags=n_tags)
    print(f"weight of exactly {n_tags} tags:", np.round(weights, 4))
