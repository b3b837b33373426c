"""Calibration of a closure as a table, for terminal and page."""

from __future__ import annotations

from hepsilon.closure.calibration import EFFICIENCY
from hepsilon.closure.model import Closure
from hepsilon.closure.reliability import CalibrationError
from hepsilon.histograms.methods import ALL
from hepsilon.report.content import Section, Table

__all__ = ["calibration_rows", "calibration_sections"]

MEANING = (
    "Expected calibration error: mean of |observed - predicted share| over bins of the predicted "
    "efficiency and of each observable, in percent. What chance alone gives is subtracted, so that "
    "an efficiency without fault has zero within the error; in brackets the p-value of these bins, "
    "by the sample alone. A large value in bins of the efficiency itself may be taken away by a "
    "recalibration; one in bins of another observable needs a better efficiency."
)


def _cell(error: CalibrationError | None) -> str:
    """Value and error in percent, with the p-value."""
    if error is None:
        return "-"
    chance = "" if error.p_value is None else f" ({error.p_value:.2g})"
    return f"{100 * error.value:.2f} ± {100 * error.error:.2f}{chance}"


def calibration_rows(closure: Closure, *, every: bool = True) -> Table | None:
    """Table of calibration errors.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.
    every : bool, default True
        Whether to show the bins of all observables, or only those of the efficiency itself.

    Returns
    -------
    Table or None
        One row for each method and kind of bins, one column for each category; None where nothing
        is known.
    """
    known = {m: e.calibration.errors for m, e in closure.efficiency.items() if e.calibration}
    every_key = [key.partition("|")[::2] for errors in known.values() for key in errors]
    keys = [key for key in every_key if every or key[0] == EFFICIENCY]
    if not keys:
        return None
    names = list(dict.fromkeys(name for name, _ in keys))
    scopes = list(dict.fromkeys(scope for _, scope in keys))
    rows = [
        [method if not every else f"{method}, {name}", *(_cell(e) for e in found)]
        for method, errors in known.items()
        for name in names
        if any(found := [errors.get(f"{name}|{s}" if s else name) for s in scopes])
    ]
    first = "method and bins" if every else "method"
    return Table([first, *(scope or ALL for scope in scopes)], rows)


def calibration_sections(closure: Closure) -> list[Section]:
    """Section with the calibration errors of all methods.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.

    Returns
    -------
    list of Section
        One; none where nothing is known.
    """
    table = calibration_rows(closure)
    return [] if table is None else [Section("Calibration", [MEANING], table)]
