"""Closures of several jobs become that of one, if they belong together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import hist
import pytest

from hepsilon import InputError, plotting
from hepsilon.cli import parser as cli
from hepsilon.closure.merging import RESULT, merge_results
from hepsilon.processors.saved_outputs import read_saved, read_saved_text, write_saved
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


def close(place: Path, name: str, *files: str, more: tuple[str, ...] = ()) -> Path:
    """Run a closure of files into a folder of that name."""
    out, named = place / name, ("--efficiency", f"map={place / 'map.hepsilon'}")
    arguments = [place / "task.toml", *(place / file for file in files), *named, "--out", out]
    assert cli.main(["closure", *map(str, arguments), *more]) == 0
    return out


@pytest.fixture(scope="module")
def jobs(place: Path) -> list[Path]:
    """Closures of the files, one for each; the first one keeps the results of chunks meanwhile."""
    return [close(place, "job1", "1.root", more=("--checkpoint",)), close(place, "job2", "2.root")]


def changed(job: Path, out: Path, **update: Any) -> Path:
    """A result whose question was another one."""
    about = read_saved_text(job / RESULT)
    write_saved(out, read_saved(job / RESULT), about | update)
    return out


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


@pytest.mark.slow
def test_jobs_give_the_closure_of_all_files(run, place, jobs, tmp_path: Path) -> None:
    whole = close(place, "whole", "1.root", "2.root")
    code, out, err = run("merge", tmp_path / "merged", *jobs)
    assert code == 0, err
    assert "events per second" in out
    found, expected = numbers(tmp_path / "merged"), numbers(whole)
    assert found["n_events"] == 600
    close_to(found, expected)
    # what was merged can be merged again, and does not count twice
    code, _, err = run("merge", tmp_path / "twice", tmp_path / "merged", jobs[0])
    assert code == 2
    assert "1.root are in both" in " ".join(err.split())
    assert not (tmp_path / "twice").exists()


def test_other_questions_and_models_are_refused(run, place, jobs, tmp_path: Path) -> None:
    about = read_saved_text(jobs[1] / RESULT)
    hashed = about["efficiencies"]["map"][1]
    cases = {
        "observables differ": {"observables": {}},
        "input differ": {"input": about["input"] | {"damaged": "skip"}},
        "against differ": {"against": ["map"]},
        "does not say what was seen": {"seen": None},
        "efficiencies differ": {"efficiencies": {"map": [str(place / "map.hepsilon"), "0" * 64]}},
        "does not say what was asked": {"options": None},
    }
    for number, (text, update) in enumerate(cases.items()):
        other = changed(jobs[1], tmp_path / f"{number}.npz", **update)
        code, _, err = run("merge", tmp_path / "merged", jobs[0], other)
        assert code == 2
        assert text in " ".join(err.split())
    gone = {"efficiencies": {"map": [str(tmp_path / "gone.hepsilon"), hashed]}}
    other = changed(jobs[1], tmp_path / "gone.npz", **gone)
    code, _, err = run("merge", tmp_path / "merged", other, jobs[0])
    assert code == 2
    assert "gone.hepsilon" in err
    assert not (tmp_path / "merged").exists()

    merged = merge_results([other, jobs[0]], {"map": place / "map.hepsilon"})
    assert merged.output.n_events == 600


def test_what_jobs_have_seen_of_the_training_is_kept(run, place, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(plotting, "closure_plots", lambda _: {})  # pictures take the longest
    learned, training = tmp_path / "learned.hepsilon", tmp_path / "1.root"
    assert run("map", place / "task.toml", place / "1.root", "--out", learned)[0] == 0
    shutil.copy(place / "1.root", training)
    named = ["--efficiency", f"learned={learned}", "--against", f"other={place / 'map.hepsilon'}"]
    parts = [tmp_path / "job1", tmp_path / "job2"]
    for file, out in zip((training, place / "2.root"), parts, strict=True):
        code, _, err = run("closure", place / "task.toml", file, *named, "--out", out)
        assert code == 0, err
    training.unlink()  # files of a job need not be there any more
    seen = read_saved_text(parts[0] / RESULT)["seen"]
    tested = changed(parts[0], tmp_path / "tested.npz", seen=seen | {"two_sample": True})
    code, _, err = run("merge", tmp_path / "merged", tested, parts[1])
    assert code == 0, err
    assert "two-sample tests cannot be added" in " ".join(err.split())
    content = json.loads((tmp_path / "merged" / "closure.json").read_text())
    assert content["trained_on"] == {"learned": ["1.root"]}
    assert content["shared_with_training"] == {"learned": 0.5}
    assert content["alternatives"] == ["other"]
    assert set(content["efficiency"]["learned"]["dependence"]) == {"other"}
    methods = content["verdict"]["methods"]
    assert (methods["learned"]["status"], methods["other"]["role"]) == ("fail", "alternative")


def test_other_bins_are_told(jobs, tmp_path: Path) -> None:
    output = read_saved(jobs[1] / RESULT)
    histogram = output.observables["pt"]
    axes = [*list(histogram.axes)[:-1], hist.axis.Variable([0, 1, 2], name="x")]
    output.observables["pt"] = hist.Hist(*axes, storage=hist.storage.Weight())
    write_saved(tmp_path / "other.npz", output, read_saved_text(jobs[1] / RESULT))
    with pytest.raises(InputError, match="'pt' has other bins in a part"):
        merge_results([jobs[0], tmp_path / "other.npz"])


def test_what_is_no_result_is_refused(run, place, tmp_path: Path) -> None:
    for wrong in (place / "1.root", place, place / "map.hepsilon", place / "task.toml"):
        code, _, err = run("merge", tmp_path / "merged", wrong)
        assert code == 2, wrong
        assert "result" in err
    assert not (tmp_path / "merged").exists()


def test_info_tells_what_a_result_was_made_from(run, jobs, tmp_path: Path) -> None:
    folder = jobs[0]
    for path in (folder, folder / "closure.json", folder / RESULT):
        code, out, err = run("info", path)
        assert code == 0, err
        assert "hepsilon" in out
    code, out, _ = run("info", "--json", folder)
    told = json.loads(out)
    assert told["run"]["entries"] == 300
    assert told["run"]["files"][0]["name"] == "1.root"
    assert len(told["model_hash"]["map"]) == 64
    assert run("info", folder / "report.html")[0] == 2
    (tmp_path / "closure.json").write_text("{")
    code, _, err = run("info", tmp_path)
    assert (code, "cannot be read" in err) == (2, True)


def test_a_checkpoint_is_gone_once_the_closure_is_written(jobs) -> None:
    assert (jobs[0] / "closure.json").exists()
    assert not jobs[0].with_name("job1.partial").exists()


def test_results_are_read_by_name(tmp_path: Path) -> None:
    from hepsilon.closure.merging import result_file

    with pytest.raises(InputError, match="hepsilon closure"):
        result_file(tmp_path)
