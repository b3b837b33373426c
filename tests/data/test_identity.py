from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import uproot

from hepsilon import InputError
from hepsilon.data import identity
from hepsilon.data.identity import file_identity


def write(path: Path, content: list[float]) -> Path:
    with uproot.recreate(path) as file:
        file.mktree("Events", {"x": np.float64})
        file["Events"].extend({"x": np.array(content)})
    return path


def test_a_root_file_is_known_by_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", [1.0, 2.0])
    with uproot.open(path) as file:
        expected = f"uuid:{file.file.uuid}"
    assert file_identity(path) == (expected, path.stat().st_size)
    copied = shutil.copy(path, tmp_path / "b.root")
    assert file_identity(copied) == file_identity(path)
    assert file_identity(str(path)) == file_identity(path)


def test_the_same_numbers_written_twice_are_two_files(tmp_path: Path) -> None:
    one, two = (write(tmp_path / name, [1.0, 2.0]) for name in ("a.root", "b.root"))
    assert file_identity(one) != file_identity(two)


@pytest.mark.parametrize("place", [0, 50, 149])
def test_other_files_are_known_by_their_ends(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "END", 20)
    content = bytes(range(150))
    (tmp_path / "a.parquet").write_bytes(content)
    changed = content[:place] + b"?" + content[place + 1 :]
    (tmp_path / "b.parquet").write_bytes(changed)
    same = place == 50  # in the middle, which is not read
    assert (file_identity(tmp_path / "a.parquet") == file_identity(tmp_path / "b.parquet")) == same
    (tmp_path / "c.parquet").write_bytes(content + b"!")
    assert file_identity(tmp_path / "a.parquet") != file_identity(tmp_path / "c.parquet")


@pytest.mark.parametrize("content", [b"", b"x", b"root, but only in name"])
def test_any_content_has_an_identity(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    found = file_identity(path)
    assert found.text.startswith("ends:")
    assert found.size == len(content)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*missing\.root"):
        file_identity(tmp_path / "missing.root")
