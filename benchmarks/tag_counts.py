"""Closure in numbers of tags and flavour pairs, and what truth tagging gains in statistics.

A map and an ensemble of five (training/gnn.toml with bootstrap) are trained on one sample and
compared with direct tagging on an independent one and on the alternative one.

    python benchmarks/tag_counts.py --out benchmarks/results/tag_counts.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import hepsilon
from hepsilon.closure import closure_report, run_closure
from hepsilon.data.dataset import read_columns
from hepsilon.processors.executors import local_executor
from hepsilon.report import write_text
from hepsilon.simulation import write_jets

CONFIG = Path(__file__).parents[1] / "training" / "gnn.toml"
SAMPLES = {"test": ("jets", 2), "alternative": ("jets-alternative", 3)}
"""Kind and seed."""
GAINS = ("pt", "pair_mass")


def learn(n_events: int, folder: Path) -> tuple[hepsilon.Config, dict[str, hepsilon.Efficiency]]:
    """Map and ensemble."""
    config = hepsilon.load_config(CONFIG)
    model = config.model.model_copy(update={"resampling": "bootstrap", "bootstrap": True})
    config = config.model_copy(update={"model": model})
    files = [write_jets(folder / "train.root", n_events, seed=1)]
    efficiency_map = hepsilon.EfficiencyMap.fit(
        config.task, read_columns(files, config), config.map
    )
    network = hepsilon.train(config, files, folder / "gnn.hepsilon").efficiency
    return config, {"map": efficiency_map, "gnn": network}


def summary(report: dict[str, Any]) -> dict[str, Any]:
    """What the docs show of a closure.json."""
    return {
        "n_events": report["n_events"],
        "efficiency": {
            name: {
                "tag_counts": entry["tag_counts"],
                "n_replicas": entry["n_replicas"],
                "chi2_per_ndf": {
                    key: found["chi2"] / found["ndf"]
                    for key, found in entry["observables"].items()
                    if found["ndf"]
                },
                "statistics_gain": {
                    key: found["total"]
                    for key, found in entry["statistics_gain"].items()
                    if key.split("|")[0] in GAINS
                },
            }
            for name, entry in report["efficiency"].items()
        },
    }


def main() -> None:
    """Train, compare and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--events", type=int, default=100_000, help="to train on; twice to test")
    args = parser.parse_args()
    result = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, efficiencies = learn(args.events, folder)
        for sample, (kind, seed) in SAMPLES.items():
            files = [write_jets(folder / f"{sample}.root", 2 * args.events, kind=kind, seed=seed)]
            output = run_closure(files, config.task, efficiencies, executor=local_executor(1))
            report = closure_report(output, config.task, efficiencies, files)
            result[sample] = summary(report.as_dict())
    write_text(args.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
