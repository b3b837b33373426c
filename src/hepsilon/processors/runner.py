"""Running a processor over files of any format, with errors that users understand.

The files are read as in the training, by :mod:`hepsilon.data.reading`, and coffea's executors carry
the parts to their workers: what can be trained on can be closed on, under the same names, and a
file that is damaged or lacks a column is named before or where it fails. In an analysis of one's
own the processors run under coffea's ``Runner`` with any schema.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import awkward as ak
import numpy as np
from coffea import processor

from hepsilon._system.progress import progress_shown
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
from hepsilon.errors import InputError
from hepsilon.processors.executors import user_errors
from hepsilon.processors.outputs import Output

__all__ = ["run_parts", "run_processor"]


class Processed(TypedDict):
    """Result of a part of a file, which coffea adds to others."""

    output: NotRequired[Any]
    """Output of the processor; missing where the part has no events."""
    skipped: Counter[str]
    files: dict[str, FileResponse]


@dataclass(frozen=True)
class _Process:
    """Work on one part of a file, wherever it is done."""

    instance: processor.ProcessorABC
    task: Task
    config: InputConfig
    wanted: Wanted

    def __call__(self, part: Part) -> Processed:
        skipped, sum_of, response = Skipped(), None, FileResponse()
        for events in read_events(part, self.task, self.config, self.wanted, skipped):
            output = self.instance.process(events)[part.source.dataset]
            if isinstance(output, Output):
                entries = {Path(part.source.path).name: output.n_events}
                output = replace(output, file_entries=entries)
            sum_of = output if sum_of is None else sum_of + output
            response += self._response(events)
        done: Processed = {
            "skipped": Counter(skipped.counts),
            "files": {part.source.path: response},
        }
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
    with user_errors():
        shown = chosen.copy(desc=label, unit="chunk", status=chosen.status and progress_shown())
        result, error = shown(parts, function, None)
        if error:
            raise error
    return result


def run_processor(
    files: Files,
    instance: processor.ProcessorABC,
    task: Task,
    config: InputConfig,
    *,
    executor: Any = None,
    chunksize: int = 100_000,
    max_events: int | None = None,
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
    """
    wanted: Wanted = instance.wanted
    skipped = Skipped()
    parts = split_files(
        files, task, config, wanted, step=chunksize, max_events=max_events, skipped=skipped
    )
    result = run_parts(parts, _Process(instance, task, config, wanted), executor, label="closure")
    skipped.counts.update(result["skipped"])
    skipped.report()
    check_files(result["files"], task)
    output = result.get("output")
    if output is None:
        raise InputError("every part of the files is damaged, and was left out")
    return instance.postprocess({"sample": output})["sample"]
