"""kill -9 at every step of everything that writes: nothing is lost, and no half file is readable.

What was there stays, or what was to be there is complete; what a kill leaves has a name that begins
with a dot and ends in ``.tmp``; the next run succeeds, and leaves none of these.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

import hepsilon
from tests.helpers.kills import WRITERS
from tests.helpers.processes import python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a fork")
PACKAGE = Path(hepsilon.__file__).parent
AS_OTHERS = {
    "_system.files": "the functions themselves",
    "demo.jets": "one text, as cli.starting",
    "report": "only names the function",
    "report.held_out": "one text, as cli.starting",
    "report.ratio": "a folder of a closure, as report.writer",
    "training.jobs": "states, as training.on_workers",
    "processors.saved_outputs": "by processors.checkpoints and report.writer",
}
"""Modules without a writer of their own here."""
ATOMIC = re.compile(r"\b(atomic_path|atomic_folder|atomic_tree|write_text)\b")
WRITES = re.compile(
    r"\.write_(text|bytes)\(|recreate\(|ZipFile\([^)]*\"w\"|savez\(|ParquetWriter\("
    r"|to_parquet\(|open\([^)]*\"[wax]b?\""
)


def modules() -> dict[str, str]:
    """Text of every module by its name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path.read_text()
    return found


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Any]:
    """What became of all kills."""
    code = "import sys; from tests.helpers.kills import main; main()"
    lines = python(code, warnings="ignore").splitlines()
    return {each["name"]: each for each in map(json.loads, lines)}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_kill_at_any_step_loses_nothing(outcomes: dict[str, Any], name: str) -> None:
    found = outcomes[name]
    assert found["faults"] == []
    assert found["old"] > 0
    assert found["new"] > 0
    assert found["kills"] >= 5


def test_everything_that_writes_is_killed() -> None:
    """A new writer comes in here, or says as which other one it writes."""
    using = {name for name, text in modules().items() if ATOMIC.search(text)}
    assert using - {"_system.files"} == {each.module for each in WRITERS.values()} | (
        set(AS_OTHERS) - {"_system.files"}
    )


def test_nothing_writes_in_place() -> None:
    direct = {name for name, text in modules().items() if WRITES.search(text)}
    assert {name for name in direct if not ATOMIC.search(modules()[name])} == set()
