"""Whole analyses with coffea: bare, with a map, with networks; and how their cost grows."""

from __future__ import annotations

import importlib.util
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coffea import processor
from coffea.nanoevents import NanoAODSchema
from shared import Comparison
from stages import shares

import hepsilon
from hepsilon.arrays.keys import event_key, fill_replicas
from hepsilon.config import Config
from hepsilon.data.dataset import read_columns
from hepsilon.processors import TruthTagging
from hepsilon.processors.executors import local_executor
from hepsilon.simulation import toy_task, write_jets

EVENTS = 100_000


def load(name: str) -> Any:
    """A module of processors/."""
    path = Path(__file__).parents[1] / "processors" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of simulated jets."""
    return write_jets(tmp_path_factory.mktemp("sample") / "sample.root", EVENTS, seed=2)


@pytest.fixture(scope="module")
def efficiencies(artifact: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A map and two networks."""
    train = write_jets(tmp_path_factory.mktemp("train") / "train.root", 30_000, seed=1)
    config = Config(task=toy_task())
    found = {"map": hepsilon.EfficiencyMap.fit(config.task, read_columns([train], config))}
    return found | {name: hepsilon.load(artifact(name)) for name in ("default GNN", "paper GNN")}


def run(analysis: Any, files: list[Path], executor: Any = None, chunk: int = 100_000) -> Any:
    """With coffea's runner; in this process unless told otherwise."""
    executor = executor or processor.IterativeExecutor(status=False)
    runner = processor.Runner(executor, schema=NanoAODSchema, chunksize=chunk)
    return runner({"sample": {"treename": "Events", "files": list(map(str, files))}}, analysis)


def two_b_jets(efficiency: Any = None) -> Any:
    """The analysis of processors/, direct or with the three lines of truth tagging."""
    if efficiency is None:
        return load("two_b_jets").TwoBJets("discriminant", 0.0)
    return load("two_b_jets_truth_tagging").TwoBJets("discriminant", 0.0, efficiency)


def test_three_lines(sample: Path, efficiencies: Any, compare: Comparison) -> None:
    """processors/two_b_jets.py, bare, beside the same with truth tagging."""
    truth = hepsilon.FieldEfficiency("trueEfficiency")
    others = {name: partial(run, two_b_jets(e), [sample]) for name, e in efficiencies.items()}
    others |= {"true efficiency": partial(run, two_b_jets(truth), [sample])}
    compare(partial(run, two_b_jets(), [sample]), others, events=EVENTS, rounds=3)


def test_full_comparison(sample: Path, efficiencies: Any, compare: Comparison) -> None:
    """TruthTagging with all observables, categories and replicas, by what stands beside direct."""
    task = toy_task()

    def analysis(**methods: Any) -> Any:
        return partial(run, TruthTagging(task, methods), [sample])

    others = {name: analysis(**{"method": e}) for name, e in efficiencies.items()}
    compare(analysis(), others, events=EVENTS, rounds=3)


@pytest.mark.parametrize("analysis", ["three lines", "full comparison"])
@pytest.mark.parametrize("method", ["map", "default GNN"])
def test_where_the_time_goes(
    analysis: str, method: str, sample: Path, efficiencies: Any, benchmark: Any
) -> None:
    """Shares of the stages, by sampling the stack."""
    efficiency = efficiencies[method]
    made = (
        two_b_jets(efficiency)
        if analysis == "three lines"
        else TruthTagging(toy_task(), {"method": efficiency})
    )
    call = partial(run, made, [sample])
    call()
    found = benchmark.pedantic(shares, (lambda: [call() for _ in range(3)],), rounds=1)
    benchmark.extra_info.update(found)


@pytest.mark.parametrize("n_events", [10**4, 10**5, 10**6, 10**7])
def test_growth_with_events(
    n_events: int, sample: Path, efficiencies: Any, compare: Comparison
) -> None:
    """The three lines with a map; the same 100,000 events as often as needed."""
    files = [sample.parent / f"{i}.root" for i in range(max(1, n_events // EVENTS))]
    for file in files:
        if not file.exists():
            file.symlink_to(sample)
    if n_events < EVENTS:
        files = [write_jets(sample.parent / "few.root", n_events, seed=3)]
    rounds = 3 if n_events < 10**6 else 1
    call = partial(run, two_b_jets(efficiencies["map"]), files)
    if n_events == 10**7:  # once, without a warm-up of the same length
        compare.benchmark.pedantic(call, rounds=1)
        compare.note(events_per_s=n_events / compare.benchmark.stats.stats.median)
    else:
        compare(call, events=n_events, rounds=rounds)


@pytest.mark.parametrize("n_replicas", [1, 10, 100])
def test_growth_with_replicas(n_replicas: int, compare: Comparison) -> None:
    """Filling bootstrap replicas of 50 bins, a million events."""
    n_events, rng = 1_000_000, np.random.default_rng(2)
    ones = np.ones(n_events, np.uint64)
    key = event_key(ones, ones, np.arange(n_events, dtype=np.uint64), 3)
    entry_bin, weight = rng.integers(0, 50, n_events), rng.uniform(1.0, 9.0, n_events)
    compare(partial(fill_replicas, entry_bin, key, weight, 50, n_replicas), events=n_events)


@pytest.mark.parametrize("method", ["map", "default GNN"])
def test_two_workers_beside_one(
    method: str, sample: Path, efficiencies: Any, benchmark: Any
) -> None:
    """Local processes of coffea's futures executor; their start is part of it."""
    files = []
    for i in range(8):
        files.append(sample.parent / f"{i}.root")
        if not files[-1].exists():
            files[-1].symlink_to(sample)
    seconds: dict[int, list[float]] = {1: [], 2: []}

    def both() -> None:
        for workers, found in seconds.items():
            start = time.perf_counter()
            run(two_b_jets(efficiencies[method]), files, local_executor(workers))
            found.append(time.perf_counter() - start)

    benchmark.pedantic(both, rounds=2)
    medians = {workers: float(np.median(found)) for workers, found in seconds.items()}
    benchmark.extra_info.update(
        {f"{w} worker(s) events_per_s": 8 * EVENTS / s for w, s in medians.items()}
        | {"times one worker": medians[1] / medians[2]}
    )
