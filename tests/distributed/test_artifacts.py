"""Artifacts on workers: there, checked and loaded once before the first chunk."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from coffea import processor
from dask.distributed import Client, LocalCluster

from hepsilon import ArtifactError, ConfigError, load
from hepsilon.distributed import artifact_files, prepare
from hepsilon.efficiencies.loads import loads_here, merged_loads
from hepsilon.processors.executors import local_executor
from tests.helpers.toys import random_jets, rows


def counts(loads: dict, artifact: str) -> list[int]:
    """Loads of one artifact in every process that has it."""
    return [each[artifact] for each in loads.values() if artifact in each]


def answer(handle, jets) -> tuple[np.ndarray, dict]:
    """Efficiencies in a worker, and what it has loaded."""
    return rows(handle(jets)), loads_here()


@pytest.mark.slow
def test_processes_of_a_pool_load_once_before_the_first_chunk(gnn, toy_map):
    executor = local_executor(2)
    loads = prepare(executor, {"gnn": gnn, "map": toy_map})
    assert counts(loads, gnn.hash) == [1, 1]
    jets = random_jets([2, 0, 3])
    found = [executor.pool.submit(answer, gnn, jets).result() for _ in range(4)]
    for eps, after in found:
        np.testing.assert_allclose(eps, rows(gnn(jets)), rtol=0, atol=2e-6)
        assert counts(after, gnn.hash) == [1]
    assert prepare(executor, gnn) == loads


def test_this_process_is_prepared_as_well(gnn):
    loads = prepare(processor.IterativeExecutor(), [gnn])
    assert counts(loads, gnn.hash) == [1]


@pytest.mark.slow
def test_dask_workers_that_do_not_see_the_file_get_it(ensemble, tmp_path: Path, monkeypatch):
    """One that joins later, too; the scheduler and the chunks never carry the file."""
    handle = load(shutil.copy(ensemble.path, tmp_path / "elsewhere.hepsilon"))
    sees = "hepsilon.distributed.artifacts.sees"
    monkeypatch.setattr(sees, lambda path, expected: False, raising=True)
    jets = random_jets([2, 0, 3])
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        assert counts(prepare(client, handle), handle.hash) == [1]
        Path(handle.path).unlink()
        cluster.scale(2)
        client.wait_for_workers(2, timeout=300)
        found = client.run(answer, handle, jets)
    assert len(found) == 2
    for eps, loads in found.values():
        np.testing.assert_allclose(eps, rows(ensemble(jets)), rtol=0, atol=2e-6)
        assert counts(loads, handle.hash) == [1]


@pytest.mark.parametrize("damage", ["gone", "replaced", "cut"])
def test_a_wrong_file_is_an_error_before_any_chunk(ensemble, gnn, tmp_path: Path, damage: str):
    """Of its own type, with nothing behind it that reads as a bad file."""
    handle = load(shutil.copy(ensemble.path, tmp_path / "model.hepsilon"))
    path = Path(handle.path)
    if damage == "gone":
        path.unlink()
    elif damage == "replaced":
        shutil.copy(gnn.path, path)
    else:
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtifactError) as raised:
        prepare(None, [handle])
    assert raised.value.__cause__ is None


def test_jobs_of_batch_systems_find_what_they_were_sent(
    ensemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    jets = random_jets([1, 2])
    handle = load(shutil.copy(ensemble.path, tmp_path / "here.hepsilon"))
    assert artifact_files([handle]) == {handle.path: ensemble.hash}
    for name, change in (
        ("sandbox", monkeypatch.chdir),
        ("shared", lambda folder: monkeypatch.setenv("HEPSILON_ARTIFACTS", str(folder))),
    ):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(ensemble.path, folder / "renamed.hepsilon")
        Path(handle.path).unlink(missing_ok=True)
        with monkeypatch.context() as own:
            own.setattr("hepsilon.efficiencies.network._ENGINES", {})
            change(folder)
            np.testing.assert_allclose(rows(handle(jets)), rows(ensemble(jets)), atol=2e-6)
        monkeypatch.chdir(tmp_path)


def test_pools_that_do_not_outlive_a_run_are_refused(gnn):
    for executor in (processor.FuturesExecutor(workers=2), processor.DaskExecutor(), "pool"):
        with pytest.raises(ConfigError, match="artifact_files"):
            prepare(executor, gnn)


def test_loads_of_a_process_are_its_latest_ones():
    early, late = {"a:1": {"x": 1}}, {"a:1": {"x": 2, "y": 1}, "a:2": {"x": 1}}
    assert merged_loads(early, late) == merged_loads(late, early) == late
    assert early == {"a:1": {"x": 1}}
