"""Panels below a distribution: ratios with the efficiency's own error, and pulls.

They are drawn by mplhep. Its pull of two histograms is their difference over the root of the sum of
their variances; it is given the exact variance of the difference as that of the first one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import hist
import mplhep
import numpy as np
from matplotlib.axes import Axes

from hepsilon.arrays.types import Array
from hepsilon.plotting.style import LABELS, ratio_of

__all__ = ["MOST_LINES", "Sums", "band", "pull_panel", "ratio_panel"]

MOST_LINES = 3
"""Number of methods whose pulls are lines; those of more are rows of colours."""
LARGEST_PULL = 5.0


@dataclass(frozen=True)
class Sums:
    """What one method gives in the bins of an observable.

    Attributes
    ----------
    expected : ndarray of float64, shape (n,)
        Sums that are compared with the reference.
    variance : ndarray of float64, shape (n,)
        Variance of the difference of both by the sample.
    own : ndarray of float64, shape (n,)
        Variance by the efficiency's own error; zero where that is not known.
    """

    expected: Array
    variance: Array
    own: Array


def _filled(edges: Array, values: Array, variances: Array) -> hist.Hist[Any]:
    """Histogram with these sums."""
    filled = hist.Hist(hist.axis.Variable(edges, name="x"), storage=hist.storage.Weight())
    view: Any = filled.view()
    view["value"], view["variance"] = values, variances
    return filled


def band(axes: Axes, edges: Array, values: Array, error: Array, colour: str) -> None:
    """Draw the band of the efficiency's own error; nothing where that is not known.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Panel.
    edges : ndarray of float64, shape (n + 1,)
        Edges of the bins.
    values, error : ndarray of float64, shape (n,)
        Middle of the band, and half of its width.
    colour : str
        Colour of the method.
    """
    if np.any(error > 0.0):
        low, high = (np.append(v, v[-1]) for v in (values - error, values + error))
        axes.fill_between(edges, low, high, step="post", color=colour, alpha=0.25, linewidth=0)


def ratio_panel(
    axes: Axes,
    edges: Array,
    reference: Array,
    methods: Mapping[str, Sums],
    colours: Mapping[str, str],
) -> None:
    """Draw the ratio of every method to a reference, with its band.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Panel.
    edges : ndarray of float64, shape (n + 1,)
        Edges of the bins.
    reference : ndarray of float64, shape (n,)
        Denominators; bins where they are zero stay empty.
    methods : mapping of str to Sums
        Sums by method.
    colours : mapping of str to str
        Colour of each method.
    """
    for method, sums in methods.items():
        ratio = ratio_of(sums.expected, reference)
        line = {"color": colours[method], "linewidth": 1.3, "edges": False}
        mplhep.histplot(ratio, edges, ax=axes, **line)
        error = np.abs(ratio_of(np.sqrt(sums.own), reference))
        band(axes, edges, ratio, error, colours[method])
    axes.axhline(1.0, color="0.6", linewidth=0.8, zorder=0)


def pull_panel(
    axes: Axes,
    edges: Array,
    differences: Mapping[str, Array],
    methods: Mapping[str, Sums],
    colours: Mapping[str, str],
) -> None:
    """Draw the pulls of every method, the efficiency's own error included.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Panel.
    edges : ndarray of float64, shape (n + 1,)
        Edges of the bins.
    differences : mapping of str to ndarray of float64, shape (n,)
        Observed minus expected sums, or corrected minus generated ones, by method.
    methods : mapping of str to Sums
        Sums by method.
    colours : mapping of str to str
        Colour of each method.
    """
    if len(methods) > MOST_LINES:
        _pull_rows(axes, edges, differences, methods)
        return
    for method, sums in methods.items():
        total = sums.variance + sums.own
        if not np.any(total > 0.0):
            continue
        with np.errstate(divide="ignore", invalid="ignore"):  # bins without variance stay empty
            mplhep.comp.comparison(
                _filled(edges, differences[method], np.maximum(total, 0.0)),
                _filled(edges, *np.zeros((2, len(total)))),
                axes,
                comparison="pull",
                comparison_ylim=(-LARGEST_PULL, LARGEST_PULL),
                flow="none",
                histtype="step",
                color=colours[method],
                edges=False,
                yerr=False,
                linewidth=1.3,
            )
    for level in (-2.0, 2.0):
        axes.axhline(level, color="0.6", linewidth=0.8, linestyle=":", zorder=0)
    axes.set_ylim(-LARGEST_PULL, LARGEST_PULL)
    axes.set_ylabel("pull")
    axes.set_xlabel("")


def _pull_rows(
    axes: Axes, edges: Array, differences: Mapping[str, Array], methods: Mapping[str, Sums]
) -> None:
    """Pulls of many methods as colours, one row for each."""
    rows = np.full((len(methods), len(edges) - 1), np.nan)
    for row, (method, sums) in zip(rows, methods.items(), strict=True):
        total = sums.variance + sums.own
        np.divide(differences[method], np.sqrt(total), out=row, where=total > 0.0)
    limits: dict[str, Any] = {"vmin": -LARGEST_PULL, "vmax": LARGEST_PULL}
    mesh = axes.pcolormesh(
        edges, np.arange(len(rows) + 1.0), rows, cmap="RdBu_r", rasterized=True, **limits
    )
    axes.set_yticks(np.arange(len(rows)) + 0.5, [LABELS.get(m, m) for m in methods], fontsize=8)
    axes.set_ylim(len(rows), 0)
    bar = axes.inset_axes((1.01, 0.0, 0.015, 1.0))
    assert axes.figure is not None
    axes.figure.colorbar(mesh, cax=bar, extend="both").set_label("pull", fontsize=8)
    bar.tick_params(labelsize=7)
