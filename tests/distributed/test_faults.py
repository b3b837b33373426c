"""What goes wrong on a cluster, injected: the result is complete, or the error says what to do."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea import processor
from dask.distributed import Client, LocalCluster

from hepsilon import InputError, WorkerError
from hepsilon._system import files
from hepsilon.closure import run_closure
from hepsilon.config.file import InputConfig
from hepsilon.processors import runner
from hepsilon.processors.executors import local_executor
from hepsilon.simulation import write_jets
from tests.helpers.formats import KINDS, sample
from tests.helpers.toys import TASK

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Deadly:
    """An efficiency whose process is killed, the first time, in the middle of a run."""

    mark: str
    once: bool = True

    def __call__(self, jets: ak.Array) -> ak.Array:
        if not (self.once and Path(self.mark).exists()):
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return ak.ones_like(jets.pt, dtype=np.float64) * 0.5


@pytest.fixture(scope="module")
def cluster():
    """Two Dask workers."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as local, Client(local) as client:
        yield processor.DaskExecutor(client=client, status=False)


def counts(output: Any) -> tuple[int, ...]:
    jets = output.observables["pt"].view(flow=True)["value"].sum()
    return output.n_events, output.n_objects, round(float(jets), 3)


@pytest.mark.parametrize("kind", ["loky", "dask"])
def test_a_killed_worker_loses_and_doubles_nothing(request, toy_file, tmp_path, kind: str) -> None:
    executor = local_executor(2) if kind == "loky" else request.getfixturevalue("cluster")
    mark = tmp_path / "mark"
    mark.touch()
    expected = run_closure([toy_file], TASK, {"own": Deadly(str(mark))}, chunksize=60)
    mark.unlink()
    own = {"own": Deadly(str(mark))}
    found = run_closure([toy_file], TASK, own, executor=executor, chunksize=60)
    assert mark.exists()
    assert counts(found) == counts(expected)
    assert found.run.n_entries == 600


@pytest.mark.parametrize("kind", ["loky", "dask"])
def test_work_that_kills_every_worker_is_one_error(request, toy_file, tmp_path, kind: str) -> None:
    executor = local_executor(2) if kind == "loky" else request.getfixturevalue("cluster")
    own = {"own": Deadly(str(tmp_path / "mark"), once=False)}
    with pytest.raises(WorkerError, match="smaller chunks") as raised:
        run_closure([toy_file], TASK, own, executor=executor, chunksize=300)
    assert raised.value.__cause__ is None


@dataclass(frozen=True)
class DeadlyStart(Deadly):
    """A model in a file that kills every process in which it is started."""

    path: str = "deadly"
    hash: str = "0"

    def check_file(self) -> None:
        """Is always there."""

    def start(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_model_that_kills_its_process_at_the_start_is_one_error(toy_file) -> None:
    with pytest.raises(WorkerError, match="memory"):
        run_closure([toy_file], TASK, {"own": DeadlyStart("")}, executor=local_executor(2))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def not_root(path: Path) -> None:
    path.write_text("<html>not found</html>")


def header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4:60] = os.urandom(56)
    path.write_bytes(content)


def other_tree(path: Path) -> None:
    with uproot.recreate(path) as file:
        file.mktree("Runs", {"run": "int32"}).extend({"run": np.ones(3, np.int32)})


def no_branch(path: Path) -> None:
    with uproot.open(path) as file:
        arrays = file["Events"].arrays()
    jets = ak.zip({n[4:]: arrays[n] for n in arrays.fields if n.startswith("Jet_")})
    jets = jets[[name for name in jets.fields if name != "discriminant"]]
    with uproot.recreate(path) as file:
        others = {n: arrays[n] for n in arrays.fields if "Jet" not in n}
        columns = {**others, "Jet": jets}
        file.mktree("Events", {n: ak.type(c).content for n, c in columns.items()})
        file["Events"].extend(columns)


FAULTS = [cut, emptied, not_root, header, other_tree, no_branch]


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_files_are_named_before_any_work(tmp_path: Path, fault: Any) -> None:
    paths = [write_jets(tmp_path / f"{name}.root", 40, seed=i) for i, name in enumerate("ab", 1)]
    fault(paths[1])
    with pytest.raises(InputError, match=r"b\.root") as raised:
        run_closure(paths, TASK, {}, executor=local_executor(2))
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("fault", [cut, emptied, not_root, header, other_tree])
def test_skipped_files_are_listed_in_the_output(tmp_path: Path, fault: Any) -> None:
    paths = [write_jets(tmp_path / f"{name}.root", 40, seed=i) for i, name in enumerate("ab", 1)]
    fault(paths[1])
    config = InputConfig(schema="nanoaod", damaged="skip")
    output = run_closure(paths, TASK, {}, config=config, executor=local_executor(2))
    assert output.n_events == 40
    (text,) = output.run.skips
    assert "b.root" in text
    # a file that can be opened tells how many entries are lost; of others nobody knows
    lost = output.run.n_entries - output.n_events
    assert (f"{lost} entries were left out" in text) == (lost > 0)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*gone\.root"):
        run_closure([tmp_path / "gone.root"], TASK, {})


def test_a_file_that_vanishes_during_the_run_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jets(tmp_path / "a.root", 40, seed=1)
    split = runner.split_files

    def and_vanish(*given: Any, **options: Any) -> Any:
        parts = split(*given, **options)
        path.unlink(missing_ok=True)
        return parts

    monkeypatch.setattr(runner, "split_files", and_vanish)
    with pytest.raises(InputError, match=r"a\.root"):
        run_closure([path], TASK, {}, executor=local_executor(2))


def test_chunks_without_objects_count_their_events(tmp_path: Path) -> None:
    path = write_jets(tmp_path / "a.root", 30, seed=1)
    with uproot.open(path) as file:
        arrays = file["Events"].arrays()
    keep = np.arange(30) % 3 == 0
    jets = ak.zip({n[4:]: arrays[n] for n in arrays.fields if n.startswith("Jet_")})
    jets = ak.where(keep, jets, jets[:, :0])
    columns = {**{n: arrays[n] for n in arrays.fields if "Jet" not in n}, "Jet": jets}
    with uproot.recreate(path) as file:
        file.mktree("Events", {n: ak.type(c).content for n, c in columns.items()})
        file["Events"].extend(columns)
    whole = run_closure([path], TASK, {})
    single = run_closure([path], TASK, {}, chunksize=1)
    assert single.n_events == whole.n_events == 30
    assert counts(single) == counts(whole)


def full(descriptor: int) -> None:
    """What a full disk says at the end of every write."""
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("command", ["map", "closure", "apply", "checkpoint", "export"])
def test_a_full_disk_leaves_the_old_file(
    run, toy_map, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Exit code 2, one line, the old content, no half file."""
    from hepsilon import Config
    from hepsilon.config.toml import as_toml

    model, sample = tmp_path / "map.hepsilon", write_jets(tmp_path / "a.root", 40, seed=1)
    toy_map.save(model)
    (tmp_path / "task.toml").write_text(as_toml(Config(task=TASK)))
    out = {"map": "out.hepsilon", "apply": "out.root", "export": "out.json"}.get(command, "out")
    target = tmp_path / out
    arguments = {
        "map": ["map", tmp_path / "task.toml", sample],
        "apply": ["apply", model, sample],
        "export": ["export", model, "--format", "correctionlib"],
    }.get(command, ["closure", model, sample] + ["--checkpoint"] * (command == "checkpoint"))
    assert run(*arguments, "--out", target)[0] == 0
    before = content(target)
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        code, _, err = run(*arguments, "--out", target)
    assert code == 2, err
    assert "No space left" in err
    assert "Traceback" not in err
    assert content(target) == before
    assert not [each for each in tmp_path.rglob(".*") if each.name.endswith(".tmp")]
    assert run(*arguments, "--out", target)[0] == 0
    assert not (tmp_path / "out.partial").exists()


def content(path: Path) -> dict[str, bytes]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {each.name: each.read_bytes() for each in files}


def test_two_runs_from_one_checkpoint_agree(toy_file, toy_map, tmp_path: Path) -> None:
    """Also where the other run has it in use."""
    toy_map.save(tmp_path / "map.hepsilon")
    efficiency = type(toy_map).load(tmp_path / "map.hepsilon")
    options = {"checkpoint": tmp_path / "kept", "chunksize": 200}
    outputs = [
        run_closure([toy_file], TASK, {"map": efficiency}, **options, executor=executor)
        for executor in (local_executor(2), None)
    ]
    assert counts(outputs[0]) == counts(outputs[1])
    shutil.rmtree(tmp_path / "kept")


def test_versions_of_nanoaod_may_be_mixed(tmp_path: Path) -> None:
    """Flavours are int32 in one, uint8 in the other; the sums are those of both."""
    kinds = [KINDS["NanoAOD v9"], KINDS["NanoAOD v12"]]
    paths = []
    for number, kind in enumerate(kinds):
        folder = tmp_path / str(number)
        folder.mkdir()
        paths.append(kind.write(folder, sample(50, seed=number)))
    settings = kinds[0].config()
    given = {"config": settings.input}
    both = run_closure(paths, settings.task, {}, **given)
    single = [run_closure([path], settings.task, {}, **given) for path in paths]
    assert both.n_objects == sum(output.n_objects for output in single)
    total = single[0].totals + single[1].totals
    np.testing.assert_allclose(both.totals.values(flow=True), total.values(flow=True), rtol=1e-12)
