"""Outputs that would overwrite something else are refused before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hepsilon import ConfigError
from hepsilon._system.outputs import check_folder, check_outputs

CONTENT = {
    "a.hepsilon": b"PK\x03\x04",
    "a.root": b"root",
    "a.parquet": b"PAR1",
    "a.onnx": b"\x08\x08",
    "a.png": b"\x89PNG",
    "a.toml": b"[task]",
    "data": b"root",
    "notes": b"text",
    "empty": b"",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in CONTENT.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.hepsilon", "artifact"),
        ("new.hepsilon", "artifact"),
        ("new", "artifact"),
        ("new.model", "artifact"),
        ("empty", "artifact"),
        ("missing/deep/new.hepsilon", "artifact"),
        ("a.root", "root"),
        ("data", "root"),
        ("new.pq", "parquet"),
        ("a.onnx", "onnx"),
        ("a.png", "picture"),
    ],
)
def test_what_is_new_or_of_the_same_kind_may_be_written(folder: Path, name: str, kind: str) -> None:
    check_outputs({name: kind}, ["other.root", "http://server/a.root"])
    check_outputs({folder / name: kind})


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("a.root", "artifact", "expected a model or map to write, ending in .hepsilon"),
        ("new.root", "artifact", "expected a model or map"),
        ("new.PNG", "artifact", "expected a model or map"),
        ("a.toml", "root", "expected a ROOT file"),
        ("new.json", "picture", "expected a PNG picture"),
        ("data", "artifact", "data exists and is not a model or map"),
        ("notes", "root", "notes exists and is not a ROOT file"),
        ("a.hepsilon", "onnx", "expected an ONNX graph"),
        (".", "artifact", "'.' is a folder; name the file"),
        ("", "artifact", "is a folder"),
        ("sub", "artifact", "'sub' is a folder"),
        ("notes/new", "artifact", "notes is a file; nothing can be written below it"),
        ("a\0b", "artifact", "it holds a null byte"),
    ],
)
def test_other_kinds_and_places_are_refused(
    folder: Path, name: str, kind: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_outputs({name: kind})


def test_inputs_are_refused_under_any_name(folder: Path) -> None:
    (folder / "link.root").symlink_to("a.root")
    os.link("a.root", "hard.root")
    for name in (
        "a.root",
        "./a.root",
        "sub/../a.root",
        "link.root",
        "hard.root",
        str(folder / "a.root"),
    ):
        with pytest.raises(ConfigError, match="is an input, and is not overwritten"):
            check_outputs({name: "root"}, ["data", "a.root"])


def test_outputs_that_are_each_other_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"\./new would be written twice"):
        check_outputs({"new": "picture", "./new": "artifact"})


def test_read_only_folders_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the system says so: the superuser may write everywhere."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "sub")
    for check in (lambda: check_outputs({"sub/a.root": "root"}), lambda: check_folder("sub")):
        with pytest.raises(ConfigError, match="read-only"):
            check()


@pytest.mark.parametrize("name", ["sub", ".", "new", "new/deep"])
def test_folders_may_be_there_or_be_made(folder: Path, name: str) -> None:
    check_folder(name)


@pytest.mark.parametrize("name", ["a.root", "notes/deep", "a\0b"])
def test_folders_that_are_files_are_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        check_folder(name)
