"""Training columns, read by the workers of a coffea executor."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from hepsilon.config.file import Config
from hepsilon.data.dataset import part_columns, sorted_columns
from hepsilon.data.parts import Part, Skipped, Wanted, split_files
from hepsilon.data.reading import part_chunk, read_events
from hepsilon.data.sample_checks import report_columns
from hepsilon.data.sources import Files
from hepsilon.data.training_columns import PartColumns, TrainingColumns
from hepsilon.processors.runner import run_parts

__all__ = ["read_columns_with"]


class Read(TypedDict):
    """Columns of a part of a file, which coffea adds to others."""

    columns: list[PartColumns]
    skipped: Counter[str]


@dataclass(frozen=True)
class _Read:
    """Reading of one part of a file, wherever it is done."""

    config: Config
    wanted: Wanted

    def __call__(self, part: Part) -> Read:
        task, columns, skipped = self.config.task, [], Skipped()
        for events in read_events(part, task, self.config.input, self.wanted, skipped):
            chunk = part_chunk(events, task, self.config.input, self.wanted, skipped)
            columns.append(part_columns(chunk, task))
        return {"columns": columns, "skipped": Counter(skipped.counts)}


def read_columns_with(
    executor: Any,
    files: Files,
    config: Config,
    *,
    chunksize: int = 100_000,
    max_events: int | None = None,
    folder: Path | None = None,
) -> TrainingColumns:
    """Read the training columns of all files through a coffea executor.

    They are equal to what :func:`hepsilon.data.dataset.read_columns` gives, whatever the executor:
    the events are sorted by their keys.

    Parameters
    ----------
    executor : coffea executor
        Executor whose workers read.
    files : str, Path, Source or iterable of these
        The files (see :func:`hepsilon.data.sources.find_sources`).
    config : Config
        The task, and places of the columns.
    chunksize : int, default 100000
        Largest number of events of a part.
    max_events : int, optional
        Number of events after which no more are read.
    folder : Path, optional
        Where events are sorted that are more than memory holds.

    Returns
    -------
    TrainingColumns
        Columns of all events with objects.

    Raises
    ------
    InputError
        For files, columns or numbers that cannot be used.
    """
    wanted, skipped = Wanted.of_task(config.task), Skipped()
    parts = split_files(
        files,
        config.task,
        config.input,
        wanted,
        step=chunksize,
        max_events=max_events,
        skipped=skipped,
    )
    result = run_parts(parts, _Read(config, wanted), executor)
    skipped.counts.update(result["skipped"])
    skipped.report()
    read: list[PartColumns] = result["columns"]
    n_read = sum(part.n_read for part in read)
    columns = sorted_columns(read, config.task, folder=folder)
    report_columns(columns, config, n_read)
    return columns
