"""Closure: whether what efficiencies predict agrees with what was observed, bin by bin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hepsilon.closure.inversion import inversion_report
from hepsilon.closure.statistic import (
    MIN_INFORMATION,
    MIN_VARIANCE,
    Comparison,
    compare,
    compare_inversion,
)
from hepsilon.closure.tagging import tagging_report
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.processors.efficiency_inversion import EfficiencyInversion
from hepsilon.processors.runner import run_processor
from hepsilon.processors.truth_tagging import TruthTagging

__all__ = [
    "MIN_INFORMATION",
    "MIN_VARIANCE",
    "Comparison",
    "closure_report",
    "compare",
    "compare_inversion",
    "run_closure",
    "run_processor",
]


def run_closure(
    files: Sequence[str | Path],
    task: Task,
    efficiencies: Mapping[str, Any],
    *,
    config: InputConfig | None = None,
    executor: Any = None,
    chunksize: int = 100_000,
    **options: Any,
) -> dict[str, Any]:
    """Run the processor of a task over files as one dataset, through a coffea executor.

    Parameters
    ----------
    files : sequence of str or Path
        The sample.
    task : Task
        Of the efficiencies: of objects (:class:`~hepsilon.processors.TruthTagging`) or of events
        (:class:`~hepsilon.processors.EfficiencyInversion`).
    efficiencies : mapping of str to object
        By name.
    config : InputConfig, optional
        Where the columns are.
    executor : object, optional
        Coffea executor; IterativeExecutor by default.
    chunksize : int, default 100000
        Events per chunk.
    options : object
        Further arguments of the processor.

    Returns
    -------
    dict
        Output of the processor for the dataset.
    """
    config = config or InputConfig(schema="nanoaod")
    kind = TruthTagging if task.level == "object" else EfficiencyInversion
    instance = kind(task, efficiencies, config=config, **options)
    return run_processor(files, instance, task, config, executor=executor, chunksize=chunksize)


def closure_report(
    output: Mapping[str, Any],
    task: Task,
    efficiencies: Mapping[str, Any],
    files: Sequence[str | Path],
) -> dict[str, Any]:
    """Content of ``closure.json`` from the output of the task's processor for one dataset."""
    report = tagging_report if task.level == "object" else inversion_report
    return report(output, task, efficiencies, files)
