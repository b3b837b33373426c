"""The analysis of processors/two_b_jets.py, and the same truth tagged with three lines."""

from __future__ import annotations

import difflib
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
from scipy.stats import chi2

from hepsilon import FieldEfficiency
from hepsilon.cli.parser import main
from hepsilon.simulation import write_jets

pytestmark = pytest.mark.slow

PROCESSORS = Path(__file__).parents[1] / "processors"
FALSE_ALARM = 1e-6
EVENTS = 20_000


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, PROCESSORS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Scaled(FieldEfficiency):
    """An efficiency that is wrong."""

    def __call__(self, records: ak.Array, /) -> ak.Array:
        return 0.6 * super().__call__(records)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Direct tagging, truth tagging with the true efficiency, and with a wrong one."""
    file = write_jets(tmp_path_factory.mktemp("toy") / "toy.root", EVENTS, seed=11)
    direct, truth = load("two_b_jets"), load("two_b_jets_truth_tagging")
    options = "discriminant", 0.0
    return {
        "direct": direct.analyse([file], direct.TwoBJets(*options)),
        "truth": truth.analyse([file], truth.TwoBJets(*options, FieldEfficiency("trueEfficiency"))),
        "wrong": truth.analyse([file], truth.TwoBJets(*options, Scaled("trueEfficiency"))),
    }


def distance(outputs: dict[str, Any], method: str, name: str, variation: str) -> tuple[float, int]:
    """chi2 to direct tagging and number of bins.

    The variance is that of both sums taken apart: more than that of their difference, in which
    events are shared, so a p-value is at least as large as it should be.
    """
    both = [outputs[m]["histograms"][name][{"variation": variation}] for m in ("direct", method)]
    values, variances = ([h.values() for h in both], [h.variances() for h in both])
    filled = variances[0] > 10.0
    square = (values[0] - values[1])[filled] ** 2 / (variances[0] + variances[1])[filled]
    return float(square.sum()), int(filled.sum())


@pytest.mark.parametrize("name", ["mass", "delta_r", "ht"])
@pytest.mark.parametrize("variation", ["nominal", "scaleUp", "scaleDown"])
def test_truth_tagging_closes(outputs: dict[str, Any], name: str, variation: str) -> None:
    # false-alarm rate at most 9 x 1e-6
    square, bins = distance(outputs, "truth", name, variation)
    assert bins > 8
    assert chi2.sf(square, bins) > FALSE_ALARM


@pytest.mark.parametrize("name", ["mass", "delta_r", "ht"])
def test_a_wrong_efficiency_does_not(outputs: dict[str, Any], name: str) -> None:
    square, bins = distance(outputs, "wrong", name, "nominal")
    assert chi2.sf(square, bins) < FALSE_ALARM


def test_more_events_are_left(outputs: dict[str, Any]) -> None:
    sizes = {}
    for method in ("direct", "truth"):
        filled = outputs[method]["histograms"]["mass"][{"variation": "nominal"}]
        sizes[method] = np.sum(filled.values()) ** 2 / np.sum(filled.variances())
    assert sizes["truth"] > 2.0 * sizes["direct"]


def test_cutflow_is_usable(outputs: dict[str, Any]) -> None:
    """In its last step stand the events with two tags, observed and expected."""
    direct, truth = (outputs[m]["cutflow"] for m in ("direct", "truth"))
    assert list(direct) == list(truth) == ["initial", "two jets", "leading jet", "two b jets"]
    error = 2.0 * direct["two b jets"] ** 0.5
    assert abs(direct["two b jets"] - truth["two b jets"]) < 3.0 * error
    assert direct["initial"] == EVENTS


def test_three_lines_are_added_to_the_processor() -> None:
    """Besides the efficiency that it is made with."""
    bodies = [
        (PROCESSORS / f"{name}.py").read_text().split("def process")[1].split("def analyse")[0]
        for name in ("two_b_jets", "two_b_jets_truth_tagging")
    ]
    lines = list(difflib.ndiff(*(body.splitlines() for body in bodies)))
    assert not [line for line in lines if line.startswith("- ")]
    assert len([line for line in lines if line.startswith("+ ")]) == 3


def test_both_run_on_nanoaod(tmp_path: Path, nanoaod_path: Path) -> None:
    def run(name: str, *arguments: str | Path) -> None:
        command = [sys.executable, PROCESSORS / f"{name}.py", nanoaod_path, *arguments]
        command += ["--tagger", "btagCSVV2", "--cut", "0.8"]
        done = subprocess.run(
            list(map(str, command)), cwd=tmp_path, env=os.environ, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr

    text = (PROCESSORS.parent / "training" / "nanoaod.toml").read_text()
    config = tmp_path / "csv.toml"  # in this file DeepJet is not computed, CSVv2 is
    config.write_text(text.replace("btagDeepFlavB", "btagCSVV2").replace("0.2783", "0.8"))
    model = tmp_path / "map.hepsilon"
    assert main(["map", str(config), str(nanoaod_path), "--out", str(model)]) == 0
    run("two_b_jets", "--out", "direct")
    run("two_b_jets_truth_tagging", "--efficiency", model, "--out", "truth")
    direct, truth = (
        json.loads((tmp_path / m / "cutflow.json").read_text()) for m in ("direct", "truth")
    )
    # none of its 200 events has two of these tags; truth tagging has something to show
    assert list(direct) == list(truth)
    assert direct["two b jets"] == 0.0
    assert truth["two b jets"] != 0.0
    assert (tmp_path / "truth" / "mass.png").stat().st_size > 0
