"""Examples for other frameworks, in processes that know stand-ins of these and no hepsilon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

import hepsilon
from hepsilon.data.dataset import read_columns
from hepsilon.export.formats import export
from hepsilon.simulation import toy_task, write_jets
from tests.helpers.toys import read_jets

EXAMPLES = Path(__file__).parents[1] / "examples" / "frameworks"
STAND_INS = Path(__file__).parent / "helpers" / "stand_ins"
FIELDS = ("pt", "eta", "phi", "hadronFlavour")

COLUMNFLOW = """
import json, sys
from types import SimpleNamespace
import awkward as ak
from columnflow_producer import truth_tag_weights
from numpy import float32

file, jets = sys.argv[1:]
events = ak.Array({"Jet": ak.from_iter(json.load(open(jets)))})
reqs = {"external_files": SimpleNamespace(files=SimpleNamespace(btag_efficiency=file))}
assert truth_tag_weights.mc_only
assert truth_tag_weights.produces == {"truth_tag_weight{,_up,_down}"}
made = truth_tag_weights()
assert made.run_requires(None, reqs) is reqs
made.run_setup(None, reqs, {}, {})
events = made(events, task=None)
names = [name for name in ak.fields(events) if name != "Jet"]
assert all(str(events[name].type).endswith("float32") for name in names)
assert "hepsilon" not in sys.modules
print(json.dumps({name: ak.to_list(events[name]) for name in names}))
"""
POCKET_COFFEA = """
import json, sys
import awkward as ak
from pocket_coffea.lib.weights.weights import WeightData, WeightWrapperMeta
import pocket_coffea_weight

file, jets = sys.argv[1:]
events = ak.Array({"JetGood": ak.from_iter(json.load(open(jets)))})
params = {"truth_tag": {"file": file, "collection": "JetGood"}}
weight = WeightWrapperMeta.weight_classes["truth_tag"](params, {"year": "2018"})
assert weight.has_variations and weight.variations == []  # no list: up and down
found = weight.compute(events, len(events), "nominal")
other = weight.compute(events, len(events), "JES_Total_up")
assert isinstance(found, WeightData) and found.name == "truth_tag"
assert other.up is None and other.down is None and (other.nominal == found.nominal).all()
assert "hepsilon" not in sys.modules
names = {"nominal": "", "up": "_up", "down": "_down"}
print(json.dumps({
    "truth_tag_weight" + end: getattr(found, side).tolist() for side, end in names.items()
}))
"""
CODES = {"columnflow": COLUMNFLOW, "PocketCoffea": POCKET_COFFEA}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An exported map, jets as JSON, and the weights that hepsilon itself gives."""
    folder = tmp_path_factory.mktemp("frameworks")
    sample = write_jets(folder / "jets.root", 2_000, seed=3)
    config = hepsilon.Config(task=toy_task())
    efficiency = hepsilon.EfficiencyMap.fit(
        config.task, read_columns([sample], config, progress=False)
    )
    path = efficiency.save(folder / "map.hepsilon")
    export(path, "correctionlib", folder / "map.json.gz")
    jets = read_jets(sample)[:500]
    jets = jets[(jets.pt > 20.0) & (abs(jets.eta) < 2.5)]
    content = ak.to_list(ak.zip({name: jets[name] for name in FIELDS}))
    (folder / "jets.json").write_text(json.dumps(content))
    eps = efficiency(jets, out_of_domain="ignore")
    weight = hepsilon.truth_tag_weight(eps, 2, at_least=True, jets=None)
    return {"file": folder / "map.json.gz", "jets": folder / "jets.json", "weight": weight}


def run(python: str, code: str, made: dict[str, Any]) -> dict[str, Any]:
    """What an example prints in a process that finds the examples and the stand-ins alone."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", code, str(made["file"]), str(made["jets"])],
        env=environment | {"PYTHONPATH": os.pathsep.join(map(str, (EXAMPLES, STAND_INS)))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def check(found: dict[str, Any], weight: Any, rtol: float) -> None:
    assert set(found) == {f"truth_tag_weight{end}" for end in ("", "_up", "_down")}
    assert np.sum(weight > 0.0) > 300
    np.testing.assert_allclose(found["truth_tag_weight"], weight, rtol=rtol, atol=rtol)
    low, high = (np.array(found[f"truth_tag_weight_{side}"]) for side in ("down", "up"))
    large = weight > 0.01  # of float32, too
    assert np.all(low[large] < weight[large])
    assert np.all(weight[large] < high[large])
    assert np.all((low <= weight + 1e-7) & (weight <= high + 1e-7))


@pytest.mark.parametrize("framework", list(CODES))
def test_weights_are_those_of_hepsilon(made: dict[str, Any], framework: str) -> None:
    found = run(sys.executable, CODES[framework], made)
    check(found, made["weight"], 1e-6 if framework == "columnflow" else 1e-12)  # float32, float64


COFFEA_07 = os.environ.get("HEPSILON_COFFEA_07", "")


@pytest.mark.skipif(not COFFEA_07, reason="'make neighbours' gives an environment: coffea 0.7")
def test_the_weight_of_pocket_coffea_runs_with_awkward_1(made: dict[str, Any]) -> None:
    check(run(COFFEA_07, POCKET_COFFEA, made), made["weight"], 1e-12)
