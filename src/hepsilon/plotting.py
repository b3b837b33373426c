"""Plots of outputs and cards: each function returns a figure and saves nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from typing import Any

import hist
import mplhep
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepsilon import simulation
from hepsilon.errors import InputError
from hepsilon.histograms import ALL, DIRECT, FLAVOUR_NAMES, OTHER, TRUTH, category_names
from hepsilon.inference import NetworkCard
from hepsilon.maps import EfficiencyMap

__all__ = [
    "closure_figures",
    "plot_history",
    "plot_map",
    "plot_observable",
    "plot_profile",
    "plot_residuals",
    "plot_simulated_efficiency",
]

Array = npt.NDArray[Any]

# Colour-blind safe cycle of M. Petroff, "Accessible Color Sequences for Data Visualization"
COLOURS = ("#f89c20", "#964a8b", "#5790fc", "#e42536", "#9c9ca1", "#7a21dd")
LABELS = {DIRECT: "direct tagging", TRUTH: "true efficiency"}


def _colours(methods: list[str]) -> dict[str, str]:
    """Fixed colours: the truth in grey, efficiencies along the cycle."""
    learned = [m for m in methods if m not in (ALL, DIRECT, TRUTH)]
    return {TRUTH: "#717581", **{m: COLOURS[i % len(COLOURS)] for i, m in enumerate(learned)}}


def _ratio(values: Array, reference: Array) -> Array:
    out: Array = np.full(len(values), np.nan)
    np.divide(values, reference, out=out, where=reference != 0)
    return out


def _bin_width(axis: Any) -> tuple[Array, str]:
    """What to divide entries by: one for equal bins, else the width of each bin; and its name."""
    width = np.diff(axis.edges)
    if np.allclose(width, width[0]):
        return np.ones_like(width), "bin"
    unit = re.search(r"\[(.+)\]", axis.label)
    return width, unit[1] if unit else "unit"


def _filled_range(edges: Array, values: Array) -> tuple[float, float]:
    """Range of the bins that hold anything."""
    filled = np.flatnonzero(values)
    first, last = (filled[0], filled[-1]) if len(filled) else (0, len(values) - 1)
    return float(edges[first]), float(edges[last + 1])


def plot_observable(output: Mapping[str, Any], name: str, category: str = ALL) -> Figure:
    """One observable: direct tagging with errors, every expectation, and ratios below.

    Parameters
    ----------
    output : of :class:`hepsilon.processors.TruthTagging` for one dataset.
    name : of the observable.
    category : of the objects or pairs.
    """
    histogram = output["observables"][name][{"category": category}]
    methods = [m for m in histogram.axes["method"] if m not in (ALL, DIRECT)]
    reference = TRUTH if TRUTH in methods else DIRECT
    colours = _colours(methods)
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    main, ratio = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1.3]})
    direct = histogram[{"method": DIRECT}]
    edges, centres = direct.axes["x"].edges, direct.axes["x"].centers
    width, unit = _bin_width(direct.axes["x"])
    denominator = histogram[{"method": reference}].values() / width
    observed, errors = direct.values() / width, np.sqrt(direct.variances()) / width
    style = {"color": "black", "fmt": "o", "markersize": 3, "linewidth": 1}
    main.errorbar(centres, observed, errors, label=LABELS[DIRECT], **style)
    errors = np.abs(_ratio(errors, denominator))
    ratio.errorbar(centres, _ratio(observed, denominator), errors, **style)
    for method in methods:
        values = histogram[{"method": method}].values() / width
        line = {"color": colours[method], "linewidth": 1.5, "edges": False}
        mplhep.histplot(values, edges, ax=main, label=LABELS.get(method, method), **line)
        mplhep.histplot(_ratio(values, denominator), edges, ax=ratio, **line)
    scope = "" if category == ALL else f", {category}"
    main.set_title(f"{output['n_events']:,} events{scope}", loc="right", fontsize=10)
    main.set_ylabel(f"tagged entries / {unit}")
    main.set_ylim(bottom=0)
    main.set_xlim(*_filled_range(edges, denominator + observed))
    main.legend(fontsize=9)
    ratio.axhline(1.0, color="0.6", linewidth=0.8, zorder=0)
    ratio.set_ylim(0.7, 1.3)
    ratio.set_ylabel(f"ratio to\n{LABELS[reference]}")
    ratio.set_xlabel(direct.axes["x"].label)
    return figure


def plot_profile(output: Mapping[str, Any], name: str) -> Figure:
    """Mean efficiency in bins of an observable, by category (paper Fig. 5).

    The bands show the spread (standard deviation) of the first method's efficiencies in a bin,
    points with errors the tagged fraction.
    """
    profile = output["profiles"][name]
    categories = [c for c in profile.axes["category"] if c != OTHER] or [OTHER]
    methods = [m for m in profile.axes["method"] if m != DIRECT]
    colours = _colours(methods)
    figure = Figure(figsize=(4.2 * len(categories), 3.6), layout="constrained")
    panels = figure.subplots(1, len(categories), squeeze=False)[0]
    for axes, category in zip(panels, categories, strict=True):
        selected = profile[{"category": category}]
        _tagged_fraction(axes, selected[{"method": DIRECT}])
        for number, method in enumerate(methods):
            _mean_line(axes, selected[{"method": method}], method, colours[method], number == 0)
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
        spread = np.sqrt(_ratio(deviations, np.maximum(view["count"] - 1.0, 0.0)))
        low, high = (np.append(v, v[-1]) for v in (mean - spread, mean + spread))
        axes.fill_between(edges, low, high, step="post", color=colour, alpha=0.2, linewidth=0)


def plot_residuals(output: Mapping[str, Any]) -> Figure:
    """Relative residuals of each efficiency to the truth, with mean and RMS (paper Fig. 6)."""
    residuals, moments = output["residuals"], output["residual_moments"]
    categories = [c for c in residuals.axes["category"] if c != OTHER] or [OTHER]
    colours = _colours(list(residuals.axes["method"]))
    figure = Figure(figsize=(4.2 * len(categories), 3.6), layout="constrained")
    panels = figure.subplots(1, len(categories), squeeze=False)[0]
    for axes, category in zip(panels, categories, strict=True):
        for method in residuals.axes["method"]:
            key = {"method": method, "category": category}
            moment = moments[key]
            rms = np.sqrt(moment.variance) if moment.count > 1 else np.nan
            axes.stairs(
                residuals[key].density(),
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


def plot_history(card: NetworkCard) -> Figure:
    """Training and validation loss of every member; the epoch that was kept is marked."""
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.subplots()
    for number, member in enumerate(card.members):
        epochs = [line.epoch for line in member.history]
        validation = [line.validation_loss for line in member.history]
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(epochs, [line.loss for line in member.history], "--", color=colour)
        axes.plot(epochs, validation, color=colour, label=f"member {number + 1}")
        best = member.best_epoch
        axes.plot(best, validation[epochs.index(best)], "o", color=colour)
    axes.set_xlabel("epoch")
    axes.set_ylabel("cross-entropy per event")
    axes.legend(title="solid: validation, dashed: training", fontsize=8, title_fontsize=8)
    return figure


def plot_map(efficiency: EfficiencyMap) -> Figure:
    """Values of a map in one or two binned features, one panel per category."""
    edges = list(efficiency.card.edges.items())
    categories = [f for f in efficiency.features.features if f.kind == "categorical"]
    names = [category_names(f.categories) for f in categories]
    titles = [" ".join(combination) for combination in product(*names)]
    panels = efficiency.values().reshape(len(titles), *(len(e) - 1 for _, e in edges))
    if len(edges) > 2:
        raise InputError(f"maps in one or two features can be drawn, not in {len(edges)}")
    figure = Figure(figsize=(4.6 * len(titles), 3.8), layout="constrained")
    row = figure.subplots(1, len(titles), squeeze=False)[0]
    for axes, title, values in zip(row, titles, panels, strict=True):
        axes.set(title=title or "all", xlabel=edges[0][0])
        if len(edges) == 1:
            axes.stairs(values, edges[0][1])
            axes.set_ylabel("efficiency")
        else:
            mesh = axes.pcolormesh(edges[0][1], edges[1][1], values.T, rasterized=True)
            axes.set_ylabel(edges[1][0])
            figure.colorbar(mesh, ax=axes, label="efficiency")
    return figure


def plot_simulated_efficiency() -> Figure:
    """Shapes of the simulation's true efficiency (the counterpart of the paper's Fig. 3)."""
    figure = Figure(figsize=(12.0, 6.4), layout="constrained")
    maps = figure.subplot_mosaic([["b", "c", "light"], ["factor"] * 3])
    pt, eta = np.meshgrid(np.linspace(20.0, 600.0, 117), np.linspace(-2.4, 2.4, 97))
    delta_r = np.linspace(0.0, 3.0, 121)
    for code, name in FLAVOUR_NAMES.items():
        eps = simulation.jet_efficiency(pt, eta, np.full(pt.shape, code))
        mesh = maps[name].pcolormesh(pt, eta, eps, cmap="viridis", rasterized=True)
        figure.colorbar(mesh, ax=maps[name], label=r"$\epsilon$")
        maps[name].set(title=f"{name} jets", xlabel=r"$p_T$ [GeV]", ylabel=r"$\eta$")
        factor = simulation.environment_factor(delta_r, np.full(delta_r.shape, code))
        maps["factor"].plot(delta_r, factor, label=f"close-by {name} jet")
    maps["factor"].set(xlabel=r"$\Delta R$", ylabel="correction factor", ylim=(0.5, 1.05))
    maps["factor"].legend()
    return figure


def closure_figures(output: Mapping[str, Any]) -> dict[str, Figure]:
    """All figures of a closure by file name (without suffix)."""
    figures = {}
    for name, histogram in output["observables"].items():
        for category in histogram.axes["category"]:
            if not histogram[{"category": category}].values().any():
                continue
            suffix = "" if category == ALL else f"_{category}"
            figures[f"{name}{suffix}"] = plot_observable(output, name, category)
    for name in output["profiles"]:
        figures[f"efficiency_{name}"] = plot_profile(output, name)
    if "residuals" in output:
        figures["residuals"] = plot_residuals(output)
    return figures
