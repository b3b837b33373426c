"""Do the bands of efficiencies cover the truth? Repeated experiments on toy jets.

    KERAS_BACKEND=jax python benchmarks/band_coverage.py --first 1 --last 25 --out coverage-1.json
    KERAS_BACKEND=jax python benchmarks/band_coverage.py --first 26 --last 50 --out coverage-2.json
    python benchmarks/band_coverage.py --merge coverage-*.json --out coverage.json
    python benchmarks/band_coverage.py --merge coverage-*.json --out every.json.xz
    python benchmarks/band_coverage.py --merge every.json.xz --first 17 --brief --out short.json

Every experiment simulates a training sample of its own and learns the efficiency from it in several
ways (``--methods``): by a map, by one graph network, by five networks of folds, and by bootstrap
samples as in the paper, whose nominal network is the single one of that seed, so that it is
measured, too. All are compared with the true efficiencies of a test and an alternative
sample, which are equal in all experiments. Bands are standard deviations over replicas, 100 of them
where any number can be drawn, with and without the bias by region. The number of an experiment is
its seed, that of the sample and that of the training. Results are written after each of them; those
that are there already are not run again, so that a process that was killed goes on. Processes that
share the work write to a file each; ``taskset -c 3 ...`` with ``JAX_PLATFORMS=cpu`` keeps each of
them to one core, and on one GPU they do not take all of its memory at once. A merged file can be
given as ``--out`` again, and goes on.

``truth`` is the share of differences to the truth within the band. ``mean`` is that of differences
to the mean of all other experiments: what a band would cover without the part of the bias that all
trainings have in common. Behind each share stands its error by the spread of the experiments, since
the bins of one experiment fluctuate together.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import hepsilon
from hepsilon._system.files import atomic_path
from hepsilon.arrays.geometry import delta_r_to_nearest
from hepsilon.config import ModelConfig
from hepsilon.config.learning import TrainingConfig
from hepsilon.data.dataset import read_columns
from hepsilon.data.reading import read_chunks
from hepsilon.simulation import toy_task, write_jets

FLAVOURS = {"b": 5, "c": 4, "light": 0}
PT_EDGES = (20.0, 40.0, 60.0, 90.0, 130.0, 200.0, 1e9)
DELTA_R_EDGES = (0.0, 0.6, 0.8, 1.2, 1.8, 2.6, 1e9)
LEVELS = {"68 %": 1.0, "95 %": float(norm.isf(0.025))}
REPLICAS, PROBES = 100, 300
SAMPLES = {"test": ("jets", 900_001), "alternative": ("jets-alternative", 900_002)}
METHODS: dict[str, dict[str, Any]] = {
    "map": {},
    "network": {"members": 1},
    "folds": {"members": 5, "resampling": "folds"},
    "bootstrap": {"members": 10, "resampling": "bootstrap"},
}
WITHOUT = "without bias term"
OUT = Path("benchmarks/results/band_coverage.json.xz")


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
        draws = getattr(efficiency, "draws_last_layer", True)
        answer = efficiency.evaluate(
            jets, out_of_domain="ignore", replicas=REPLICAS if draws else True
        )
        eps, drawn = (ak.to_numpy(ak.flatten(x)) for x in (answer.eps, answer.replicas))
        found[name] = {
            kind: {
                "value": six_digits(sums(eps, group)),
                "error": six_digits(sums(drawn, group).std(axis=-1, ddof=1)),
            }
            for kind, group in groups.items()
        }
    return found


def experiment(
    seed: int, methods: Sequence[str], args: argparse.Namespace, samples: dict[str, Any]
) -> dict[str, Any]:
    """Train on one sample and measure."""
    entry: dict[str, Any] = {"seconds": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_jets(folder / "train.root", args.events, seed=seed)
        for method in methods:
            start = time.perf_counter()
            model = ModelConfig(architecture="gnn", **METHODS[method])
            training = TrainingConfig(seed=seed, refine=args.refine)
            config = hepsilon.Config(task=toy_task(), model=model, training=training)
            columns = read_columns([folder / "train.root"], config, progress=False)
            if method == "map":
                fitted = hepsilon.EfficiencyMap.fit(config.task, columns, warn=False)
                entry[method] = measured(fitted, samples)
            else:
                out = folder / f"{method}.hepsilon"
                trained = hepsilon.train(config, columns, out, progress=False).efficiency
                entry[method] = measured(trained, samples)
                without = hepsilon.load(out, bias_term=False)
                entry[f"{method}, {WITHOUT}"] = measured(without, samples)
                if method == "bootstrap":  # its nominal network is the single one of this seed
                    own = {"replicas_from": "last-layer"}
                    for term, called in ((True, "network"), (False, f"network, {WITHOUT}")):
                        nominal = hepsilon.load(out, bias_term=term, **own)
                        entry.setdefault(called, measured(nominal, samples))
                entry["bias"] = entry.get("bias", {}) | {method: trained.card.bias.spread}
            entry["seconds"][method] = time.perf_counter() - start
    return entry


def share(inside: Any) -> list[float]:
    """Share of what is inside, and its error by the spread of the experiments."""
    by_experiment = inside.mean(axis=1)
    error = by_experiment.std(ddof=1) / np.sqrt(len(inside)) if len(inside) > 1 else np.nan
    return [float(inside.mean()), float(np.nan_to_num(error))]


def shares(values: Any, errors: Any, truth: Any) -> dict[str, Any]:
    """Shares of differences within the bands, and the bias in units of the error."""
    found: dict[str, Any] = {}
    n = len(values)
    for name, width in LEVELS.items():
        entry = {"truth": share(np.abs(values - truth) < width * errors)}
        if n > 1:
            others = (values.sum(axis=0) - values) / (n - 1)
            scaled = np.abs(values - others) / np.sqrt(1.0 + 1.0 / (n - 1))
            entry["mean"] = share(scaled < width * errors)
        found[name] = entry
    found["median relative error"] = float(np.median(errors / truth))
    found["rms pull to the truth"] = float(np.sqrt(np.mean(((values - truth) / errors) ** 2)))
    if n > 1:
        ratio = values.std(axis=0, ddof=1) / np.sqrt(np.mean(errors**2, axis=0))
        found["spread over error"] = float(np.median(ratio))
        bias = np.abs(values.mean(axis=0) - truth) / values.std(axis=0, ddof=1)
        found["median bias over spread"] = float(np.median(bias))
    return found


def summary(experiments: dict[str, Any], truths: dict[str, Any]) -> dict[str, Any]:
    """Coverage by method, sample and kind of bin; bins that no jet is in are left out."""
    found: dict[str, Any] = {}
    names = {name: None for e in experiments.values() for name in e}
    for method in [name for name in names if name not in ("seconds", "bias")]:
        for sample, by_kind in truths.items():
            for kind, truth in by_kind.items():
                entries = [e[method][sample][kind] for e in experiments.values() if method in e]
                values, errors = (np.array([e[k] for e in entries]) for k in ("value", "error"))
                true = np.array(truth)
                filled = true > 0.0
                found[f"{method} | {sample} | {kind}"] = shares(
                    values[:, filled], errors[:, filled], true[filled]
                )
    return found


def show(results: dict[str, Any]) -> None:
    """Print the table."""
    columns = ["method, sample, bins"]
    columns += [f"{level}, {to}" for level in LEVELS for to in ("truth", "mean")]
    columns += ["error", "rms pull", "spread/error", "bias/spread"]
    table = Table(*columns, title=f"coverage, {len(results['experiments'])} experiments")
    for name, entry in results["summary"].items():
        cells = [entry[level].get(to) for level in LEVELS for to in ("truth", "mean")]
        shown = ["" if c is None else f"{100 * c[0]:.0f} +- {100 * c[1]:.0f} %" for c in cells]
        more = [entry.get(key) for key in ("spread over error", "median bias over spread")]
        table.add_row(
            name,
            *shown,
            f"{100 * entry['median relative error']:.2g} %",
            f"{entry['rms pull to the truth']:.2f}",
            *("" if value is None else f"{value:.2f}" for value in more),
        )
    Console(width=180).print(table)


def joined(entry: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """One experiment with the methods of two entries."""
    notes = {
        name: entry.get(name, {}) | other.get(name, {})
        for name in ("seconds", "bias")
        if name in entry or name in other
    }
    return entry | other | notes


def merged(files: Sequence[Path], first: int, last: int) -> dict[str, Any]:
    """Experiments of several files, which must be of equal settings; each counts once."""
    parts = [read(file) for file in files]
    settings = [{k: v for k, v in p.items() if k not in ("experiments", "summary")} for p in parts]
    wrong = [str(file) for file, own in zip(files, settings, strict=True) if own != settings[0]]
    if wrong:
        raise SystemExit(f"{wrong} are of other settings than {files[0]}")
    experiments: dict[str, Any] = {}
    for part in parts:
        for seed, entry in part["experiments"].items():
            experiments[seed] = joined(experiments.get(seed, {}), entry)
    seeds = [seed for seed in sorted(experiments, key=int) if first <= int(seed) <= last]
    ordered = {seed: experiments[seed] for seed in seeds}
    return settings[0] | {"experiments": ordered}


def written(out: Path, results: dict[str, Any], brief: bool = False) -> None:
    """Write the results with their summary; on request the experiments by their numbers alone."""
    results["summary"] = summary(results["experiments"], results["truths"])
    out.parent.mkdir(parents=True, exist_ok=True)
    if not brief:
        write(out, json.dumps(results) + "\n")
        return
    shown = {k: v for k, v in results.items() if k not in ("experiments", "truths")}
    shown["experiments"] = {
        method: [int(seed) for seed, entry in results["experiments"].items() if method in entry]
        for method in METHODS
    }
    write(out, json.dumps(shown, indent=1) + "\n")


def read(file: Path) -> Any:
    """Results of a file, which may be compressed."""
    content = file.read_bytes()
    return json.loads(lzma.decompress(content) if file.suffix == ".xz" else content)


def write(out: Path, text: str) -> None:
    """Write a file, compressed if its name ends in ``.xz``."""
    content = text.encode()
    with atomic_path(out) as path:
        path.write_bytes(lzma.compress(content) if out.suffix == ".xz" else content)


def all_samples(n_events: int) -> dict[str, Any]:
    """Jets of the test and the alternative sample, with the bins that they are in."""
    samples: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (kind, seed) in SAMPLES.items():
            file = Path(folder) / f"{name}.root"
            write_jets(file, n_events, kind=kind, seed=seed)
            jets = ak.Array(ak.to_packed(jets_of(file)))
            samples[name] = jets, groups_of(jets)
    return samples


def settings_of(args: argparse.Namespace, samples: dict[str, Any]) -> dict[str, Any]:
    """What experiments must have in common, and the truth that they are compared with."""
    truths = {
        name: {
            kind: six_digits(sums(ak.to_numpy(ak.flatten(jets.trueEfficiency)), group))
            for kind, group in groups.items()
        }
        for name, (jets, groups) in samples.items()
    }
    return {
        "events": args.events,
        "test_events": args.test_events,
        "refine": args.refine,
        "truths": truths,
    }


def main() -> None:
    """Run the experiments that are missing, or merge files of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--first", type=int, default=17, help="number of the first experiment")
    parser.add_argument("--last", type=int, default=116, help="number of the last experiment")
    parser.add_argument("--events", type=int, default=5000, help="events of a training")
    parser.add_argument("--test-events", type=int, default=5000, help="events of each sample")
    parser.add_argument("--methods", nargs="+", choices=tuple(METHODS), default=list(METHODS))
    parser.add_argument("--refine", action="store_true", help="with trees behind the networks")
    parser.add_argument("--merge", type=Path, nargs="+", help="files to merge; nothing is run")
    parser.add_argument("--brief", action="store_true", help="of merged files the summary alone")
    args = parser.parse_args()
    if args.merge:
        results = merged(args.merge, args.first, args.last)
        written(args.out, results, args.brief)
        show(results)
        return
    samples = all_samples(args.test_events)
    settings = settings_of(args, samples)
    results = settings | {"experiments": {}}
    if args.out.exists():
        found = read(args.out)
        if {k: v for k, v in found.items() if k not in ("experiments", "summary")} != settings:
            raise SystemExit(f"{args.out} is of other settings")
        results["experiments"] = found["experiments"]
    for seed in range(args.first, args.last + 1):
        there = results["experiments"].get(str(seed), {})
        missing = [method for method in args.methods if method not in there]
        if missing:
            found = experiment(seed, missing, args, samples)
            results["experiments"][str(seed)] = joined(there, found)
            written(args.out, results)
            seconds = ", ".join(f"{k} {v:.0f} s" for k, v in found["seconds"].items())
            sys.stderr.write(f"experiment {seed}: {seconds}\n")
    show(results)


if __name__ == "__main__":
    main()
