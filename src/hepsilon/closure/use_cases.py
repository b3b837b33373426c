"""The two use cases: truth tagging for tasks of objects, efficiency inversion for tasks of events.

A use case knows the processor that fills its output, and the function that makes its closure. What
shows these records is chosen by their types: figures by the type of the output
(:func:`hepsilon.plotting.closure_figures`), tables and page by that of the closure
(:data:`hepsilon.report.tables.PRESENTATIONS`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hepsilon.closure.inversion import inversion_closure
from hepsilon.closure.model import Closure
from hepsilon.closure.tagging import tagging_closure
from hepsilon.config.task import Task
from hepsilon.processors.efficiency_inversion import EfficiencyInversion
from hepsilon.processors.truth_tagging import TruthTagging

__all__ = ["EFFICIENCY_INVERSION", "TRUTH_TAGGING", "UseCase", "use_case"]


@dataclass(frozen=True)
class UseCase:
    """One way to use efficiencies, from events to the content of ``closure.json``.

    Attributes
    ----------
    processor : callable
        Class of the coffea processor: ``processor(task, efficiencies, *, config, **options)``.
    close : callable
        Function ``close(output, task, efficiencies, files)`` that compares what the efficiencies
        predict with what was observed.
    """

    processor: Callable[..., Any]
    close: Callable[..., Closure]


TRUTH_TAGGING: Final = UseCase(TruthTagging, tagging_closure)
"""Weights of tags, from one efficiency for each object."""
EFFICIENCY_INVERSION: Final = UseCase(EfficiencyInversion, inversion_closure)
"""Weights 1/E of selected events, from one efficiency for each event."""


def use_case(task: Task) -> UseCase:
    """The use case of a task.

    Parameters
    ----------
    task : Task
        Task of objects or of events.

    Returns
    -------
    UseCase
        :data:`TRUTH_TAGGING` or :data:`EFFICIENCY_INVERSION`.
    """
    return EFFICIENCY_INVERSION if task.of_events else TRUTH_TAGGING
