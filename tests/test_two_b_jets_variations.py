"""Varied jets in an analysis of one's own: efficiencies, weights and tags follow, correlated."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import awkward as ak
import numpy as np
import pytest

import hepsilon
from hepsilon.cli.parser import main
from hepsilon.data.dataset import read_columns
from hepsilon.simulation import toy_task, write_jets

SCRIPT = Path(__file__).parents[1] / "processors" / "two_b_jets_variations.py"
EVENTS = 5_000
# varied jets may be harder than any of the training
pytestmark = pytest.mark.filterwarnings("ignore::hepsilon.OutOfDomainWarning")


def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("two_b_jets_variations", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jets(tmp_path_factory.mktemp("jes") / "toy.root", EVENTS, seed=5)


@pytest.fixture(scope="module")
def efficiency(sample: Path) -> hepsilon.EfficiencyMap:
    config = hepsilon.Config(task=toy_task())
    return hepsilon.EfficiencyMap.fit(config.task, read_columns([sample], config, progress=False))


@pytest.fixture(scope="module")
def output(sample: Path, efficiency: hepsilon.EfficiencyMap) -> dict[str, Any]:
    script = module()
    return script.analyse([sample], script.TwoBJets(efficiency))


def expected_weights(
    efficiency: hepsilon.EfficiencyMap, sample: Path, sign: float
) -> tuple[Any, Any]:
    """Weights of all events by hand: varied, selected, and asked again."""
    script = module()
    from coffea.nanoevents import NanoEventsFactory

    events = NanoEventsFactory.from_root({str(sample): "Events"}, mode="eager").events()
    jets = script.scaled(events.Jet, sign) if sign else events.Jet
    jets = jets[(jets.pt > 20.0) & (abs(jets.eta) < 2.5)]
    eps = efficiency(jets, out_of_domain="ignore")
    weight = hepsilon.truth_tag_weight(eps, 2, jets=None) * ak.to_numpy(events.genWeight)
    chosen = ak.to_numpy((ak.num(jets) >= 2) & ak.any(jets.pt > 50.0, axis=1))
    return weight, chosen & (weight > 0.0)


@pytest.mark.parametrize(("name", "sign"), [("nominal", 0.0), ("jesUp", 1.0), ("jesDown", -1.0)])
def test_each_variation_is_selected_and_evaluated_anew(
    output: dict[str, Any], efficiency: hepsilon.EfficiencyMap, sample: Path, name: str, sign: float
) -> None:
    weight, chosen = expected_weights(efficiency, sample, sign)
    total = output["mass"][{"variation": name}].sum(flow=True)
    assert total.value == pytest.approx(float(np.sum(weight[chosen])), rel=1e-9)
    assert total.variance == pytest.approx(float(np.sum(weight[chosen] ** 2)), rel=1e-9)
    assert output["cutflow"][name]["two b jets"] == pytest.approx(total.value, rel=1e-9)


def test_variations_of_weights_are_there_once(output: dict[str, Any]) -> None:
    assert set(output["mass"].axes["variation"]) == {
        *("nominal", "jesUp", "jesDown", "scaleUp", "scaleDown"),
        *("tags_efficiencyUp", "tags_efficiencyDown"),
    }


def test_variations_of_jets_move_the_mass(output: dict[str, Any]) -> None:
    """Of pairs with a mass far above what the cuts on pt decide."""
    means = {}
    for name in ("jesDown", "nominal", "jesUp"):
        one = output["mass"][{"variation": name}]
        values = np.where(one.axes[0].centers > 160.0, one.values(), 0.0)
        means[name] = values[one.axes[0].centers > 320.0].sum() / values.sum()
    assert means["jesDown"] < means["nominal"] < means["jesUp"]


def test_tags_of_variations_are_those_of_the_nominal_where_nothing_changes(
    output: dict[str, Any], efficiency: hepsilon.EfficiencyMap, sample: Path
) -> None:
    """Few events change their tagged jets; with draws of their own most of them would."""
    from coffea.nanoevents import NanoEventsFactory

    script = module()
    assert output["changed"]["nominal"] == 0
    events = NanoEventsFactory.from_root({str(sample): "Events"}, mode="eager").events()
    jets = events.Jet[(events.Jet.pt > 20.0) & (abs(events.Jet.eta) < 2.5)]
    eps = efficiency(jets, out_of_domain="ignore")
    first, second = (
        jets.eta[hepsilon.sample_tags(eps, events, 2, jets=None, seed=seed)] for seed in (1, 2)
    )
    independent = script.TwoBJets.changed(first, second)
    for name in ("jesUp", "jesDown"):
        assert 0 < output["changed"][name] < 0.5 * independent


def test_chunks_change_nothing(
    output: dict[str, Any], efficiency: hepsilon.EfficiencyMap, sample: Path
) -> None:
    from coffea import processor
    from coffea.nanoevents import NanoAODSchema

    script = module()
    runner = processor.Runner(
        processor.IterativeExecutor(status=False),
        schema=NanoAODSchema,
        metadata_cache={},
        chunksize=EVENTS // 3,
    )
    fileset = {"sample": {"treename": "Events", "files": [str(sample)]}}
    again = runner(fileset, script.TwoBJets(efficiency))["sample"]
    assert again["changed"] == output["changed"]
    for name in output["mass"].axes["variation"]:
        both = [each["mass"][{"variation": name}].values() for each in (output, again)]
        np.testing.assert_allclose(both[0], both[1], rtol=1e-9)


@pytest.mark.slow
def test_it_runs_from_the_command_line(sample: Path, tmp_path: Path) -> None:
    config = Path(__file__).parents[1] / "training" / "gnn.toml"
    path = tmp_path / "map.hepsilon"
    assert main(["map", str(config), str(sample), "--out", str(path)]) == 0
    done = subprocess.run(
        [sys.executable, SCRIPT, sample, "--efficiency", path, "--out", tmp_path / "out"],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "jesUp:" in done.stdout
    assert set(json.loads((tmp_path / "out" / "cutflow.json").read_text())) == {
        *("nominal", "jesUp", "jesDown")
    }
