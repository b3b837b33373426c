"""Speed and memory of training and inference on toy events, all networks in one run.

    python benchmarks/speed.py --out benchmarks/results/speed.json

Rounds alternate between the networks; medians are reported. Networks are untrained: speed does
not depend on the weights. The machine is shared and noisy, so compare within one run only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from rich.console import Console
from rich.table import Table

from hepsilon.config import ModelConfig, TrainingConfig
from hepsilon.demo import toy_task
from hepsilon.features import feature_matrix, fit_features
from hepsilon.graphs import capacity_for
from hepsilon.models import build_model, resolve
from hepsilon.models.engine import Engine, start_backend
from hepsilon.report import write_text
from hepsilon.simulation import training_jets
from hepsilon.training import recipe
from hepsilon.training.batches import Batches, keras_dataset
from hepsilon.training.member import compile_model

NETWORKS = {
    "gnn fast": ModelConfig(),
    "gnn paper": ModelConfig(preset="paper"),
    "mlp fast": ModelConfig(architecture="mlp"),
    "mlp paper": ModelConfig(architecture="mlp", preset="paper"),
}


def peak_memory() -> float:
    """Largest resident size of this process so far [MB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def toy_columns(n_events: int) -> Any:
    """Columns of simulated jets, tagged at random: only the shapes matter here."""
    from hepsilon.dataset import Columns

    rng = np.random.default_rng(1)
    jets = training_jets(rng, n_events)
    records = ak.zip(
        {
            "pt": ak.unflatten(jets.pt, jets.counts),
            "eta": ak.unflatten(jets.eta, jets.counts),
            "phi": ak.unflatten(jets.phi, jets.counts),
            "hadronFlavour": ak.unflatten(jets.flavour, jets.counts),
        }
    )
    offsets, nodes = feature_matrix(records, toy_task().features)
    passed = (rng.uniform(size=len(nodes)) < 0.3).astype(np.float32)
    keys = np.arange(n_events, dtype=np.uint64)
    return Columns(offsets, nodes, passed, np.ones(n_events), keys)


class Bench:
    """One network, ready to run rounds."""

    def __init__(self, config: ModelConfig, columns: Any) -> None:
        spec = fit_features(toy_task(), columns.nodes, np.ones(len(columns.nodes)))
        self.model = build_model(resolve(config, toy_task()), spec, seed=1)
        self.engine = Engine(self.model)
        full = recipe(config, TrainingConfig(batch_events=512), columns.n_events)
        capacity = capacity_for(columns.offsets, 512)
        self.batches = Batches(columns, full, capacity, [1])
        compile_model(self.model, full, len(self.batches))
        self.columns = columns

    def infer(self) -> float:
        """Events per second of inference."""
        start = time.perf_counter()
        self.engine.logits(self.columns.offsets, self.columns.nodes)
        return self.columns.n_events / (time.perf_counter() - start)

    def fit(self) -> float:
        """Events per second of one training epoch."""
        start = time.perf_counter()
        self.model.fit(keras_dataset(self.batches), shuffle=False, verbose=0)
        return len(self.batches) * self.batches.size / (time.perf_counter() - start)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed.json"))
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    start_backend()
    columns = toy_columns(args.events)
    small = columns.take(np.arange(min(5_120, args.events)))
    inference = {name: Bench(config, columns) for name, config in NETWORKS.items()}
    training = {name: Bench(config, small) for name, config in NETWORKS.items()}
    rates: dict[str, dict[str, list[float]]] = {n: {"infer": [], "fit": []} for n in NETWORKS}
    for number in range(args.rounds + 1):
        for name in NETWORKS:
            measured = {"infer": inference[name].infer(), "fit": training[name].fit()}
            if number:  # the first round compiles
                for key, rate in measured.items():
                    rates[name][key].append(rate)
    before = peak_memory()
    large = toy_columns(500_000)
    held = peak_memory()
    inference["gnn fast"].engine.logits(large.offsets, large.nodes)
    results = {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "events_per_s": {
            name: {key: float(np.median(values)) for key, values in entry.items()}
            for name, entry in rates.items()
        },
        "memory_mb": {
            "after_start": before,
            "with_500000_events_in_memory": held,
            "after_inference_on_them": peak_memory(),
        },
    }
    table = Table("network", "inference [events/s]", "training [events/s]")
    for name, entry in results["events_per_s"].items():
        table.add_row(name, f"{entry['infer']:,.0f}", f"{entry['fit']:,.0f}")
    Console().print(table, results["memory_mb"])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(args.out, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
