"""Efficiency inversion with a response matrix: 1/E for what was lost, unfolding for what has moved.

python examples/08_unfolding.py [EVENTS]
"""

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import hepsilon
from hepsilon.closure import run_closure
from hepsilon.config import ObservableConfig
from hepsilon.data.dataset import read_columns
from hepsilon.efficiencies.factorised import with_axes
from hepsilon.fits import response_matrix
from hepsilon.simulation import track_task, write_tracks
from hepsilon.uncertainty import histogram_covariance

n_events = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
folder = Path(tempfile.mkdtemp())
training, simulated, measured = (
    write_tracks(folder / f"{seed}.root", n_events, amplitude=name, seed=seed)
    for seed, name in enumerate(("phasespace", "phasespace", "pomeron"), 1)
)
config = with_axes(hepsilon.Config(task=track_task()))
columns = read_columns([training], config)
efficiency = hepsilon.FactorisedMap.fit(config.task, columns, config.map)

# corrected sums of reconstructed momenta, generated sums, and the response matrix between them
bins = {"Pt": ObservableConfig(edges=(0.0, 0.4, 0.7, 1.0, 1.6))}
outputs = [
    run_closure(
        [file], config.task, {"map": efficiency}, observables=bins, reconstructed="TrackReco"
    )
    for file in (simulated, measured)
]
response, data = (output.observables["Pt"] for output in outputs)
matrix = outputs[0].responses["Pt"][{"method": "map@reco"}]
found = response_matrix(matrix, response[{"method": "generated"}])
print("sums of the columns (1/E has corrected the losses):", found.efficiencies.round(3))
print("purities:", found.purities.round(3))

# unfolded with the covariance: statistical, and that of the efficiency
corrected = data[{"method": "map@reco"}]
covariance = np.diag(corrected.variances())
replicas = outputs[1].efficiency_replicas.get("map@reco")
if replicas is not None:
    covariance = covariance + histogram_covariance(replicas["Pt"])
unfolded = found.unfold(corrected.values(), covariance)
generated = data[{"method": "generated"}].values()
print("corrected / generated:", (corrected.values() / generated).round(3))
print("unfolded / generated: ", (unfolded.values / generated).round(3))
print("relative errors:      ", (np.sqrt(np.diag(unfolded.covariance)) / generated).round(3))

if find_spec("pyunfold") is None:
    print("pip install pyunfold for an iterative one")
else:
    import pyunfold

    solved = pyunfold.iterative_unfold(
        **found.pyunfold(corrected.values(), np.sqrt(np.diag(covariance)))
    )
    print("PyUnfold / generated: ", (solved["unfolded"] / generated).round(3))
