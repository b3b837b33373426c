"""Plots of outputs and cards: each function returns a figure and saves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from matplotlib.figure import Figure

from hepsilon.plotting.calibration import plot_calibration
from hepsilon.plotting.experiments import Look
from hepsilon.plotting.inversion import (
    inversion_plots,
    plot_corrected,
    plot_cross_section,
    plot_pulls_2d,
    plot_weights,
)
from hepsilon.plotting.models import plot_history, plot_map, plot_simulated_efficiency
from hepsilon.plotting.plot import Plot
from hepsilon.plotting.tag_counts import plot_gain, plot_tag_counts
from hepsilon.plotting.tagging import plot_observable, plot_profile, plot_residuals, tagging_plots
from hepsilon.processors.outputs import InversionOutput, Output, TaggingOutput

__all__ = [
    "Look",
    "Plot",
    "closure_figures",
    "closure_plots",
    "plot_calibration",
    "plot_corrected",
    "plot_cross_section",
    "plot_gain",
    "plot_history",
    "plot_map",
    "plot_observable",
    "plot_profile",
    "plot_pulls_2d",
    "plot_residuals",
    "plot_simulated_efficiency",
    "plot_tag_counts",
    "plot_weights",
]


PLOTS: Final[dict[type[Output], Callable[[Any], dict[str, Plot]]]] = {
    TaggingOutput: tagging_plots,
    InversionOutput: inversion_plots,
}
"""Function that draws all plots of a closure, by the type of the output."""


def closure_plots(output: Output) -> dict[str, Plot]:
    """All plots of a closure, with what they show.

    Parameters
    ----------
    output : TaggingOutput or InversionOutput
        Output of the task's processor for one dataset.

    Returns
    -------
    dict of str to Plot
        Plots by file name (without suffix).
    """
    plots, calibration = PLOTS[type(output)](output), plot_calibration(output)  # type: ignore[arg-type]
    if calibration is not None:
        plots["calibration"] = Plot(calibration, "calibration")
    return plots


def closure_figures(output: Output) -> dict[str, Figure]:
    """All figures of a closure.

    Parameters
    ----------
    output : TaggingOutput or InversionOutput
        Output of the task's processor for one dataset.

    Returns
    -------
    dict of str to Figure
        Figures by file name (without suffix).
    """
    return {name: plot.figure for name, plot in closure_plots(output).items()}
