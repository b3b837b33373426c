from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hepsilon._system.files import atomic_path, sha256


class InterruptedWritingError(Exception):
    pass


def interrupted(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise InterruptedWritingError


def test_the_file_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"


def test_nothing_else_is_left_behind(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "model.zip") as temporary:
        temporary.write_text("whole")
    assert [p.name for p in tmp_path.iterdir()] == ["model.zip"]


def test_the_temporary_name_keeps_the_suffix_and_the_folder(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "model.zip") as temporary:
        assert (temporary.suffix, temporary.parent) == (".zip", tmp_path)
        temporary.touch()


def test_missing_folders_are_made(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a" / "b" / "model") as temporary:
        temporary.touch()
    assert (tmp_path / "a" / "b" / "model").is_file()


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_failure_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InterruptedWritingError):
        interrupted(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_text("old")
    with pytest.raises(InterruptedWritingError):
        interrupted(path)
    assert path.read_text() == "old"


def test_two_writers_do_not_share_a_temporary_name(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with atomic_path(path) as first, atomic_path(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")


def test_sha256_of_more_than_one_block(tmp_path: Path) -> None:
    path = tmp_path / "data"
    content = bytes(range(256)) * 5000
    path.write_bytes(content)
    assert sha256(path) == hashlib.sha256(content).hexdigest()
