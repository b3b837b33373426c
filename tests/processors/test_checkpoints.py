"""A run that was killed goes on from the chunks that it had finished."""

from __future__ import annotations

import linecache
import logging
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, ClassVar

import pytest
from coffea import processor

from hepsilon import ConfigError, InputError, load
from hepsilon.closure import run_closure
from hepsilon.config import InputConfig
from hepsilon.histograms.observables import Observable
from hepsilon.processors import TruthTagging
from hepsilon.processors.checkpoints import fingerprint, remove_checkpoint
from tests.helpers.toys import TASK
from tests.processors.test_saved_outputs import same


class Ends(processor.IterativeExecutor):  # type: ignore[misc]
    """Ends after some chunks, as a kill does."""

    chunks = 2
    done: ClassVar[list[Any]] = []

    def __call__(self, items: Any, function: Callable[[Any], Any], accumulator: Any) -> Any:
        def counted(item: Any) -> Any:
            if len(self.done) == self.chunks:
                raise KeyboardInterrupt
            result = function(item)
            self.done.append(item)
            return result

        return super().__call__(items, counted, accumulator)


def without_times(output: Any) -> Any:
    from dataclasses import replace

    return replace(output, run=replace(output.run, seconds=0.0, wall_seconds=0.0, loads={}))


@pytest.mark.slow
def test_a_run_goes_on_from_what_it_had_finished(
    toy_file, toy_map, gnn, tmp_path: Path, monkeypatch, caplog
) -> None:
    toy_map.save(tmp_path / "map.hepsilon")
    efficiencies = {"map": type(toy_map).load(tmp_path / "map.hepsilon"), "gnn": gnn}
    options = {"chunksize": 100, "checkpoint": tmp_path / "kept"}
    expected = run_closure([toy_file], TASK, efficiencies, chunksize=100)
    monkeypatch.setattr(Ends, "done", [])
    with pytest.raises(KeyboardInterrupt):
        run_closure([toy_file], TASK, efficiencies, executor=Ends(retries=0), **options)
    parts = sorted((tmp_path / "kept").glob("*.part"))
    assert len(parts) == 2
    parts[0].write_bytes(parts[0].read_bytes()[:-50])  # as a crash of the machine leaves it
    monkeypatch.setattr(Ends, "done", [])
    monkeypatch.setattr(Ends, "chunks", -1)
    with caplog.at_level(logging.INFO, "hepsilon"):
        found = run_closure([toy_file], TASK, efficiencies, executor=Ends(retries=0), **options)
    assert "going on with 2 partial results" in caplog.text
    assert "made anew" in caplog.text
    same(without_times(found), without_times(expected))
    # another question does not go on from there
    with caplog.at_level(logging.WARNING, "hepsilon"):
        run_closure([toy_file], TASK, {"gnn": gnn}, **options)
    assert "of another run" in caplog.text
    remove_checkpoint(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_replicas_of_another_kind_are_another_run(gnn) -> None:
    efficiencies = [
        load(gnn.path),
        load(gnn.path, bias_term=False),
        load(gnn.path, replicas_from="last-layer"),
    ]
    runs = [TruthTagging(TASK, {"gnn": each}) for each in (*efficiencies, gnn)]
    found = [fingerprint(run, TASK, InputConfig(schema="nanoaod")) for run in runs]
    assert len(set(found)) == 3
    assert found[3] == found[0]


def test_functions_cannot_be_told_apart(toy_file, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="efficiencies from files"):
        run_closure([toy_file], TASK, {"own": lambda jets: jets.pt}, checkpoint=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_folder_with_other_files_is_left_alone(toy_file, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ConfigError, match="other files"):
        run_closure([toy_file], TASK, {}, checkpoint=tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["mine.txt"]


def test_the_error_of_a_chunk_is_kept_by_no_checkpoint(toy_file, tmp_path: Path) -> None:
    task = TASK.model_copy(update={"truth": "noSuchField"})
    with pytest.raises(InputError, match="noSuchField"):
        run_closure([toy_file], task, {}, checkpoint=tmp_path / "kept")


def test_an_observable_of_ones_own_is_another_one_with_other_code(tmp_path: Path) -> None:
    """Also where the change is in what its function calls."""

    def found(factor: float, width: float = 0.1) -> str:
        path = tmp_path / "own_observables.py"
        path.write_text(
            f"def scaled(pt):\n    return {factor} * pt\n\n\n"
            "def own(jets, width):\n    return scaled(jets.pt) + width\n"
        )
        linecache.checkcache(str(path))
        spec = spec_from_file_location("own_observables", path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "own_observables", module)
            spec.loader.exec_module(module)
            function = partial(module.own, width=width)
            own = Observable("own", function, "object", (0.0, 1.0), "own", ("pt",))
            return fingerprint(TruthTagging(TASK, {}, observables=[own]), TASK, InputConfig())

    assert found(1.0) == found(1.0)
    assert len({found(1.0), found(20.0), found(1.0, width=0.2)}) == 3
