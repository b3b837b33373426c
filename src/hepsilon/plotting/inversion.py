"""Plots of efficiency inversion: each function returns a figure and saves nothing."""

from __future__ import annotations

from typing import Any

import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepsilon.arrays.types import Array
from hepsilon.histograms.densities import differential
from hepsilon.histograms.methods import GENERATED, SELECTED, TRUTH, one_method
from hepsilon.plotting.panels import MOST_LINES, Sums, pull_panel, ratio_panel
from hepsilon.plotting.plot import Plot
from hepsilon.plotting.style import (
    LABELS,
    bin_width,
    corner,
    filled_range,
    known_truth,
    label_grid,
    method_colours,
    panel_grid,
    stacked_panels,
    start_at_zero,
)
from hepsilon.processors.outputs import CorrectionMethod, InversionOutput

__all__ = [
    "inversion_plots",
    "plot_corrected",
    "plot_cross_section",
    "plot_pulls_2d",
    "plot_weights",
]

MARKERS = ("o", "s", "^", "D", "v", "P")


def _labels(output: InversionOutput) -> list[str]:
    """Labels of all methods that correct."""
    return [method.label for method in output.methods]


def _pulls(output: InversionOutput, name: str, method: CorrectionMethod) -> Array:
    """(corrected - generated) in units of the exact error; NaN in empty bins."""
    histogram = output.observables[name]
    generated, corrected = (one_method(histogram, m).values() for m in (GENERATED, method.label))
    variance = output.variance(name, method)
    out = np.full(variance.shape, np.nan)
    np.divide(corrected - generated, np.sqrt(variance), out=out, where=variance > 0)
    return out


def plot_corrected(output: InversionOutput, name: str) -> Figure:
    """One observable: generated, selected and corrected events; below ratios and pulls.

    Errors are those of the Horvitz-Thompson estimate; measured events have no ratios.

    Parameters
    ----------
    output : InversionOutput
        Output of :class:`hepsilon.processors.EfficiencyInversion` for one dataset.
    name : str
        Observable in one dimension.

    Returns
    -------
    Figure
        Distribution, with ratios and pulls below for simulated events.
    """
    histogram, methods = output.observables[name], _labels(output)
    simulated = output.exact is not None
    rows = [3.0, 1.2, 1.2] if simulated else [3.0]
    many = simulated and len(methods) > MOST_LINES
    figure, panels = stacked_panels(6.6 if simulated else 4.4, rows, room=many)
    axis = one_method(histogram, SELECTED).axes[0]
    width, unit = bin_width(axis)
    selected = one_method(histogram, SELECTED).values() / width
    style = {"ax": panels[0], "edges": False}
    mplhep.histplot(selected, axis.edges, color="0.75", histtype="fill", label="selected", **style)
    shown = selected
    if simulated:
        shown = one_method(histogram, GENERATED).values() / width
        mplhep.histplot(shown, axis.edges, color="black", label="generated", **style)
    _points(panels[0], output, name, methods, width)
    panels[0].set_ylabel(f"events / {unit}")
    corrected = (one_method(histogram, method).values() for method in methods)
    start_at_zero(panels[0], selected, shown, *corrected)
    panels[0].set_xlim(*filled_range(axis.edges, shown))
    panels[0].set_title(f"{output.n_selected:,} selected events", loc="right", fontsize=10)
    panels[0].legend(fontsize=9, loc=corner(shown))
    if simulated:
        _comparisons(panels[1:], output, name)
    panels[-1].set_xlabel(axis.label)
    return figure


def _points(
    axes: Axes, output: InversionOutput, name: str, methods: list[str], width: Array
) -> None:
    """Corrected events with their errors, slightly beside each other."""
    colours = method_colours(methods)
    for number, method in enumerate(methods):
        corrected = one_method(output.observables[name], method)
        error = np.sqrt(one_method(output.horvitz_thompson[name], method).variances())
        edges = corrected.axes[0].edges
        shift = (number + 1) / (len(methods) + 1)
        axes.errorbar(
            edges[:-1] + shift * np.diff(edges),
            corrected.values() / width,
            error / width,
            fmt=MARKERS[number % len(MARKERS)],
            markersize=2.5,
            linewidth=0.8,
            color=colours[method],
            label=LABELS.get(method, method),
        )


def _sums(output: InversionOutput, name: str, method: CorrectionMethod) -> Sums:
    """Corrected sums of one method with both variances."""
    corrected = one_method(output.observables[name], method.label).values()
    drawn = output.efficiency_replicas.get(method.label)
    own = np.zeros(corrected.shape) if drawn is None else drawn[name].values().var(axis=0, ddof=1)
    return Sums(corrected, output.variance(name, method), own)


def _comparisons(panels: list[Axes], output: InversionOutput, name: str) -> None:
    """Ratios of corrected to generated events, and pulls."""
    colours = method_colours(_labels(output))
    generated = one_method(output.observables[name], GENERATED)
    edges, sums = generated.axes[0].edges, {}
    for method in output.methods:
        sums[method.label] = _sums(output, name, method)
    ratio_panel(panels[0], edges, generated.values(), sums, colours)
    panels[0].set_ylim(0.8, 1.2)
    panels[0].set_ylabel("corrected /\ngenerated")
    differences = {label: s.expected - generated.values() for label, s in sums.items()}
    pull_panel(panels[1], edges, differences, sums, colours)


def plot_cross_section(
    output: InversionOutput, name: str, luminosity: float | None = None, unit: str = "nb"
) -> Figure:
    """Differential cross section from all efficiencies, with Horvitz-Thompson errors.

    Parameters
    ----------
    output : InversionOutput
        Output of :class:`hepsilon.processors.EfficiencyInversion` for one dataset.
    name : str
        Observable in one dimension.
    luminosity : float, optional
        Integrated luminosity [1 / unit]; without it the distribution of events is drawn.
    unit : str, default "nb"
        Unit of the cross section.

    Returns
    -------
    Figure
        Points of all efficiencies beside each other.
    """
    methods = [label for label in _labels(output) if label != TRUTH]
    colours = method_colours(methods)
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    label = ""
    for number, method in enumerate(methods):
        errors = one_method(output.horvitz_thompson[name], method)
        corrected = one_method(output.observables[name], method)
        section: Any = differential(corrected, luminosity, unit, variances=errors)
        label = str(section.label)
        edges = section.axes[0].edges
        axes.errorbar(
            edges[:-1] + (number + 1) / (len(methods) + 1) * np.diff(edges),
            section.values(),
            np.sqrt(section.variances()),
            fmt=MARKERS[number % len(MARKERS)],
            markersize=3,
            linewidth=0.8,
            color=colours[method],
            label=method,
        )
        axes.set_xlabel(section.axes[0].label)
    axes.set_ylabel(label)
    start_at_zero(axes, *(one_method(output.observables[name], m).values() for m in methods))
    axes.legend(fontsize=9)
    return figure


def plot_pulls_2d(output: InversionOutput, name: str) -> Figure:
    """Pulls of every method in the bins of two observables, beside the generated events.

    Parameters
    ----------
    output : InversionOutput
        Output of :class:`hepsilon.processors.EfficiencyInversion` for one dataset.
    name : str
        Observable in two dimensions.

    Returns
    -------
    Figure
        One panel for the generated events and one for each method.
    """
    methods = output.methods
    generated = one_method(output.observables[name], GENERATED)
    x, y = (axis.edges for axis in generated.axes)
    labels = [axis.label for axis in generated.axes]
    figure, panels = panel_grid(len(methods) + 1)
    counts = np.where(generated.values() > 0, generated.values(), np.nan)
    mesh = panels[0].pcolormesh(x, y, counts.T, cmap="Greys", rasterized=True)
    figure.colorbar(mesh, ax=panels[0])
    panels[0].set_title("generated events", fontsize=10)
    for axes, method in zip(panels[1:], methods, strict=True):
        pulls = _pulls(output, name, method)
        mesh = axes.pcolormesh(x, y, pulls.T, cmap="RdBu_r", vmin=-5, vmax=5, rasterized=True)
        axes.set_title(f"pull, {LABELS.get(method.label, method.label)}", fontsize=10)
    figure.colorbar(mesh, ax=panels[-1], extend="both")
    label_grid(panels, *labels)
    return figure


def plot_weights(output: InversionOutput) -> Figure:
    """Distribution of E of the selected events: the tail to the left carries large weights."""
    histogram = output.efficiencies
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.subplots()
    methods = list(histogram.axes["method"])
    colours = method_colours(methods)
    for method in methods:
        values = one_method(histogram, method).values()
        if values.any():
            label = LABELS.get(method, method)
            axes.stairs(values, histogram.axes["x"].edges, color=colours[method], label=label)
    axes.set_yscale("log")
    axes.set_xlabel(histogram.axes["x"].label)
    axes.set_ylabel("selected events")
    axes.legend(fontsize=9)
    return figure


def _plot_residuals(output: InversionOutput) -> Figure:
    """Relative residuals of each efficiency to the truth, with mean and RMS."""
    truth = known_truth(output)
    residuals, moments = truth.residuals, truth.residual_moments
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.subplots()
    methods = list(residuals.axes["method"])
    colours = method_colours(methods)
    for method in methods:
        moment = one_method(moments, method)
        if method == TRUTH or not moment.count > 1:
            continue
        axes.stairs(
            one_method(residuals, method).density(),
            residuals.axes["x"].edges,
            color=colours[method],
            label=f"{method}: mean {moment.value:+.4f}, RMS {np.sqrt(moment.variance):.3f}",
        )
    axes.set_xlabel(residuals.axes["x"].label)
    axes.set_ylabel("density")
    axes.legend(fontsize=8)
    return figure


def inversion_plots(output: InversionOutput) -> dict[str, Plot]:
    """All plots of a closure by file name (without suffix)."""
    plots = {}
    for name, histogram in output.observables.items():
        if len(histogram.axes) == 2:
            plots[name] = Plot(plot_corrected(output, name), "distribution", name)
        elif output.exact is not None:
            plots[f"pulls_{name}"] = Plot(plot_pulls_2d(output, name), "pulls", name)
    plots["weights"] = Plot(plot_weights(output), "weights")
    if output.truth is not None and np.any(output.truth.divergence.counts() > 0):
        plots["residuals"] = Plot(_plot_residuals(output), "residuals")
    return plots
