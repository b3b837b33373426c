"""What the speed benchmarks share: toy events, and rounds that alternate."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np

from hepsilon.config import ModelConfig
from hepsilon.data.features import feature_matrix
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.simulation import toy_task, training_jets

NETWORKS = {
    "default GNN": ModelConfig(architecture="gnn"),
    "paper GNN": ModelConfig(architecture="gnn", preset="paper"),
    "default MLP": ModelConfig(architecture="mlp"),
}
FLOP_PER_EVENT = 16.5e6
"""Factorised minimum of the paper's network on these events (3.5 jets, 10.7 pairs)."""
ROUNDS = int(os.environ.get("HEPSILON_ROUNDS", "5"))


def toy_columns(n_events: int, seed: int = 1) -> TrainingColumns:
    """Columns of simulated jets, tagged at random: only the shapes matter here."""
    rng = np.random.default_rng(seed)
    jets = training_jets(rng, n_events)
    fields = {"pt": jets.pt, "eta": jets.eta, "phi": jets.phi, "hadronFlavour": jets.flavour}
    records = ak.zip({name: ak.unflatten(v, jets.counts) for name, v in fields.items()})
    offsets, nodes = feature_matrix(records, toy_task().features)
    passed = (rng.uniform(size=len(nodes)) < 0.3).astype(np.float32)
    keys = np.arange(n_events, dtype=np.uint64) << np.uint64(64 - n_events.bit_length())
    return TrainingColumns(offsets, nodes, passed, np.ones(n_events), keys)


def records_of(columns: TrainingColumns, names: tuple[str, ...] = toy_task().features) -> ak.Array:
    """The same as jets of events."""
    counts = np.diff(columns.offsets)
    return ak.zip({n: ak.unflatten(columns.nodes[:, i], counts) for i, n in enumerate(names)})


class Comparison:
    """Times something in alternation with what it is compared with."""

    def __init__(self, benchmark: Any) -> None:
        self.benchmark = benchmark

    def __call__(
        self,
        function: Callable[[], Any],
        others: dict[str, Callable[[], Any]] | None = None,
        *,
        events: int,
        other_events: dict[str, int] | None = None,
        rounds: int = ROUNDS,
    ) -> dict[str, float]:
        """Events per second of ``function`` and, in the same rounds, of the others.

        The others run as the untimed set-up of each round. Medians of rates, and the median over
        rounds of the ratios to each of the others, go into the results.
        """
        seconds: dict[str, list[float]] = {name: [] for name in others or {}}
        for call in (function, *(others or {}).values()):
            call()  # compiles, and fills caches

        def alternate() -> None:
            for name, call in (others or {}).items():
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)

        self.benchmark.pedantic(function, setup=alternate, rounds=rounds, iterations=1)
        own = self.benchmark.stats.stats.data
        info = {"events_per_s": events / statistics.median(own)}
        for name, values in seconds.items():
            n_events = (other_events or {}).get(name, events)
            ratios = [(events / a) / (n_events / b) for a, b in zip(own, values, strict=True)]
            info[f"{name} events_per_s"] = n_events / statistics.median(values)
            info[f"times {name}"] = statistics.median(ratios)
        self.benchmark.extra_info.update(info)
        return info

    def note(self, **numbers: Any) -> None:
        """More numbers for the results."""
        self.benchmark.extra_info.update(numbers)
