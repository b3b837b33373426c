from __future__ import annotations

import threading

import pytest
from coffea import processor

from hepsilon import errors
from hepsilon.processors import executors as execution
from hepsilon.processors.executors import local_executor


def test_one_worker_needs_no_other_process():
    assert isinstance(local_executor(1), processor.IterativeExecutor)


def test_several_workers_share_a_pool_that_stays(tmp_path):
    """So that TensorFlow starts once in a worker, not once in every run."""
    first, second = local_executor(2), local_executor(2)
    assert isinstance(first, processor.FuturesExecutor)
    assert first.workers == 2
    assert first.pool is second.pool


def test_unknown_executors_are_refused():
    with pytest.raises(errors.ConfigError, match="iterative"), execution.executor("spark"):
        pass


@pytest.mark.parametrize("scheduler", ["nonsense", "tcp://host", "nope://host:1"])
def test_what_is_no_address_of_a_scheduler_is_refused(scheduler):
    pytest.importorskip("distributed")
    before = set(threading.enumerate())
    with (
        pytest.raises(errors.ConfigError, match="tcp://HOST:8786, received"),
        execution.executor("dask", scheduler=scheduler),
    ):
        pass
    started = set(threading.enumerate()) - before
    assert not [thread for thread in started if thread.name == "IO loop"]  # of a client


@pytest.mark.parametrize("scheduler", ["host:8786", "tls://[::1]:8786", "inproc://1/2/3"])
def test_addresses_of_schedulers_are_left_to_a_client(scheduler):
    pytest.importorskip("distributed")
    execution._check_address(scheduler)


def test_iterative_executor_does_not_try_again():
    with execution.executor("iterative") as chosen:
        assert chosen.retries == 0
