"""Running a processor over files, with errors that users understand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coffea import processor
from coffea.nanoevents import BaseSchema

from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.reading import check_file
from hepsilon.errors import InputError
from hepsilon.processors.executors import user_errors
from hepsilon.processors.schema import TaskSchema

__all__ = ["run_processor"]

SCHEMAS = {"nanoaod": TaskSchema, "base": BaseSchema, "parquet": BaseSchema}


def run_processor(
    files: Sequence[str | Path],
    instance: processor.ProcessorABC,
    task: Task,
    config: InputConfig,
    *,
    executor: Any = None,
    chunksize: int = 100_000,
) -> Any:
    """Run a processor over files as one dataset, through a coffea executor.

    Parameters
    ----------
    files : sequence of str or Path
        Files of the sample.
    instance : processor.ProcessorABC
        The processor.
    task : Task
        Task of the processor, checked against every file before any work.
    config : InputConfig
        Places of the columns in the files.
    executor : coffea executor, optional
        Executor to run with; IterativeExecutor by default.
    chunksize : int, default 100000
        Events per chunk.

    Returns
    -------
    Output
        Output of the processor for the dataset: a
        :class:`~hepsilon.processors.outputs.TaggingOutput` or
        :class:`~hepsilon.processors.outputs.InversionOutput`, or what a processor of one's own
        gives.

    Raises
    ------
    InputError
        If there are no files or no events, or for a file that lacks what the task needs.
    """
    if not files:
        raise InputError("expected at least one file")
    for file in files:  # before any work: coffea would fail with a riddle, or drop the file
        check_file(file, task, config, response=not getattr(instance, "measured", False))
    runner = processor.Runner(
        executor=executor or processor.IterativeExecutor(status=False, retries=0),
        schema=SCHEMAS[config.schema_],
        chunksize=chunksize,
        format="parquet" if config.schema_ == "parquet" else "root",
    )
    fileset = {"sample": {"treename": config.tree, "files": [str(file) for file in files]}}
    with user_errors():
        result = runner(fileset, instance)
    if "sample" not in result:
        raise InputError(f"the files {[str(f) for f in files]} hold no events")
    return result["sample"]
