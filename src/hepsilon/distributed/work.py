"""Independent pieces of work in a pool: done once each, also where processes are lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from typing import Any, TypeVar

from hepsilon.distributed.pools import Pool
from hepsilon.errors import WorkerError

__all__ = ["BREAKS", "is_lost", "work"]

logger = logging.getLogger("hepsilon")
ItemT = TypeVar("ItemT")
BREAKS = 3
"""Times that processes may be lost with no result in between, before the work is the cause."""


def is_lost(error: BaseException) -> bool:
    """Whether an error says that a process ended before its work was done.

    Parameters
    ----------
    error : BaseException
        Error of a future.

    Returns
    -------
    bool
        True for a broken pool, and for a worker of Dask that was killed.
    """
    return isinstance(error, BrokenExecutor) or type(error).__name__ in (
        "KilledWorker",
        "FutureCancelledError",
        "CommClosedError",
    )


def work(
    pool: Pool, function: Callable[[ItemT], Any], items: Sequence[ItemT]
) -> Iterator[tuple[int, Any]]:
    """Do pieces of work, and give every result as soon as it is there.

    What a lost process was doing is begun again; results that had arrived are kept, so that nothing
    counts twice. Leaving the iteration early cancels what has not begun.

    Parameters
    ----------
    pool : Pool
        The processes.
    function : callable
        Work on one item.
    items : sequence
        The items.

    Yields
    ------
    number : int
        Place of the item.
    result : object
        Its result.

    Raises
    ------
    WorkerError
        If processes are lost again and again with no result in between.
    Exception
        The first error of the function.
    """
    waiting: dict[Future[Any], int] = {}
    breaks = 0
    try:
        waiting = _begin(pool, function, items, range(len(items)))
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            lost = []
            for future in done:
                number = waiting.pop(future)
                error = _error_of(future)
                if error is None:
                    breaks = 0
                    yield number, future.result()
                elif is_lost(error):
                    lost.append(number)
                else:
                    raise error
            if lost:
                breaks += 1
                if breaks > BREAKS:
                    raise WorkerError(
                        "worker processes ended before their work was done, again and again: "
                        "killed, out of memory, or by a fault in a library. Give them more memory, "
                        "fewer processes (--workers) or smaller chunks"
                    )
                # a pool that breaks takes with it all that it has not finished
                lost += [waiting.pop(f) for f in list(waiting) if f.done() and _is_lost(f)]
                logger.warning("a worker process ended in the middle; its work is begun again")
                pool = pool.renewed()
                waiting |= _begin(pool, function, items, sorted(lost))
    finally:
        for future in waiting:
            future.cancel()


def _begin(
    pool: Pool, function: Callable[[ItemT], Any], items: Sequence[ItemT], numbers: Iterable[int]
) -> dict[Future[Any], int]:
    return {pool.submit(function, items[number]): number for number in numbers}


def _error_of(future: Future[Any]) -> BaseException | None:
    """Error of a future that is done; one that was cancelled lost its process."""
    return BrokenExecutor("cancelled") if future.cancelled() else future.exception()


def _is_lost(future: Future[Any]) -> bool:
    error = _error_of(future)
    return error is not None and is_lost(error)
