from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import loky
import pytest

from hepsilon._system import resources
from hepsilon._system.resources import threaded, usable_cpus, usable_memory

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


# CPUs


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the scheduler grants four CPUs."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(loky, "cpu_count", lambda: 4)


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", 1), ("3", 3), (" 2 ", 2), ("2,4", 2), ("4", 4), ("64", 4)],
)
def test_threads_are_those_of_openmp(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert usable_cpus() == expected


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("value", ["", "0", "-1", "many", "1.5", ",2", "\N{SUPERSCRIPT TWO}"])
def test_openmp_settings_without_a_number_are_none(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert usable_cpus() == 4


@pytest.mark.parametrize(("value", "expected"), [("1", 1), ("0", 1), ("-3", 1)])
def test_threads_are_limited_by_loky(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: int
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", value)
    assert usable_cpus() == expected


def test_loky_never_grants_more_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "100000")
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)


# threads


class Counted:
    """Items that count how many were taken."""

    def __init__(self, n: int, failing: int | None = None) -> None:
        self.n, self.failing, self.taken = n, failing, 0

    def __iter__(self) -> Iterator[int]:
        for i in range(self.n):
            if i == self.failing:
                raise LookupError("no more")
            self.taken += 1
            yield i


@pytest.mark.parametrize("workers", [0, 1, 2, 7])
@pytest.mark.parametrize("n", [0, 1, 5, 100])
def test_results_come_in_the_order_of_the_items(workers: int, n: int) -> None:
    def work(i: int) -> int:
        sum(range(100_000 * (i % 3 == 0)))  # some finish later than those after them
        return 2 * i

    assert list(threaded(work, range(n), workers)) == [2 * i for i in range(n)]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_items_are_taken_only_as_they_are_needed(workers: int) -> None:
    items = Counted(1000)
    results = threaded(str, items, workers)
    assert items.taken == 0
    for done in range(1, 200):
        assert next(results) == str(done - 1)
        assert items.taken <= done + 2 * workers
    results.close()  # type: ignore[attr-defined]
    assert items.taken < 250


def test_so_many_threads_work_at_once() -> None:
    barrier = threading.Barrier(3, timeout=300)
    assert len(set(threaded(lambda _: barrier.wait(), range(3), 3))) == 3


def test_one_worker_is_the_calling_thread() -> None:
    found = list(threaded(lambda _: threading.current_thread(), range(3), 1))
    assert set(found) == {threading.current_thread()}


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("at", [0, 3, 49])
def test_failure_is_raised_where_its_result_would_be(workers: int, at: int) -> None:
    def work(i: int) -> int:
        if i == at:
            raise ZeroDivisionError("of an item")
        return i

    results, found = threaded(work, range(50), workers), []
    with pytest.raises(ZeroDivisionError, match="of an item"):
        found.extend(iter(results.__next__, None))
    assert len(found) <= at
    assert threading.active_count() < 50


@pytest.mark.parametrize("workers", [1, 3])
def test_failure_of_the_items_is_raised_too(workers: int) -> None:
    with pytest.raises(LookupError, match="no more"):
        list(threaded(str, Counted(50, failing=20), workers))


def test_threads_of_a_process_are_kept() -> None:
    """The second call has those of the first, none is started for it."""
    first, second = (set(threaded(lambda _: threading.get_ident(), range(20), 2)) for _ in range(2))
    assert len(first | second) <= 2


def test_a_caller_who_gives_up_leaves_the_threads_to_others() -> None:
    done: list[int] = []
    results = threaded(done.append, range(1000), 2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert list(threaded(abs, range(-5, 0), 2)) == [5, 4, 3, 2, 1]
    assert len(done) < 10


FORK = """
import os
from hepsilon._system.resources import threaded
assert list(threaded(abs, [-1, -2, -3], 2)) == [1, 2, 3]
child = os.fork()
if not child:
    os._exit(0 if list(threaded(abs, [-4, -5], 2)) == [4, 5] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_has_threads_of_its_own() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=300)
