"""The processor on simulated and real files through every executor of coffea."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from coffea import processor

from hepsilon import EfficiencyMap, InputError, Task
from hepsilon.closure import run_closure
from hepsilon.config import Cut, MapConfig, Passed
from hepsilon.data.dataset import read_columns
from hepsilon.histograms.methods import ALL
from hepsilon.processors.executors import local_executor
from hepsilon.simulation.writer import write_jets
from hepsilon.training import train
from tests.helpers.toys import TASK, mlp_config


@dataclass
class Sample:
    """A file, its task, and what to apply to it."""

    path: Path
    task: Task
    efficiencies: dict


def real_task(discriminant: str, cut: float) -> Task:
    return Task(
        features=TASK.features,
        categorical=TASK.categorical,
        selection=(Cut(field="pt", min=20.0), Cut(field="eta", abs_max=2.5)),
        passed=Passed(field=discriminant, above=(cut,)),
        weight="genWeight",
    )


def learned(path: Path, task: Task, folder: Path) -> dict:
    """A map and a tiny network of a real file."""
    axes = {"pt": {"edges": (20.0, 50.0, 1000.0)}, "eta": {"edges": (-2.5, 0.0, 2.5)}}
    config = mlp_config(task, batch_events=50)
    efficiency_map = EfficiencyMap.fit(
        task, read_columns([path], config), MapConfig.model_validate({"axes": axes})
    )
    return {"map": efficiency_map, "net": train(config, [path], folder / "net").efficiency}


@pytest.fixture(scope="module")
def toy(toy_file, toy_map, gnn) -> Sample:
    return Sample(toy_file, TASK, {"map": toy_map, "gnn": gnn})


@pytest.fixture(scope="module")
def nanoaod_2015(nanoaod_path, gnn, tmp_path_factory) -> Sample:
    """CSVv2, the one tagger of that file that is computed; NanoAOD has int32 flavours there."""
    task = real_task("btagCSVV2", 0.8)
    folder = tmp_path_factory.mktemp("nanoaod-2015")
    return Sample(nanoaod_path, task, learned(nanoaod_path, task, folder) | {"toy": gnn})


@pytest.fixture(scope="module")
def nanoaod_v12(gnn, tmp_path_factory) -> Sample:
    """DeepFlavour, and flavours in uint8."""
    name = os.environ.get("HEPSILON_NANOAOD_V12")
    if not name:
        pytest.skip("HEPSILON_NANOAOD_V12 names no file")
    task = real_task("btagDeepFlavB", 0.2783)
    folder = tmp_path_factory.mktemp("nanoaod-v12")
    return Sample(Path(name), task, learned(Path(name), task, folder) | {"toy": gnn})


SAMPLES = ("toy", "nanoaod_2015", "nanoaod_v12")


@pytest.fixture(scope="module", params=SAMPLES)
def sample(request) -> Sample:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def expected(sample):
    """One process, one chunk."""
    return run_closure([sample.path], sample.task, sample.efficiencies)


@pytest.fixture(scope="module")
def dask_client():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def iterative(request):
    return processor.IterativeExecutor(status=False)


def futures(request):
    return local_executor(2)


def dask(request):
    client = request.getfixturevalue("dask_client")
    return processor.DaskExecutor(client=client, status=False)


def assert_same_sums(found, expected):
    """Counts are equal; sums agree but for the round-off of float32 networks."""
    for name in ("n_events", "n_objects", "out_of_domain"):
        assert found[name] == expected[name]
    for part in ("observables", "binomial"):
        for name, filled in expected[part].items():
            for quantity in ("value", "variance"):
                np.testing.assert_allclose(
                    found[part][name].view(flow=True)[quantity],
                    filled.view(flow=True)[quantity],
                    rtol=1e-6,
                    atol=1e-9,
                    err_msg=f"{part} {name} {quantity}",
                )
    assert sorted(found["efficiency_replicas"]) == sorted(expected["efficiency_replicas"])
    for method, histograms in expected["efficiency_replicas"].items():
        for name, filled in histograms.items():
            values = filled.values(flow=True)
            # weights of both signs cancel: round-off is that of the largest sums
            np.testing.assert_allclose(
                found["efficiency_replicas"][method][name].values(flow=True),
                values,
                rtol=1e-6,
                atol=1e-6 * np.abs(values).max(initial=0.0),
                err_msg=f"{method} {name}",
            )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("executor", "share"),
    [(iterative, 0.3), (futures, 0.5), (dask, 0.5)],
    ids=["iterative", "futures", "dask"],
)
def test_every_executor_and_chunk_size_gives_the_same_sums(
    sample, expected, executor, share, request
):
    """Each event has the same weight in every chunk, process and scheduler."""
    found = run_closure(
        [sample.path],
        sample.task,
        sample.efficiencies,
        executor=executor(request),
        chunksize=int(share * expected["n_events"]),
    )
    assert_same_sums(found, expected)


@pytest.mark.slow
def test_sums_are_not_empty(sample, expected):
    filled = expected["observables"]["pt"]
    for method in ("all", "direct", *sample.efficiencies):
        assert filled[{"method": method, "category": ALL}].sum(flow=True).value > 0
    replicas = expected["efficiency_replicas"]["map"]
    assert {"pt", "pair_mass", "tag_counts"} <= set(replicas)
    assert (np.ptp(replicas["pt"][{"category": ALL}].values().sum(axis=1))) > 0


def test_tagger_that_was_not_computed_is_refused(nanoaod_path, tmp_path):
    """In the file of 2015 all DeepFlavour branches hold -3000."""
    task = real_task("btagDeepFlavB", 0.2783)
    config = mlp_config(task)
    for learn in (
        partial(train, config, [nanoaod_path], tmp_path / "net"),
        lambda: EfficiencyMap.fit(task, read_columns([nanoaod_path], config)),
    ):
        with pytest.raises(InputError, match=r"no one of \d+ Jet objects has btagDeepFlavB above"):
            learn()
    assert not list(tmp_path.iterdir())


def test_error_in_a_worker_reaches_the_user(toy):
    """With its own type, so that the command line can say it in one line."""
    task = TASK.model_copy(update={"truth": "noSuchField"})
    with pytest.raises(InputError, match="noSuchField"):
        run_closure([toy.path], task, toy.efficiencies)


@pytest.mark.parametrize("shown", ["1", "0"])
def test_bars_say_what_goes_on_or_are_not_shown(toy_file, toy_map, monkeypatch, shown):
    """Whatever executor of coffea shows them."""
    seen = []

    class Noted(processor.IterativeExecutor):
        def __call__(self, items, function, accumulator):
            seen.append((self.desc, self.unit, self.status))
            return super().__call__(items, function, accumulator)

    monkeypatch.setenv("HEPSILON_PROGRESS", shown)
    run_closure(toy_file, TASK, {"map": toy_map}, executor=Noted(retries=0))
    assert seen == [("closure", "chunk", shown == "1")]


def test_a_file_that_is_rewritten_is_read_anew(tmp_path: Path) -> None:
    """In one process: coffea's own cache would know the old number of events."""
    path = tmp_path / "toy.root"
    for n_events in (100, 400):
        write_jets(path, n_events, seed=n_events)
        output = run_closure([path], TASK, {})
        assert output.n_events == n_events
