"""Are the p-values of closures uniform? Repeated experiments on toy jets.

    python benchmarks/closure_p_values.py --experiments 20 --out benchmarks/results/p_values.json

Every experiment simulates a training, a test and an alternative sample of its own, fits a map,
trains a graph network, and closes the true efficiency and both on the two samples: with the
efficiency's own error (its replicas) and without. Shown are the shares of experiments with a
p-value below 5, 10, 32 and 50 %, for the total, the chi2 of pt and of the distance to the nearest
jet, and everything combined (after Simes, which may be too careful, never too bold), with the
p-value of Kolmogorov and Smirnov for uniform ones. Results are written after every experiment;
those that are there already are not run again. Seeds are the numbers of the experiments.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import kstest, norm

import hepsilon
from hepsilon.closure import closure_report, run_closure
from hepsilon.config import ModelConfig
from hepsilon.data.dataset import read_columns
from hepsilon.report import write_text
from hepsilon.simulation import toy_task, write_jets

SAMPLES = {"test": "jets", "alternative": "jets-alternative"}
BELOW = (0.05, 0.1, 0.32, 0.5)
OBSERVABLES = ("pt", "delta_r")


def chances(entry: Any, combined: float | None) -> dict[str, float | None]:
    """P-values of one method: of the total, of two observables, and of all together."""
    found = {name: entry.observables[name].p_value for name in OBSERVABLES}
    pull = entry.overall.pull
    total = None if pull is None else float(2.0 * norm.sf(abs(pull)))
    return {"total": total, **found, "combined": combined}


def experiment(seed: int, n_train: int, n_test: int, train: bool) -> dict[str, Any]:
    """Simulate, train and close."""
    start = time.perf_counter()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder, task = Path(name), toy_task()
        efficiencies: dict[str, Any] = {}
        if train:
            write_jets(folder / "train.root", n_train, seed=3 * seed)
            config = hepsilon.Config(task=task, model=ModelConfig(architecture="gnn"))
            columns = read_columns([folder / "train.root"], config, progress=False)
            efficiencies["map"] = hepsilon.EfficiencyMap.fit(task, columns, warn=False)
            trained = hepsilon.train(config, columns, folder / "gnn.hepsilon", progress=False)
            efficiencies["network"] = trained.efficiency
        for number, (sample, kind) in enumerate(SAMPLES.items(), start=1):
            file = write_jets(folder / f"{sample}.root", n_test, kind=kind, seed=3 * seed + number)
            for error, replicas in (("own error", True), ("sample alone", False)):
                output = run_closure([file], task, efficiencies, replicas=replicas)
                closure = closure_report(output, task, efficiencies, [file])
                judged = closure.verdict.methods if closure.verdict else {}
                for method, entry in closure.efficiency.items():
                    key = f"{method} | {sample} | {error}"
                    found[key] = chances(entry, judged[method].p_value)
    return {"p_values": found, "seconds": time.perf_counter() - start}


def summary(experiments: dict[str, Any]) -> dict[str, Any]:
    """Shares below some limits, and the p-value of Kolmogorov and Smirnov."""
    entries = [each["p_values"] for each in experiments.values()]
    keys = dict.fromkeys((key, kind) for each in entries for key in each for kind in each[key])
    found = {}
    for key, kind in keys:
        values = np.array([each[key][kind] for each in entries if key in each], np.float64)
        values = values[np.isfinite(values)]
        found[f"{key} | {kind}"] = {
            "n": len(values),
            "below": {str(limit): float((values < limit).mean()) for limit in BELOW},
            "ks": float(kstest(values, "uniform").pvalue),
        }
    return found


def show(results: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(
        "method | sample | error | of", "n", *(f"p < {limit}" for limit in BELOW), "KS", width=110
    )
    for name, entry in results["summary"].items():
        shares = [f"{100 * entry['below'][str(limit)]:.0f} %" for limit in BELOW]
        table.add_row(name, str(entry["n"]), *shares, f"{entry['ks']:.2g}")
    Console(width=110).print(table)


def main() -> None:
    """Run the experiments that are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/p_values.json"))
    parser.add_argument("--first", type=int, default=1, help="number of the first experiment")
    parser.add_argument("--experiments", type=int, default=100, help="number of the last one")
    parser.add_argument("--events", type=int, default=5000, help="events of a training")
    parser.add_argument("--test-events", type=int, default=5000, help="events of a closure")
    parser.add_argument("--truth-alone", action="store_true", help="train nothing")
    args = parser.parse_args()
    question = {"events": args.events, "test_events": args.test_events}
    question["trained"] = not args.truth_alone
    results: dict[str, Any] = {"question": question, "experiments": {}}
    if args.out.exists():
        results = json.loads(args.out.read_text())
        if results["question"] != question:
            raise SystemExit(f"{args.out} is of {results['question']}, not of {question}")
    for seed in range(args.first, args.experiments + 1):
        if str(seed) not in results["experiments"]:
            found = experiment(seed, args.events, args.test_events, not args.truth_alone)
            results["experiments"][str(seed)] = found
            results["summary"] = summary(results["experiments"])
            args.out.parent.mkdir(parents=True, exist_ok=True)
            write_text(args.out, json.dumps(results) + "\n")
    show(results)


if __name__ == "__main__":
    main()
