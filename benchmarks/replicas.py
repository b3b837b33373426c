r"""What replicas cost: evaluation of networks with none, 20 and 100 of them, in alternation.

    python benchmarks/replicas.py gnn.hepsilon mlp.hepsilon product.hepsilon \
        --out benchmarks/results/replicas.json

Artifacts of toy jets, or of simulated tracks, by ``hepsilon train``. ``evaluate`` is what a user
calls, with the columns, the domain and the answer; ``networks`` are the networks with their
replicas alone. Times are medians over the rounds, of wall clock and of CPU; the second one is what
a shared machine can be trusted for. Ratios are medians of those of each round.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import awkward as ak
import numpy as np

import hepsilon
from hepsilon.arrays.columns import unflatten
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.report import write_text

NUMBERS = (0, 20, 100)


def jets(n_events: int) -> tuple[Any, Any]:
    """Offsets, and features of two to five random jets in each event."""
    rng = np.random.default_rng(1)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(2, 6, n_events))])
    n = int(offsets[-1])
    columns = rng.uniform(20, 400, n), rng.uniform(-2.4, 2.4, n), rng.uniform(-3, 3, n)
    return offsets, np.stack([*columns, rng.choice([5, 4, 0], n)], axis=1).astype(np.float32)


def timed(function: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the wall clock and of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def tracks(n_events: int) -> tuple[Any, Any]:
    """Offsets, and momenta and charges of two random tracks in each event."""
    rng = np.random.default_rng(1)
    momenta = rng.normal(0.0, 0.6, (2 * n_events, 3))
    charges = np.tile([1.0, -1.0], n_events)
    return 2 * np.arange(n_events + 1), np.column_stack([momenta, charges]).astype(np.float32)


def measured(path: Path, n_events: int, rounds: int) -> dict[str, Any]:
    """Times of one artifact, and ratios to no replicas, round by round."""
    efficiency = hepsilon.load(path)
    assert isinstance(efficiency, NetworkEfficiency)
    columns = tracks(n_events) if efficiency.task.of_events else jets(n_events)
    offsets, nodes = columns
    records = ak.zip(
        {n: unflatten(c, offsets) for n, c in zip(efficiency.features.names, nodes.T, strict=True)}
    )
    whole = partial(efficiency.evaluate, records, out_of_domain="ignore")
    calls = {
        "evaluate": {n: partial(whole, replicas=n) for n in NUMBERS},
        "networks": {n: partial(efficiency._predict, *columns, n) for n in NUMBERS},
    }
    return {
        "entries": len(offsets) - 1 if efficiency.task.of_events else len(nodes),
        "rounds": rounds,
        **{name: alternating(each, rounds) for name, each in calls.items()},
    }


def alternating(calls: dict[int, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Medians of the times with each number of replicas, and of their ratios to none."""
    for call in calls.values():
        call()  # starts, compiles and fills caches
    times = [{n: timed(call) for n, call in calls.items()} for _ in range(rounds)]
    found = {}
    for n in calls:
        for i, clock in enumerate(("wall", "cpu")):
            found[f"{n} replicas, {clock} [s]"] = median(t[n][i] for t in times)
            if n:
                ratio = median(t[n][i] / t[0][i] for t in times)
                found[f"{n} replicas, {clock} ratio"] = ratio
    return found


def main() -> None:
    """Measure artifacts one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifacts", type=Path, nargs="+")
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    results = {p.stem: measured(p, args.events, args.rounds) for p in args.artifacts}
    text = json.dumps(results, indent=1)
    print(text)
    if args.out:
        write_text(args.out, text + "\n")


if __name__ == "__main__":
    main()
