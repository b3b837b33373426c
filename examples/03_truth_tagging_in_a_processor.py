"""Truth tagging inside a coffea processor of one's own, next to direct tagging."""

import sys
import tempfile
from pathlib import Path

import awkward as ak
import hist
import numpy as np
from coffea import processor
from coffea.analysis_tools import Weights

import hepsilon
from hepsilon.arrays.geometry import leading_pair_mass
from hepsilon.data.dataset import read_columns
from hepsilon.processors import TaskSchema
from hepsilon.simulation import toy_task, write_jets


class PairMass(processor.ProcessorABC):
    """Mass of the leading pair with two tags."""

    def __init__(self, efficiency: hepsilon.Efficiency) -> None:
        self.efficiency = efficiency

    def process(self, events: ak.Array) -> dict:
        """Fill the mass twice: events cut away, and events weighted."""
        found = self.efficiency.evaluate(events, out_of_domain="ignore")
        jets = found.records  # selected as in the training
        tagged = ak.values_astype(jets.discriminant > 0.0, np.float64)
        filled = hist.Hist(
            hist.axis.StrCategory(["direct", "truth tagging"], name="method"),
            hist.axis.Regular(20, 0, 800, name="mass", label="mass of the leading pair [GeV]"),
            storage=hist.storage.Weight(),
        )
        for method, eps in (("direct", tagged), ("truth tagging", found.eps)):
            weights = Weights(len(events))
            weights.add("generator", events.genWeight)
            weights.add("tagging", hepsilon.truth_tag_weight(eps, n_tags=2))
            filled.fill(method=method, mass=leading_pair_mass(jets), weight=weights.weight())
        return {events.metadata["dataset"]: filled}

    def postprocess(self, accumulator: dict) -> dict:
        """Leave the output as it is."""
        return accumulator


n_events = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
folder = Path(tempfile.mkdtemp())
train_file = write_jets(folder / "train.root", n_events, seed=1)
file = write_jets(folder / "analysis.root", n_events, seed=2)
config = hepsilon.Config(task=toy_task())
efficiency = hepsilon.EfficiencyMap.fit(config.task, read_columns([train_file], config))

executor = processor.IterativeExecutor(status=False)
# a cache of its own: coffea's knows files as they were when this process first saw them
runner = processor.Runner(executor, schema=TaskSchema, metadata_cache={})
fileset = {"toy": {"treename": "Events", "files": [str(file)]}}
filled = runner(fileset, PairMass(efficiency))["toy"]
for method in filled.axes["method"]:
    total = filled[{"method": method}].sum(flow=True)
    error = total.variance**0.5
    print(f"{method}: {total.value:.1f} +- {error:.1f} events with two tags")
