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

from hepsilon.histograms.methods import ALL, DIRECT, OTHER, TAG_COUNTS, TRUTH, part_of
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

__all__ = ["plot_observable", "plot_profile", "plot_residuals", "tagging_figures"]


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
    """Mean efficiency in bins of an observable, by category (paper Fig. 5).

    The bands show the spread (standard deviation) of the first method's efficiencies in a bin,
    points with errors the tagged fraction.

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
    profile = output.profiles[name]
    categories = [c for c in profile.axes["category"] if c != OTHER] or [OTHER]
    methods = [m for m in profile.axes["method"] if m != DIRECT]
    colours = method_colours(methods)
    figure = Figure(figsize=(4.2 * len(categories), 3.6), layout="constrained")
    panels = figure.subplots(1, len(categories), squeeze=False)[0]
    for axes, category in zip(panels, categories, strict=True):
        selected = part_of(profile, category=category)
        _tagged_fraction(axes, part_of(selected, method=DIRECT))
        for number, method in enumerate(methods):
            _mean_line(axes, part_of(selected, method=method), method, colours[method], number == 0)
        axes.set_title(category, fontsize=10)
        axes.set_xlabel(profile.axes["x"].label)
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("efficiency")
    panels[0].legend(fontsize=8)
    return figure


def _tagged_fraction(axes: Axes, profile: hist.Hist[Any]) -> None:
    """Share of tagged objects with its binomial error."""
    view: Any = profile.view()
    filled = view["count"] > 0
    fraction, count = view["value"][filled], view["count"][filled]
    error = np.sqrt(fraction * (1.0 - fraction) / count)
    centres = profile.axes["x"].centers[filled]
    axes.errorbar(
        centres,
        fraction,
        error,
        fmt="o",
        color="black",
        markersize=2.5,
        linewidth=0.8,
        label="tagged fraction",
    )


def _mean_line(
    axes: Axes, profile: hist.Hist[Any], method: str, colour: str, with_spread: bool
) -> None:
    """Mean as a step line; the spread within the bin as a band."""
    edges = profile.axes["x"].edges
    view: Any = profile.view()
    mean = np.where(view["count"] > 0, view["value"], np.nan)
    mplhep.histplot(
        mean,
        edges,
        ax=axes,
        color=colour,
        label=LABELS.get(method, method),
        linewidth=1.4,
        edges=False,
    )
    if with_spread:
        deviations = view["_sum_of_deltas_squared"]
        spread = np.sqrt(ratio_of(deviations, np.maximum(view["count"] - 1.0, 0.0)))
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


def tagging_figures(output: TaggingOutput) -> dict[str, Figure]:
    """All figures of a closure by file name (without suffix)."""
    figures = {}
    for name, histogram in output.observables.items():
        if name == TAG_COUNTS:
            figures[name] = plot_tag_counts(output)
            continue
        figures[f"gain_{name}"] = plot_gain(output, name)
        for category in histogram.axes["category"]:
            if not part_of(histogram, category=category).values().any():
                continue
            figures[_file_name(name, category, figures)] = plot_observable(output, name, category)
    for name in output.profiles:
        figures[f"efficiency_{name}"] = plot_profile(output, name)
    if output.truth is not None and len(output.truth.residuals.axes["method"]):
        figures["residuals"] = plot_residuals(output)
    return figures
