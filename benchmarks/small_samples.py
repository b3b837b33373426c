"""How close the defaults come to the truth with 200 to 20,000 training events of toy jets.

    python benchmarks/small_samples.py --out benchmarks/results/small_samples.json

For every sample, size, model and seed (which draws the training sample and starts the training):
the mean Kullback-Leibler divergence of the true from the predicted efficiency on independent
samples, of all jets and by flavour. Of ``jets`` and ``toy`` each flavour is a third of the jets; of
``mistag`` 88 % are light, and three in a thousand of these pass. Results are written after every
training, and those that are there already are not measured again.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from detector_samples import JETS, SETUPS, Flat, Rng, Sample, Setup, draw, generate_jets, records_of
from detectors import NAMES, spread
from rich.console import Console
from rich.table import Table

import hepsilon
from hepsilon.arrays.types import Array
from hepsilon.config import ModelConfig, TrainingConfig
from hepsilon.processors import bernoulli_divergence
from hepsilon.report import write_text
from hepsilon.simulation.jets import JetColumns, true_efficiency

SIZES = 200, 1000, 5000, 20_000
TEST_SEED = 1000
MISTAG = (0.06, 0.06, 0.88)
"""Shares of b, c and light jets of the sample ``mistag``."""


def generate_mistags(rng: Rng, kind: str, n_events: int) -> Flat:
    """Jets that are mostly light; boosted pairs have flavours of their own, too."""
    events = generate_jets(rng, kind, n_events)
    events.fields["hadronFlavour"] = rng.choice([5, 4, 0], len(events.fields["pt"]), p=MISTAG)
    return events


def mistag_efficiency(events: Flat) -> Array:
    """The efficiency of the toy ``jets``, of light jets a fifth of it."""
    efficiency = SETUPS["jets-20k"].efficiency(events)
    return np.where(events.fields["hadronFlavour"] == 0, 0.2 * efficiency, efficiency)


def toy_efficiency(events: Flat) -> Array:
    """The efficiency of the jets that hepsilon simulates."""
    pt, eta, phi, flavour = (events.fields[name] for name in JETS.features)
    return true_efficiency(JetColumns(events.counts, pt, eta, phi, np.zeros_like(pt), flavour))


_JETS = replace(SETUPS["jets-20k"], tests={"test": 50_000, "boosted": 50_000})
SAMPLES: dict[str, Setup] = {
    "jets": _JETS,
    "mistag": replace(_JETS, generate=generate_mistags, efficiency=mistag_efficiency),
    "toy": replace(_JETS, efficiency=toy_efficiency),
}


def divergences(sample: Sample, eps: Array) -> dict[str, float]:
    """Mean divergence [1e-4 nats] of all jets and by flavour, and the bias of the totals."""
    flavour = sample.columns.nodes[:, JETS.features.index("hadronFlavour")]
    chosen = {"all": np.ones(len(eps), bool), **{n: flavour == code for code, n in NAMES.items()}}
    divergence = 1e4 * bernoulli_divergence(sample.true, eps)
    found = {name: float(divergence[mask].mean()) for name, mask in chosen.items()}
    totals = {f"total {n}": float(eps[m].sum() / sample.true[m].sum()) for n, m in chosen.items()}
    return found | totals


def train(sample: Sample, model: str, seed: int, out: Path) -> tuple[Any, dict[str, Any]]:
    """Train with the defaults; ``-x5`` stands for five folds, ``-wd0.3`` for a weight decay."""
    if model == "map":
        return hepsilon.EfficiencyMap.fit(JETS, sample.columns), {}
    name, _, decay = model.partition("-wd")
    architecture, _, members = name.partition("-x")
    chosen: dict[str, Any] = {"architecture": architecture}
    if members:
        chosen |= {"members": int(members), "resampling": "folds"}
    own = {"weight_decay": float(decay)} if decay else {}
    config = hepsilon.Config(
        task=JETS,
        model=ModelConfig.model_validate(chosen),
        training=TrainingConfig.model_validate({"seed": seed} | own),
    )
    result = hepsilon.train(config, sample.columns, out, progress=False)
    card = result.efficiency.card
    return result.efficiency, {
        "architecture": card.model.architecture,
        "training": card.training.model_dump(),
        "best_epochs": list(result.best_epochs),
        "epochs": [len(member) for member in result.history],
    }


def entry(name: str, size: int, model: str, seed: int, tests: dict[str, Sample], work: Path) -> Any:
    """Train and measure one model."""
    sample, start = draw(SAMPLES[name], "training", size, seed), time.perf_counter()
    efficiency, details = train(sample, model, seed, work / f"{name}-{size}-{model}.hepsilon")
    seconds, found = time.perf_counter() - start, {}
    for kind, test in tests.items():
        records = records_of(SAMPLES[name], test.columns)
        eps = ak.to_numpy(ak.flatten(efficiency(records, out_of_domain="ignore")))
        found[kind] = divergences(test, eps)
    passed = sample.columns.passed > 0.5
    flavour = sample.columns.nodes[:, JETS.features.index("hadronFlavour")]
    counts = {n: int(np.sum(passed & (flavour == code))) for code, n in NAMES.items()}
    what = {"sample": name, "size": size, "model": model, "seed": seed, "passed": counts}
    return {**what, "train_s": seconds, **details, "tests": found}


def _spread(entries: list[dict[str, Any]], kind: str, part: str) -> str:
    """Median and range over the seeds of one divergence."""
    return spread([e["tests"][kind][part] for e in entries], 2 if part == "light" else 1)


def rows(results: dict[str, Any], before: dict[str, Any]) -> list[list[str]]:
    """Medians and ranges over the seeds, with those of earlier results."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for key, found in results.items():
        groups.setdefault((found["sample"], found["size"], found["model"]), []).append(key)
    lines = []
    order = {name: i for i, name in enumerate(SAMPLES)}
    for group in sorted(groups, key=lambda g: (order[g[0]], g[1], g[2] != "map", g[2])):
        entries = [results[key] for key in groups[group]]
        earlier = [before[key] for key in groups[group] if key in before]
        seconds = spread([e["train_s"] for e in entries], 0)
        first = [group[0], f"{group[1]:,}", group[2], str(len(entries))]
        for kind in entries[0]["tests"]:
            old = _spread(earlier, kind, "all") if earlier else ""
            cells = [_spread(entries, kind, part) for part in ("all", *NAMES.values())]
            lines.append([*first, kind, cells[0], old, *cells[1:], seconds])
            first, seconds = [""] * 4, ""
    return lines


HEADER = ["sample", "events", "model", "seeds", "test", "KL", "before", "b", "c", "light", "s"]


def read(path: Path | None) -> dict[str, Any]:
    """Results of a file; none without it."""
    return json.loads(path.read_text()) if path is not None and path.exists() else {}


def main() -> None:
    """Train and measure what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/small_samples.json"))
    parser.add_argument("--work", type=Path, default=Path("hepsilon-small-samples"))
    parser.add_argument("--samples", nargs="+", default=list(SAMPLES), choices=list(SAMPLES))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--models", nargs="+", default=["map", "mlp", "gnn", "auto"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--before", type=Path, metavar="JSON", help="results to compare with")
    parser.add_argument("--markdown", action="store_true", help="print what is there, and stop")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    logging.getLogger("hepsilon").setLevel(logging.ERROR)
    results, before = read(args.out), read(args.before)
    if args.markdown:
        lines = [HEADER, ["---"] * len(HEADER), *rows(results, before)]
        print("\n".join(f"| {' | '.join(line)} |" for line in lines))
        return
    for name in args.samples:
        setup = SAMPLES[name]
        tests = {kind: draw(setup, kind, n, TEST_SEED) for kind, n in setup.tests.items()}
        plan = [(n, m, s) for n in args.sizes for s in args.seeds for m in args.models]
        for size, model, seed in plan:
            key = f"{name} {size} {model} {seed}"
            if key in results:
                continue
            found = entry(name, size, model, seed, tests, args.work)
            results = read(args.out) | {key: found}
            args.out.parent.mkdir(parents=True, exist_ok=True)
            write_text(args.out, json.dumps(results, indent=1) + "\n")
            shown = {kind: round(t["all"], 2) for kind, t in found["tests"].items()}
            print(f"{key}: KL {shown}, {found['train_s']:.0f} s", flush=True)
    table = Table(*HEADER, title="KL [1e-4 nats]: median and range over seeds")
    for line in rows(results, before):
        table.add_row(*line)
    Console(width=max(160, Console().width)).print(table)


if __name__ == "__main__":
    main()
