"""coffea executors for one machine."""

from __future__ import annotations

from typing import Any

from coffea import processor

__all__ = ["local_executor"]


def local_executor(workers: int) -> Any:
    """Executor in this process (one worker) or in a pool of processes.

    The pool is loky's reusable one: it outlives a run, so TensorFlow starts once per worker, and
    it never forks a process in which TensorFlow already runs (that would deadlock).
    """
    if workers == 1:
        return processor.IterativeExecutor()
    from loky import get_reusable_executor

    pool = get_reusable_executor(max_workers=workers, timeout=600)
    return processor.FuturesExecutor(pool=pool, workers=workers)
