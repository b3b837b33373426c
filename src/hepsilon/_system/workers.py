"""Worker processes on this machine, which end when their parent does."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from time import sleep
from typing import Any

from hepsilon._system.resources import usable_cpus

__all__ = ["end_workers", "reusable_pool"]

WATCH = 2.0
"""Seconds between two looks at the parent."""
_WORKERS: dict[str, Any] = {}


def _watch(parent: int) -> None:
    """End this process once its parent is gone, however that ended."""

    def look() -> None:
        while os.getppid() == parent:
            sleep(WATCH)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=look, daemon=True, name="hepsilon-parent").start()


def reusable_pool(workers: int) -> Any:
    """Loky's pool of this process, which outlives a run; the workers share the CPUs.

    Parameters
    ----------
    workers : int
        Number of processes.

    Returns
    -------
    loky.reusable_executor._ReusablePoolExecutor
        The pool; a new one where the last one broke, or had another number.
    """
    from loky import get_reusable_executor

    threads = {"OMP_NUM_THREADS": str(max(1, usable_cpus() // workers))}
    pool = get_reusable_executor(
        max_workers=workers, timeout=600, env=threads, initializer=_watch, initargs=(os.getpid(),)
    )
    _WORKERS["pool"] = pool
    return pool


def end_workers() -> None:
    """End the processes of the pool at once, whatever they do; none is left behind."""
    pool = _WORKERS.pop("pool", None)
    if pool is not None:
        with suppress(Exception):  # it broke before
            pool.shutdown(wait=False, kill_workers=True)
