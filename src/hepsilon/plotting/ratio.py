"""Observables of two samples before and after one of them is reweighted."""

from __future__ import annotations

from typing import Any

import mplhep
import numpy as np
from matplotlib.figure import Figure

from hepsilon.arrays.types import Array
from hepsilon.closure.ratio_record import RatioObservable
from hepsilon.plotting.panels import band
from hepsilon.plotting.style import COLOURS, corner, ratio_of, stacked_panels, start_at_zero

__all__ = ["plot_reweighted"]


ROOM = 1.4
"""Height of a panel relative to what it shows: the legend stands above."""


def plot_reweighted(name: str, found: RatioObservable) -> Figure:
    """Draw one observable: the numerator as points, the denominator before and after as lines.

    Parameters
    ----------
    name : str
        Label of the horizontal axis.
    found : RatioObservable
        Observable of a closure of a ratio.

    Returns
    -------
    Figure
        Densities, or shares of few values, and below them what the lines are in units of the
        numerator; the band is the ratio's own error.
    """
    figure, (main, below) = stacked_panels(5.2, [3.0, 1.4])
    edges, width = np.asarray(found.edges), np.diff(found.edges)
    if found.values is not None:  # shares of values, side by side
        edges, width = np.arange(len(width) + 1) - 0.5, np.ones(len(width))
        below.set_xticks(np.arange(len(width)), [f"{value:g}" for value in found.values])
    numerator, error = np.asarray(found.numerator), np.sqrt(found.numerator_variance)
    centres = 0.5 * (edges[1:] + edges[:-1])
    style: dict[str, Any] = {"color": "black", "fmt": "o", "markersize": 3, "linewidth": 1}
    main.errorbar(centres, numerator / width, error / width, label="numerator", **style)
    below.errorbar(centres, np.ones(len(width)), ratio_of(error, numerator), **style)
    own = np.sqrt(found.model_variance) if found.model_variance else np.zeros(len(width))
    lines: dict[str, tuple[list[float], Array, str]] = {
        "denominator": (found.denominator, np.zeros(len(width)), COLOURS[0]),
        "reweighted": (found.reweighted, own, COLOURS[2]),
    }
    for label, (shares, spread, colour) in lines.items():
        values = np.asarray(shares)
        line: dict[str, Any] = {"color": colour, "linewidth": 1.5, "edges": False}
        mplhep.histplot(values / width, edges, ax=main, label=label, **line)
        mplhep.histplot(ratio_of(values, numerator), edges, ax=below, **line)
        band(main, edges, values / width, spread / width, colour)
        band(below, edges, ratio_of(values, numerator), ratio_of(spread, numerator), colour)
    main.set_ylabel("density" if found.values is None else "share")
    start_at_zero(main, numerator / width)
    bottom, top = main.get_ylim()
    main.set_ylim(top=bottom + ROOM * (top - bottom))
    main.legend(fontsize=9, loc=corner(numerator / width))
    main.set_xlim(edges[0], edges[-1])
    below.set_ylim(0.5, 1.5)
    below.set_ylabel("ratio to\nnumerator")
    below.set_xlabel(name)
    return figure
