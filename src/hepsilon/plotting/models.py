"""Plots of trainings, maps and of the simulation: each function returns a figure."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hepsilon.arrays.types import Array
from hepsilon.efficiencies.cards import NetworkCard
from hepsilon.efficiencies.map import EfficiencyMap
from hepsilon.errors import InputError
from hepsilon.histograms.categories import FLAVOUR_NAMES, category_names
from hepsilon.plotting.style import COLOURS
from hepsilon.simulation import efficiency

__all__ = ["plot_history", "plot_map", "plot_simulated_efficiency"]


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
    """Values of a map in one or two binned features.

    One panel per category, one row of them per working point.
    """
    edges = list(efficiency.card.edges.items())
    if len(edges) > 2:
        raise InputError(f"maps in one or two features can be drawn, not in {len(edges)}")
    categories = [f for f in efficiency.features.features if f.kind == "categorical"]
    names = [category_names(f.categories) for f in categories]
    titles = [" ".join(combination) for combination in product(*names)]
    points = efficiency.working_points
    shape = (len(titles), *(len(e) - 1 for _, e in edges), len(points))
    values = np.moveaxis(efficiency.values().reshape(shape), -1, 0)
    size = (4.6 * len(titles), 3.8 * len(points))
    figure = Figure(figsize=size, layout="constrained")
    rows = figure.subplots(len(points), len(titles), squeeze=False)
    for (row, title), axes in np.ndenumerate(rows):
        scope = [titles[title] or "all", *([str(points[row])] if len(points) > 1 else [])]
        axes.set(title=", ".join(scope), xlabel=edges[0][0])
        _draw_bins(figure, axes, values[row, title], edges)
    return figure


def _draw_bins(figure: Figure, axes: Any, values: Array, edges: list[Any]) -> None:
    """One map of one or two features."""
    if len(edges) == 1:
        axes.stairs(values, edges[0][1])
        axes.set_ylabel("efficiency")
    else:
        mesh = axes.pcolormesh(edges[0][1], edges[1][1], values.T, rasterized=True)
        axes.set_ylabel(edges[1][0])
        figure.colorbar(mesh, ax=axes, label="efficiency")


def plot_simulated_efficiency() -> Figure:
    """Shapes of the simulation's true efficiency (the counterpart of the paper's Fig. 3)."""
    figure = Figure(figsize=(12.0, 6.4), layout="constrained")
    maps = figure.subplot_mosaic([["b", "c", "light"], ["factor"] * 3])
    pt, eta = np.meshgrid(np.linspace(20.0, 600.0, 117), np.linspace(-2.4, 2.4, 97))
    delta_r = np.linspace(0.0, 3.0, 121)
    for code, name in FLAVOUR_NAMES.items():
        eps = efficiency.jet_efficiency(pt, eta, np.full(pt.shape, code))
        mesh = maps[name].pcolormesh(pt, eta, eps, cmap="viridis", rasterized=True)
        figure.colorbar(mesh, ax=maps[name], label=r"$\epsilon$")
        maps[name].set(title=f"{name} jets", xlabel=r"$p_T$ [GeV]", ylabel=r"$\eta$")
        factor = efficiency.environment_factor(delta_r, np.full(delta_r.shape, code))
        maps["factor"].plot(delta_r, factor, label=f"close-by {name} jet")
    maps["factor"].set(xlabel=r"$\Delta R$", ylabel="correction factor", ylim=(0.5, 1.05))
    maps["factor"].legend()
    return figure
