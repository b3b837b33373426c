"""Plot of the calibration: observed against predicted share."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepsilon.closure.calibration import calibration_of
from hepsilon.closure.reliability import Reliability
from hepsilon.histograms.methods import TRUTH
from hepsilon.plotting.style import LABELS, method_colours
from hepsilon.processors.outputs import InversionOutput, TaggingOutput

__all__ = ["plot_calibration"]

MARKERS = "os^Dv<>pP"


def plot_calibration(output: TaggingOutput | InversionOutput) -> Figure | None:
    """Observed minus predicted share against the predicted one, one panel for each category.

    Parameters
    ----------
    output : TaggingOutput or InversionOutput
        Output of a processor for one dataset.

    Returns
    -------
    Figure or None
        Points with the errors that the true efficiency would have; None of measured events, or of
        too few.
    """
    if output.calibration is None:
        return None
    methods = [m for m in output.calibration.axes["method"] if m != TRUTH]
    methods = methods or list(output.calibration.axes["method"])
    found = {m: calibration_of(output, m) for m in methods}
    known = {m: c.reliability for m, c in found.items() if c is not None and c.reliability}
    scopes = list(dict.fromkeys(scope for each in known.values() for scope in each))
    if not scopes:
        return None
    colours = method_colours(methods)
    columns = min(2, len(scopes))
    rows = -(-len(scopes) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.ravel()[len(scopes) :]:
        axes.set_visible(False)
    for axes, scope in zip(panels.ravel(), scopes, strict=False):
        for number, (method, reliability) in enumerate(known.items()):
            if scope in reliability:
                _points(axes, reliability[scope], number, method, colours.get(method, "black"))
        axes.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
        axes.set_title(scope, fontsize=10)
        axes.set_xlabel("predicted efficiency")
        axes.legend(fontsize=8)
    for axes in panels[:, 0]:
        axes.set_ylabel("observed - predicted")
    return figure


def _points(axes: Axes, shares: Reliability, number: int, method: str, colour: str) -> None:
    """Differences of one method with their errors."""
    predicted = np.asarray(shares.predicted)
    axes.errorbar(
        predicted,
        np.asarray(shares.observed) - predicted,
        shares.error,
        fmt=MARKERS[number % len(MARKERS)],
        markersize=3,
        linewidth=0.9,
        color=colour,
        label=LABELS.get(method, method),
    )
