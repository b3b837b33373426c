"""coffea executors for one machine."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from coffea import processor

from hepsilon import errors
from hepsilon._system.extras import needs
from hepsilon._system.workers import end_workers, reusable_pool
from hepsilon.distributed.work import is_lost

__all__ = ["add_executor_options", "executor", "local_executor", "user_errors"]


def local_executor(workers: int) -> Any:
    """Executor in this process (one worker) or in a pool of processes.

    The pool is loky's reusable one: it outlives a run, so TensorFlow starts once per worker, and
    it never forks a process in which TensorFlow already runs (that would deadlock). The workers
    share the CPUs. Nothing is tried again: on one machine an error is the same the second time.
    """
    if workers == 1:
        return processor.IterativeExecutor(retries=0)
    pool = reusable_pool(workers)
    return processor.FuturesExecutor(pool=pool, workers=workers, retries=0)


def _check_address(scheduler: str) -> None:
    """Raise ``ValueError`` as a client would, without the thread that a client starts first."""
    from distributed.comm.addressing import parse_address
    from distributed.comm.registry import get_backend

    scheme, location = parse_address(scheduler)
    with suppress(NotImplementedError):  # inproc:// has no host
        backend: Any = get_backend(scheme)
        backend.get_address_host_port(location)


EXECUTORS = ("iterative", "futures", "dask")


def add_executor_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`executor` needs, and ``--chunksize``, to a parser."""
    group = parser.add_argument_group("executor of coffea")
    group.add_argument("--executor", choices=EXECUTORS, default="futures", help="(%(default)s)")
    group.add_argument("--workers", type=int, default=2, help="processes (%(default)s)")
    group.add_argument("--scheduler", help="address of a Dask scheduler (a local cluster)")
    group.add_argument("--chunksize", type=int, default=100_000, help="events (%(default)s)")


@contextmanager
def executor(kind: str, workers: int = 2, scheduler: str | None = None) -> Iterator[Any]:
    """Give a coffea executor, and end afterwards what was started for it.

    Parameters
    ----------
    kind : str
        ``"iterative"`` (this process), ``"futures"`` (processes on this machine) or ``"dask"``.
    workers : int, default 2
        Processes.
    scheduler : str, optional
        Address of a Dask scheduler; without it a local cluster is started.

    Yields
    ------
    callable
        Executor for ``coffea.processor.Runner``.

    Raises
    ------
    ConfigError
        For another kind.
    """
    if kind not in EXECUTORS:
        raise errors.ConfigError(f"expected an executor of {EXECUTORS}, received {kind!r}")
    if kind != "dask":
        try:
            yield local_executor(1 if kind == "iterative" else workers)
        except BaseException:  # also Ctrl-C and SIGTERM: chunks that are left would go on
            end_workers()
            raise
        return
    needs("the executor 'dask'", "distributed")
    from dask.distributed import Client, LocalCluster

    if scheduler is not None:
        try:
            _check_address(scheduler)
            client: Any = Client(scheduler)  # type: ignore[no-untyped-call, unused-ignore]
        except ValueError as error:
            raise errors.ConfigError(
                "expected the address of a scheduler of Dask, such as tcp://HOST:8786, received "
                f"{scheduler!r} ({error})"
            ) from None
        with client:
            yield processor.DaskExecutor(client=client)
        return
    # one thread per worker: TensorFlow and numba are parallel by themselves
    local: Any = LocalCluster
    options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": ":0"}
    # errors of chunks come back to us, who say them in one line
    options["silence_logs"] = logging.CRITICAL
    with local(n_workers=workers, **options) as cluster, cluster.get_client() as client:
        yield processor.DaskExecutor(client=client)


def _user_error(error: BaseException) -> errors.HepsilonError | None:
    """Find the hepsilon error behind an error of coffea or of a worker, if there is one.

    Parts of files are read by functions of ours, whose errors come back from other processes with
    their own type; coffea's ``Runner`` raises errors of its own from those of ``process()``.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, errors.HepsilonError):
            return cause
        # coffea raises an error of its own while it handles that of a killed worker
        if any(each is not None and is_lost(each) for each in (cause, cause.__context__)):
            return errors.WorkerError(
                "a worker process was killed again and again: most often it had no memory left. "
                "Give the workers more memory, or take smaller chunks"
            )
        cause = cause.__cause__
    return None


@contextmanager
def user_errors() -> Iterator[None]:
    """Raise hepsilon's own errors from within coffea as they were, not wrapped."""
    try:
        yield
    except Exception as error:
        original = _user_error(error)
        if original is None:
            raise
        raise original from None
