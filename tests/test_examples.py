"""Every numbered example and every recipe runs, as a user would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))


def run(*arguments: str | Path, cwd: Path) -> str:
    environment = os.environ | {"TMPDIR": str(cwd)}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    assert run(example, "1500", cwd=tmp_path).strip()


@pytest.mark.parametrize("recipe", ["gnn", "mlp"])
def test_recipe_trains(recipe: str, tmp_path: Path) -> None:
    import hepsilon
    from hepsilon.simulation import write_jets

    file = write_jets(tmp_path / "train.root", 400, seed=1)
    arguments = ["--out", tmp_path / "model.hepsilon"]
    if recipe == "gnn":
        small = tmp_path / "small.toml"
        text = (ROOT / "training" / "gnn.toml").read_text()
        text = text.replace("members = 5", "members = 1\nwidth = 8\nblocks = 1")
        small.write_text(text.replace("epochs = 12", "epochs = 1"))
        arguments += ["--config", small]
    run(ROOT / "training" / f"{recipe}.py", file, *arguments, cwd=tmp_path)
    assert hepsilon.load(tmp_path / "model.hepsilon").task.collection == "Jet"


def test_tracks_train_and_are_inverted(tmp_path: Path) -> None:
    import hepsilon
    from hepsilon.simulation import write_tracks

    file = write_tracks(tmp_path / "tracks.root", 400, seed=1)
    model = tmp_path / "model.hepsilon"
    options = ["--paper", "--epochs", "1", "--out", model]
    run(ROOT / "training" / "tracks.py", file, *options, cwd=tmp_path)
    assert hepsilon.load(model).task.features == ("px", "py", "pz")
    options = ["--efficiency", f"net={model}", "--executor", "iterative", "--replicas", "5"]
    recipe = ROOT / "processors" / "track_inversion.py"
    config = ROOT / "training" / "tracks.toml"
    out = run(recipe, config, file, *options, "--out", "result", cwd=tmp_path)
    assert "net: bootstrap errors" in out
    assert (tmp_path / "result" / "cross_section_M.png").stat().st_size > 0


def test_dimuons_are_inverted(tmp_path: Path, zmumu_path: Path) -> None:
    recipe = ROOT / "processors" / "dimuon_inversion.py"
    options = ["--executor", "iterative", "--out", "dimuon"]
    assert "2008 of 2304 events" in run(recipe, zmumu_path, *options, cwd=tmp_path)
    assert (tmp_path / "dimuon" / "section.png").stat().st_size > 0


def test_nanoaod_configuration_is_valid() -> None:
    import hepsilon

    config = hepsilon.load_config(ROOT / "training" / "nanoaod.toml")
    assert config.task.passed.above == (0.2783,)


def test_nanoaod_analysis_runs(tmp_path: Path, nanoaod_path: Path) -> None:
    from hepsilon.cli.parser import main

    text = (ROOT / "training" / "nanoaod.toml").read_text()
    # in this file DeepJet is not computed, CSVv2 is
    config = tmp_path / "csv.toml"
    config.write_text(text.replace("btagDeepFlavB", "btagCSVV2").replace("0.2783", "0.8"))
    efficiency_map = tmp_path / "map.hepsilon"
    assert main(["map", str(config), str(nanoaod_path), "--out", str(efficiency_map)]) == 0
    run(
        ROOT / "processors" / "nanoaod_truth_tagging.py",
        config,
        nanoaod_path,
        "--efficiency",
        f"map={efficiency_map}",
        "--executor",
        "iterative",
        "--out",
        "result",
        cwd=tmp_path,
    )
    assert (tmp_path / "result" / "report.html").stat().st_size > 0
