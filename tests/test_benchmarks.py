"""The benchmarks start: that they run is seen when they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "benchmarks"
NOT_HERE = {"triton_backend", "triton_server"}
"""Run in an environment of their own."""


def run(*command: object) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_scripts_and_suites_find_what_they_import():
    pytest.importorskip("pytest_benchmark")
    names = sorted({path.stem for path in FOLDER.glob("*.py")} - NOT_HERE)
    assert {"fidelity", "inversion", "tagging", "test_training_speed"} <= set(names)
    run("-c", f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import {', '.join(names)}")


def test_results_are_printed():
    found = run(FOLDER / "table.py", FOLDER / "results" / "speed.json")
    assert "times coffea, padded to 6" in found
