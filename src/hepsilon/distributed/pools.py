"""The processes behind a Dask client, a pool, or an executor of coffea."""

from __future__ import annotations

import concurrent.futures
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from hepsilon.errors import ConfigError

__all__ = ["DaskPool", "LocalPool", "Pool", "SerialPool", "pool_of"]

AnyFuture = concurrent.futures.Future[Any]
MEET = 120.0
"""Seconds that processes wait for each other to have a piece of work each."""


class Pool(ABC):
    """Processes that do independent pieces of work."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """Number of processes."""

    @abstractmethod
    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> AnyFuture:
        """Begin a piece of work.

        Parameters
        ----------
        function : callable
            Function that pickles.
        *arguments : object
            Its arguments.

        Returns
        -------
        concurrent.futures.Future
            Its result, or its error.
        """

    @abstractmethod
    def everywhere(self, function: Callable[..., Any], /, *arguments: Any) -> dict[str, Any]:
        """Call a function once in every process.

        Parameters
        ----------
        function : callable
            Function that pickles.
        *arguments : object
            Its arguments.

        Returns
        -------
        dict of str to object
            Results by process.
        """

    @abstractmethod
    def renewed(self) -> Pool:
        """The pool after the loss of a process; a new one where the old one cannot go on."""


@dataclass(frozen=True)
class SerialPool(Pool):
    """No other process: every piece of work is done here, at once."""

    @property
    def workers(self) -> int:
        return 1

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> AnyFuture:
        future: AnyFuture = concurrent.futures.Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def everywhere(self, function: Callable[..., Any], /, *arguments: Any) -> dict[str, Any]:
        return {str(os.getpid()): function(*arguments)}

    def renewed(self) -> SerialPool:
        return self


def _meet(
    folder: str, number: int, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[str, Any]:
    """Do a piece of work, and wait until so many processes have one each."""
    there = Path(folder)
    (there / str(os.getpid())).touch()
    try:
        return str(os.getpid()), function(*arguments)
    finally:
        end = monotonic() + MEET
        while len(list(there.iterdir())) < number and monotonic() < end:
            sleep(0.01)


@dataclass(frozen=True)
class LocalPool(Pool):
    """Processes, or threads, of this machine in a pool of ``concurrent.futures``, such as loky's.

    Attributes
    ----------
    pool : concurrent.futures.Executor
        The pool.
    processes : int
        Number of processes.
    """

    pool: concurrent.futures.Executor
    processes: int

    @property
    def workers(self) -> int:
        return self.processes

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> AnyFuture:
        return self.pool.submit(function, *arguments)

    def everywhere(self, function: Callable[..., Any], /, *arguments: Any) -> dict[str, Any]:
        if isinstance(self.pool, concurrent.futures.ThreadPoolExecutor):  # all in this process
            return {str(os.getpid()): function(*arguments)}
        with tempfile.TemporaryDirectory() as folder:
            given = folder, self.workers, function, arguments
            futures = [self.pool.submit(_meet, *given) for _ in range(self.workers)]
            return dict(future.result() for future in futures)

    def renewed(self) -> LocalPool:
        # loky's pool ends with a process that it loses
        from hepsilon._system.workers import reusable_pool

        return LocalPool(reusable_pool(self.workers), self.workers)


@dataclass(frozen=True)
class DaskPool(Pool):
    """Workers of a Dask cluster.

    Attributes
    ----------
    client : distributed.Client
        Connection to the scheduler.
    """

    client: Any

    @property
    def workers(self) -> int:
        """Number of workers that are there now."""
        return max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> AnyFuture:
        # Dask begins lost ones again by itself, three times
        pool = self.client.get_executor(pure=False)
        future: AnyFuture = pool.submit(function, *arguments)
        return future

    def everywhere(self, function: Callable[..., Any], /, *arguments: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.client.run(function, *arguments)
        return found

    def renewed(self) -> DaskPool:
        # nannies replace lost workers
        return self


def _is_broken(pool: concurrent.futures.Executor) -> bool:
    """Whether a pool cannot go on, since it has lost a process; loky and Python note it apart."""
    flags = getattr(pool, "_flags", None)
    return bool(getattr(flags, "broken", None) or getattr(pool, "_broken", False))


def pool_of(where: Any) -> Pool:
    """The processes behind what was given.

    Parameters
    ----------
    where : None, distributed.Client, concurrent.futures.Executor or coffea executor
        A client, a pool with a number of processes, an executor of coffea that has one of these, or
        that works in this process; None for this process.

    Returns
    -------
    Pool
        Processes.

    Raises
    ------
    ConfigError
        For what has none yet, or none that can be reached from here.
    """
    if where is None or "IterativeExecutor" in [each.__name__ for each in type(where).__mro__]:
        return SerialPool()
    if hasattr(where, "scheduler_info"):
        return DaskPool(where)
    if isinstance(where, concurrent.futures.Executor):
        workers = getattr(where, "_max_workers", None)
        if isinstance(workers, int):
            pool = LocalPool(where, workers)
            return pool.renewed() if _is_broken(where) else pool
    for name in ("client", "pool"):  # of coffea's executors
        inner = getattr(where, name, None)
        if hasattr(inner, "scheduler_info") or isinstance(inner, concurrent.futures.Executor):
            return pool_of(inner)
    raise ConfigError(
        f"expected a Dask client, a pool, or an executor of coffea with one of them, received "
        f"{type(where).__name__}: give FuturesExecutor(pool=...) a pool that outlives a run "
        "(hepsilon.processors.executors.local_executor does), DaskExecutor(client=...) a client; "
        "with TaskVine, Parsl or HTCondor ship hepsilon.distributed.artifact_files(efficiencies) "
        "with the jobs, whose workers look for them in HEPSILON_ARTIFACTS and their working "
        "directory"
    )
