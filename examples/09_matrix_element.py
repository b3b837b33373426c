"""The efficiency of a matrix-element method: E at arbitrary momenta, with its gradient.

python examples/09_matrix_element.py [EVENTS]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import hepsilon
from hepsilon.config import ModelConfig, TrainingConfig
from hepsilon.efficiencies.phase_space import at_momenta
from hepsilon.simulation import track_task, write_tracks

n_events = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
folder = Path(tempfile.mkdtemp())
file = write_tracks(folder / "phasespace.root", n_events, seed=1)
config = hepsilon.Config(
    task=track_task(),
    model=ModelConfig(architecture="mlp", width=16),
    training=TrainingConfig(epochs=2),
)
hepsilon.train(config, [file], folder / "tracks.hepsilon")
efficiency = hepsilon.load(folder / "tracks.hepsilon", backend="tensorflow")  # has gradients

# hypotheses: two pions of opposite charge, (E, px, py, pz) in GeV, as a generator gives them
rng = np.random.default_rng(1)
pt, eta, phi = (rng.uniform(*r, (1000, 2)) for r in ((0.3, 1.0), (-0.8, 0.8), (-3.1, 3.1)))
momentum = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=2)
energy = np.sqrt(0.13957**2 + np.sum(momentum**2, axis=2, keepdims=True))
points = np.concatenate([energy, momentum], axis=2)
charge = np.array([1, -1])

found = at_momenta(efficiency, points, charge=charge, gradient=True, out_of_domain="ignore")
print(f"E of {len(points)} points: mean {found.eps.mean():.3f}")
print("dE / d(E, px, py, pz) of the first one [1/GeV]:", found.gradient[0].round(3).tolist())

# the gradient predicts a small step of the first pion along its own direction
step = 0.002 * points[:, 0, 1:] / np.linalg.norm(points[:, 0, 1:], axis=1, keepdims=True)
moved = points.copy()
moved[:, 0, 1:] += step
other = at_momenta(efficiency, moved, charge=charge, out_of_domain="ignore")
predicted = np.sum(found.gradient[:, 0, 1:] * step, axis=1)
largest = np.abs(other.eps - found.eps - predicted).max()
print(f"steps of 2 MeV: E changes by up to {np.abs(predicted).max():.2g}, missed by {largest:.1g}")
