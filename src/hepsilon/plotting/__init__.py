"""Plots of outputs and cards: each function returns a figure and saves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from hepsilon.plotting.inversion import (
    inversion_figures,
    plot_corrected,
    plot_cross_section,
    plot_pulls_2d,
    plot_weights,
)
from hepsilon.plotting.models import plot_history, plot_map, plot_simulated_efficiency
from hepsilon.plotting.tag_counts import plot_gain, plot_tag_counts
from hepsilon.plotting.tagging import plot_observable, plot_profile, plot_residuals, tagging_figures

__all__ = [
    "closure_figures",
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


def closure_figures(output: Mapping[str, Any]) -> dict[str, Figure]:
    """All figures of a closure by file name (without suffix)."""
    return tagging_figures(output) if "profiles" in output else inversion_figures(output)
