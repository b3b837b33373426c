"""A plugin of Dask's workers that brings artifacts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin

from hepsilon.distributed.carried import CarriedFile

__all__ = ["ArtifactPlugin"]


class ArtifactPlugin(WorkerPlugin):
    """Files for a worker, and the efficiencies that it starts before its first piece of work.

    Parameters
    ----------
    name : str
        Name under which the plugin is registered: another one of that name takes its place.
    files : sequence of CarriedFile
        Files that the worker may lack.
    handles : sequence of NetworkEfficiency
        Efficiencies to start.
    """

    def __init__(self, name: str, files: Sequence[CarriedFile], handles: Sequence[Any]) -> None:
        self.name, self.files, self.handles = name, list(files), list(handles)

    async def setup(self, worker: Any) -> None:
        """Put the files into the worker's own folder, and start the efficiencies.

        Parameters
        ----------
        worker : distributed.Worker
            The worker; it goes on answering the scheduler meanwhile.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._start, Path(worker.local_directory))

    def _start(self, folder: Path) -> None:
        for file in self.files:
            file.put(folder)
        for handle in self.handles:
            handle.start()
