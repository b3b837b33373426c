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
from hepsilon.histograms.methods import ALL, DIRECT, OTHER, TAG_COUNTS, TRUTH, part_of
from hepsilon.plotting.plot import Plot
from hepsilon.plotting.style import (
    LABELS,
    bin_width,
    filled_range,
    known_truth,
    method_colours,
    ratio_of,
    stacked_panels,
)
from hepsilon.plotting.tag_counts import plot_gain, plot_tag_counts
from hepsilon.processors.outputs import TaggingOutput

__all__ = ["plot_observable", "plot_profile", "plot_residuals", "tagging_plots"]


def plot_observable(output: TaggingOutput, name: str, category: str = ALL) -> Figure:
    """One observable: direct tagging with errors, every expectation, and ratios below.

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
        Distribution, and below it ratios to the truth, or to direct tagging.
    """
    histogram = part_of(output.observables[name], category=category)
    methods = [m for m in histogram.axes["method"] if m not in (ALL, DIRECT)]
    reference = TRUTH if TRUTH in methods else DIRECT
    colours = method_colours(methods)
    figure, (main, ratio) = stacked_panels(5.6, [3.0, 1.3])
    direct = part_of(histogram, method=DIRECT)
    edges, centres = direct.axes["x"].edges, direct.axes["x"].centers
    width, unit = bin_width(direct.axes["x"])
    denominator = part_of(histogram, method=reference).values() / width
    observed, errors = direct.values() / width, np.sqrt(direct.variances()) / width
    style: dict[str, Any] = {"color": "black", "fmt": "o", "markersize": 3, "linewidth": 1}
    main.errorbar(centres, observed, errors, label=LABELS[DIRECT], **style)
    errors = np.abs(ratio_of(errors, denominator))
    ratio.errorbar(centres, ratio_of(observed, denominator), errors, **style)
    for method in methods:
        values = part_of(histogram, method=method).values() / width
        line = {"color": colours[method], "linewidth": 1.5, "edges": False}
        mplhep.histplot(values, edges, ax=main, label=LABELS.get(method, method), **line)
        mplhep.histplot(ratio_of(values, denominator), edges, ax=ratio, **line)
    scope = "" if category == ALL else f", {category}"
    main.set_title(f"{output.n_events:,} events{scope}", loc="right", fontsize=10)
    main.set_ylabel(f"tagged entries / {unit}")
    main.set_ylim(bottom=0)
    main.set_xlim(*filled_range(edges, denominator + observed))
    main.legend(fontsize=9)
    ratio.axhline(1.0, color="0.6", linewidth=0.8, zorder=0)
    ratio.set_ylim(0.7, 1.3)
    ratio.set_ylabel(f"ratio to\n{LABELS[reference]}")
    ratio.set_xlabel(direct.axes["x"].label)
    return figure


def plot_profile(output: TaggingOutput, name: str) -> Figure:
    """Mean efficiency in bins of an observable, by category (paper Fig. 5), weighted.

    The bands show the spread (standard deviation) of the first method's efficiencies in a bin,
    points the tagged share with 68 % intervals of Clopper and Pearson on effective numbers. Bins
    whose share negative weights move out of [0, 1] are counted in the legend.

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
    filled, binomial = output.observables[name], output.binomial[name]
    methods = [m for m in filled.axes["method"] if m not in (ALL, DIRECT)]
    colours = method_colours(methods)
    figure = Figure(figsize=(4.2 * len(categories), 3.6), layout="constrained")
    panels = figure.subplots(1, len(categories), squeeze=False)[0]
    for axes, category in zip(panels, categories, strict=True):
        selected = part_of(filled, category=category)
        _tagged_fraction(axes, selected)
        for number, method in enumerate(methods):
            spread = part_of(binomial, category=category, method=method) if number == 0 else None
            _mean_line(axes, selected, method, colours[method], spread)
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
    axes: Axes, filled: hist.Hist[Any], method: str, colour: str, binomial: Any = None
) -> None:
    """Mean as a step line; the spread within the bin, if binomial variances are given, as a band.

    With the weights w^2, which are never negative, the sums of p^2 and of p - p^2 are known.
    """
    everything, own = part_of(filled, method=ALL), part_of(filled, method=method)
    edges, total = everything.axes["x"].edges, everything.values()
    mean = np.where(total > 0.0, ratio_of(own.values(), total), np.nan)
    label = LABELS.get(method, method)
    mplhep.histplot(mean, edges, ax=axes, color=colour, label=label, linewidth=1.4, edges=False)
    if binomial is not None:
        squares = everything.variances()
        second = ratio_of(own.variances(), squares)
        first = ratio_of(own.variances() + binomial.variances(), squares)
        spread = np.sqrt(np.maximum(second - first**2, 0.0))
        low, high = (np.append(v, v[-1]) for v in (mean - spread, mean + spread))
        axes.fill_between(edges, low, high, step="post", color=colour, alpha=0.2, linewidth=0)


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
    figure = Figure(figsize=(4.2 * max(1, len(methods)), 3.6), layout="constrained")
    panels = figure.subplots(1, max(1, len(methods)), sharex=True, sharey=True, squeeze=False)[0]
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
    for axes in panels:
        axes.set_xlabel(x.label)
    panels[0].set_ylabel(y.label)
    return figure


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
            if not part_of(histogram, category=category).values().any():
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
