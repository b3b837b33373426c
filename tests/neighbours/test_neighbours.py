"""Environments of the frameworks beside hepsilon, where ``make neighbours`` gives them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import awkward as ak
import pytest
from coffea.nanoevents import NanoEventsFactory

import hepsilon
from hepsilon.config import Config, ModelConfig, TrainingConfig
from hepsilon.data.dataset import read_columns
from hepsilon.export.formats import export
from hepsilon.simulation import toy_task, write_jets
from tests.neighbours.inference import main as numbers_of

FOLDER = Path(__file__).parent
COFFEA_2025, COFFEA_07 = (os.environ.get(f"HEPSILON_COFFEA_{name}", "") for name in ("2025", "07"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample, a map and a network, with the numbers that this environment gives."""
    folder = tmp_path_factory.mktemp("neighbours")
    sample = write_jets(folder / "jets.root", 1_000, seed=3)
    task = toy_task()
    training = TrainingConfig(epochs=1, batch_events=200, seed=1)
    config = Config(task=task, model=ModelConfig(architecture="mlp", width=8), training=training)
    columns = read_columns([sample], config, progress=False)
    hepsilon.EfficiencyMap.fit(task, columns).described(config).save(folder / "map.hepsilon")
    hepsilon.train(config, columns, folder / "mlp.hepsilon", progress=False)
    return folder


def run(python: str, script: str, *arguments: str | Path) -> str:
    """Output of a script in another environment."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, FOLDER / script, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not COFFEA_2025, reason="'make neighbours' gives an environment: coffea 2025.9")
def test_inference_and_weights_with_an_older_coffea(made: Path) -> None:
    (made / "expected.json").write_text(json.dumps(numbers_of(made)))
    said = run(COFFEA_2025, "inference.py", made)
    assert "'coffea': '2025.9" in said
    assert "'awkward': '2.8" in said


@pytest.mark.skipif(not COFFEA_07, reason="'make neighbours' gives an environment: coffea 0.7")
def test_exported_files_are_enough(made: Path, tmp_path: Path) -> None:
    sample = {str(made / "jets.root"): "Events"}
    events = NanoEventsFactory.from_root(sample, mode="eager").events()
    expected: dict[str, Any] = {}
    for name, kind, ending in (("map", "correctionlib", "json.gz"), ("mlp", "onnx", "onnx")):
        path = made / f"{name}.hepsilon"
        export(path, kind, tmp_path / f"{name}.{ending}")
        found = hepsilon.load(path).evaluate(events, out_of_domain="ignore")
        expected[name] = ak.to_list(ak.ravel(found.eps))
        features = found.records
    names = hepsilon.load(made / "mlp.hepsilon").features.names
    jets = ak.to_list(ak.zip({name: features[name] for name in names}))
    (tmp_path / "expected.json").write_text(json.dumps(expected))
    (tmp_path / "features.json").write_text(json.dumps(names))
    (tmp_path / "jets.json").write_text(json.dumps(jets))
    said = run(COFFEA_07, "files_alone.py", tmp_path)
    assert "'coffea': '0.7" in said
    assert "'awkward': '1" in said
