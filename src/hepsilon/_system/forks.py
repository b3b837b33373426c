"""Forks of this process: what must not be taken along, and what cannot work in a child."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["fork_lost", "guarded_fork", "note_threads"]


class Guard(Protocol):
    """A lock of any kind."""

    def acquire(self) -> Any:
        """Wait for the lock."""
        ...

    def release(self) -> Any:
        """Give it back."""
        ...


_STARTED: set[str] = set()
_LOST: set[str] = set()
_KEPT: list[Any] = []
"""What a child must neither use nor destroy: destroying waits for threads that it does not have."""


def note_threads(library: str) -> None:
    """Note that a library runs threads in this process, without which it cannot go on.

    Parameters
    ----------
    library : str
        Its name.
    """
    _STARTED.add(library)


def fork_lost(library: str) -> bool:
    """Whether a library had started its threads before this process was forked.

    Parameters
    ----------
    library : str
        Its name.

    Returns
    -------
    bool
        True in a child that does not have these threads: whoever calls the library waits for ever.
    """
    return library in _LOST


def guarded_fork(lock: Guard, reset: Callable[[], object] | None = None) -> None:
    """Let forks wait for a lock, and let the child begin anew.

    Parameters
    ----------
    lock : Lock or RLock
        Lock under which something is made; a child never finds that half done, nor locked.
    reset : callable, optional
        Called in the child; what it gives is kept, and never destroyed there.
    """
    if not hasattr(os, "register_at_fork"):
        return

    def in_child() -> None:
        if reset is not None:
            _KEPT.append(reset())
        lock.release()

    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=in_child)


def _before() -> None:
    """Notice a TensorFlow that others have started."""
    context = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)
    if getattr(context, "_initialized", False):
        _STARTED.add("tensorflow")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_child=lambda: _LOST.update(_STARTED))
