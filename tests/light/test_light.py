"""What is applied needs no extra; runs where an environment without extras is given."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import awkward as ak
import pytest

from hepsilon import load
from tests.helpers.toys import read_jets

PYTHON = os.environ.get("HEPSILON_LIGHT_PYTHON", "")
CHECK = Path(__file__).with_name("check.py")
RECIPES = Path(__file__).parents[2] / "training"


@pytest.mark.skipif(
    not PYTHON, reason="'make light' gives the environment: HEPSILON_LIGHT_PYTHON is not set"
)
def test_an_environment_without_extras_applies_everything(
    gnn, toy_file, track_product, pairs, pairs_file, tmp_path
):
    records = {"gnn": read_jets(toy_file), "tracks": pairs.tracks}
    expected = {}
    for name, network, file in (("gnn", gnn, toy_file), ("tracks", track_product, pairs_file)):
        assert network.card.blobs == ("model.onnx",)
        shutil.copy(network.path, tmp_path / f"{name}.hepsilon")
        shutil.copy(RECIPES / f"{name}.toml", tmp_path / f"{name}.toml")
        shutil.copy(file, tmp_path / f"{name}.root")
        efficiency = load(network.path, backend="tensorflow", device="cpu")
        expected[name] = ak.ravel(efficiency(records[name], out_of_domain="ignore")).to_list()
    (tmp_path / "expected.json").write_text(json.dumps(expected))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [PYTHON, CHECK, tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
