from __future__ import annotations

import os
from pathlib import Path

import pytest

from hepsilon import resources
from hepsilon.resources import usable_memory

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(resources, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(resources, "PROCESS_CGROUPS", tmp_path / "self")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def test_memory_is_that_of_the_machine(groups: Path) -> None:
    assert usable_memory() == MACHINE
    write(groups / "self", "0::/user/job")
    write(groups / "cgroup" / "user" / "memory.max", "max")
    assert usable_memory() == MACHINE


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("0::/user/job", "user/job/memory.max"),
        ("0::/user/job", "user/memory.max"),
        ("0::/", "memory.max"),
        ("4:memory:/user/job", "memory/user/job/memory.limit_in_bytes"),
        ("4:memory:/of/the/host", "memory/memory.limit_in_bytes"),
    ],
)
def test_memory_is_that_of_the_job(groups: Path, line: str, limit: str) -> None:
    write(groups / "self", f"5:cpu:/user/job\n{line}")
    write(groups / "cgroup" / "other" / "memory.max", "5")
    write(groups / "cgroup" / limit, "1000000")
    assert usable_memory() == 1000000


def test_a_limit_beyond_the_machine_is_none(groups: Path) -> None:
    write(groups / "self", "4:memory:/")
    write(groups / "cgroup" / "memory" / "memory.limit_in_bytes", "9223372036854771712")
    assert usable_memory() == MACHINE
