"""Names of files: what each of them stands for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from hepsilon import Config, InputError
from hepsilon.closure import run_closure
from hepsilon.data.dataset import read_columns
from hepsilon.data.sources import Source, file_names, find_sources
from hepsilon.histograms.methods import ALL
from tests.helpers.field import config, events, flat, write_tree


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some files of all formats, without content, and others; the working directory."""
    for name in ("b.root", "a.root", "c.parquet", "d.csv", "notes.md", "deep/e.root"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(files: Any) -> list[str]:
    return [Path(source.path).name for source in find_sources(files)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a.root", ["a.root"]),
        (Path("a.root"), ["a.root"]),
        (["b.root", Path("a.root")], ["b.root", "a.root"]),
        ("*.root", ["a.root", "b.root"]),
        ("**/*.root", ["a.root", "b.root", "e.root"]),
        ("[ab].root", ["a.root", "b.root"]),
        (".", ["a.root", "b.root", "c.parquet", "d.csv"]),
        (["deep", "d.csv"], ["e.root", "d.csv"]),
    ],
)
def test_names_stand_for_files(folder: Path, given: Any, expected: list[str]) -> None:
    assert names(given) == expected


@pytest.mark.parametrize(
    ("given", "tree"),
    [
        ("a.root:tree", "tree"),
        ("a.root:dir/tree", "dir/tree"),
        ("a.root:dir/sub/tree;3", "dir/sub/tree;3"),
        ("*.root:dir/tree", "dir/tree"),
        ("deep:dir/tree", None),
    ],
)
def test_a_tree_stands_behind_a_colon(folder: Path, given: str, tree: str | None) -> None:
    if tree is None:
        with pytest.raises(InputError, match="deep:dir/tree"):
            find_sources(given)
        return
    assert {source.tree for source in find_sources(given)} == {tree}


def test_a_name_with_a_colon_may_be_a_file(folder: Path) -> None:
    (folder / "run:1.root").write_text("")
    (found,) = find_sources("run:1.root")
    assert (found.path, found.tree) == ("run:1.root", None)
    (folder / "odd[1].root").write_text("")
    assert names("odd[1].root") == ["odd[1].root"]


def test_lists_are_relative_to_their_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (folder / "files.txt").write_text(
        "# all of them\n\na.root:dir/tree   # with its tree\ndeep/*.root\n  c.parquet\n"
    )
    (folder / "deep" / "more.list").write_text("e.root\n")
    expected = [("a.root", "dir/tree"), ("e.root", None), ("c.parquet", None)]
    for place in (folder, tmp_path_factory.mktemp("elsewhere")):
        monkeypatch.chdir(place)
        found = find_sources(folder / "files.txt")
        assert [(Path(s.path).name, s.tree) for s in found] == expected
        assert names(str(folder / "deep" / "more.list")) == ["e.root"]


FILESET = {
    "ttbar": {"files": {"a.root": "Events", "b.root": None}, "weight": 0.5},
    "single": {"files": {"deep/e.root": {"object_path": "dir/tree"}}, "metadata": {"weight": 2}},
    "other": ["c.parquet"],
    "named": {"files": "d.csv", "treename": "mine"},
}


def test_a_fileset_has_trees_and_weights(folder: Path) -> None:
    (folder / "fileset.json").write_text(json.dumps(FILESET))
    found = [(Path(s.path).name, s.tree, s.weight, s.dataset) for s in find_sources("fileset.json")]
    assert found == [
        ("a.root", "Events", 0.5, "ttbar"),
        ("b.root", None, 0.5, "ttbar"),
        ("e.root", "dir/tree", 2.0, "single"),
        ("c.parquet", None, 1.0, "other"),
        ("d.csv", "mine", 1.0, "named"),
    ]


def test_a_list_may_be_json(folder: Path) -> None:
    (folder / "files.json").write_text(json.dumps(["b.root", "a.root:tree"]))
    found = find_sources("files.json")
    assert [(s.path.rsplit("/", 1)[-1], s.tree) for s in found] == [
        ("b.root", None),
        ("a.root", "tree"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "is no JSON file"),
        ("{}", "expected a fileset"),
        ("3", "expected a fileset"),
        ('{"a": {"files": 3}}', "a: expected a list of files"),
        ('{"a": {}}', "a: expected a list of files"),
        ('{"a": {"files": ["a.root"], "weight": "many"}}', "a: expected a number as weight"),
        ('{"a": {"files": ["a.root"], "weight": NaN}}', "a: expected a number as weight"),
        ('{"a": {"files": ["a.root"], "weight": true}}', "a: expected a number as weight"),
        ('{"a": ["none.root"]}', "no file .*none.root"),
    ],
)
def test_filesets_that_are_none(folder: Path, content: str, message: str) -> None:
    (folder / "fileset.json").write_text(content)
    with pytest.raises(InputError, match=message):
        find_sources("fileset.json")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "expected at least one file"),
        ("none.root", "no file 'none.root'"),
        ("none*.root", "no file matches 'none"),
        ("empty", "the folder 'empty' holds no file ending in"),
        (["a.root", "./a.root"], "given twice"),
        (["*.root", "a.root"], "given twice"),
        (["a.root:tree", "a.root:tree"], "given twice"),
        (["https://x.org/a.root", "https://x.org/a.root"], "given twice"),
    ],
)
def test_names_that_stand_for_nothing_or_twice(folder: Path, given: Any, message: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        find_sources(given)


def test_links_to_a_file_are_that_file(folder: Path) -> None:
    (folder / "link.root").symlink_to(folder / "a.root")
    with pytest.raises(InputError, match="given twice"):
        find_sources(["a.root", "link.root"])


def test_two_trees_of_a_file_are_two_samples(folder: Path) -> None:
    assert len(find_sources(["a.root:one", "a.root:two"])) == 2


@pytest.mark.parametrize(
    ("url", "path", "tree"),
    [
        ("root://server//store/a.root", "root://server//store/a.root", None),
        ("root://server:1094//a.root:dir/tree", "root://server:1094//a.root", "dir/tree"),
        ("https://x.org:8000/a.root", "https://x.org:8000/a.root", None),
        ("https://x.org/a.root?key=1:Events", "https://x.org/a.root?key=1", "Events"),
        ("s3://bucket/*.root", "s3://bucket/*.root", None),
    ],
)
def test_urls_are_passed_on(url: str, path: str, tree: str | None) -> None:
    (found,) = find_sources(url)
    assert (found.path, found.tree) == (path, tree)


def test_names_of_files_that_are_gone_stay(folder: Path) -> None:
    assert file_names(["*.root", "gone.root", Source("x.root")]) == [
        "a.root",
        "b.root",
        "gone.root",
        "x.root",
    ]


# reading


def total(settings: Config, files: Any) -> float:
    output = run_closure(files, settings.task, {}, config=settings.input)
    return float(output.observables["pt"][{"method": ALL, "category": ALL}].sum(flow=True).value)


def test_weights_of_samples_multiply_those_of_events(tmp_path: Path) -> None:
    one = write_tree(tmp_path / "one.root", events(100, 1, weight=2.0))
    two = write_tree(tmp_path / "two.root", events(100, 2, weight=3.0, start=500))
    n_one, n_two = (total(config({"weight": None}), [path]) for path in (one, two))
    content = {"a": {"files": [str(one)], "weight": 0.5}, "b": {"files": [str(two)], "weight": 10}}
    fileset = tmp_path / "fileset.json"
    fileset.write_text(json.dumps(content))
    expected = 0.5 * 2.0 * n_one + 10.0 * 3.0 * n_two
    assert total(config(), fileset) == pytest.approx(expected)
    columns = read_columns(fileset, config(), progress=False)
    assert np.sum(columns.object_weights) == pytest.approx(expected)
    without = read_columns(fileset, config({"weight": None}), progress=False)
    assert np.sum(without.object_weights) == pytest.approx(0.5 * n_one + 10.0 * n_two)


def test_a_copy_under_another_name_is_refused(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "one.root", events(50))
    copy = shutil.copy(path, tmp_path / "copy.root")
    for work in (total, lambda s, files: read_columns(files, s, progress=False)):
        with pytest.raises(InputError, match=r"copy\.root and .*one\.root are copies of one file"):
            work(config(), [path, copy])


@pytest.mark.parametrize("n", [1, 70, 170, 1000])
def test_no_more_events_are_read_than_asked_for(tmp_path: Path, n: int) -> None:
    paths = [write_tree(tmp_path / f"{i}.root", events(100, i, start=100 * i)) for i in (0, 1)]
    settings = config()
    output = run_closure(paths, settings.task, {}, config=settings.input, max_events=n)
    assert output.n_events == min(n, 200)


@pytest.mark.parametrize("kind", ["root", "parquet"])
def test_a_url_of_a_file_is_read(tmp_path: Path, kind: str) -> None:
    import awkward as ak

    path = tmp_path / f"events.{kind}"
    if kind == "root":
        write_tree(path, events(80))
    else:
        ak.to_parquet(ak.zip(flat(events(80)), depth_limit=1), path)
    assert total(config(), f"file://{path}") == total(config(), path)


def test_a_url_of_memory_is_read(tmp_path: Path) -> None:
    import awkward as ak

    path = tmp_path / "events.parquet"
    ak.to_parquet(ak.zip(flat(events(80)), depth_limit=1), path)
    memory = fsspec.filesystem("memory")
    memory.pipe("/events.parquet", path.read_bytes())
    try:
        assert total(config(), "memory://events.parquet") == total(config(), path)
    finally:
        memory.rm("/events.parquet")


@pytest.mark.parametrize("kind", ["root", "parquet", "csv"])
def test_a_url_that_leads_nowhere_is_an_input_error(kind: str) -> None:
    with pytest.raises(InputError, match=rf"none\.{kind}"):
        total(config(), f"memory://none.{kind}")


@pytest.mark.parametrize("url", ["nothing://x/a.root", "nothing://x/a.parquet"])
def test_a_protocol_that_there_is_not_is_an_input_error(url: str) -> None:
    with pytest.raises(InputError, match="nothing://x/a"):
        total(config(), url)
