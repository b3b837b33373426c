r"""Candidates of two b jets in NanoAOD with varied jet energies, which efficiencies follow.

The analysis of two_b_jets_truth_tagging.py, once for the nominal jets and once for each variation
of their energies. In each of them jets are selected anew, the efficiency is asked anew (it depends
on pt), and tags are drawn anew. Draws are functions of run, luminosity block and event, so that
variation and nominal share their noise: where the efficiencies do not change, the tags do not
change either. What varies weights alone (scale, efficiency) is filled for the nominal jets.

    hepsilon map training/nanoaod.toml files/*.root --out map.hepsilon
    python processors/two_b_jets_variations.py files/*.root --efficiency map.hepsilon --out varied
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
from coffea import processor
from coffea.analysis_tools import PackedSelection, Weights
from coffea.nanoevents import NanoAODSchema

import hepsilon
from hepsilon.analysis_tools import add_truth_tag

NanoAODSchema.warn_missing_crossrefs = False
Shift = Callable[[ak.Array], ak.Array]


def jes_uncertainty(jets: ak.Array) -> ak.Array:
    """Relative uncertainty of the energy: stands for that of your experiment's correction file."""
    return 0.01 + 0.6 / jets.pt + 0.01 * abs(jets.eta)


def scaled(jets: ak.Array, sign: float) -> ak.Array:
    """Jets whose momenta are scaled by one standard deviation, with ``sign`` up or down.

    With coffea's CorrectedJetsFactory these are ``jets.JES_jes.up`` and ``jets.JES_jes.down``.
    """
    factor = 1.0 + sign * jes_uncertainty(jets)
    varied = ak.with_field(jets, jets.pt * factor, "pt")
    return ak.with_field(varied, jets.mass * factor, "mass")


class TwoBJets(processor.ProcessorABC):
    """Mass of the pair of b jets with variations of weights and of jets, and cutflows."""

    def __init__(self, efficiency: hepsilon.Efficiency) -> None:
        self.efficiency = efficiency

    def process(self, events: ak.Array) -> dict[str, Any]:
        """Fill one chunk, once for each variation of the jets."""
        filled = hist.Hist(
            hist.axis.StrCategory([], growth=True, name="variation"),
            hist.axis.Regular(20, 0, 800, name="mass", label=r"$m_{bb}$ [GeV]"),
            storage=hist.storage.Weight(),
        )
        cutflows, tags = {}, {}
        for variation, jets in self.variations(events.Jet):
            cutflows[variation], tags[variation] = self.fill(filled, events, jets, variation)
        changed = {key: self.changed(tags["nominal"], each) for key, each in tags.items()}
        output = {"mass": filled, "cutflow": cutflows, "changed": changed, "events": len(events)}
        return {events.metadata["dataset"]: output}

    def variations(self, jets: ak.Array) -> Iterator[tuple[str, ak.Array]]:
        """Name and jets of each variation, before any selection; the nominal one comes first."""
        yield "nominal", jets
        for name, sign in (("jesUp", 1.0), ("jesDown", -1.0)):
            yield name, scaled(jets, sign)

    def fill(
        self, filled: hist.Hist, events: ak.Array, jets: ak.Array, variation: str
    ) -> tuple[dict[str, float], ak.Array]:
        """Select, weight and fill the jets of one variation; its cutflow, and what was tagged."""
        jets = jets[(jets.pt > 20.0) & (abs(jets.eta) < 2.5)]
        found = self.efficiency.evaluate(jets)
        nominal = variation == "nominal"
        weights = Weights(len(events), storeIndividual=True)
        weights.add("generator", events.genWeight)
        if nominal:  # variations of weights are those of the nominal jets
            ht = ak.to_numpy(ak.sum(jets.pt, axis=1))
            weights.add("scale", np.ones(len(events)), 1 + ht / 20_000, 1 - ht / 20_000)
        replicas = found.replicas if nominal else None
        add_truth_tag(weights, "tags", found.eps, 2, jets=None, replicas=replicas)
        tagged = hepsilon.sample_tags(found.eps, events, 2, jets=None)

        selection = PackedSelection()
        selection.add("two jets", ak.to_numpy(ak.num(jets) >= 2))
        selection.add("leading jet", ak.to_numpy(ak.any(jets.pt > 50.0, axis=1)))
        selection.add("two b jets", ak.to_numpy(ak.sum(tagged, axis=1) == 2))
        chosen = selection.all()
        pairs = jets[tagged][chosen]
        mass = (pairs[:, 0] + pairs[:, 1]).mass
        for key in (None, *sorted(weights.variations)):
            name = key or variation
            filled.fill(variation=name, mass=mass, weight=weights.weight(key)[chosen])
        cutflow = selection.cutflow(*selection.names, weights=weights).result()
        return dict(zip(cutflow.labels, cutflow.wgtevcutflow, strict=True)), jets.eta[tagged]

    @staticmethod
    def changed(nominal: ak.Array, varied: ak.Array) -> int:
        """Number of events whose tagged jets are others (jets keep their directions)."""
        same = ak.num(nominal) == ak.num(varied)
        equal = ak.all(nominal[same] == varied[same], axis=1)
        return int(len(nominal) - ak.sum(equal))

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """Leave the output as it is."""
        return accumulator


def analyse(files: list[Path], analysis: processor.ProcessorABC) -> dict[str, Any]:
    """Run over files with coffea."""
    executor = processor.IterativeExecutor(status=False)
    # a cache of its own: coffea's knows files as they were when this process first saw them
    runner = processor.Runner(executor, schema=NanoAODSchema, metadata_cache={})
    fileset = {"sample": {"treename": "Events", "files": [str(file) for file in files]}}
    return runner(fileset, analysis)["sample"]


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, help="NanoAOD files")
    parser.add_argument("--efficiency", type=Path, required=True, help="a map or a network")
    parser.add_argument("--out", type=Path, default=Path("two-b-jets-varied"))
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_arguments()
    result = analyse(args.files, TwoBJets(hepsilon.load(args.efficiency)))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "cutflow.json").write_text(json.dumps(result["cutflow"], indent=1))
    for name in result["mass"].axes["variation"]:
        total = result["mass"][{"variation": name}].sum(flow=True).value
        print(f"{name}: {total:.1f} events with two b jets")
