"""Plot of held-out events: passed over expected in the bins of one input."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepsilon.efficiencies.held_out_cards import HeldOutBins

__all__ = ["plot_held_out"]

COLUMNS = 3
"""Panels beside each other."""


def plot_held_out(bins: HeldOutBins) -> Figure:
    """Passed over expected entries, one panel for each category.

    Parameters
    ----------
    bins : HeldOutBins
        Sums of one input, for one working point.

    Returns
    -------
    Figure
        Points with their statistical errors, and the efficiency's own error as a band, where it is
        known. Bins in which nothing is expected stay empty.
    """
    categories = list(dict.fromkeys(bins.categories))
    columns = min(COLUMNS, len(categories))
    rows = -(-len(categories) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.0 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in panels.ravel()[len(categories) :]:
        axes.set_visible(False)
    for axes, category in zip(panels.ravel(), categories, strict=False):
        mine = [i for i, each in enumerate(bins.categories) if each == category]
        _panel(axes, bins, mine)
        axes.set_title(category, fontsize=10)
    for axes in panels[:, 0]:
        axes.set_ylabel("passed / expected")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, fontsize=7)
    return figure


def _panel(axes: Axes, bins: HeldOutBins, numbers: list[int]) -> None:
    """Bins of one category, in their order."""
    observed, expected, variance = (
        np.asarray([column[i] for i in numbers])
        for column in (bins.observed, bins.expected, bins.variance)
    )
    known = expected > 0.0
    scale = np.where(known, expected, np.nan)
    own = bins.efficiency_variance
    if own is not None:
        width = np.sqrt([own[i] for i in numbers]) / scale
        edges = np.arange(len(numbers) + 1) - 0.5
        axes.stairs(
            1.0 + width,
            edges,
            baseline=1.0 - width,
            fill=True,
            color="C0",
            alpha=0.25,
            label="last layer",
        )
    axes.axhline(1.0, color="0.6", linewidth=0.8, zorder=0)
    axes.errorbar(
        np.arange(len(numbers)),
        observed / scale,
        np.sqrt(variance) / scale,
        fmt="o",
        markersize=3,
        linewidth=0.9,
        color="black",
        label="events",
    )
    names = [bins.bins[i].removeprefix(bins.name).strip(": ") or "all" for i in numbers]
    axes.set_xticks(np.arange(len(numbers)), names, rotation=45, ha="right", fontsize=7)
    axes.set_xlabel("" if bins.name == "all" else bins.name)
