"""Truth tagging: speed and accuracy beside other implementations.

python benchmarks/tagging.py --out benchmarks/results/tagging.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepsilon import at_least, enumerate_tags, sample_tags, truth_tag_weight
from hepsilon.arrays.columns import unflatten
from hepsilon.report import write_text

JETS = 6


def by_combinations(eps: ak.Array) -> np.ndarray:
    """P(exactly two tags) with awkward: pairs of tagged jets, all others are not tagged."""
    lost = ak.prod(1.0 - eps, axis=1)
    pairs = ak.combinations(eps / (1.0 - eps), 2)
    first, second = ak.unzip(pairs)
    return ak.to_numpy(lost * ak.sum(first * second, axis=1))


def by_enumeration(eps: ak.Array) -> np.ndarray:
    """P(exactly two tags) as a sum over explicit assignments, of events with JETS jets each."""
    values = ak.to_numpy(ak.flatten(eps)).reshape(-1, JETS)
    total = np.zeros(len(values))
    for assignment in itertools.product((False, True), repeat=JETS):
        if sum(assignment) == 2:
            tagged = np.array(assignment)
            total += np.prod(np.where(tagged, values, 1.0 - values), axis=1)
    return total


def medians(functions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each function, run in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(found)) for name, found in seconds.items()}


def speed(n_events: int, repeats: int) -> dict[str, Any]:
    """Seconds for the weights of many events."""
    rng = np.random.default_rng(1)
    offsets = np.arange(0, JETS * n_events + 1, JETS)
    eps = unflatten(rng.uniform(0.01, 0.99, JETS * n_events), offsets)
    three = unflatten(np.sort(rng.uniform(size=(JETS * n_events, 3)))[:, ::-1], offsets)
    factors = ak.ones_like(eps) * 0.95
    numbers = [np.ones(n_events, np.uint64)] * 2 + [np.arange(n_events, dtype=np.uint64)]
    names = ["L", "M", "T"]
    both = at_least(2, "M") & at_least(1, "T")
    same = [truth_tag_weight(eps, 2, jets=None), by_combinations(eps), by_enumeration(eps)]
    found = medians(
        {
            "exactly 2": lambda: truth_tag_weight(eps, 2, jets=None),
            "exactly 2: awkward combinations": lambda: by_combinations(eps),
            "exactly 2: explicit enumeration": lambda: by_enumeration(eps),
            "at least 2": lambda: truth_tag_weight(eps, 2, at_least=True, jets=None),
            "exactly 2 of the leading 2": lambda: truth_tag_weight(eps, 2),
            "exactly 2 with scale factors": lambda: truth_tag_weight(
                eps, 2, jets=None, scale_factors=factors
            ),
            "2+ at M and 1+ at T of three": lambda: truth_tag_weight(
                three, both, jets=None, working_points=names
            ),
            "sample_tags, exactly 2": lambda: sample_tags(eps, numbers, 2, jets=None),
            "enumerate_tags, exactly 2": lambda: enumerate_tags(eps, 2, jets=None),
        },
        repeats,
    )
    return {
        "events": n_events,
        "jets": JETS,
        "seconds": found,
        "max_difference": [float(np.max(np.abs(same[0] - other))) for other in same[1:]],
    }


def exact(eps: list[float], n_tags: int, or_more: bool) -> Fraction:
    """Sum over all assignments in rational arithmetic."""
    states = [Fraction(1)]
    for e in map(Fraction, eps):
        grown = [Fraction(0)] * (len(states) + 1)
        for k, p in enumerate(states):
            grown[k] += p * (1 - e)
            grown[k + 1] += p * e
        states = grown
    return sum(states[n_tags:], Fraction(0)) if or_more else states[n_tags]


def accuracy(n_events: int) -> list[dict[str, Any]]:
    """Largest relative errors of P(at least n), beside one minus the sum of the others."""
    rng, rows = np.random.default_rng(2), []
    for scale in (1e-6, 1e-4, 1e-2, 0.5, 0.99):
        for jets, n_tags in itertools.product((4, 12), (1, 2, 3)):
            values = scale * rng.uniform(0.5, 1.0, (n_events, jets))
            eps = ak.from_regular(ak.Array(values), axis=1)
            truth = [exact(row, n_tags, True) for row in values.tolist()]
            fewer = sum(truth_tag_weight(eps, k, jets=None) for k in range(n_tags))
            rows.append(
                {
                    "eps": scale,
                    "jets": jets,
                    "at_least": n_tags,
                    "hepsilon": _error(
                        truth_tag_weight(eps, n_tags, at_least=True, jets=None), truth
                    ),
                    "one_minus_the_others": _error(1.0 - np.asarray(fewer), truth),
                }
            )
    return rows


def _error(found: np.ndarray, truth: list[Fraction]) -> float:
    return max(float(abs(Fraction(x) - t) / t) for x, t in zip(found.tolist(), truth, strict=True))


def main() -> None:
    """Measure everything and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    result = {"speed": speed(args.events, args.repeats), "accuracy": accuracy(200)}
    write_text(args.out, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
