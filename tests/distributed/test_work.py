"""Pieces of work in pools, of which some processes are lost."""

from __future__ import annotations

import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hepsilon import InputError, WorkerError
from hepsilon.distributed import pool_of
from hepsilon.distributed.pools import LocalPool, SerialPool
from hepsilon.distributed.work import work
from hepsilon.processors.executors import local_executor


def squared(number: int) -> int:
    return number**2


def dies_once(item: tuple[int, str]) -> int:
    """The process of one item is killed when it comes first."""
    number, mark = item
    if number == 3 and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def dies(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuses(number: int) -> int:
    if number == 2:
        raise InputError("two")
    return number


@pytest.fixture
def pool() -> LocalPool:
    found = pool_of(local_executor(2))
    assert isinstance(found, LocalPool)
    return found


@pytest.mark.parametrize("serial", [True, False])
def test_every_item_gives_one_result(pool: LocalPool, serial: bool) -> None:
    found = list(work(SerialPool() if serial else pool, squared, list(range(20))))
    assert sorted(found) == [(i, i**2) for i in range(20)]


@pytest.mark.slow
def test_what_a_lost_process_did_is_begun_again(
    pool: LocalPool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Complete, and nothing counts twice."""
    items = [(i, str(tmp_path / "mark")) for i in range(8)]
    with caplog.at_level(logging.WARNING, "hepsilon"):
        found = list(work(pool, dies_once, items))
    assert sorted(found) == [(i, i**2) for i in range(8)]
    assert "begun again" in caplog.text
    again = pool_of(local_executor(2))
    assert sorted(work(again, squared, [1, 2])) == [(0, 1), (1, 4)]


@pytest.mark.slow
def test_work_that_kills_its_process_ends_with_one_error(pool: LocalPool) -> None:
    with pytest.raises(WorkerError, match="again and again"):
        list(work(pool, dies, [1]))


@pytest.mark.slow
def test_errors_have_their_own_type(pool: LocalPool) -> None:
    with pytest.raises(InputError, match="two"):
        list(work(pool, refuses, [1, 2, 3]))


def test_each_process_is_reached(pool: LocalPool) -> None:
    assert len(pool.everywhere(os.getpid)) == 2
    assert SerialPool().everywhere(os.getpid) == {str(os.getpid()): os.getpid()}


def test_threads_are_one_process() -> None:
    calls: list[int] = []
    with ThreadPoolExecutor(3) as threads:
        found = pool_of(threads).everywhere(calls.append, 1)
    assert found == {str(os.getpid()): None}
    assert calls == [1]
