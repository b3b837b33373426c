"""Plots of truth tagging: each function returns a figure and saves nothing."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

import hist
import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepsilon.arrays.statistics import observed_efficiency
from hepsilon.closure.gain import efficiency_variance
from hepsilon.histograms.methods import ALL, DIRECT, OTHER, TAG_COUNTS, TRUTH, part_of
from hepsilon.plotting.panels import MOST_LINES, Sums, band, pull_panel, ratio_panel
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
    ratio_of,
    stacked_panels,
    start_at_zero,
)
from hepsilon.plotting.tag_counts import plot_gain, plot_tag_counts
from hepsilon.processors.outputs import TaggingOutput

__all__ = ["plot_observable", "plot_profile", "plot_residuals", "tagging_plots"]


def plot_observable(output: TaggingOutput, name: str, category: str = ALL) -> Figure:
    """One observable: direct tagging with errors, every expectation, ratios and pulls below.

    Parameters
    ----------
    output : TaggingOutput
        Output of :class:`hepsilon.processors.TruthTagging` for one dataset.
    name : str
        Observable.
    category : str, default ALL
        Category of the objects or pairs, or another selection.

    Returns
    -------
    Figure
        Distribution, and below it ratios to the truth, or to direct tagging, and pulls. Bands are
        the efficiency's own error.
    """
    histogram = part_of(output.observables[name], category=category)
    methods = [m for m in histogram.axes["method"] if m not in (ALL, DIRECT)]
    reference = TRUTH if TRUTH in methods else DIRECT
    colours = method_colours(methods)
    figure, (main, ratio, pull) = stacked_panels(
        6.6, [3.0, 1.2, 1.2], room=len(methods) > MOST_LINES
    )
    direct = part_of(histogram, method=DIRECT)
    edges, centres = direct.axes["x"].edges, direct.axes["x"].centers
    width, unit = bin_width(direct.axes["x"])
    sums = {m: _sums(output, name, category, m) for m in methods}
    denominator = part_of(histogram, method=reference).values()
    observed, errors = direct.values(), np.sqrt(direct.variances())
    seen = direct.variances() > 0.0  # nothing was seen where there is no entry
    style: dict[str, Any] = {"color": "black", "fmt": "o", "markersize": 3, "linewidth": 1}
    scaled = (observed / width, errors / width)
    main.errorbar(centres[seen], *(s[seen] for s in scaled), label=LABELS[DIRECT], **style)
    ratios = ratio_of(observed, denominator), np.abs(ratio_of(errors, denominator))
    ratio.errorbar(centres[seen], *(r[seen] for r in ratios), **style)
    for method in methods:
        values = sums[method].expected / width
        line = {"color": colours[method], "linewidth": 1.5, "edges": False}
        mplhep.histplot(values, edges, ax=main, label=LABELS.get(method, method), **line)
        band(main, edges, values, np.sqrt(sums[method].own) / width, colours[method])
    ratio_panel(ratio, edges, denominator, sums, colours)
    differences = {m: observed - s.expected for m, s in sums.items()}
    pull_panel(pull, edges, differences, sums, colours)
    scope = "" if category == ALL else f", {category}"
    main.set_title(f"{output.n_events:,} events{scope}", loc="right", fontsize=10)
    main.set_ylabel(f"tagged entries / {unit}")
    start_at_zero(main, observed, *(each.expected for each in sums.values()))
    main.set_xlim(*filled_range(edges, denominator + observed))
    main.legend(fontsize=9, loc=corner(direct.values()))
    ratio.set_ylim(0.7, 1.3)
    ratio.set_ylabel(f"ratio to\n{LABELS[reference]}")
    pull.set_xlabel(direct.axes["x"].label)
    return figure


def _sums(output: TaggingOutput, name: str, category: str, method: str) -> Sums:
    """Expected sums of one method with both variances."""
    cell = {"method": method, "category": category}
    return Sums(
        part_of(output.observables[name], **cell).values(),
        part_of(output.binomial[name], **cell).variances(),
        efficiency_variance(output, method, name, category),
    )


def plot_profile(output: TaggingOutput, name: str) -> Figure:
    """Mean efficiency in bins of an observable, by category (paper Fig. 5), weighted.

    The bands show the efficiency's own error, points the tagged share with 68 % intervals of
    Clopper and Pearson on effective numbers. Bins whose share negative weights move out of [0, 1]
    are counted in the legend.

    Parameters
    ----------
    output : TaggingOutput
        Output of :class:`hepsilon.processors.TruthTagging` for one dataset.
    name : str
        Observable of objects.

    Returns
    -------
    Figure
        One panel for each category.
    """
    categories = [c for c in output.profiles[name].axes["category"] if c != OTHER] or [ALL]
    filled = output.observables[name]
    methods = [m for m in filled.axes["method"] if m not in (ALL, DIRECT)]
    colours = method_colours(methods)
    figure = Figure(figsize=(4.2 * len(categories), 3.6), layout="constrained")
    panels = figure.subplots(1, len(categories), squeeze=False)[0]
    for axes, category in zip(panels, categories, strict=True):
        selected = part_of(filled, category=category)
        _tagged_fraction(axes, selected)
        for method in methods:
            own = efficiency_variance(output, method, name, category)
            _mean_line(axes, selected, method, colours[method], own)
        axes.set_title(category, fontsize=10)
        axes.set_xlabel(filled.axes["x"].label)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
    panels[0].set_ylabel("efficiency")
    return figure


def _tagged_fraction(axes: Axes, filled: hist.Hist[Any]) -> None:
    """Share of the tagged objects with its interval."""
    everything, direct = part_of(filled, method=ALL), part_of(filled, method=DIRECT)
    observed = observed_efficiency(direct.values(), everything.values(), everything.variances())
    known = np.isfinite(observed.value)
    value, low, high = observed.value[known], observed.low[known], observed.high[known]
    errors = np.maximum([value - low, high - value], 0.0)
    n_bad = int(np.count_nonzero(observed.unphysical))
    note = f"\n(negative weights: {n_bad} bins outside [0, 1])" if n_bad else ""
    axes.errorbar(
        everything.axes["x"].centers[known],
        value,
        errors,
        fmt="o",
        color="black",
        markersize=2.5,
        linewidth=0.8,
        label=f"tagged fraction{note}",
    )


def _mean_line(
    axes: Axes, filled: hist.Hist[Any], method: str, colour: str, own_variance: Any
) -> None:
    """Mean as a step line, with the band of the efficiency's own error."""
    everything, own = part_of(filled, method=ALL), part_of(filled, method=method)
    edges, total = everything.axes["x"].edges, everything.values()
    mean = np.where(total > 0.0, ratio_of(own.values(), total), np.nan)
    label = LABELS.get(method, method)
    mplhep.histplot(mean, edges, ax=axes, color=colour, label=label, linewidth=1.4, edges=False)
    band(axes, edges, mean, np.abs(ratio_of(np.sqrt(own_variance), total)), colour)


def plot_residuals(output: TaggingOutput) -> Figure:
    """Relative residuals of each efficiency to the truth, with mean and RMS (paper Fig. 6)."""
    truth = known_truth(output)
    residuals, moments = truth.residuals, truth.residual_moments
    categories = [c for c in residuals.axes["category"] if c != OTHER] or [OTHER]
    colours = method_colours(list(residuals.axes["method"]))
    figure = Figure(figsize=(4.2 * len(categories), 3.6), layout="constrained")
    panels = figure.subplots(1, len(categories), squeeze=False)[0]
    for axes, category in zip(panels, categories, strict=True):
        for method in residuals.axes["method"]:
            moment = part_of(moments, method=method, category=category)
            rms = np.sqrt(moment.variance) if moment.count > 1 else np.nan
            axes.stairs(
                part_of(residuals, method=method, category=category).density(),
                residuals.axes["x"].edges,
                color=colours[method],
                linewidth=1.4,
                label=f"{method}: mean {moment.value:+.3f}, RMS {rms:.3f}",
            )
        axes.set_title(category, fontsize=10)
        axes.set_xlabel(residuals.axes["x"].label)
        axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
        axes.legend(fontsize=8)
    panels[0].set_ylabel("density")
    return figure


def _file_name(name: str, category: str, taken: Container[str]) -> str:
    """Name of the picture of a category, in letters that every file system has."""
    if category == ALL:
        return name
    file_name = f"{name}_" + re.sub(r"\W+", "_", category.replace("+", "plus"))
    while file_name in taken:
        file_name += "_"
    return file_name


def plot_pulls(output: TaggingOutput, name: str) -> Figure:
    """Pulls of direct tagging to every efficiency in the bins of two observables.

    Parameters
    ----------
    output : TaggingOutput
        Output of :class:`hepsilon.processors.TruthTagging` for one dataset.
    name : str
        Observable in two dimensions.

    Returns
    -------
    Figure
        One panel for each efficiency.
    """
    filled, binomial = output.observables[name], output.binomial[name]
    methods = list(binomial.axes["method"])
    figure, panels = panel_grid(max(1, len(methods)))
    x, y = filled.axes[2:]
    direct = part_of(filled, method=DIRECT, category=ALL).values()
    for axes, method in zip(panels, methods, strict=False):
        expected = part_of(filled, method=method, category=ALL).values()
        variance = part_of(binomial, method=method, category=ALL).variances()
        pulls = np.full(variance.shape, np.nan)
        np.divide(direct - expected, np.sqrt(variance), out=pulls, where=variance > 0.0)
        mesh = axes.pcolormesh(
            x.edges, y.edges, pulls.T, cmap="RdBu_r", vmin=-5, vmax=5, rasterized=True
        )
        figure.colorbar(mesh, ax=axes, extend="both")
        axes.set_title(f"pull, {LABELS.get(method, method)}", fontsize=10)
    label_grid(panels, x.label, y.label)
    return figure


def _has_entries(histogram: hist.Hist[Any], category: str) -> bool:
    """Whether anything was observed or expected in a category."""
    methods = [m for m in histogram.axes["method"] if m != ALL]
    return any(part_of(histogram, method=m, category=category).values().any() for m in methods)


def tagging_plots(output: TaggingOutput) -> dict[str, Plot]:
    """All plots of a closure by file name (without suffix)."""
    plots = {}
    for name, histogram in output.observables.items():
        if name == TAG_COUNTS:
            plots[name] = Plot(plot_tag_counts(output), "tag_counts", name)
            continue
        if len(histogram.axes) > 3:
            plots[f"pulls_{name}"] = Plot(plot_pulls(output, name), "pulls", name)
            continue
        for category in histogram.axes["category"]:
            if not _has_entries(histogram, category):
                continue
            figure = plot_observable(output, name, category)
            file_name = _file_name(name, category, plots)
            plots[file_name] = Plot(figure, "distribution", name, category)
        plots[f"gain_{name}"] = Plot(plot_gain(output, name), "gain", name)
    for name in output.profiles:
        plots[f"efficiency_{name}"] = Plot(plot_profile(output, name), "efficiency", name)
    if output.truth is not None and len(output.truth.residuals.axes["method"]):
        plots["residuals"] = Plot(plot_residuals(output), "residuals")
    return plots
