"""Every block of the page 'In your analysis' runs, in its order."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from hepsilon.cli.parser import main
from hepsilon.data.sources import find_sources

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "in_your_analysis.md"


def blocks() -> Iterator[tuple[str, str]]:
    """Language and content of all fenced blocks."""
    yield from re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "training").symlink_to(ROOT / "training")
    names: dict[str, object] = {}
    skipped = []
    for language, content in blocks():
        if language == "sh":
            for line in content.splitlines():
                assert main(shlex.split(line)[1:]) == 0, line
        elif language == "python":
            if "dask_awkward" in content:
                try:
                    import dask_awkward  # noqa: F401
                except ImportError:  # runs under 'make dask'
                    skipped.append(content)
                    continue
            exec(compile(content, str(PAGE), "exec", dont_inherit=True), names)
        elif language == "json":
            for sample in json.loads(content).values():
                for file in sample["files"]:
                    (tmp_path / file).touch()
            (tmp_path / "fileset.json").write_text(content)
            found = {s.dataset: s.weight for s in find_sources("fileset.json")}
            assert found == {"ttbar": 0.031, "zjets": 0.42}
        else:
            assert language == "text"  # commands that change the environment
    assert (tmp_path / "watched.hepsilon").exists()
    assert len(skipped) <= 1
