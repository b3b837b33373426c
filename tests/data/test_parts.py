"""Parts of files: what holds nothing or cannot be read is counted, and named once."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import uproot

from hepsilon import InputError, Task
from hepsilon.config import InputConfig, Passed
from hepsilon.data.parts import Skipped, Wanted, split_files

TASK = Task(features=("pt",), passed=Passed(field="tag"))
SKIP = InputConfig(schema="base", damaged="skip")


def write(path: Path, n_events: int) -> Path:
    """One branch of flat numbers is enough for what is looked at here."""
    with uproot.recreate(path) as file:
        file.mktree("Events", {"Jet_pt": "f8", "Jet_tag": "f8"})
        if n_events:
            file["Events"].extend({n: np.ones(n_events) for n in ("Jet_pt", "Jet_tag")})
    return path


def test_files_without_entries_are_one_sentence(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{i}.root", n) for i, n in enumerate((0, 5, 0, 0))]
    skipped = Skipped()
    parts = split_files(files, TASK, InputConfig(schema="base"), Wanted(("pt",)), skipped=skipped)
    assert [(part.entrystart, part.entrystop) for part in parts] == [(0, 5)]
    assert skipped.texts() == [f"files without entries: 3, such as {files[0]}"]


def test_a_name_may_hold_any_sign(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    damaged = tmp_path / "100%d %s.root"
    damaged.write_bytes(b"root, it says")
    skipped = Skipped()
    split_files(
        [damaged, write(tmp_path / "a.root", 3)], TASK, SKIP, Wanted(("pt",)), skipped=skipped
    )
    with caplog.at_level(logging.WARNING, "hepsilon"):
        skipped.report()
    (message,) = caplog.messages
    assert message.startswith(f"1 file was left out: {damaged} is not a readable ROOT file")


def test_only_damaged_files_are_an_error_that_says_why(tmp_path: Path) -> None:
    damaged = tmp_path / "a.root"
    damaged.write_bytes(b"root, it says")
    with pytest.raises(InputError, match=r"hold no events.*1 file was left out.*not a readable"):
        split_files(damaged, TASK, SKIP, Wanted(("pt",)))


def test_a_missing_column_is_no_damage(tmp_path: Path) -> None:
    """A name that is written wrongly would leave out every file."""
    with pytest.raises(InputError, match="Jet_eta"):
        split_files(write(tmp_path / "a.root", 3), TASK, SKIP, Wanted(("eta",)))
