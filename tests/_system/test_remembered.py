"""Files are looked at once in a run, unless they change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hepsilon._system.remembered import remembered, remembering
from hepsilon.closure import run_closure
from hepsilon.data.formats import root
from hepsilon.simulation import write_jets
from tests.helpers.toys import TASK


def test_answers_are_found_once_in_a_run(tmp_path: Path) -> None:
    path, asked = tmp_path / "a", []
    path.write_text("one")

    def find() -> str:
        asked.append(1)
        return path.read_text()

    with remembering():
        for _ in range(3):
            with remembering():
                assert remembered(str(path), ("content",), find) == "one"
        assert len(asked) == 1
        path.write_text("another")
        assert remembered(str(path), ("content",), find) == "another"
    assert remembered(str(path), ("content",), find) == "another"
    assert len(asked) == 3


@pytest.mark.slow
def test_a_closure_opens_a_file_once_before_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once for the first events, which choose the bins, and once for each chunk."""
    paths = [write_jets(tmp_path / f"{seed}.root", 40, seed=seed) for seed in (1, 2)]
    opened: list[str] = []
    real = root.uproot.open

    def noted(path: Any, *given: Any, **options: Any) -> Any:
        opened.append(str(path))
        return real(path, *given, **options)

    monkeypatch.setattr(root.uproot, "open", noted)
    run_closure(paths, TASK, {})
    assert opened.count(str(paths[1])) <= 3
