"""The benchmarks start: that they run is seen when they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = ["fidelity", "inversion", "tag_counts", "tagging"]


def run(*command: object) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_explain_themselves(name):
    assert f"benchmarks/{name}.py --out" in run(FOLDER / f"{name}.py", "--help")


def test_suites_are_found():
    pytest.importorskip("pytest_benchmark")
    found = run("-m", "pytest", "-q", "--collect-only", FOLDER)
    for suite in FOLDER.glob("test_*.py"):
        assert f"{suite.name}::" in found


def test_results_are_printed():
    found = run(FOLDER / "table.py", FOLDER / "results" / "speed.json")
    assert "times coffea, padded to 6" in found
