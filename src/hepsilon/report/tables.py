"""Tables of a closure for terminal and page, chosen by its type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hepsilon.closure.model import Closure, InversionClosure, TaggingClosure
from hepsilon.report.content import Section, Table
from hepsilon.report.inversion import inversion_cells, inversion_sections
from hepsilon.report.tagging import tagging_cells, tagging_sections
from hepsilon.report.text import divergence_text

__all__ = ["PRESENTATIONS", "Presentation", "presentation", "summary_rows"]


@dataclass(frozen=True)
class Presentation:
    """Tables that show the closures of one use case.

    Attributes
    ----------
    title : str
        Name of the use case.
    cells : callable
        Header and cells of the summary, one row for each efficiency, from a closure.
    sections : callable
        Sections of the page, from a closure and its summary.
    """

    title: str
    cells: Callable[[Any], tuple[list[str], list[list[str]]]]
    sections: Callable[[Any, Table], list[Section]]


PRESENTATIONS: Final[dict[type[Closure], Presentation]] = {
    TaggingClosure: Presentation("Truth tagging", tagging_cells, tagging_sections),
    InversionClosure: Presentation("Efficiency inversion", inversion_cells, inversion_sections),
}


def presentation(closure: Closure) -> Presentation:
    """Tables of the use case of a closure."""
    return PRESENTATIONS[type(closure)]


def summary_rows(closure: Closure) -> tuple[list[str], list[list[str]]]:
    """Table of chi2/ndf per method (all categories together), by the exact statistic.

    Truth tagging has one column per observable, the pull of the total (``yield``) and ``KL``, the
    mean divergence from the truth per object. Efficiency inversion has the relative difference of
    the total, its pull, the means over all observables in one and in two dimensions, and ``KL``
    per event.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Closure from :func:`hepsilon.closure.closure_report`.

    Returns
    -------
    header : list of str
        Names of the columns.
    rows : list of list of str
        Text; one row per efficiency.
    """
    entries = closure.efficiency
    truth = any(entry.truth is not None for entry in entries.values())
    header, cells = presentation(closure).cells(closure)
    rows = []
    for (method, entry), row in zip(entries.items(), cells, strict=True):
        rows.append([method, *row, *([divergence_text(entry)] if truth else [])])
    return ["method", *header, *(["KL [1e-4]"] if truth else [])], rows
