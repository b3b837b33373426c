"""Speed benchmarks: fixtures, and short results.

    python -m pytest benchmarks --benchmark-json=benchmarks/results/speed.json
    python benchmarks/table.py benchmarks/results/speed.json

Speed does not depend on the weights, so networks are trained for one epoch of few events.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shared import NETWORKS, Comparison, toy_columns

import hepsilon
from hepsilon.config import Config, TrainingConfig
from hepsilon.simulation import toy_task


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Path of an artifact by the name of its network and the number of members."""
    made: dict[tuple[str, int], Path] = {}

    def make(name: str, members: int = 1) -> Path:
        if (name, members) not in made:
            out = tmp_path_factory.mktemp("networks") / "network.hepsilon"
            config = Config(
                task=toy_task(),
                model=NETWORKS[name].model_copy(update={"members": members}),
                training=TrainingConfig(epochs=1, batch_events=512),
            )
            hepsilon.train(config, toy_columns(3000), out)
            made[name, members] = out
        return made[name, members]

    return make


@pytest.fixture
def compare(benchmark: Any) -> Comparison:
    """See :class:`Comparison`."""
    return Comparison(benchmark)


def pytest_benchmark_update_json(config: Any, benchmarks: Any, output_json: dict[str, Any]) -> None:
    """Keep what says how fast, on what kind of machine; drop its name and the single rounds."""
    cpu = output_json["machine_info"]["cpu"]
    output_json["machine_info"] = {
        "cpu": cpu.get("brand_raw", ""),
        "cores": len(os.sched_getaffinity(0)),
        "avx2": "avx2" in cpu.get("flags", []),
        "avx512f": "avx512f" in cpu.get("flags", []),
        "amx": "amx_bf16" in cpu.get("flags", []),
        "python": output_json["machine_info"]["python_version"],
    }
    output_json.pop("commit_info", None)
    for entry in output_json["benchmarks"]:
        entry["stats"] = {k: entry["stats"][k] for k in ("min", "median", "iqr", "rounds")}
        for key in ("options", "params", "param", "fullname"):
            entry.pop(key, None)


def pytest_configure(config: Any) -> None:
    """Warnings are no errors here, unlike in the tests."""
    config.addinivalue_line("filterwarnings", "default")
