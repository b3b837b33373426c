r"""Candidates of two b jets in NanoAOD: an analysis as many are, written without hepsilon.

Events with exactly two b-tagged jets, of a cut on the tagger: mass and distance of the pair, HT,
with a scale uncertainty and a cutflow. two_b_jets_truth_tagging.py is the same analysis with
three lines added.

    python processors/two_b_jets.py files/*.root --tagger btagDeepFlavB --cut 0.2783 --out direct
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
from coffea import processor
from coffea.analysis_tools import PackedSelection, Weights
from coffea.nanoevents import NanoAODSchema
from matplotlib.figure import Figure

NanoAODSchema.warn_missing_crossrefs = False

AXES = {
    "mass": hist.axis.Regular(20, 0, 800, name="x", label=r"$m_{bb}$ [GeV]"),
    "delta_r": hist.axis.Regular(16, 0, 3.2, name="x", label=r"$\Delta R_{bb}$"),
    "ht": hist.axis.Regular(20, 0, 2000, name="x", label=r"$H_T$ [GeV]"),
}


class TwoBJets(processor.ProcessorABC):
    """Distributions of the pair of b jets, with variations, and a cutflow."""

    def __init__(self, tagger: str, cut: float) -> None:
        self.tagger, self.cut = tagger, cut

    def process(self, events: ak.Array) -> dict[str, Any]:
        """Select, weight and fill one chunk."""
        jets = events.Jet[(events.Jet.pt > 20.0) & (abs(events.Jet.eta) < 2.5)]
        weights = Weights(len(events), storeIndividual=True)
        weights.add("generator", events.genWeight)
        ht = ak.to_numpy(ak.sum(jets.pt, axis=1))
        weights.add("scale", np.ones(len(events)), 1 + ht / 20_000, 1 - ht / 20_000)
        tagged = jets[self.tagger] > self.cut
        selection = PackedSelection()
        selection.add("two jets", ak.to_numpy(ak.num(jets) >= 2))
        selection.add("leading jet", ak.to_numpy(ak.any(jets.pt > 50.0, axis=1)))
        selection.add("two b jets", ak.to_numpy(ak.sum(tagged, axis=1) == 2))

        chosen = selection.all()
        pairs = jets[tagged][chosen]
        first, second = pairs[:, 0], pairs[:, 1]
        values = {
            "mass": (first + second).mass,
            "delta_r": first.delta_r(second),
            "ht": ht[chosen],
        }
        filled = {}
        for name, axis in AXES.items():
            variation = hist.axis.StrCategory([], growth=True, name="variation")
            filled[name] = hist.Hist(variation, axis, storage=hist.storage.Weight())
            for key in (None, *sorted(weights.variations)):
                weight = weights.weight(key)[chosen]
                filled[name].fill(variation=key or "nominal", x=values[name], weight=weight)
        cutflow = selection.cutflow(*selection.names, weights=weights).result()
        steps = dict(zip(cutflow.labels, cutflow.wgtevcutflow, strict=True))
        return {events.metadata["dataset"]: {"histograms": filled, "cutflow": steps}}

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """Leave the output as it is."""
        return accumulator


def analyse(files: list[Path], analysis: processor.ProcessorABC) -> dict[str, Any]:
    """Run over files with coffea."""
    executor = processor.IterativeExecutor()
    # a cache of its own: coffea's knows files as they were when this process first saw them
    runner = processor.Runner(executor, schema=NanoAODSchema, metadata_cache={})
    fileset = {"sample": {"treename": "Events", "files": [str(file) for file in files]}}
    return runner(fileset, analysis)["sample"]


def draw(output: dict[str, Any], out: Path) -> None:
    """Plots with the variations, and the cutflow."""
    out.mkdir(parents=True, exist_ok=True)
    for name, histogram in output["histograms"].items():
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        for key in histogram.axes["variation"]:
            error = key == "nominal"
            histogram[{"variation": key}].plot(ax=axes, label=key, yerr=error, lw=1 + error)
        axes.set_ylabel("events / bin")
        axes.legend()
        figure.savefig(out / f"{name}.png")
    (out / "cutflow.json").write_text(json.dumps(output["cutflow"], indent=1))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, help="NanoAOD files")
    parser.add_argument("--tagger", default="btagDeepFlavB", help="field of the jets")
    parser.add_argument("--cut", type=float, default=0.2783, help="its working point")
    parser.add_argument("--out", type=Path, default=Path("two-b-jets"))
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_arguments()
    analysis = TwoBJets(args.tagger, args.cut)
    result = analyse(args.files, analysis)
    draw(result, args.out)
    for step, events in result["cutflow"].items():
        print(f"{step}: {events:.1f}")
