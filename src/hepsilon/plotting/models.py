"""Plots of trainings, maps and of the simulation: each function returns a figure."""

from __future__ import annotations

from itertools import product

import numpy as np
from matplotlib.figure import Figure

from hepsilon import simulation
from hepsilon.errors import InputError
from hepsilon.histograms import FLAVOUR_NAMES, category_names
from hepsilon.inference import NetworkCard
from hepsilon.maps import EfficiencyMap
from hepsilon.plotting.common import COLOURS

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
