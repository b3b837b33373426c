"""Handles of artifacts, made ready on all workers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from hepsilon.distributed.carried import CarriedFile, sees
from hepsilon.distributed.pools import DaskPool, pool_of
from hepsilon.efficiencies.loads import Loads, loads_here, merged_loads

__all__ = ["artifact_files", "prepare", "send_files", "start_here"]

Efficiencies = Any | Iterable[Any] | Mapping[str, Any]


def _handles(efficiencies: Efficiencies) -> list[Any]:
    """Those that lie in files, and have something to start; maps travel with their numbers."""
    if isinstance(efficiencies, Mapping):
        given = list(efficiencies.values())
    elif isinstance(efficiencies, Iterable) and not callable(efficiencies):
        given = list(efficiencies)
    else:
        given = [efficiencies]
    return [each for each in given if hasattr(each, "start") and hasattr(each, "check_file")]


def artifact_files(efficiencies: Efficiencies) -> dict[str, str]:
    """Files that jobs need, for TaskVine, Parsl, HTCondor or any other batch system.

    Ship them into the working directory of the jobs, or into a folder that the environment variable
    ``HEPSILON_ARTIFACTS`` names there. They are found by their content.

    Parameters
    ----------
    efficiencies : SupportsEfficiency, or iterable or mapping of these
        Efficiencies from :func:`hepsilon.load`.

    Returns
    -------
    dict of str to str
        SHA-256 by path.

    Raises
    ------
    ArtifactError
        If a file is missing, damaged, or has changed since it was loaded.
    """
    handles = _handles(efficiencies)
    for handle in handles:
        handle.check_file()
    return {handle.path: handle.hash for handle in handles}


def start_here(handles: Iterable[Any]) -> Loads:
    """Start all efficiencies in this process.

    Parameters
    ----------
    handles : iterable of NetworkEfficiency
        Efficiencies that lie in files.

    Returns
    -------
    dict
        Loads of this process so far.
    """
    for handle in handles:
        handle.start()
    return loads_here()


def prepare(client_or_executor: Any, efficiencies: Efficiencies) -> Loads:
    """Put artifacts on all workers, and start them there, before the first chunk.

    Files are checked here first, so that a missing or damaged one is an error before any work. To
    workers that do not see them they are sent, also to those that join a Dask cluster later or are
    started anew. The number of threads is that of :func:`hepsilon._system.resources.usable_cpus`
    in each worker: one in those of Dask.

    Parameters
    ----------
    client_or_executor : distributed.Client, concurrent.futures.Executor or coffea executor
        Workers: a Dask client, loky's pool, or an executor of coffea that has one of them; None, or
        ``IterativeExecutor``, for this process.
    efficiencies : SupportsEfficiency, or iterable or mapping of these
        Efficiencies; maps and functions have nothing to start.

    Returns
    -------
    dict of str to dict of str to int
        Number of loads by process and hash of the artifact: one each.

    Raises
    ------
    ArtifactError
        If an artifact is missing, damaged, or has changed, here or on a worker.
    ConfigError
        If the workers cannot be reached from here, or lack the backend.

    Examples
    --------
    >>> from coffea import processor
    >>> from hepsilon.distributed import prepare
    >>> prepare(processor.IterativeExecutor(), [])
    {}
    """
    pool = pool_of(client_or_executor)
    handles = _handles(efficiencies)
    files = artifact_files(handles)
    if not handles:
        return {}
    if isinstance(pool, DaskPool):
        _register(pool, handles, files)
    started = pool.everywhere(start_here, handles)
    loads: Loads = {}
    for each in started.values():
        loads = merged_loads(loads, each)
    return loads


def _register(pool: DaskPool, handles: list[Any], files: Mapping[str, str]) -> None:
    """Send the files with a plugin that all workers get, now and later."""
    from hepsilon.distributed.dask_plugin import ArtifactPlugin

    carried = []
    for path, expected in files.items():
        seen = pool.everywhere(sees, path, expected)
        carried.append(CarriedFile.of(path, expected, send=not seen or not all(seen.values())))
    digest = hashlib.sha256(" ".join(files.values()).encode()).hexdigest()
    pool.client.register_plugin(ArtifactPlugin(f"hepsilon-{digest[:12]}", carried, handles))


def send_files(pool: DaskPool, files: Mapping[str, str]) -> None:
    """Bring files to all workers of Dask, now and later; those that see them get nothing.

    Parameters
    ----------
    pool : DaskPool
        The workers.
    files : mapping of str to str
        SHA-256 by path.

    Raises
    ------
    ArtifactError
        If a file has changed.
    """
    _register(pool, [], files)
