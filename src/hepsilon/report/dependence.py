"""Dependence on the simulation as a table of the page."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hepsilon.closure.dependence import Dependence, Ratio
from hepsilon.closure.model import Closure
from hepsilon.histograms.methods import ALL
from hepsilon.report.content import Section, Table
from hepsilon.report.text import signed_text

__all__ = ["dependence_rows", "dependence_sections", "ratio_percent"]

MEANING = (
    "Sums that an efficiency learned from another simulation gives for the same objects, relative "
    "to those of the efficiency, with the error of both trainings; and the bin of an observable "
    "that differs most in units of that error. The difference is a variation of the efficiency "
    "(hepsilon.analysis_tools.add_truth_tag, alternatives)."
)


def ratio_percent(ratio: Ratio | None) -> str:
    """Relative difference in percent, with its error where that is known."""
    if ratio is None or ratio.relative_difference is None:
        return "-"
    text = f"{100 * ratio.relative_difference:+.2f}"
    return f"{text}%" if ratio.error is None else f"({text} ± {100 * ratio.error:.2f})%"


def _largest(closure: Closure, method: str, found: Dependence) -> str:
    """The bin, of all categories together, with the largest difference in units of its error."""
    best, text = 0.0, "-"
    for name, bins in found.observables.items():
        compared = closure.efficiency[method].observables.get(name)
        if compared is None or "|" in name:
            continue
        columns = bins.relative_difference, bins.error
        difference, error = (np.array(each, np.float64) for each in columns)  # None becomes NaN
        pull = np.full(error.shape, np.nan)
        np.divide(np.abs(difference), error, out=pull, where=error > 0.0)
        if np.isnan(pull).all() or not np.nanmax(pull) > best:
            continue
        worst = int(np.nanargmax(pull))
        best, (low, high) = float(pull[worst]), compared.edges[worst : worst + 2]
        text = f"{name} {low:.4g} to {high:.4g}: {100 * difference[worst]:+.2f}% ({best:.1f} sd)"
    return text


def _rows(closure: Closure) -> Iterator[tuple[str, str, Dependence]]:
    for method, entry in closure.efficiency.items():
        for other, found in (entry.dependence or {}).items():
            yield method, other, found


def dependence_rows(closure: Closure, *, bins: bool = True) -> Table | None:
    """Table of the differences between efficiencies from two simulations.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.
    bins : bool, default True
        Whether to name the bin that differs most.

    Returns
    -------
    Table or None
        One row for each pair of methods; None where nothing was compared.
    """
    found = list(_rows(closure))
    if not found:
        return None
    scopes = list(dict.fromkeys(scope for _, _, each in found for scope in each.totals))
    rows = [
        [
            f"{other} / {method}",
            *(ratio_percent(each.totals.get(scope)) for scope in scopes),
            signed_text(each.totals[ALL].pull),
            *([_largest(closure, method, each)] if bins else []),
        ]
        for method, other, each in found
    ]
    last = ["bin that differs most"] if bins else []
    return Table(["efficiencies", *scopes, "pull of all", *last], rows)


def dependence_sections(closure: Closure) -> list[Section]:
    """Section with the dependence on the simulation.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.

    Returns
    -------
    list of Section
        One; none where nothing was compared.
    """
    table = dependence_rows(closure)
    return [] if table is None else [Section("Dependence on the simulation", [MEANING], table)]
