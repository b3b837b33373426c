"""The recipes for triggers, leptons and ratios, on real input and on samples with a known truth."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

import hepsilon
from hepsilon.cli.parser import main
from hepsilon.data.reading import read_chunks
from hepsilon.simulation import write_ratio_jets
from tests.helpers.field import numbers, write_tree

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "training"
SMALL = {
    "trigger": {"members = 5": "members = 1\nwidth = 8\nblocks = 1", "seed = 1": "epochs = 1"},
    "lepton_id": {"members = 5": "members = 2\nwidth = 8", "seed = 1": "epochs = 1"},
    "ratio": {"seed = 1": "epochs = 2"},
}
IN_2015 = {
    "trigger": {
        "HLT_QuadPFJet70_50_40_35_PFBTagParticleNet_2BTagSum0p65": "HLT_AK4PFJet30",
        '"pt", "eta", "phi", "btagDeepFlavB",': '"pt", "eta", "phi", "btagCSVV2", ',
        "btagDeepFlavB = [-1.0]": "btagCSVV2 = [-10.0]",
        "min = 30.0": "min = 20.0",
    },
    "lepton_id": {
        '"Muon"': '"Electron"',
        '{ field = "tightId" }': '{ field = "cutBased", above = [2.5] }',
        "[1, 15, 5, 4, 3, 0]": "[1, 15, 22, 5, 4, 3, 0]",
    },
}
"""What that file needs: no muon of it passes, DeepJet is not computed, and triggers are others."""


def recipe(name: str, folder: Path, changes: dict[str, str]) -> Path:
    """The recipe with a small training, and with other changes."""
    text = (FOLDER / f"{name}.toml").read_text()
    for old, new in (SMALL[name] | changes).items():
        assert old in text, old
        text = text.replace(old, new)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


@pytest.fixture(params=["v12", "2015"])
def given(request: Any) -> tuple[Path, bool]:
    """A file of NanoAOD, and whether it is that of 2015."""
    if request.param == "2015":
        return request.getfixturevalue("nanoaod_path"), True
    name = os.environ.get("HEPSILON_NANOAOD_V12")
    if not name:
        pytest.skip("HEPSILON_NANOAOD_V12 names no file")
    return Path(name), False


@pytest.mark.parametrize("name", ["trigger", "lepton_id"])
def test_a_recipe_on_nanoaod(name: str, given: tuple[Path, bool], tmp_path: Path) -> None:
    file, old = given
    config = recipe(name, tmp_path, IN_2015[name] if old else {})
    model, baseline = tmp_path / "m.hepsilon", tmp_path / "map.hepsilon"
    closure = tmp_path / "closure"
    compared = ["--efficiency", f"net={model}", "--efficiency", f"map={baseline}"]
    for command in (
        ["train", config, file, "--out", model],
        ["map", config, file, "--out", baseline],
        ["closure", config, file, *compared, "--executor", "iterative", "--out", closure],
        ["apply", model, file, "--out", tmp_path / "friend.root"],
    ):
        assert main(list(map(str, command))) == 0, command
    assert json.loads((closure / "closure.json").read_text())
    efficiency = hepsilon.load(model)
    assert efficiency.task == hepsilon.load_config(config).task
    (chunk,) = read_chunks([file], efficiency.task, hepsilon.load_config(config).input)
    found = efficiency.evaluate(_columns(file), out_of_domain="ignore")
    answers = np.asarray(ak.ravel(found.eps))
    assert np.all((answers > 0.0) & (answers < 1.0))
    assert len(answers) > 20
    if name == "trigger":  # one for each event that has a jet
        assert len(answers) == len(chunk.event)


def _columns(file: Path) -> ak.Array:
    """All columns, as BaseSchema gives them."""
    import uproot

    with uproot.open(file) as opened:
        tree = opened["Events"]
        wanted = ("Jet_", "Muon_", "Electron_", "PuppiMET_pt", "PV_npvs", "run", "lumi", "event")
        return tree.arrays(filter_name=lambda name: name.startswith(wanted))


@pytest.mark.parametrize("name", ["trigger", "lepton_id"])
def test_the_recipes_are_valid(name: str) -> None:
    config = hepsilon.load_config(FOLDER / f"{name}.toml")
    assert config.model.members == 5
    assert any("[0]" in feature for feature in config.task.features)


def test_the_recipe_of_a_ratio(tmp_path: Path) -> None:
    config, sides = recipe("ratio", tmp_path, {}), ("numerator", "denominator")
    files = {side: write_ratio_jets(tmp_path / side, 800, side=side, seed=1) for side in sides}
    others = {
        side: write_ratio_jets(tmp_path / f"x{side}", 400, side=side, seed=2) for side in sides
    }
    given, tested = (
        ["--numerator", these["numerator"], "--denominator", these["denominator"]]
        for these in (files, others)
    )
    for name, command in {"learned": "train", "binned": "map"}.items():
        path = tmp_path / f"{name}.hepsilon"
        for call in (
            [command, config, *given, "--out", path],
            ["closure", path, *tested, "--out", tmp_path / name],
        ):
            assert main(list(map(str, call))) == 0, call
        assert json.loads((tmp_path / name / "closure.json").read_text())["verdict"]


def sample(n: int, seed: int) -> tuple[dict[str, Any], Any]:
    """A trigger that sees the muon, and fewer of them with more vertices; its true efficiency."""
    rng = np.random.default_rng(seed)
    counts = np.full(n, 2)
    pt = [np.sort(rng.exponential(40.0, k) + 31.0)[::-1].tolist() for k in counts]
    jets = ak.zip(
        {
            "pt": ak.values_astype(ak.Array(pt), np.float32),
            "eta": ak.unflatten(rng.uniform(-2.4, 2.4, counts.sum()).astype(np.float32), counts),
            "phi": ak.unflatten(rng.uniform(-3.1, 3.1, counts.sum()).astype(np.float32), counts),
        }
    )
    n_muons = rng.integers(0, 2, n)
    lead = rng.uniform(5.0, 45.0, n).astype(np.float32)
    muons = ak.unflatten(np.repeat(lead, n_muons), n_muons)
    vertices = rng.integers(10, 60, n).astype(np.int32)
    seen = np.where(n_muons == 0, 0.15, np.where(lead > 25.0, 0.9, 0.4))
    truth = seen * (1.0 - 0.5 * (vertices > 35))
    columns = {"Jet": jets, "Muon": ak.zip({"pt": muons}), "PV_npvs": vertices}
    columns |= {"HLT_x": rng.uniform(size=n) < truth, "truth": truth}
    return {**numbers(n, start=n * seed), **columns}, (n_muons, lead, vertices, truth)


TOY = """
[task]
level = "event"
objects = 2
features = ["pt", "eta", "phi", "Muon_pt[0]", "PV_npvs"]
missing = { "Muon_pt[0]" = ["nan"] }
event_selection = [{ field = "Jet_pt[0]", min = 30.0 }]
passed = { field = "HLT_x" }
[model]
architecture = "mlp"
[training]
epochs = 12
seed = 1
"""


def test_the_muon_and_the_vertices_are_learned(tmp_path: Path) -> None:
    """In each of six classes of events the mean is the true one, on events of another seed.

    Of 15,000 events each class has 1700 or more: the fluctuation of the sample is 0.012 at most.
    The rest is for the step at 25 GeV and the one in the vertices, which a network rounds off.
    """
    (tmp_path / "toy.toml").write_text(TOY)
    config = hepsilon.load_config(tmp_path / "toy.toml")
    file = write_tree(tmp_path / "train.root", sample(15_000, 1)[0])
    efficiency = hepsilon.train(config, [file], tmp_path / "m.hepsilon", progress=False).efficiency
    noise = {each.feature: each.is_noise for each in efficiency.card.importance}
    assert not noise["Muon_pt[0]"]
    assert not noise["PV_npvs"]
    columns, (n_muons, lead, vertices, truth) = sample(2000, 2)
    (chunk,) = read_chunks([write_tree(tmp_path / "test.root", columns)], config.task, config.input)
    eps = ak.to_numpy(efficiency(chunk.records, out_of_domain="ignore"))
    muon = np.where(n_muons == 0, 0, np.where(lead > 25.0, 2, 1))
    for kind in range(3):
        for busy in (False, True):
            own = (muon == kind) & ((vertices > 35) == busy)
            assert own.sum() > 200
            assert abs(eps[own].mean() - truth[own].mean()) < 0.07, (kind, busy)
    assert np.corrcoef(eps, truth)[0, 1] > 0.9
