"""Whether simulated events that are chosen by a first network make the inversion more precise.

    python benchmarks/allocation.py --out benchmarks/results/allocation.json --seeds 1 2 3

On the events of detectors.py (central, forward): a first network from a third of the training
events; then twice as many further ones, chosen out of four times their number by
``hepsilon.arrays.allocation.allocate`` with the efficiencies of that network; then the default
recipe on both together. Beside it the default recipe on the plain sample of equal size, which is
the first third and as many events as the chosen ones. Measured as in detectors.py. Results are
written after every training; the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from detector_samples import SETUPS, Sample, draw, records_of
from detectors import TEST_SEED, kept, measure, train

from hepsilon.arrays.allocation import allocate
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.report import write_text

CANDIDATES = 4
"""Generated events for each one that is simulated."""


def joined(first: TrainingColumns, second: TrainingColumns) -> TrainingColumns:
    """Events of two samples, in the order of their keys: some of both are validated on."""
    both = TrainingColumns(
        np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]]),
        np.concatenate([first.nodes, second.nodes]),
        np.concatenate([first.passed, second.passed]),
        np.concatenate([first.weights, second.weights]),
        np.concatenate([first.keys, second.keys]),
    )
    return both.take(np.argsort(both.keys, kind="stable"))


def entry(name: str, seed: int, scale: float, work: Path) -> dict[str, Any]:
    """Train on a plain sample and on one of equal size whose events were chosen."""
    setup, model = SETUPS[name], "product"
    n_all = round(scale * setup.n_training)
    n_first = n_all // 3
    first = draw(setup, "training", n_first, seed)
    initial = train(setup, first, model, seed, work / f"{name}-first-{seed}.hepsilon")["efficiency"]
    candidates = draw(setup, "training", CANDIDATES * (n_all - n_first), seed + 500)
    eps = np.asarray(initial(records_of(setup, candidates.columns), out_of_domain="ignore"))
    rng = np.random.default_rng(seed)
    samples = {
        "plain": rng.choice(len(eps), n_all - n_first, replace=False),
        "chosen": allocate(eps, n_all - n_first, rng),
    }
    found: dict[str, Any] = {"sample": name, "seed": seed, "n_events": n_all, "tests": {}}
    for kind, events in samples.items():
        more = candidates.columns.take(events)
        both = Sample(joined(first.columns, more), np.empty(0))
        result = train(setup, both, model, seed, work / f"{name}-{kind}-{seed}.hepsilon")
        found["tests"][kind] = {
            test: measure(
                setup, kept(work, name, test, round(scale * n), TEST_SEED), result["efficiency"]
            )
            for test, n in setup.tests.items()
        }
    return found


def main() -> None:
    """Train and measure what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/allocation.json"))
    parser.add_argument("--work", type=Path, default=Path("hepsilon-detectors"))
    parser.add_argument("--samples", nargs="+", default=["central", "forward"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of events")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    logging.getLogger("hepsilon").setLevel(logging.ERROR)
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    for name, seed in [(n, s) for n in args.samples for s in args.seeds]:
        key = f"{name} {seed}"
        if key not in results:
            results[key] = entry(name, seed, args.scale, args.work)
            args.out.parent.mkdir(parents=True, exist_ok=True)
            write_text(args.out, json.dumps(results, indent=1) + "\n")
        for kind, tests in results[key]["tests"].items():
            cells = [
                f"{test}: KL {t['kl']:.1f}, total {100.0 * t['total']:+.2f} %, "
                f"1D {t['chi2_ndf_1d']:.2f}"
                for test, t in tests.items()
            ]
            print(f"{key} {kind}: {'; '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
