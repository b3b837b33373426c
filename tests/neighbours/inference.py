"""Run in an environment with another coffea: efficiencies and weights of hepsilon's own files.

``python inference.py FOLDER`` compares with ``expected.json`` and prints what it ran with.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from coffea import processor
from coffea.analysis_tools import Weights
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

import hepsilon
from hepsilon.analysis_tools import add_truth_tag

NanoAODSchema.warn_missing_crossrefs = False


def weights_of(efficiency: hepsilon.Efficiency, events: ak.Array) -> dict[str, Any]:
    """Efficiencies, weights with their variations, and drawn tags."""
    found = efficiency.evaluate(events, out_of_domain="ignore")
    weights = Weights(len(events))
    weights.add("generator", events.genWeight)
    add_truth_tag(weights, "tags", found.eps, 2, jets=None, replicas=found.replicas)
    tags = hepsilon.sample_tags(found.eps, events, 2, jets=None)
    return {
        "eps": ak.to_list(ak.ravel(found.eps)),
        "weight": weights.weight().tolist(),
        "up": weights.weight("tags_efficiencyUp").tolist() if found.replicas is not None else [],
        "tags": ak.to_list(ak.ravel(tags)),
    }


class Total(processor.ProcessorABC):
    """Sum of the weights, in coffea's own runner."""

    def __init__(self, efficiency: hepsilon.Efficiency) -> None:
        self.efficiency = efficiency

    def process(self, events: ak.Array) -> dict[str, float]:
        """Sum of one chunk."""
        return {"total": float(np.sum(weights_of(self.efficiency, events)["weight"]))}

    def postprocess(self, accumulator: dict[str, float]) -> dict[str, float]:
        """Leave the output as it is."""
        return accumulator


def main(folder: Path) -> dict[str, Any]:
    """Numbers of every artifact of the folder, by its name."""
    file = {str(folder / "jets.root"): "Events"}
    events = NanoEventsFactory.from_root(file, mode="eager").events()
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.hepsilon")):
        efficiency = hepsilon.load(path, backend="auto")
        runner = processor.Runner(
            processor.IterativeExecutor(status=False), schema=NanoAODSchema, metadata_cache={}
        )
        total = runner({"toy": {"files": file}}, Total(efficiency))["total"]
        found[path.stem] = weights_of(efficiency, events) | {"total": [total]}
    return found


if __name__ == "__main__":
    place = Path(sys.argv[1])
    expected, numbers = json.loads((place / "expected.json").read_text()), main(place)
    assert set(numbers) == set(expected), set(numbers)
    for name, parts in expected.items():
        for part, values in parts.items():
            np.testing.assert_allclose(numbers[name][part], values, atol=1e-5, rtol=1e-5)
    assert not {"keras", "tensorflow"} & set(sys.modules)
    print({name: version(name) for name in ("coffea", "awkward", "numpy", "hepsilon")})
