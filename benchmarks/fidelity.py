"""How close maps and networks come to the truth: mean Kullback-Leibler divergence per jet.

    python benchmarks/fidelity.py --out benchmarks/results/fidelity.json

Trains on 100,000 toy events, tests on 50,000 independent ones and on the alternative sample. Each
variant changes one choice of the default graph network. Results are written after every variant,
and variants that are there already are not run again. ``--only NAME ...`` runs a few.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from rich.console import Console
from rich.table import Table

import hepsilon
from hepsilon.config import ModelConfig, TrainingConfig
from hepsilon.data.dataset import read_columns
from hepsilon.data.reading import read_chunks
from hepsilon.processors import bernoulli_divergence
from hepsilon.report import write_text
from hepsilon.simulation import toy_task, write_jets

FLAVOURS = {"b": 5, "c": 4, "light": 0}
PAPER = ModelConfig(architecture="gnn", preset="paper")

VARIANTS: dict[str, tuple[ModelConfig, TrainingConfig]] = {
    "gnn": (ModelConfig(architecture="gnn"), TrainingConfig()),
    "mlp": (ModelConfig(architecture="mlp"), TrainingConfig()),
    "no pair features": (ModelConfig(architecture="gnn", pair_features=False), TrainingConfig()),
    "no averaged weights": (ModelConfig(architecture="gnn"), TrainingConfig(ema=0.0)),
    "no weight decay": (ModelConfig(architecture="gnn"), TrainingConfig(weight_decay=0.0)),
    "learning rate 1e-3": (ModelConfig(architecture="gnn"), TrainingConfig(learning_rate=1e-3)),
    "batch of 5000": (ModelConfig(architecture="gnn"), TrainingConfig(batch_events=5000)),
    "batch of 512": (ModelConfig(architecture="gnn"), TrainingConfig(batch_events=512)),
    "ensemble of 5": (ModelConfig(architecture="gnn", members=5), TrainingConfig()),
    "paper network, 8 epochs": (PAPER, TrainingConfig(epochs=8)),
}


def samples(folder: Path) -> dict[str, Path]:
    """Simulate what is not there yet."""
    plan = {
        "train": ("jets", 100_000, 1),
        "test": ("jets", 50_000, 2),
        "alternative": ("jets-alternative", 50_000, 3),
    }
    for name, (kind, n_events, seed) in plan.items():
        if not (folder / f"{name}.root").exists():
            write_jets(folder / f"{name}.root", n_events, kind=kind, seed=seed)
    return {name: folder / f"{name}.root" for name in plan}


def divergences(efficiency: Any, file: Path) -> dict[str, float]:
    """Mean divergence of the true from the predicted efficiency [1e-4 nats per jet], and speed."""
    config = hepsilon.Config(task=toy_task())
    fields = [*config.task.features, "trueEfficiency"]
    chunks = list(read_chunks([file], config.task, config.input, fields=fields))
    jets = ak.concatenate([chunk.records for chunk in chunks])
    efficiency(jets[:1000], out_of_domain="ignore")  # start-up is not part of the speed
    start = time.perf_counter()
    eps = efficiency(jets, out_of_domain="ignore")
    seconds = time.perf_counter() - start
    true = ak.to_numpy(ak.flatten(jets.trueEfficiency))
    flavour = ak.to_numpy(ak.flatten(jets.hadronFlavour))
    divergence = 1e4 * bernoulli_divergence(true, ak.to_numpy(ak.flatten(eps)))
    by_flavour = {name: float(divergence[flavour == f].mean()) for name, f in FLAVOURS.items()}
    return {"all": float(divergence.mean()), **by_flavour, "events_per_s": len(jets) / seconds}


def measure(efficiency: Any, files: dict[str, Path]) -> dict[str, Any]:
    """Divergences on both test samples."""
    return {name: divergences(efficiency, files[name]) for name in ("test", "alternative")}


def run(name: str, files: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Train and measure one variant."""
    config = hepsilon.Config(task=toy_task())
    start = time.perf_counter()
    if name == "map":
        efficiency: Any = hepsilon.EfficiencyMap.fit(
            config.task, read_columns([files["train"]], config)
        )
        return {"train_s": time.perf_counter() - start, **measure(efficiency, files)}
    model, training = VARIANTS[name]
    config = config.model_copy(update={"model": model, "training": training})
    slug = name.replace(" ", "-").replace(",", "")
    result = hepsilon.train(config, [files["train"]], folder / f"{slug}.hepsilon")
    seconds = time.perf_counter() - start
    return {
        "train_s": seconds,
        "epochs": [len(history) for history in result.history],
        "best_epochs": list(result.best_epochs),
        "epoch_s": float(np.median([e.seconds for h in result.history for e in h])),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **measure(result.efficiency, files),
    }


def show(results: dict[str, Any]) -> None:
    """Print the table."""
    columns = ("variant", "test", "map / this", "b", "c", "light", "alternative", "map / this")
    table = Table(*columns, "train [s]", title="KL divergence [1e-4 nats per jet]")
    for name, entry in results.items():
        cells = []
        for sample in ("test", "alternative"):
            value, reference = entry[sample]["all"], results["map"][sample]["all"]
            cells += [f"{value:.2f}", f"{reference / value:.1f}"]
            if sample == "test":
                cells += [f"{entry[sample][flavour]:.2f}" for flavour in FLAVOURS]
        table.add_row(name, *cells, f"{entry['train_s']:.0f}")
    Console().print(table)


def main() -> None:
    """Run the variants that are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/fidelity.json"))
    parser.add_argument("--work", type=Path, default=Path("hepsilon-fidelity"))
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=["map", *VARIANTS])
    args = parser.parse_args()
    results: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {}
    files = samples(args.work)
    for name in args.only or ["map", *VARIANTS]:
        if name not in results:
            results[name] = run(name, files, args.work)
            args.out.parent.mkdir(parents=True, exist_ok=True)
            write_text(args.out, json.dumps(results, indent=1) + "\n")
    show(results)


if __name__ == "__main__":
    main()
