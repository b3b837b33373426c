"""Closures through Parsl: chunks in its threads and processes, models shipped as files."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coffea import processor

from hepsilon import ArtifactError, InputError, load
from hepsilon.closure import run_closure
from hepsilon.distributed import artifact_files
from tests.helpers.toys import TASK, random_jets, rows

parsl = pytest.importorskip("parsl")
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("default")  # of Parsl's own


def through_threads(folder: Path) -> Any:
    from parsl.executors import ThreadPoolExecutor

    return ThreadPoolExecutor(label="threads", max_threads=2)


def through_processes(folder: Path) -> Any:
    """One block of two workers, which look for models in the folder that jobs were given."""
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import LocalProvider

    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    start = f"export HEPSILON_ARTIFACTS={folder / 'shipped'} OMP_NUM_THREADS=1 PYTHONPATH={path}"
    provider = LocalProvider(init_blocks=1, max_blocks=1, worker_init=start)
    return HighThroughputExecutor(
        label="processes", address="127.0.0.1", max_workers_per_node=2, provider=provider
    )


@pytest.fixture(scope="module", params=[through_threads, through_processes])
def executor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, Path]]:
    """An executor of coffea on Parsl, and the folder of what is shipped."""
    from parsl.config import Config

    folder = tmp_path_factory.mktemp("parsl")
    (folder / "shipped").mkdir()
    config = Config(executors=[request.param(folder)], run_dir=str(folder / "runs"))
    config.initialize_logging = False  # its file would stay open
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", scripts)  # of Parsl, which it starts by their names
        with parsl.load(config):
            yield processor.ParslExecutor(status=False), folder / "shipped"
        parsl.clear()


def test_a_closure_is_that_of_one_process(executor, toy_file, toy_map, gnn) -> None:
    given = [toy_file], TASK, {"map": toy_map, "gnn": gnn}
    expected = run_closure(*given)
    found = run_closure(*given, executor=executor[0], chunksize=70)
    assert found.n_events == expected.n_events == found.run.n_entries
    for name, histogram in expected.observables.items():
        values = found.observables[name].values(flow=True)
        known = histogram.values(flow=True)
        atol = 1e-9 * np.abs(known).max()
        np.testing.assert_allclose(values, known, rtol=1e-9, atol=atol, err_msg=name)
    loads = [each.get(gnn.hash, 0) for each in found.run.loads.values()]
    assert loads
    assert max(loads) == 1


def test_errors_are_those_of_one_process(executor, toy_file, gnn, tmp_path: Path) -> None:
    task = TASK.model_copy(update={"weight": "noSuchWeight"})
    with pytest.raises(InputError, match="noSuchWeight"):
        run_closure([toy_file], task, {}, executor=executor[0])
    gone = load(shutil.copy(gnn.path, tmp_path / "gone.hepsilon"))
    Path(gone.path).unlink()
    with pytest.raises(ArtifactError, match=r"gone\.hepsilon"):  # before any chunk
        run_closure([toy_file], TASK, {"gnn": gone}, executor=executor[0])


def test_models_are_found_by_content_where_jobs_put_them(executor, gnn, tmp_path: Path) -> None:
    _, shipped = executor
    if "threads" in parsl.dfk().executors:
        pytest.skip("threads have the folders of this process")
    handle = load(shutil.copy(gnn.path, tmp_path / "here.hepsilon"))
    (path,) = artifact_files([handle])
    shutil.move(path, shipped / "another-name.hepsilon")
    jets = random_jets([2, 0, 3])

    @parsl.python_app
    def answer(handle: Any, jets: Any) -> Any:
        return handle(jets)

    found = answer(handle, jets).result()
    np.testing.assert_allclose(rows(found), rows(gnn(jets)), rtol=0, atol=2e-6)
