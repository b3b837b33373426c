"""Efficiency inversion at full size: closure, bias and divergence, for networks and baselines.

    python benchmarks/inversion.py --out benchmarks/results/inversion.json

Trains on phase-space events, closes on samples of all amplitudes with as many events each, and
measures what each choice of the training is worth. Samples and models are kept in the folder
--work: the same command goes on after an interruption.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import uproot

import hepsilon
from hepsilon.arrays.keys import SPLIT_SALT, event_key
from hepsilon.closure import closure_report, run_closure
from hepsilon.closure.model import InversionEntry
from hepsilon.config import Config, ModelConfig, Recipe, TrainingConfig
from hepsilon.data.dataset import read_columns
from hepsilon.data.features import fit_features
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.bin_by_bin import BinByBin
from hepsilon.efficiencies.engines.keras import Engine, start_backend
from hepsilon.efficiencies.factorised import FactorisedMap, with_axes
from hepsilon.efficiencies.loading import load_correction
from hepsilon.efficiencies.network import to_probability
from hepsilon.networks.architecture import Architecture, resolve
from hepsilon.networks.build import build_model
from hepsilon.processors import bernoulli_divergence
from hepsilon.report import mean_chi2, write_closure, write_text
from hepsilon.simulation import AMPLITUDES, write_tracks
from hepsilon.training import fit_member, recipe

CONFIG = Path(__file__).parents[1] / "training" / "tracks.toml"

MODELS: dict[str, tuple[ModelConfig, TrainingConfig]] = {
    "product": (ModelConfig(architecture="product"), TrainingConfig()),
    "gnn": (ModelConfig(architecture="gnn"), TrainingConfig(epochs=6, batch_events=1500)),
    "mlp": (ModelConfig(architecture="mlp"), TrainingConfig(epochs=20, weight_decay=0.0)),
    "paper": (ModelConfig(architecture="mlp", preset="paper"), TrainingConfig(epochs=40)),
}

MOMENTA = {"features": ("px", "py", "pz"), "categorical": {}}
"""Of the networks that need no charge, since the positive track comes first: the paper's six."""

VARIANT_EVENTS, VARIANT_EPOCHS = 300_000, 8

Variant = Callable[[Architecture, Recipe], tuple[Architecture, Recipe]]


def _architecture(**changes: Any) -> Variant:
    return lambda a, r: (a.model_copy(update=changes), r)


def _recipe(**changes: Any) -> Variant:
    return lambda a, r: (a, r.model_copy(update=changes))


VARIANTS: dict[str, Variant] = {
    "as it is": lambda a, r: (a, r),
    "no bending of tracks": _architecture(bendings=0),
    "no harmonics": _architecture(harmonics=1, polar=1),
    "64 wide": _architecture(head=(64, 64)),
    "batches of 5000": _recipe(batch_events=5000),
    "learning rate 1e-3": _recipe(learning_rate=1e-3),
    "no averaged weights": _recipe(ema=0.0),
    "plain product": _architecture(general=()),
    "no weight decay": _recipe(weight_decay=0.0),
    "weight decay 0.1": _recipe(weight_decay=0.1),
    "twice the epochs": lambda a, r: (a, r.model_copy(update={"epochs": 2 * r.epochs})),
}


def samples(work: Path, n_events: int) -> dict[str, Path]:
    """Training sample, and a test sample of every amplitude."""
    paths = {}
    plan = {"training": "phasespace"} | {name: name for name in AMPLITUDES}
    for seed, (name, amplitude) in enumerate(plan.items(), start=1):
        paths[name] = work / f"{name}-{n_events}.root"
        if not paths[name].exists():
            start = perf_counter()
            write_tracks(paths[name], n_events, amplitude=amplitude, seed=seed)
            print(f"{paths[name]}: {perf_counter() - start:.0f} s", flush=True)
    return paths


def timed(path: Path, make: Callable[[], Any]) -> dict[str, Any]:
    """Make a file unless it exists; how long it took is kept beside it."""
    note = path.with_suffix(".seconds.json")
    if not path.exists():
        start = perf_counter()
        make()
        note.write_text(json.dumps({"seconds": perf_counter() - start}))
    return dict(json.loads(note.read_text()))


def baselines(work: Path, config: Config, file: Path) -> dict[str, Any]:
    """Factorised map and bin-by-bin corrections."""

    def factorised(path: Path) -> None:
        axes = with_axes(config)
        FactorisedMap.fit(axes.task, read_columns([file], axes), axes.map).save(path)

    def bins(path: Path) -> None:
        output = run_closure([file], config.task, {})
        BinByBin.fit(config.task, output.observables, output.n_events).save(path)

    makers = {"factorised": factorised, "bin-by-bin": bins}
    files = {name: work / f"{name}.hepsilon" for name in makers}
    return {name: timed(files[name], partial(make, files[name])) for name, make in makers.items()}


def networks(
    work: Path, config: Config, file: Path, members: int, names: list[str]
) -> dict[str, Any]:
    """Train all networks; the product as an ensemble, whose first member counts as single."""
    results = {}
    for name in names:
        model, training = MODELS[name]
        task = config.task
        if model.architecture == "mlp":
            task = task.model_copy(update=MOMENTA)
        update = {"model": model, "training": training, "task": task}
        chosen = config.model_copy(update=update)
        plan = {name: 1, f"{name} x {members}": members} if name == "product" else {name: 1}
        for label, number in plan.items():
            sized = model.model_copy(update={"members": number})
            single = chosen.model_copy(update={"model": sized})
            path = work / f"{label.replace(' ', '')}.hepsilon"
            results[label] = timed(path, partial(hepsilon.train, single, [file], path))
            print(label, results[label], flush=True)
    return results


def summary(entry: InversionEntry) -> dict[str, Any]:
    """What is published of one efficiency on one sample."""
    one, two = mean_chi2(entry)
    return {
        "chi2_ndf_1d": one,
        "chi2_ndf_2d": two,
        "chi2_ndf": {n: f.chi2 / f.ndf for n, f in entry.observables.items()},
        "naive_chi2_ndf": {n: f.naive_chi2 / f.naive_ndf for n, f in entry.observables.items()},
        "overall": entry.overall.as_dict(),
        "clipped": entry.clipped.as_dict(),
        "jensen": entry.jensen,
        "divergence": entry.truth["all"].divergence if entry.truth else None,
    }


def closures(work: Path, config: Config, paths: dict[str, Path], names: list[str]) -> Any:
    """Closure of everything on every amplitude, from generated and reconstructed momenta."""
    efficiencies = {n: load_correction(work / f"{n.replace(' ', '')}.hepsilon") for n in names}
    results = {}
    for name in AMPLITUDES:
        out = work / f"closure-{name}"
        done = out / "summary.json"
        if not done.exists():
            start = perf_counter()
            options = {"reconstructed": "TrackReco", "chunksize": 200_000}
            output = run_closure([paths[name]], config.task, efficiencies, **options)
            report = closure_report(output, config.task, efficiencies, [paths[name]])
            write_closure(out, output, report)
            found = {n: summary(entry) for n, entry in report.efficiency.items()}
            write_text(done, json.dumps({"efficiency": found, "seconds": perf_counter() - start}))
        results[name] = json.loads(done.read_text())
        for method, entry in results[name]["efficiency"].items():
            print(name, method, entry["chi2_ndf_1d"], entry["chi2_ndf_2d"], flush=True)
    return results


def divergence(
    config: Config, engine: Engine, rows: TrainingColumns, truth: np.ndarray[Any, Any]
) -> float:
    """Mean KL divergence from the truth, in 1e-4 nats an event."""
    eps = to_probability(engine.logits(rows.offsets, rows.nodes)[:, 0], 1.0)
    return float(1e4 * bernoulli_divergence(truth, eps).mean())


def true_rows(path: Path, config: Config) -> tuple[TrainingColumns, np.ndarray[Any, Any]]:
    """Rows of a sample and their true efficiency."""
    names = ["run", "luminosityBlock", "event", "trueEfficiency"]
    with uproot.open(path) as file:
        events = file["Events"].arrays(names, library="np")
    key = event_key(*(events[name] for name in names[:3]), SPLIT_SALT)
    rows = read_columns([path], config).joined(config.task.objects or 1)
    return rows, events["trueEfficiency"][np.argsort(key, kind="stable")]


def variants(
    work: Path, config: Config, paths: dict[str, Path], names: list[str], seeds: list[int]
) -> dict[str, Any]:
    """Divergence without each of the choices of the product network, in a shorter training."""
    model, training = ModelConfig(architecture="product"), TrainingConfig(epochs=VARIANT_EPOCHS)
    columns = read_columns([paths["training"]], config)
    side = columns.split(config.training.validation)[0]
    spec = fit_features(config.task, side.nodes, np.abs(side.weights), side.offsets)
    columns = columns.take(np.arange(min(VARIANT_EVENTS, columns.n_events)))
    sides = [side.joined(2) for side in columns.split(config.training.validation)]
    base = resolve(model, config.task), recipe(model, training, sides[0].n_events)
    tests = {name: true_rows(paths[name], config) for name in ("phasespace", "rho")}
    kept = work / "variants.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    for seed, name in product(seeds, names):
        key = name if seed == 1 else f"{name}, seed {seed}"
        if key in results:
            continue
        start = perf_counter()
        architecture, full = VARIANTS[name](*base)
        fit = fit_member(architecture, spec, full.model_copy(update={"seed": seed}), *sides)
        network = build_model(architecture, spec, None)
        network.set_weights(fit.weights)
        engine = Engine(network)
        results[key] = {kind: divergence(config, engine, *test) for kind, test in tests.items()}
        results[key] |= {"seconds": perf_counter() - start, "best_epoch": fit.best_epoch}
        write_text(kept, json.dumps(results, indent=1))
        print(key, results[key], flush=True)
    return results


def main() -> None:
    """Run everything and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--work", type=Path, default=Path("inversion-benchmark"))
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], help="of the variants")
    parser.add_argument("--only-variants", action="store_true", help="what each choice is worth")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    start_backend()
    config = hepsilon.load_config(CONFIG)
    paths = samples(args.work, args.events)
    if args.only_variants:
        found = variants(args.work, config, paths, args.variants, args.seeds)
        write_text(args.out, json.dumps({"n_events": args.events, "variants": found}, indent=1))
        return
    training = baselines(args.work, config, paths["training"])
    training |= networks(args.work, config, paths["training"], args.members, args.models)
    results = {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "n_events": args.events,
        "training": training,
        "closure": closures(args.work, config, paths, list(training)),
    }
    results["variants"] = variants(args.work, config, paths, args.variants, args.seeds)
    write_text(args.out, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
