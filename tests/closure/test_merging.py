"""Closures of several jobs become that of one, if they belong together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hepsilon import InputError
from hepsilon.simulation import write_jets
from tests.helpers.toys import TASK

OBSERVABLES = """
[observables.pt]
edges = [20, 60, 100, 200, 600]
[observables.pair_mass]
edges = [0, 50, 100, 200, 1000]
"""


@pytest.fixture(scope="module")
def place(toy_map, tmp_path_factory) -> Path:
    """A map, a configuration with named bins, and two files."""
    from hepsilon import Config
    from hepsilon.config.toml import as_toml

    folder = tmp_path_factory.mktemp("merge")
    toy_map.save(folder / "map.hepsilon")
    (folder / "task.toml").write_text(as_toml(Config(task=TASK)) + OBSERVABLES)
    for seed in (1, 2):
        write_jets(folder / f"{seed}.root", 300, seed=seed)
    return folder


@pytest.fixture
def close(run, place: Path, tmp_path: Path):
    """Run a closure of files into a folder of that name."""

    def do(name: str, *files: str, more: tuple[str, ...] = (), model: Path | None = None) -> Path:
        out = tmp_path / name
        chosen = place / "map.hepsilon" if model is None else model
        named = ("--efficiency", f"map={chosen}", "--out", out, *more)
        code, _, err = run("closure", place / "task.toml", *(place / f for f in files), *named)
        assert code == 0, err
        return out

    return do


def numbers(folder: Path) -> dict:
    """Content of a closure without times and processes."""
    content = json.loads((folder / "closure.json").read_text())
    content["run"] = {
        key: value
        for key, value in content["run"].items()
        if key not in ("seconds", "wall_seconds", "loads")
    }
    return content


def close_to(found, expected, place: str = "") -> None:
    if isinstance(expected, dict):
        assert list(found) == list(expected), place
        for key in expected:
            close_to(found[key], expected[key], f"{place}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for a, b in zip(found, expected, strict=True):
            close_to(a, b, place)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9), place
    else:
        assert found == expected, place


def test_jobs_give_the_closure_of_all_files(run, close, tmp_path: Path) -> None:
    jobs = [close("job1", "1.root"), close("job2", "2.root")]
    whole = close("whole", "1.root", "2.root")
    code, out, err = run("merge", tmp_path / "merged", *jobs)
    assert code == 0, err
    assert "events per second" in out
    found, expected = numbers(tmp_path / "merged"), numbers(whole)
    assert found["n_events"] == 600
    close_to(found, expected)
    # what was merged can be merged again, and does not count twice
    code, _, err = run("merge", tmp_path / "twice", tmp_path / "merged", jobs[0])
    assert code == 2
    assert "1.root are in both" in err
    assert not (tmp_path / "twice").exists()


def test_other_questions_and_models_are_refused(run, close, place, tmp_path: Path) -> None:
    one = close("one", "1.root")
    text = (place / "task.toml").read_text()
    (place / "other.toml").write_text(text.replace("200, 600", "300, 600"))
    model = ("--efficiency", f"map={place / 'map.hepsilon'}")
    out = tmp_path / "other"
    assert run("closure", place / "other.toml", place / "2.root", *model, "--out", out)[0] == 0
    code, _, err = run("merge", tmp_path / "merged", one, out)
    assert code == 2
    assert "observables differ" in err
    shutil.copy(place / "map.hepsilon", place / "moved.hepsilon")
    two = close("two", "2.root", model=place / "moved.hepsilon")
    (place / "moved.hepsilon").unlink()
    code, _, err = run("merge", tmp_path / "merged", two, one)
    assert code == 2
    assert "moved.hepsilon" in err
    assert run("merge", tmp_path / "merged", two, one, *model)[0] == 0


def test_what_is_no_result_is_refused(run, close, place, tmp_path: Path) -> None:
    for wrong in (place / "1.root", place, place / "map.hepsilon", place / "task.toml"):
        code, _, err = run("merge", tmp_path / "merged", wrong)
        assert code == 2, wrong
        assert "result" in err
    assert not (tmp_path / "merged").exists()


def test_info_tells_what_a_result_was_made_from(run, close, tmp_path: Path) -> None:
    folder = close("job", "1.root")
    for path in (folder, folder / "closure.json", folder / "result.npz"):
        code, out, err = run("info", path)
        assert code == 0, err
        assert "hepsilon" in out
    code, out, _ = run("info", "--json", folder)
    told = json.loads(out)
    assert told["run"]["entries"] == 300
    assert told["run"]["files"][0]["name"] == "1.root"
    assert len(told["model_hash"]["map"]) == 64
    code, _, err = run("info", folder / "report.html")
    assert code == 2
    (folder / "closure.json").write_text("{")
    code, _, err = run("info", folder)
    assert (code, "cannot be read" in err) == (2, True)


def test_a_checkpoint_is_gone_once_the_closure_is_written(close, tmp_path: Path) -> None:
    folder = close("kept", "1.root", more=("--checkpoint",))
    assert (folder / "closure.json").exists()
    assert not (tmp_path / "kept.partial").exists()


def test_results_are_read_by_name(tmp_path: Path) -> None:
    from hepsilon.closure.merging import result_file

    with pytest.raises(InputError, match="hepsilon closure"):
        result_file(tmp_path)
