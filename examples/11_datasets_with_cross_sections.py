"""Several datasets with cross sections in one run: of one efficiency, and of one histogram.

A fileset (JSON, as coffea has it) holds the datasets. The ``weight`` of each is what an event
weight is multiplied with, here cross section times luminosity over the sum of weights that were
generated. Every command takes such a file (``hepsilon closure map.hepsilon fileset.json``); in a
processor of coffea it is ``events.metadata["weight"]``.
"""

import json
import sys
import tempfile
from pathlib import Path

import awkward as ak
import hist
import uproot
from coffea import processor
from coffea.analysis_tools import Weights

import hepsilon
from hepsilon.analysis_tools import add_truth_tag
from hepsilon.arrays.geometry import leading_pair_mass
from hepsilon.closure import closure_report, run_closure
from hepsilon.data.dataset import read_columns
from hepsilon.processors import TaskSchema
from hepsilon.simulation import toy_task, write_jets

LUMINOSITY = 59.8  # 1/fb
CROSS_SECTIONS = {"signal": 0.52, "background": 830.0}  # pb


class PairMass(processor.ProcessorABC):
    """Mass of the leading pair with two tags, by dataset."""

    def __init__(self, efficiency: hepsilon.Efficiency) -> None:
        self.efficiency = efficiency

    def process(self, events: ak.Array) -> dict:
        """Fill one chunk of one dataset."""
        found = self.efficiency.evaluate(events, out_of_domain="ignore")
        weights = Weights(len(events))
        weights.add("generator", events.genWeight)
        weights.add("cross section", ak.full_like(events.genWeight, events.metadata["weight"]))
        add_truth_tag(weights, "tags", found.eps, 2, replicas=found.replicas)
        mass = hist.axis.Regular(20, 0, 800, name="mass", label="mass of the leading pair [GeV]")
        filled = hist.Hist(
            hist.axis.StrCategory([], growth=True, name="dataset"),
            hist.axis.StrCategory([], growth=True, name="variation"),
            mass,
            storage=hist.storage.Weight(),
        )
        for key in (None, *weights.variations):
            filled.fill(
                dataset=events.metadata["dataset"],
                variation=key or "nominal",
                mass=leading_pair_mass(found.records),
                weight=weights.weight(key),
            )
        return {"mass": filled}

    def postprocess(self, accumulator: dict) -> dict:
        """Leave the output as it is."""
        return accumulator


def fileset(folder: Path, n_events: int) -> Path:
    """Simulate two datasets, and describe them."""
    kinds = {"signal": "jets-alternative", "background": "jets"}
    described = {}
    for seed, (name, kind) in enumerate(kinds.items(), start=1):
        file = write_jets(folder / f"{name}.root", n_events, kind=kind, seed=seed)
        generated = float(uproot.open(file)["Events"]["genWeight"].array().to_numpy().sum())
        weight = 1000.0 * CROSS_SECTIONS[name] * LUMINOSITY / generated
        described[name] = {"files": {str(file): "Events"}, "metadata": {"weight": weight}}
    path = folder / "fileset.json"
    path.write_text(json.dumps(described, indent=1))
    return path


def main() -> None:
    """Fit one map to both datasets, close it on both, and fill one histogram."""
    n_events = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    path = fileset(Path(tempfile.mkdtemp()), n_events)
    config = hepsilon.Config(task=toy_task())
    efficiency = hepsilon.EfficiencyMap.fit(config.task, read_columns([path], config))

    methods = {"map": efficiency}
    output = run_closure([path], config.task, methods, config=config.input)
    total = closure_report(output, config.task, methods, [path]).efficiency["map"].overall
    print(f"tagged jets: {total.observed:.4g} observed, {total.expected:.4g} expected")

    runner = processor.Runner(
        processor.IterativeExecutor(status=False), schema=TaskSchema, metadata_cache={}
    )
    filled = runner(json.loads(path.read_text()), PairMass(efficiency))["mass"]
    for name in filled.axes["dataset"]:
        events = filled[{"dataset": name, "variation": "nominal"}].sum(flow=True)
        print(f"{name}: {events.value:.4g} +- {events.variance**0.5:.2g} events with two tags")


if __name__ == "__main__":
    main()
