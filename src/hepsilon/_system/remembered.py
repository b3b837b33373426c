"""What is known of files, found once in a run however often it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["remembered", "remembering"]

T = TypeVar("T")
_KNOWN: ContextVar[dict[Any, Any] | None] = ContextVar("known", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """Remember what :func:`remembered` finds, until the outermost such block is left."""
    if _KNOWN.get() is not None:
        yield
        return
    token = _KNOWN.set({})
    try:
        yield
    finally:
        _KNOWN.reset(token)


def remembered(path: str, what: tuple[Any, ...], find: Callable[[], T]) -> T:
    """Find something out about a file, or remember it; a file that has changed is looked at anew.

    Parameters
    ----------
    path : str
        File, or an address, of which nothing tells whether it has changed.
    what : tuple
        What is asked.
    find : callable
        Finds the answer.

    Returns
    -------
    object
        The answer.
    """
    known = _KNOWN.get()
    if known is None:
        return find()
    key = (path, what, _state(path))
    if key not in known:
        known[key] = find()
    found: T = known[key]
    return found


def _state(path: str) -> tuple[int, ...]:
    if "://" in path:
        return ()
    try:
        status = Path(path).stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
