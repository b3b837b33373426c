"""Bands of what hardly ever passes: light jets at the permille level, with and without the draws.

    KERAS_BACKEND=jax python benchmarks/rare_coverage.py --out benchmarks/results/rare_coverage.json

Every experiment trains the plain network on a sample of its own (``mistag`` of
``benchmarks/small_samples.py``: 88 % are light jets, three in a thousand of which pass). For the
number of light jets that are expected to pass, in total and in bins of pt, it compares two kinds of
replicas of one artifact: ``draws`` as hepsilon makes them
(:mod:`hepsilon.efficiencies.draws`), and ``logits``, whose logits are Gaussian. Their relative
error, how far their mean is from the efficiency, and the share of bands that hold the truth.
Results are written after each experiment; those that are there already are not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from detector_samples import JETS, Sample, draw
from pages import RARE_HEADER, rare_lines
from rich.console import Console
from rich.table import Table
from small_samples import SAMPLES, train

from hepsilon.efficiencies import bias, last_layer
from hepsilon.report import write_text

SIZES = 1000, 5000
REPLICAS = 100
EDGES = (0.0, 40.0, 60.0, 100.0, np.inf)


def untempered(changes: Any, odds: Any) -> None:
    """Leave Gaussian changes of logits as they are."""


def groups_of(test: Sample) -> dict[str, Any]:
    """Light jets in total and in bins of pt, as masks."""
    column = {name: test.columns.nodes[:, i] for i, name in enumerate(JETS.features)}
    light = column["hadronFlavour"] == 0
    bins = pairwise(EDGES)
    by_pt = {f"pt from {a:g}": light & (column["pt"] >= a) & (column["pt"] < b) for a, b in bins}
    return {"total": light, **by_pt}


def experiment(size: int, seed: int, test: Sample, folder: Path) -> dict[str, Any]:
    """Train, and sum replicas of both kinds over the light jets."""
    sample = draw(SAMPLES["mistag"], "training", size, seed)
    efficiency, _ = train(sample, "mlp", seed, folder / "mlp.hepsilon")
    columns, groups = (test.columns.offsets, test.columns.nodes), groups_of(test)
    found: dict[str, Any] = {}
    for kind in ("draws", "logits"):
        if kind == "draws":
            eps, drawn = efficiency._predict(*columns, REPLICAS)
        else:
            with (
                patch.object(last_layer, "tempered", untempered),
                patch.object(bias, "tempered", untempered),
            ):
                eps, drawn = efficiency._predict(*columns, REPLICAS)
        for name, mask in groups.items():
            truth, sums = float(test.true[mask].sum()), drawn[mask].sum(axis=0)
            found.setdefault(name, {})[kind] = {
                "nominal over truth": float(eps[mask].sum() / truth),
                "error": float(sums.std(ddof=1) / eps[mask].sum()),
                "mean over nominal": float(sums.mean() / eps[mask].sum()),
                "pull": float((eps[mask].sum() - truth) / sums.std(ddof=1)),
            }
    light = sample.columns.nodes[:, JETS.features.index("hadronFlavour")] == 0
    found["passed"] = int(np.sum(light & (sample.columns.passed > 0.5)))
    return found


def main() -> None:
    """Run the experiments that are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("rare_coverage.json"))
    parser.add_argument("--experiments", type=int, default=20)
    parser.add_argument("--test-events", type=int, default=20_000)
    args = parser.parse_args()
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    test = draw(SAMPLES["mistag"], "test", args.test_events, 1000)
    for seed in range(1, args.experiments + 1):
        for size in SIZES:
            key = f"{size} | {seed}"
            if key in results:
                continue
            with tempfile.TemporaryDirectory() as folder:
                results[key] = experiment(size, seed, test, Path(folder))
            write_text(args.out, json.dumps(results, indent=1) + "\n")
            sys.stderr.write(f"{key}: {json.dumps(results[key]['total'])}\n")
    table = Table(*RARE_HEADER)
    for line in rare_lines(results):
        table.add_row(*line)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
