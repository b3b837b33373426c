"""Running a processor over files of any format, with errors that users understand.

The files are read as in the training, by :mod:`hepsilon.data.reading`, and coffea's executors carry
the parts to their workers: what can be trained on can be closed on, under the same names, and a
file that is damaged or lacks a column is named before or where it fails. In an analysis of one's
own the processors run under coffea's ``Runner`` with any schema.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, NotRequired, TypedDict

import awkward as ak
import numpy as np
from coffea import processor
from coffea.processor.accumulator import accumulate

from hepsilon._system.gathered import gathered
from hepsilon._system.progress import progress_bar, progress_shown
from hepsilon.arrays.fields import field
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.numbers import event_column
from hepsilon.data.objects import collection
from hepsilon.data.parts import Part, Skipped, Wanted, split_files
from hepsilon.data.reading import read_events
from hepsilon.data.sample_checks import check_files
from hepsilon.data.sources import Files
from hepsilon.data.training_columns import FileResponse
from hepsilon.distributed import artifact_files, pool_of, prepare
from hepsilon.distributed.work import work
from hepsilon.efficiencies.loads import Loads, loads_here
from hepsilon.errors import ConfigError, InputError
from hepsilon.processors.checkpoints import Checkpointed, checkpoint_folder, fingerprint
from hepsilon.processors.executors import user_errors
from hepsilon.processors.outputs import Output
from hepsilon.processors.run_record import RunRecord

__all__ = ["run_parts", "run_processor"]

logger = logging.getLogger("hepsilon")


class Processed(TypedDict):
    """Result of a part of a file, which coffea adds to others."""

    output: NotRequired[Any]
    """Output of the processor; missing where the part has no events."""
    run: RunRecord
    files: dict[str, FileResponse]


@dataclass(frozen=True)
class _Process:
    """Work on one part of a file, wherever it is done."""

    instance: processor.ProcessorABC
    task: Task
    config: InputConfig
    wanted: Wanted

    def __call__(self, part: Part) -> Processed:
        start, skipped, sum_of, response = perf_counter(), Skipped(), None, FileResponse()
        with gathered() as said:
            for events in read_events(part, self.task, self.config, self.wanted, skipped):
                output = self.instance.process(events)[part.source.dataset]
                sum_of = output if sum_of is None else sum_of + output
                response += self._response(events)
        run = replace(
            RunRecord.of_part(part),
            skipped=Counter(skipped.counts),
            said=said,
            loads=loads_here(),
            seconds=perf_counter() - start,
        )
        done: Processed = {"run": run, "files": {part.source.path: response}}
        if sum_of is not None:
            done["output"] = sum_of
        return done

    def _response(self, events: ak.Array) -> FileResponse:
        """Range of the field of the response, as far as it is read."""
        name = self.task.passed.field
        if self.task.of_events:
            read = name in self.wanted.numbers
            values = event_column(events, name, self.config) if read else np.empty(0)
        else:
            records = collection(events, self.task, self.config, fields=[name])
            values = ak.to_numpy(ak.drop_none(ak.flatten(field(records, name), axis=None)))
        return FileResponse.of(np.asarray(values, np.float64))


def run_parts(
    parts: list[Part],
    function: Callable[[Part], Any],
    executor: Any = None,
    *,
    label: str = "reading files",
) -> Any:
    """Run a function over parts of files through a coffea executor.

    Parameters
    ----------
    parts : list of Part
        The parts.
    function : callable
        Work on one of them; it must pickle, and give what coffea can add.
    executor : coffea executor, optional
        Executor to run with; IterativeExecutor by default.
    label : str, default "reading files"
        What its progress bar says.

    Returns
    -------
    Any
        Sum of what the function gives.

    Raises
    ------
    HepsilonError
        An error of the function, as it was raised.
    """
    chosen = executor or processor.IterativeExecutor(status=False, retries=0)
    work_on = _Readable(function)
    with user_errors():
        if type(chosen) is processor.FuturesExecutor and isinstance(chosen.pool, Executor):
            return _in_pool(parts, work_on, chosen, label)
        shown = chosen.copy(desc=label, unit="chunk", status=chosen.status and progress_shown())
        result, error = shown(parts, work_on, None)
        if error:
            raise error
    return result


@dataclass(frozen=True)
class _Readable:
    """Work on a part; what the system says of its file is an error of the input."""

    function: Callable[[Part], Any]

    def __call__(self, part: Part) -> Any:
        try:
            return self.function(part)
        except OSError as error:
            raise InputError(f"{part.source.path} could not be read to its end: {error}") from None


def _in_pool(parts: list[Part], function: Callable[[Part], Any], executor: Any, label: str) -> Any:
    """Work in a pool of processes, of which some may be lost; added up in the order of the parts.

    coffea's own loop gives up where a process is lost, and goes on to the end after an error.
    """
    waiting: dict[int, Any] = {}
    result, added = None, 0
    with progress_bar(label, len(parts), show=bool(executor.status)) as advance:
        for number, found in work(pool_of(executor), function, parts):
            waiting[number] = found
            while added in waiting:
                result = accumulate([waiting.pop(added)], result)
                added += 1
            advance()
    return result


def _prepared(executor: Any, efficiencies: Any) -> Loads:
    """Models on all workers that can be reached; others load them with their first chunk."""
    try:
        pool_of(executor)
    except ConfigError:
        artifact_files(efficiencies)
        return {}
    return prepare(executor, efficiencies)


def run_processor(
    files: Files,
    instance: processor.ProcessorABC,
    task: Task,
    config: InputConfig,
    *,
    executor: Any = None,
    chunksize: int = 100_000,
    max_events: int | None = None,
    checkpoint: str | Path | None = None,
) -> Any:
    """Run a processor of this package over files as one dataset, through a coffea executor.

    Parameters
    ----------
    files : str, Path, Source or iterable of these
        Files of the sample (see :func:`hepsilon.data.sources.find_sources`).
    instance : processor.ProcessorABC
        A :class:`~hepsilon.processors.TruthTagging` or
        :class:`~hepsilon.processors.EfficiencyInversion`, or one of one's own that says by
        ``wanted`` which columns it needs.
    task : Task
        Task of the processor, checked against every file before any work.
    config : InputConfig
        Places of the columns in the files.
    executor : coffea executor, optional
        Executor to run with; IterativeExecutor by default.
    chunksize : int, default 100000
        Largest number of events of a chunk.
    max_events : int, optional
        Number of events after which no more are taken.
    checkpoint : str or Path, optional
        Folder, seen by all workers, in which the result of each chunk is kept: an equal run goes on
        from there. Who asks for it removes it in the end
        (:func:`hepsilon.processors.checkpoints.remove_checkpoint`).

    Returns
    -------
    Output
        Output of the processor: a :class:`~hepsilon.processors.outputs.TaggingOutput` or
        :class:`~hepsilon.processors.outputs.InversionOutput`, or what a processor of one's own
        gives.

    Raises
    ------
    InputError
        If there are no files or no events, or for a file that lacks what the task needs.
    ConfigError
        For a checkpoint with efficiencies that are no files, or in a folder with other files.
    """
    wanted: Wanted = instance.wanted
    start, skipped = perf_counter(), Skipped()
    parts = split_files(
        files, task, config, wanted, step=chunksize, max_events=max_events, skipped=skipped
    )
    n_entries = sum(part.entrystop - part.entrystart for part in parts)
    n_files = len({part.source for part in parts})
    logger.info("processing %d entries (files: %d, parts: %d)", n_entries, n_files, len(parts))
    with user_errors():
        ready = _prepared(executor, getattr(instance, "efficiencies", {}))
    function: Callable[[Part], Any] = _Process(instance, task, config, wanted)
    if checkpoint is not None:
        folder = checkpoint_folder(Path(checkpoint), fingerprint(instance, task, config))
        function = Checkpointed(function, folder.absolute())
    result = run_parts(parts, function, executor, label="closure")
    run: RunRecord = replace(result["run"], wall_seconds=perf_counter() - start)
    run = run + RunRecord(skipped=Counter(skipped.counts), loads=ready)
    run.report()
    check_files(result["files"], task)
    output = result.get("output")
    if output is None:
        raise InputError("every part of the files is damaged, and was left out")
    output = instance.postprocess({"sample": output})["sample"]
    return replace(output, run=run) if isinstance(output, Output) else output
