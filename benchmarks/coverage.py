"""Do the bands of maps and of single networks cover the truth? Repeated experiments on toy jets.

    python benchmarks/coverage.py --experiments 20 --out benchmarks/results/coverage.json

Every experiment simulates a training sample of its own, fits a map and trains a graph network, and
compares both with the true efficiencies of a test and an alternative sample, which are the same for
all experiments. Bands are standard deviations over 100 replicas. Results are written after every
experiment; those that are there already are not run again. Seeds are the numbers of the
experiments.

``truth`` is the share of differences to the truth within the band. ``mean`` is that of differences
to the mean of all other experiments: what a band would cover without bias.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

import hepsilon
from hepsilon.arrays.geometry import delta_r_to_nearest
from hepsilon.config import ModelConfig
from hepsilon.data.dataset import read_columns
from hepsilon.data.reading import read_chunks
from hepsilon.report import write_text
from hepsilon.simulation import toy_task, write_jets

FLAVOURS = {"b": 5, "c": 4, "light": 0}
PT_EDGES = (20.0, 40.0, 60.0, 90.0, 130.0, 200.0, 1e9)
DELTA_R_EDGES = (0.0, 0.6, 0.8, 1.2, 1.8, 2.6, 1e9)
LEVELS = {"68 %": 1.0, "95 %": float(norm.isf(0.025))}
REPLICAS, PROBES, TEST_EVENTS = 100, 300, 20_000
SAMPLES = {"test": ("jets", 900_001), "alternative": ("jets-alternative", 900_002)}


def jets_of(file: Path) -> ak.Array:
    """All jets of a file, with their true efficiency."""
    config = hepsilon.Config(task=toy_task())
    fields = [*config.task.features, "trueEfficiency"]
    chunks = read_chunks([file], config.task, config.input, fields=fields)
    return ak.concatenate([chunk.records for chunk in chunks])


def groups_of(jets: ak.Array) -> dict[str, Any]:
    """Numbers of the bins that every jet is in, by kind: bins, totals and single jets."""
    column = {n: ak.to_numpy(ak.flatten(jets[n])) for n in ("pt", "hadronFlavour")}
    nearest = ak.to_numpy(ak.flatten(delta_r_to_nearest(jets)))
    flavour = np.select([column["hadronFlavour"] == f for f in FLAVOURS.values()], [0, 1, 2])
    by_pt = np.digitize(column["pt"], PT_EDGES[1:-1]) * 3 + flavour
    by_delta_r = np.digitize(np.nan_to_num(nearest, nan=1e8), DELTA_R_EDGES[1:-1]) * 3 + flavour
    probes = np.full(len(flavour), -1)
    chosen = np.random.default_rng(1).choice(len(flavour), PROBES, replace=False)
    probes[chosen] = np.arange(PROBES)
    return {
        "pt bins": by_pt,
        "delta R bins": by_delta_r,
        "totals": flavour,
        "efficiencies": probes,
    }


def sums(values: Any, group: Any) -> Any:
    """Sums over the jets of each bin, (bins,) or (bins, replicas)."""
    kept = group >= 0
    columns = values[kept].reshape(int(kept.sum()), -1)
    size = int(group.max()) + 1
    found = np.stack([np.bincount(group[kept], c, minlength=size) for c in columns.T], axis=1)
    return found.reshape(size, *values.shape[1:])


def six_digits(values: Any) -> list[float]:
    """Numbers as they are written."""
    return [float(f"{value:.6g}") for value in values]


def measured(efficiency: Any, samples: dict[str, Any]) -> dict[str, Any]:
    """Predicted sums and their standard deviations in all bins of all samples."""
    found: dict[str, Any] = {}
    for name, (jets, groups) in samples.items():
        answer = efficiency.evaluate(jets, out_of_domain="ignore", replicas=REPLICAS)
        eps, drawn = (ak.to_numpy(ak.flatten(x)) for x in (answer.eps, answer.replicas))
        found[name] = {
            kind: {
                "value": six_digits(sums(eps, group)),
                "error": six_digits(sums(drawn, group).std(axis=-1, ddof=1)),
            }
            for kind, group in groups.items()
        }
    return found


def experiment(seed: int, n_events: int, members: int, samples: dict[str, Any]) -> dict[str, Any]:
    """Train on one sample and measure."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_jets(folder / "train.root", n_events, seed=seed)
        model = ModelConfig(architecture="gnn", members=members)
        config = hepsilon.Config(task=toy_task(), model=model)
        columns = read_columns([folder / "train.root"], config)
        fitted = hepsilon.EfficiencyMap.fit(config.task, columns, warn=False)
        trained = hepsilon.train(config, columns, folder / "gnn.hepsilon", progress=False)
        entry = {
            "map": measured(fitted, samples),
            "network": measured(trained.efficiency, samples),
        }
    return entry | {"seconds": time.perf_counter() - start}


def shares(values: Any, errors: Any, truth: Any) -> dict[str, Any]:
    """Shares of differences within the bands, and the bias in units of the error."""
    found: dict[str, Any] = {}
    for name, width in LEVELS.items():
        inside = np.abs(values - truth) < width * errors
        entry = {"truth": float(inside.mean())}
        n = len(values)
        if n > 1:
            others = (values.sum(axis=0) - values) / (n - 1)
            scaled = np.abs(values - others) / np.sqrt(1.0 + 1.0 / (n - 1))
            entry["mean"] = float((scaled < width * errors).mean())
        found[name] = entry
    found["median relative error"] = float(np.median(errors / truth))
    found["rms pull to the truth"] = float(np.sqrt(np.mean(((values - truth) / errors) ** 2)))
    return found


def summary(experiments: dict[str, Any], truths: dict[str, Any]) -> dict[str, Any]:
    """Coverage by method, sample and kind of bin; bins that no jet is in are left out."""
    found: dict[str, Any] = {}
    for method in ("map", "network"):
        for sample, by_kind in truths.items():
            for kind, truth in by_kind.items():
                entries = [e[method][sample][kind] for e in experiments.values()]
                values, errors = (np.array([e[k] for e in entries]) for k in ("value", "error"))
                filled = truth > 0.0
                found[f"{method} | {sample} | {kind}"] = shares(
                    values[:, filled], errors[:, filled], truth[filled]
                )
    return found


def show(results: dict[str, Any]) -> None:
    """Print the table."""
    columns = ["method, sample, bins"]
    columns += [f"{level}, {to}" for level in LEVELS for to in ("truth", "mean")]
    table = Table(*columns, "error", title=f"coverage, {len(results['experiments'])} experiments")
    for name, entry in results["summary"].items():
        cells = [entry[level].get(to) for level in LEVELS for to in ("truth", "mean")]
        shown = ["" if cell is None else f"{100 * cell:.0f} %" for cell in cells]
        table.add_row(name, *shown, f"{100 * entry['median relative error']:.2g} %")
    Console(width=110).print(table)


def main() -> None:
    """Run the experiments that are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/coverage.json"))
    parser.add_argument("--work", type=Path, default=Path("hepsilon-coverage"))
    parser.add_argument("--experiments", type=int, default=100)
    parser.add_argument("--events", type=int, default=5000, help="events of a training")
    parser.add_argument("--members", type=int, default=1, help="networks of a training")
    args = parser.parse_args()
    samples: dict[str, Any] = {}
    args.work.mkdir(parents=True, exist_ok=True)
    for name, (kind, seed) in SAMPLES.items():
        file = args.work / f"{name}.root"
        if not file.exists():
            write_jets(file, TEST_EVENTS, kind=kind, seed=seed)
        jets = jets_of(file)
        samples[name] = jets, groups_of(jets)
    truths = {
        name: {
            kind: sums(ak.to_numpy(ak.flatten(jets.trueEfficiency)), group)
            for kind, group in groups.items()
        }
        for name, (jets, groups) in samples.items()
    }
    empty = {"events": args.events, "members": args.members, "experiments": {}}
    results: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else empty
    there = results["events"], results["members"]
    if there != (args.events, args.members):
        raise SystemExit(f"{args.out} is of trainings with (events, members) = {there}")
    for seed in range(1, args.experiments + 1):
        if str(seed) not in results["experiments"]:
            results["experiments"][str(seed)] = experiment(seed, args.events, args.members, samples)
            results["summary"] = summary(results["experiments"], truths)
            args.out.parent.mkdir(parents=True, exist_ok=True)
            write_text(args.out, json.dumps(results) + "\n")
    show(results)


if __name__ == "__main__":
    main()
