"""Numbers of artifacts that this process has loaded: one load in a process is enough."""

from __future__ import annotations

import os
import socket
from collections import Counter

__all__ = ["Loads", "loads_here", "merged_loads", "note_load"]

Loads = dict[str, dict[str, int]]
"""Number of loads by process (``HOST:PID``) and hash of the artifact."""

_LOADS: Counter[str] = Counter()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_LOADS.clear)


def note_load(artifact: str) -> None:
    """Count a load of networks.

    Parameters
    ----------
    artifact : str
        Hash of the artifact.
    """
    _LOADS[artifact] += 1


def loads_here() -> Loads:
    """Loads of this process so far.

    Returns
    -------
    dict
        Number by process, which is this one, and hash; empty if nothing was loaded.
    """
    return {f"{socket.gethostname()}:{os.getpid()}": dict(_LOADS)} if _LOADS else {}


def merged_loads(one: Loads, other: Loads) -> Loads:
    """Loads that two reports tell of: of the same process the later, larger numbers.

    Parameters
    ----------
    one, other : dict
        Results of :func:`loads_here`, at whatever time in whatever process.

    Returns
    -------
    dict
        For all processes.
    """
    merged = {process: dict(counts) for process, counts in one.items()}
    for process, counts in other.items():
        mine = merged.setdefault(process, {})
        for artifact, count in counts.items():
            mine[artifact] = max(count, mine.get(artifact, 0))
    return merged
