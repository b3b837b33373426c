"""One matrix: use cases over executors, chunk sizes, orders of files and formats.

Counts are identical, sums and replicas equal to 1e-9, those of networks in float32, too, and drawn
tags identical.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea import processor
from dask.distributed import Client, LocalCluster

from hepsilon import Config, EfficiencyMap, FactorisedMap, Task, sample_tags
from hepsilon.closure import run_closure
from hepsilon.data.dataset import read_columns
from hepsilon.data.events import event_chunk
from hepsilon.data.parts import Wanted
from hepsilon.efficiencies.factorised import with_axes
from hepsilon.processors.executors import local_executor
from hepsilon.processors.runner import run_processor
from hepsilon.simulation import write_jets
from tests.helpers.toys import TASK
from tests.helpers.track_toys import PAIRS, branches_of, draw, track_config, write_branches

pytestmark = pytest.mark.slow

N_EVENTS = 24
CHUNKS = [1, 7, 1000, 10**9]


@pytest.fixture(scope="module")
def dask():
    """Two Dask workers."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as local, Client(local) as client:
        yield processor.DaskExecutor(client=client, status=False)


@dataclass(frozen=True)
class Question:
    """A use case with its efficiencies, and two files of each format."""

    task: Task
    efficiencies: dict[str, Any]
    files: dict[str, list[Path]]
    options: dict[str, Any]


def in_formats(folder: Path, paths: list[Path], tree: Callable[..., Any]) -> dict[str, list[Path]]:
    """The same files as TTree, RNTuple and parquet."""
    found: dict[str, list[Path]] = {"TTree": paths, "RNTuple": [], "parquet": []}
    for path in paths:
        columns = tree(path)
        ntuple, parquet = folder / f"{path.stem}-n.root", folder / f"{path.stem}.parquet"
        with uproot.recreate(ntuple) as file:
            file["Events"] = columns
        ak.to_parquet(ak.zip(columns, depth_limit=1), parquet)
        found["RNTuple"].append(ntuple)
        found["parquet"].append(parquet)
    return found


def columns_of(path: Path) -> dict[str, ak.Array]:
    with uproot.open(path) as file:
        arrays = file["Events"].arrays()
    return {name: arrays[name] for name in arrays.fields if not name.startswith("n")}


@pytest.fixture(scope="module")
def tagging(toy_map: EfficiencyMap, gnn: Any, tmp_path_factory: pytest.TempPathFactory) -> Question:
    folder = tmp_path_factory.mktemp("tagging")
    paths = [write_jets(folder / f"{seed}.root", N_EVENTS // 2, seed=seed) for seed in (1, 2)]
    files = in_formats(folder, paths, columns_of)
    return Question(TASK, {"map": toy_map, "gnn": gnn}, files, {})


@pytest.fixture(scope="module")
def inversion(
    track_product: Any, pairs_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Question:
    folder = tmp_path_factory.mktemp("inversion")
    paths = []
    for seed in (1, 2):
        branches = branches_of(draw([2] * (N_EVENTS // 2), seed=seed))
        branches["run"] = np.full_like(branches["run"], seed)  # no event occurs twice
        paths.append(write_branches(folder / f"{seed}.root", branches))
    config: Config = with_axes(track_config())
    columns = read_columns([pairs_file], config)
    factorised = FactorisedMap.fit(config.task, columns, config.map)
    files = in_formats(folder, paths, columns_of)
    return Question(PAIRS, {"map": factorised, "net": track_product}, files, {"replicas": 3})


QUESTIONS = ["tagging", "inversion"]
RTOL = 1e-9
COUNTS = ("n_events", "n_objects", "n_selected", "n_damaged", "out_of_domain", "clipped")


def run(question: Question, kind: str, chunk: int, executor: Any, *, backwards: bool) -> Any:
    files = question.files[kind][:: -1 if backwards else 1]
    given = question.task, question.efficiencies
    return run_closure(files, *given, executor=executor, chunksize=chunk, **question.options)


def assert_equal(found: Any, expected: Any) -> None:
    """Every count, every bin of every histogram, every replica."""
    for name in COUNTS:
        assert getattr(found, name, None) == getattr(expected, name, None), name
    assert found.entry_counts == expected.entry_counts
    assert found.run.n_entries == expected.run.n_entries == N_EVENTS
    for group in ("observables", "binomial", "horvitz_thompson", "exact", "replicas"):
        for name, histogram in (getattr(expected, group, None) or {}).items():
            for method in histogram.axes["method"]:
                known, other = (
                    np.asarray(h[{"method": method}].view(flow=True))
                    for h in (histogram, getattr(found, group)[name])
                )
                for part in known.dtype.names or [()]:
                    a, b = other[part], known[part]
                    text = f"{group} {name} {method}"
                    largest = np.abs(b).max(initial=0.0)
                    np.testing.assert_allclose(a, b, rtol=RTOL, atol=RTOL * largest, err_msg=text)
    for method, replicas in expected.efficiency_replicas.items():
        for name, histogram in replicas.items():
            b = histogram.values(flow=True)
            a = found.efficiency_replicas[method][name].values(flow=True)
            np.testing.assert_allclose(a, b, rtol=RTOL, atol=RTOL * np.abs(b).max(initial=0.0))


@pytest.fixture(scope="module", params=QUESTIONS)
def asked(request: pytest.FixtureRequest) -> tuple[Question, Any]:
    """A question, and its answer from one process and one chunk for each file."""
    question: Question = request.getfixturevalue(request.param)
    return question, run(question, "TTree", 10**9, None, backwards=False)


@pytest.mark.parametrize("kind", ["TTree", "RNTuple", "parquet"])
@pytest.mark.parametrize("chunk", CHUNKS)
def test_one_process(asked: tuple[Question, Any], kind: str, chunk: int) -> None:
    question, expected = asked
    backwards = chunk in CHUNKS[1:3]
    assert_equal(run(question, kind, chunk, None, backwards=backwards), expected)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("chunk", CHUNKS[:2])
def test_pools(asked: tuple[Question, Any], workers: int, chunk: int) -> None:
    question, expected = asked
    executor = local_executor(workers)
    assert_equal(run(question, "RNTuple", chunk, executor, backwards=True), expected)


@pytest.mark.parametrize("chunk", [7, 1000])
def test_dask(asked: tuple[Question, Any], dask: Any, chunk: int) -> None:
    question, expected = asked
    found = run(question, "parquet", chunk, dask, backwards=chunk == 7)
    assert_equal(found, expected)
    assert {count for each in found.run.loads.values() for count in each.values()} == {1}


class Drawn(processor.ProcessorABC):  # type: ignore[misc]
    """Tags that are drawn, and the events that they belong to."""

    def __init__(self, efficiency: Any) -> None:
        self.efficiency, self.wanted = efficiency, Wanted.of_task(TASK)
        self.efficiencies = {"drawn": efficiency}

    def process(self, events: ak.Array) -> dict[str, Any]:
        """Draw two tags among all jets of every event."""
        chunk = event_chunk(events, TASK, Config(task=TASK).input)
        eps = self.efficiency(chunk.records, out_of_domain="ignore")
        numbers = chunk.run, chunk.luminosity_block, chunk.event
        tags = sample_tags(eps, numbers, 2, at_least=True, jets=None)
        keys = zip(*(n.tolist() for n in numbers), strict=True)
        drawn = dict(zip(keys, ak.to_list(tags), strict=True))
        return {"sample": DrawnTags(drawn)}

    def postprocess(self, accumulator: Any) -> Any:
        """Leave the result as it is."""
        return accumulator


@dataclass(frozen=True)
class DrawnTags:
    """Tags by event; two of these are joined."""

    tags: dict[Any, Any]

    def __add__(self, other: DrawnTags) -> DrawnTags:
        return replace(self, tags=self.tags | other.tags)


def test_drawn_tags_are_those_of_the_event(tagging: Question, dask: Any) -> None:
    def drawn(kind: str, chunk: int, executor: Any) -> dict[Any, Any]:
        instance = Drawn(tagging.efficiencies["map"])
        files = tagging.files[kind][::-1]
        config = Config(task=TASK).input
        given = {"executor": executor, "chunksize": chunk}
        tags: dict[Any, Any] = run_processor(files, instance, TASK, config, **given).tags
        return tags

    expected = drawn("TTree", 10**9, None)
    assert sum(map(sum, expected.values())) > 0
    for kind, chunk, executor in (
        ("RNTuple", 1, None),
        ("parquet", 7, local_executor(2)),
        ("TTree", 5, dask),
    ):
        assert drawn(kind, chunk, executor) == expected
