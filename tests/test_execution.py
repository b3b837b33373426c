from __future__ import annotations

from coffea import processor

from hepsilon.execution import local_executor


def test_one_worker_needs_no_other_process():
    assert isinstance(local_executor(1), processor.IterativeExecutor)


def test_several_workers_share_a_pool_that_stays(tmp_path):
    """So that TensorFlow starts once in a worker, not once in every run."""
    first, second = local_executor(2), local_executor(2)
    assert isinstance(first, processor.FuturesExecutor)
    assert first.workers == 2
    assert first.pool is second.pool
