"""How the defaults do on detectors that they were not tuned for (see detector_samples.py).

    python benchmarks/detectors.py --out benchmarks/results/detectors.json --seeds 1 2 3

For every sample, model and seed, which draws the training sample and starts the training: the
validation loss; on independent samples of other shapes the mean Kullback-Leibler divergence of the
true from the predicted efficiency, the bias of the total, and chi2/ndf of observables, all as
expectations over the responses, without their noise; for jets the bias in sixths of the distance
to the nearest jet. A model is the name of an architecture, with ``-x5`` behind it for the mean of
five networks and ``-wd0.1`` for that weight decay in place of the default, or ``map``. Results are
written after every training, and those that are there already are not measured again.
``--write FOLDER`` writes the samples as ROOT files instead.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from detector_samples import (
    SETUPS,
    Sample,
    Setup,
    draw,
    events_of,
    nearest,
    records_of,
    tracks_of,
    write_sample,
)
from rich.console import Console
from rich.table import Table

import hepsilon
from hepsilon.arrays.types import Array
from hepsilon.config import BinAxis, MapConfig, ModelConfig, TrainingConfig
from hepsilon.config.toml import as_toml
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.processors import bernoulli_divergence
from hepsilon.report import write_text
from hepsilon.simulation.detector import Tracks

BINS = 50
"""Bins of an observable, with equal numbers of events; of jets and photons half as many."""
TEST_SEED = 1000
"""Test samples are the same for all trainings."""
ONLY_EVENTS = {"product"}
NAMES = {5: "b", 4: "c", 0: "light"}


def kept(work: Path, name: str, kind: str, n_events: int, seed: int) -> Sample:
    """Draw a sample, or read it where it has been drawn before."""
    path = work / f"{name.split('-', maxsplit=1)[0]}-{kind}-{n_events}-{seed}.npz"
    if not path.exists():
        sample = draw(SETUPS[name], kind, n_events, seed)
        part = path.with_suffix(".part.npz")
        np.savez(part, true=sample.true, **vars(sample.columns))
        part.replace(path)
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    true = arrays.pop("true")
    return Sample(TrainingColumns(**arrays), true)


# -------------------------------------------------------------------------------- measures


def binned(values: Array, bins: int) -> Array:
    """Number of the bin of every value, in bins of equal numbers of entries."""
    edges = np.quantile(values, np.linspace(0.0, 1.0, bins + 1)[1:-1])
    return np.searchsorted(edges, values)


def chi2_ndf(values: Array, bias: Array, variance: Array, bins: int) -> float:
    """Expected chi2/ndf of an observable: one, and the squared biases in units of the errors."""
    groups = binned(values, bins)
    sums = np.bincount(groups, weights=bias), np.bincount(groups, weights=variance)
    filled = sums[1] > 0.0
    return float(1.0 + np.mean(sums[0][filled] ** 2 / sums[1][filled]))


def pair_observables(tracks: Tracks) -> dict[str, Array]:
    """Observables of two tracks, the positive one first."""
    pt, eta, phi = tracks.pt, tracks.eta, tracks.phi
    total = [p.sum(axis=1) for p in (tracks.px, tracks.py, tracks.pz)]
    energy = np.sqrt(tracks.px**2 + tracks.py**2 + tracks.pz**2 + 0.13957**2).sum(axis=1)
    square = energy**2 - sum(p**2 for p in total)
    d_phi = np.abs((phi[:, 0] - phi[:, 1] + np.pi) % (2.0 * np.pi) - np.pi)
    return {
        "mass": np.sqrt(np.maximum(square, 0.0)),
        "pt of the pair": np.hypot(total[0], total[1]),
        "rapidity": np.arctanh(total[2] / energy),
        "larger pt": pt.max(axis=1),
        "smaller pt": pt.min(axis=1),
        "eta": eta[:, 0],
        "phi": phi[:, 0],
        "delta phi": d_phi,
    }


def measure_events(setup: Setup, sample: Sample, eps: Array) -> dict[str, Any]:
    """Efficiency inversion: sums of 1/E against the number of generated events."""
    true, n = sample.true, len(sample.true)
    bias, variance = true / eps - 1.0, (1.0 - true) / true
    found = pair_observables(tracks_of(events_of(setup, sample.columns)))
    chi2 = {name: chi2_ndf(x, bias, variance, BINS) for name, x in found.items()}
    return {
        "total": float(bias.mean()),
        "total_error": float(np.sqrt(variance.sum()) / n),
        "largest_ratio": float(np.max(true / eps)),
        "chi2_ndf_1d": float(np.mean(list(chi2.values()))),
        "chi2_ndf": chi2,
    }


def measure_objects(setup: Setup, sample: Sample, eps: Array) -> dict[str, Any]:
    """Expected against true numbers of objects that pass."""
    true = sample.true
    bias, variance = eps - true, true * (1.0 - true)
    events = events_of(setup, sample.columns)
    chosen = {"": np.ones(len(true), bool)}
    if "hadronFlavour" in events.fields:
        chosen = {NAMES[f]: events.fields["hadronFlavour"] == f for f in NAMES}
        events.fields["delta R"] = nearest(events)
    chi2: dict[str, float] = {}
    sixths: dict[str, Any] = {}
    for flavour, mask in chosen.items():
        for name in setup.task.features + ("delta R",) * ("delta R" in events.fields):
            if name not in setup.task.categorical:
                values = events.fields[name][mask]
                key = f"{name} {flavour}".strip()
                chi2[key] = chi2_ndf(values, bias[mask], variance[mask], BINS // 2)
        if "delta R" in events.fields:
            groups = binned(events.fields["delta R"][mask], 6)
            sums = [np.bincount(groups, weights=x[mask]) for x in (bias, true, variance)]
            sixths[flavour] = {
                "bias": (sums[0] / sums[1]).tolist(),
                "error": (np.sqrt(sums[2]) / sums[1]).tolist(),
            }
    totals = {f: float(bias[m].sum() / true[m].sum()) for f, m in chosen.items() if f}
    return {
        "total": float(bias.sum() / true.sum()),
        "total_error": float(np.sqrt(variance.sum()) / true.sum()),
        "total_by_flavour": totals,
        "chi2_ndf_1d": float(np.mean(list(chi2.values()))),
        "chi2_ndf": chi2,
        "delta_r_sixths": sixths,
    }


def measure(setup: Setup, sample: Sample, efficiency: Any) -> dict[str, Any]:
    """All measures of an efficiency on a sample."""
    eps = efficiency(records_of(setup, sample.columns), out_of_domain="ignore")
    eps = ak.to_numpy(eps if setup.task.of_events else ak.flatten(eps))
    rest = measure_events if setup.task.of_events else measure_objects
    divergence = 1e4 * bernoulli_divergence(sample.true, eps)
    return {
        "kl": float(divergence.mean()),
        "kl_error": float(divergence.std() / np.sqrt(len(divergence))),
        **rest(setup, sample, eps),
    }


# ------------------------------------------------------------------------------- trainings


def quantile_map(setup: Setup, columns: TrainingColumns) -> Any:
    """Map in pt and eta by category, in 19 x 10 bins of equal numbers of objects."""
    axes = {}
    for name, bins in {"pt": 19, "eta": 10}.items():
        values = columns.nodes[:, setup.task.features.index(name)].astype(np.float64)
        edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, bins + 1)))
        axes[name] = BinAxis(edges=tuple(float(x) for x in edges))
    return hepsilon.EfficiencyMap.fit(setup.task, columns, MapConfig(axes=axes))


def train(setup: Setup, sample: Sample, model: str, seed: int, out: Path) -> dict[str, Any]:
    """Train a model with the default recipe; ``efficiency`` is what was trained."""
    start = time.perf_counter()
    if model == "map":
        efficiency = quantile_map(setup, sample.columns)
        return {"efficiency": efficiency, "train_s": time.perf_counter() - start}
    rest, _, decay = model.partition("-wd")
    architecture, _, members = rest.partition("-x")
    config = hepsilon.Config(
        task=setup.task,
        model=ModelConfig.model_validate(
            {"architecture": architecture, "members": int(members or 1)}
        ),
        training=TrainingConfig(seed=seed, weight_decay=float(decay) if decay else None),
    )
    result = hepsilon.train(config, sample.columns, out, progress=False)
    losses = [min(epoch.validation_loss for epoch in member) for member in result.history]
    return {
        "efficiency": result.efficiency,
        "train_s": time.perf_counter() - start,
        "validation_loss": float(np.mean(losses)),
        "best_epochs": list(result.best_epochs),
        "epochs": [len(member) for member in result.history],
    }


def entry(name: str, model: str, seed: int, scale: float, work: Path) -> dict[str, Any]:
    """Train and measure one model on one sample."""
    setup = SETUPS[name]
    sample = kept(work, name, "training", round(scale * setup.n_training), seed)
    result = train(setup, sample, model, seed, work / f"{name}-{model}-{seed}.hepsilon")
    efficiency = result.pop("efficiency")
    tests = {
        kind: measure(setup, kept(work, name, kind, round(scale * n_events), TEST_SEED), efficiency)
        for kind, n_events in setup.tests.items()
    }
    return {"sample": name, "model": model, "seed": seed, **result, "tests": tests}


# ---------------------------------------------------------------------------------- output


def spread(values: list[float], digits: int, factor: float = 1.0) -> str:
    """Median, and the range where there are several values."""
    numbers = [f"{factor * x:.{digits}f}" for x in (np.median(values), min(values), max(values))]
    return numbers[0] if len(values) == 1 else f"{numbers[0]} ({numbers[1]} to {numbers[2]})"


Groups = dict[tuple[str, str], list[Any]]


def grouped(results: dict[str, Any]) -> Groups:
    """Entries of all seeds by sample and model, in the order of the samples."""
    groups: Groups = defaultdict(list)
    for found in sorted(results.values(), key=lambda e: list(SETUPS).index(e["sample"])):
        groups[found["sample"], found["model"]].append(found)
    return groups


HEADER = [
    "sample",
    "model",
    "seeds",
    "validation loss",
    "test",
    "KL",
    "KL before",
    "total [%]",
    "1D",
    "train [s]",
]


def rows(results: dict[str, Any], before: dict[str, Any]) -> list[list[str]]:
    """Table of medians over seeds, a line for each test sample, with the KL of earlier results."""
    lines, earlier = [], grouped(before)
    for (name, model), entries in grouped(results).items():
        losses = [e["validation_loss"] for e in entries if "validation_loss" in e]
        first = [name, model, str(len(entries)), spread(losses, 4) if losses else ""]
        seconds = spread([e["train_s"] for e in entries], 0)
        for kind in entries[0]["tests"]:
            tests = [e["tests"][kind] for e in entries]
            total = spread([t["total"] for t in tests], 2, 100.0)
            chi2 = spread([t["chi2_ndf_1d"] for t in tests], 2)
            error = f" ± {100.0 * tests[0]['total_error']:.2f}"
            kl = spread([t["kl"] for t in tests], 1)
            old = [e["tests"][kind]["kl"] for e in earlier.get((name, model), [])]
            cells = [kl, spread(old, 1) if old else "", total + error, chi2, seconds]
            lines.append([*first, kind, *cells])
            first, seconds = [""] * len(first), ""
    return lines


def sixths(results: dict[str, Any]) -> list[list[str]]:
    """Bias of b jets in sixths of the distance to the nearest jet, in percent."""
    lines = []
    for (name, model), entries in grouped(results).items():
        for kind in entries[0]["tests"]:
            tests = [e["tests"][kind].get("delta_r_sixths") for e in entries]
            if all(tests):
                biases = np.array([t["b"]["bias"] for t in tests]).T
                cells = [spread(list(x), 1, 100.0) for x in biases]
                error = f"{100.0 * np.mean(tests[0]['b']['error']):.1f}"
                lines.append([name, model, kind, *cells, error])
    return lines


SIXTHS = ["sample", "model", "test", "nearest", "2", "3", "4", "5", "farthest", "error"]


@dataclass(frozen=True)
class Target:
    """Largest accepted absolute value of a measure of one network on a test sample."""

    sample: str
    test: str
    measure: str
    limit: float
    or_error: bool = False

    def line(self, groups: Groups) -> list[str] | None:
        """What was found for the architecture with the smallest validation loss."""
        found = {
            model: {e["seed"]: e["validation_loss"] for e in entries}
            for (name, model), entries in groups.items()
            if name == self.sample and "validation_loss" in entries[0] and "-" not in model
        }
        common = set.intersection(*map(set, found.values())) if found else set()
        losses = {
            model: float(np.median([of_seed[seed] for seed in common]))
            for model, of_seed in found.items()
            if common  # losses of different samples say nothing
        }
        if not losses:
            return None
        model = min(losses, key=losses.__getitem__)
        tests = [e["tests"][self.test] for e in groups[self.sample, model]]
        values = [abs(t[self.measure]) for t in tests]
        limit = max(self.limit, tests[0]["total_error"]) if self.or_error else self.limit
        factor = 100.0 if self.measure == "total" else 1.0
        shown = spread(values, 2, factor)
        met = "met" if np.median(values) <= limit else "missed"
        label = {"kl": "KL", "total": "total [%]", "chi2_ndf_1d": "1D"}[self.measure]
        return [self.sample, self.test, label, f"{factor * limit:.2g}", model, shown, met]


TARGETS = (
    Target("forward", "rho", "kl", 5.5),
    Target("forward", "tensor", "kl", 7.0),
    Target("forward", "rho", "total", 0.02, or_error=True),
    Target("forward", "tensor", "total", 0.02, or_error=True),
    Target("central", "rho", "chi2_ndf_1d", 1.5),
    Target("central", "rho", "total", 0.004),
    Target("jets-20k", "test", "kl", 9.0),
    Target("jets-20k", "boosted", "kl", 7.0),
    Target("jets-100k", "test", "kl", 2.8),
    Target("jets-100k", "boosted", "kl", 2.0),
)
GOALS = ["sample", "test", "measure", "target", "model", "found (absolute)", "result"]


def tables(
    results: dict[str, Any], before: dict[str, Any]
) -> dict[str, tuple[list[str], list[list[str]]]]:
    """All tables: header and lines, by title."""
    groups = grouped(results)
    goals = [line for target in TARGETS if (line := target.line(groups)) is not None]
    return {
        "KL [1e-4 nats] and chi2/ndf of observables: median and range over seeds": (
            HEADER,
            rows(results, before),
        ),
        "Bias of b jets [%] in sixths of delta R to the nearest jet": (SIXTHS, sixths(results)),
        "Targets, of the architecture with the smallest validation loss": (GOALS, goals),
    }


def show(results: dict[str, Any], before: dict[str, Any]) -> None:
    """Print the tables."""
    for title, (header, lines) in tables(results, before).items():
        if lines:
            table = Table(*header, title=title)
            for line in lines:
                table.add_row(*line)
            Console(width=max(160, Console().width)).print(table)


def markdown(results: dict[str, Any], before: dict[str, Any]) -> str:
    """Write the tables as Markdown, for docs/measurements.md."""
    parts = []
    for title, (header, lines) in tables(results, before).items():
        if lines:
            marks = [header, ["---"] * len(header), *lines]
            body = "\n".join(f"| {' | '.join(line)} |" for line in marks)
            parts.append(f"{title}:\n\n{body}")
    return "\n\n".join(parts)


def write_files(work: Path, folder: Path, name: str, scale: float, seed: int) -> None:
    """Write the samples of a detector, and a configuration to train with."""
    setup = SETUPS[name]
    folder.mkdir(parents=True, exist_ok=True)
    for kind, n in {"training": setup.n_training, **setup.tests}.items():
        number = seed if kind == "training" else TEST_SEED
        sample = kept(work, name, kind, round(scale * n), number)
        print(write_sample(setup, sample, folder / f"{name}-{kind}.root"))
    write_text(folder / f"{name}.toml", as_toml(hepsilon.Config(task=setup.task)))


def read(path: Path | None) -> dict[str, Any]:
    """Results of a file; none without it."""
    return json.loads(path.read_text()) if path is not None and path.exists() else {}


def main() -> None:
    """Train and measure what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/detectors.json"))
    parser.add_argument("--work", type=Path, default=Path("hepsilon-detectors"))
    parser.add_argument("--samples", nargs="+", default=list(SETUPS), choices=list(SETUPS))
    parser.add_argument("--models", nargs="+", default=["product", "gnn", "mlp", "map"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of events")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write ROOT files, and stop")
    parser.add_argument("--before", type=Path, metavar="JSON", help="results to compare with")
    parser.add_argument("--markdown", action="store_true", help="print what is there, and stop")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.write is not None:
        for name in args.samples:
            write_files(args.work, args.write, name, args.scale, args.seeds[0])
        return
    logging.getLogger("hepsilon").setLevel(logging.ERROR)
    results, before = read(args.out), read(args.before)
    if args.markdown:
        print(markdown(results, before))
        return
    plan = [(n, m, s) for n in args.samples for s in args.seeds for m in args.models]
    for name, model, seed in plan:
        events = SETUPS[name].task.of_events
        fits = model != "map" if events else model.split("-")[0] not in ONLY_EVENTS
        key = f"{name} {model} {seed}"
        if key in results or not fits:
            continue
        results[key] = entry(name, model, seed, args.scale, args.work)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.out, json.dumps(results, indent=1) + "\n")
        found = {kind: round(t["kl"], 2) for kind, t in results[key]["tests"].items()}
        print(f"{key}: KL {found}, {results[key]['train_s']:.0f} s", flush=True)
    show(results, before)


if __name__ == "__main__":
    main()
