"""What boosted trees behind a network are worth, on the detectors of detectors.py.

    python benchmarks/refinement.py --out benchmarks/results/refinement.json --seeds 1 2 3

For every sample, model and seed: the network with the default recipe, and the same network with the
trees that ``refine = true`` adds, whether or not they would be kept: on independent samples the
mean Kullback-Leibler divergence of the true from the predicted efficiency, the bias of the total
and chi2/ndf, as expectations over the responses; for b jets the bias in sixths of delta R to the
nearest jet. ``--null N`` measures false alarms instead: responses drawn from the true efficiency,
which then is the network, N times; how often trees are kept, and how often an input is significant.
``--calibration`` fits an offset and a slope of the logit of E to the training events instead, by
maximum likelihood: what a calibration by E alone would be worth for the inversion.
Networks and samples are kept in ``--work`` and used again; results are written after each.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from detector_samples import SETUPS, Setup
from detectors import TEST_SEED, kept, measure, measure_events, train
from rich.console import Console
from rich.table import Table
from scipy.special import expit, logit

import hepsilon
from hepsilon.data.features import fit_features
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.artifact import read_arrays, write_artifact
from hepsilon.efficiencies.artifact_edits import blobs_of
from hepsilon.efficiencies.engines.choice import read_weights
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.efficiencies.network import REFINEMENT, NetworkEfficiency
from hepsilon.efficiencies.tree_inputs import input_names, tree_inputs
from hepsilon.networks.build import build_model
from hepsilon.processors import bernoulli_divergence
from hepsilon.report import write_text
from hepsilon.training import refinement_trees
from hepsilon.training.kept import Kept
from hepsilon.training.preparation import Sides, prepare
from hepsilon.training.refinement import find
from hepsilon.training.refinement_entries import Entries
from hepsilon.training.refinement_residuals import residuals
from hepsilon.training.state import Fit


def trained(efficiency: NetworkEfficiency, columns: TrainingColumns) -> tuple[Kept, Sides]:
    """The training that an artifact comes from, after its last epoch."""
    card = efficiency.card
    sides = columns.split(card.training.validation)
    spec = fit_features(card.task, sides[0].nodes, np.abs(sides[0].weights), sides[0].offsets)
    start_backend()
    config = hepsilon.Config(task=card.task, model=card.model, training=card.training)
    model = build_model(card.architecture, card.features, seed=None)
    weights = read_weights(efficiency.path, card, efficiency.hash, model)
    return Kept(prepare(config, spec, sides), [Fit(each, [], 1) for each in weights]), sides


def network_of(setup: Setup, name: str, model: str, seed: int, scale: float, work: Path) -> Any:
    """Network of a sample, trained where it has not been trained before."""
    path = work / f"{name}-{model}-{seed}.hepsilon"
    sample = kept(work, name, "training", round(scale * setup.n_training), seed)
    if not path.exists():
        train(setup, sample, model, seed, path)
    return NetworkEfficiency.load(path), sample


def entry(name: str, model: str, seed: int, scale: float, work: Path) -> dict[str, Any]:
    """Measure one network before and after its refinement."""
    setup = SETUPS[name]
    network, sample = network_of(setup, name, model, seed, scale, work)
    training, sides = trained(network, sample.columns)
    start = time.process_time()
    tested = find(training, sides, False, seed)
    between = time.process_time()
    found = find(training, sides, True, seed)
    seconds = {"test": between - start, "refine": time.process_time() - between}
    card = found.refinement
    assert card is not None
    tests = {}
    after = None
    if found.trees is not None:
        arrays = read_arrays(network.path, network.card, network.hash)
        arrays[REFINEMENT] = found.trees.arrays
        new = network.card.model_copy(update={"arrays": tuple(arrays), "refinement": card})
        path = work / f"refined-{name}-{model}-{seed}.hepsilon"
        write_artifact(path, new, arrays, blobs_of(network))
        after = NetworkEfficiency.load(path)
    for kind, n_events in setup.tests.items():
        test = kept(work, name, kind, round(scale * n_events), TEST_SEED)
        tests[kind] = {"before": measure(setup, test, network)}
        tests[kind]["after"] = (
            tests[kind]["before"] if after is None else measure(setup, test, after)
        )
    return {
        "sample": name,
        "model": model,
        "seed": seed,
        "cpu_s": seconds,
        "significant": [
            each.name for each in (tested.residuals.significant if tested.residuals else ())
        ],
        "refinement": card.model_dump(),
        "regions": [each.model_dump() for each in found.regions],
        "tests": tests,
    }


def null(name: str, n_draws: int, n_events: int, signed: bool, work: Path) -> dict[str, Any]:
    """False alarms of an efficiency that is the true one."""
    setup = SETUPS[name]
    sample = kept(work, name, "training", setup.n_training, 1)
    columns = sample.columns.between(0, min(n_events, sample.columns.n_events))
    of_events = setup.task.of_events
    true = sample.true[: columns.n_events if of_events else len(columns.nodes)]
    counts = np.ones(columns.n_events, int) if of_events else np.diff(columns.offsets)
    spec = fit_features(setup.task, columns.nodes, np.ones(columns.n_events), columns.offsets)
    base = Entries(
        inputs=tree_inputs(setup.task, True, columns.offsets, columns.nodes),
        logits=logit(true)[:, None],
        passed=np.zeros(len(true), np.int64),
        events=np.repeat(np.arange(columns.n_events), counts),
        weights=np.array(columns.weights),
        keys=columns.keys,
        mu=1.0,
    )
    names = input_names(setup.task, True)
    times = {"kept": 0, "significant": 0}
    for number in range(n_draws):
        rng = np.random.default_rng([7, number])
        passed = (rng.uniform(size=len(true)) < true).astype(np.int64)
        weights = base.weights
        if signed:
            sign = np.where(rng.uniform(size=len(weights)) < 0.2, -1.0, 1.0)
            weights = sign * rng.exponential(size=len(weights))
        entries = replace(base, passed=passed, weights=weights)
        times["kept"] += refinement_trees.boost(entries, number).worthwhile
        test = residuals(entries, names, None if of_events else spec, number)
        times["significant"] += bool(test is not None and test.significant)
    return {
        "sample": name,
        "n_events": columns.n_events,
        "signed": signed,
        "draws": n_draws,
        **times,
    }


def affine(logits: Any, passed: Any) -> Any:
    """Offset and slope of a logit by maximum likelihood."""
    columns, found = np.stack([np.ones_like(logits), logits]), np.array([0.0, 1.0])
    for _ in range(20):
        eps = expit(found @ columns)
        curvature = (columns * (eps * (1.0 - eps))) @ columns.T
        found = found + np.linalg.solve(curvature, columns @ (passed - eps))
    return found


def calibration(name: str, seed: int, scale: float, work: Path) -> dict[str, Any]:
    """Measure E of events before and after its logit is calibrated."""
    setup = SETUPS[name]
    network, sample = network_of(setup, name, "product", seed, scale, work)

    def logits(columns: TrainingColumns) -> Any:
        return logit(network._predict(columns.offsets, columns.nodes, False)[0])

    own, columns = logits(sample.columns), sample.columns
    eps, passed = expit(own), columns.passed[columns.offsets[:-1]]
    numbers, tests = affine(own, passed), {}
    for kind, n_events in setup.tests.items():
        test = kept(work, name, kind, round(scale * n_events), TEST_SEED)
        own = logits(test.columns)
        tests[kind] = {}
        for label, (offset, slope) in {"before": (0.0, 1.0), "after": numbers}.items():
            found = expit(offset + slope * own)
            divergence = 1e4 * bernoulli_divergence(test.true, found)
            tests[kind][label] = {
                "kl": float(divergence.mean()),
                **measure_events(setup, test, found),
            }
    return {
        "sample": name,
        "seed": seed,
        "calibration": numbers.tolist(),
        "training_total": float(np.mean(passed / eps) - 1.0),
        "training_error": float(np.sqrt(np.sum((1.0 - eps) / eps)) / len(eps)),
        "tests": tests,
    }


HEADER = [
    "sample",
    "model",
    "seed",
    "loss [1e-4]",
    "test",
    "KL",
    "total [%]",
    "1D",
    "b nearest [%]",
]


def rows(results: dict[str, Any]) -> list[list[str]]:
    """A line for each test sample: before and after."""
    lines = []
    for found in results.values():
        if "tests" not in found:
            continue
        gain = "calibration"
        if (card := found.get("refinement")) is not None:
            gain = (
                f"{-1e4 * card['gain']:+.1f} ± {1e4 * card['error']:.1f}" + " kept" * card["kept"]
            )
        first = [found["sample"], found.get("model", "product"), str(found["seed"]), gain]
        for kind, test in found["tests"].items():
            pair = test["before"], test["after"]
            cells = [" → ".join(f"{t['kl']:.1f}" for t in pair)]
            cells.append(" → ".join(f"{100.0 * t['total']:+.2f}" for t in pair))
            cells.append(" → ".join(f"{t['chi2_ndf_1d']:.2f}" for t in pair))
            sixths = [t.get("delta_r_sixths", {}).get("b") for t in pair]
            shown = [f"{100.0 * s['bias'][0]:+.1f}" for s in sixths if s]
            lines.append([*first, kind, *cells, " → ".join(shown)])
            first = [""] * len(first)
    return lines


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/refinement.json"))
    parser.add_argument("--work", type=Path, default=Path("hepsilon-detectors"))
    parser.add_argument("--samples", nargs="+", default=["jets-20k"], choices=list(SETUPS))
    parser.add_argument("--models", nargs="+", default=["gnn", "product"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of events")
    parser.add_argument("--null", type=int, metavar="N", help="measure false alarms instead")
    parser.add_argument("--calibration", action="store_true", help="of E alone, instead")
    args = parser.parse_args()
    logging.getLogger("hepsilon").setLevel(logging.ERROR)
    args.work.mkdir(parents=True, exist_ok=True)
    results = json.loads(args.out.read_text()) if args.out.exists() else {}

    def note(key: str, found: dict[str, Any]) -> None:
        results[key] = found
        write_text(args.out, json.dumps(results, indent=1) + "\n")

    for name in args.samples:
        if args.null:
            for n_events in (4_000, 20_000):
                for signed in (False, True):
                    key = f"null {name} {n_events} {'signed' if signed else 'unit'}"
                    if key not in results:
                        note(key, null(name, args.null, n_events, signed, args.work))
                        print(results[key], flush=True)
            continue
        for seed in args.seeds if args.calibration else ():
            if f"calibration {name} {seed}" not in results:
                found = calibration(name, seed, args.scale, args.work)
                note(f"calibration {name} {seed}", found)
        for model in () if args.calibration else args.models:
            if (model == "product") != SETUPS[name].task.of_events:
                continue
            for seed in args.seeds:
                if f"{name} {model} {seed}" not in results:
                    note(f"{name} {model} {seed}", entry(name, model, seed, args.scale, args.work))
    table = Table(*HEADER, title="Network, and network with trees; KL in 1e-4 nats")
    for line in rows(results):
        table.add_row(*line)
    Console(width=max(150, Console().width)).print(table)


if __name__ == "__main__":
    main()
