"""Learn the ratio of two samples, and make one look like the other.

python examples/12_ratio.py [EVENTS]
"""

import sys
import tempfile
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

import hepsilon
from hepsilon.config import ModelConfig, Task, TrainingConfig
from hepsilon.simulation import write_ratio_jets

n_events = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
folder = Path(tempfile.mkdtemp())
# "data" and "simulation", twice: to learn from, and to look at
files = {
    (side, seed): write_ratio_jets(folder / f"{side}-{seed}.root", n_events, side=side, seed=seed)
    for side in ("numerator", "denominator")
    for seed in (1, 2)
}

config = hepsilon.Config(
    task=Task.model_validate(
        {
            "features": ["pt", "eta", "hadronFlavour", "shape", "proximity"],
            "categorical": {"hadronFlavour": [5, 4, 0]},
            "ratio": {"kind": "density"},
        }
    ),
    model=ModelConfig(architecture="mlp"),
    training=TrainingConfig(epochs=10),
)
hepsilon.train_ratio(
    config,
    folder / "ratio.hepsilon",
    numerator=files["numerator", 1],
    denominator=files["denominator", 1],
    progress=False,
)

# Anywhere else: one file, and one call for jets of the denominator.
ratio = hepsilon.load(folder / "ratio.hepsilon")
data, simulation = (
    uproot.open(files[side, 2])["Events"].arrays() for side in ("numerator", "denominator")
)
found = ratio.reweight(simulation, out_of_domain="ignore")
print(f"mean of the ratio: {found.mean:.3f} +- {found.error:.3f}")
print(f"jets are worth {found.n_effective:.0f} of {found.n_effective_before:.0f}")

weights = ak.flatten(found.weights)
for name in ("pt", "shape"):
    values = [ak.flatten(events[f"Jet_{name}"]) for events in (data, simulation)]
    print(
        f"mean {name}: data {ak.mean(values[0]):.2f}, simulation {ak.mean(values[1]):.2f}, "
        f"reweighted {ak.mean(values[1], weight=weights):.2f}"
    )
error = np.log(weights / ak.flatten(simulation.Jet_trueRatio))
print(f"error of the ratio, jet by jet: {np.sqrt(ak.mean(error**2)):.1%}")
