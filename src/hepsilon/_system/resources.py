"""CPUs, memory and threads that this process may use."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

import loky

__all__ = ["has_nvidia_gpu", "threaded", "usable_cpus", "usable_memory"]

CGROUPS = Path("/sys/fs/cgroup")
PROCESS_CGROUPS = Path("/proc/self/cgroup")
V1_LIMIT, V2_LIMIT = "memory.limit_in_bytes", "memory.max"
DRIVERS = Path("/proc/driver/nvidia"), Path("/dev/nvidiactl"), Path("/dev/dxg")
"""The driver of an NVIDIA GPU, what sandboxes show of it, and that of WSL."""
T = TypeVar("T")
R = TypeVar("R")


def usable_cpus() -> int:
    """Number of worker threads for numerical work, at least one.

    The number is the smallest of those that the scheduler grants (affinity, cgroup quota,
    ``LOKY_MAX_CPU_COUNT``) and of ``OMP_NUM_THREADS``, which Dask sets to one in its worker
    processes, since its own threads fill the machine.

    Returns
    -------
    int
        Number of threads.
    """
    cpus = int(loky.cpu_count())
    omp = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(cpus, int(omp)) if omp.isdecimal() and int(omp) else cpus


def usable_memory() -> int:
    """Memory that this process may use: that of the machine, or of its cgroup if less.

    Returns
    -------
    int
        Number of bytes.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        groups = PROCESS_CGROUPS.read_text().splitlines()
    except OSError:  # not Linux
        groups = []
    for group in groups:
        _, controllers, path = group.split(":", 2)
        kind, file = ("memory", V1_LIMIT) if controllers else ("", V2_LIMIT)
        if controllers in {"", "memory"}:
            below = CGROUPS / kind / path.lstrip("/")
            limits += [_limit(folder / file) for folder in (below, *below.parents)]
    return min(limits)


def _limit(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # none here, or "max"
        return sys.maxsize


def has_nvidia_gpu() -> bool:
    """Whether the driver of an NVIDIA GPU is loaded and not hidden from this process.

    A driver is not yet a GPU that a program can use, as in containers without one: a runtime is to
    be asked for that (:func:`hepsilon.efficiencies.engines.devices.gpus`).
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}
    return any(map(Path.exists, DRIVERS)) and not hidden


def threaded(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Apply a function to items in threads, and give the results in the order of the items.

    Unlike ``Executor.map`` it takes items only as they are needed, so that memory does not grow
    with their number. The threads are those of the process and outlive the call.

    Parameters
    ----------
    function : callable
        Function of one item; it must not call :func:`threaded` itself.
    items : iterable
        Arguments of the function, one for each call.
    workers : int
        Number of threads; with one or fewer the calls are made in the thread of the caller.

    Yields
    ------
    object
        Result for the next item. An exception of the function is raised in its place, and the calls
        that have not begun are cancelled.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    pool, waiting = _pool(workers), deque[Future[R]]()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # no waiting: garbage collection may bring one of the threads here
        for future in waiting:
            future.cancel()


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="hepsilon")


if hasattr(os, "register_at_fork"):  # a fork has the pool, but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
