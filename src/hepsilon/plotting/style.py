"""Colours, labels and ratios that all plots share."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter

from hepsilon._system.files import atomic_path
from hepsilon.arrays.types import Array
from hepsilon.errors import ConfigError, InputError
from hepsilon.histograms.densities import unit_of
from hepsilon.histograms.methods import ALL, DIRECT, GENERATED, SELECTED, TRUTH
from hepsilon.processors.outputs import Output, TruthHistograms

__all__ = [
    "COLOURS",
    "LABELS",
    "bin_width",
    "corner",
    "filled_range",
    "known_truth",
    "label_grid",
    "log_scale",
    "method_colours",
    "panel_grid",
    "png",
    "ratio_of",
    "save_figure",
    "stacked_panels",
    "start_at_zero",
]


def _is_readable(text: str) -> bool:
    """Whether what looks like a formula in a name that somebody chose is one."""
    try:
        for line in text.split("\n") if text.count("$") > 1 else ():
            MathTextParser("agg").parse(line)
    except ValueError:
        return False
    return True


def png(figure: Figure) -> bytes:
    """Give a figure as PNG.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Figure.

    Returns
    -------
    bytes
        Content of the file, which is equal for equal figures.
    """
    return _picture(figure, "png")


def _picture(figure: Figure, suffix: str) -> bytes:
    """Picture in a format, without the date and version that would make it differ."""
    buffer = io.BytesIO()
    for text in figure.findobj(Text):
        if not _is_readable(text.get_text()):
            text.set_parse_math(False)
    with matplotlib.rc_context({"svg.hashsalt": "hepsilon"}):
        figure.savefig(buffer, format=suffix, dpi=110, metadata=METADATA[suffix])
    return buffer.getvalue()


def save_figure(figure: Figure, path: Path) -> bytes:
    """Write a figure, atomically, and return the picture.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Figure.
    path : Path
        File, ending in ``.png``, ``.pdf`` or ``.svg``.

    Returns
    -------
    bytes
        Content of the file.

    Raises
    ------
    ConfigError
        For another ending.
    """
    suffix = path.suffix.removeprefix(".").lower()
    if suffix not in METADATA:
        raise ConfigError(f"{path}: expected a picture ending in {sorted(METADATA)}")
    picture = _picture(figure, suffix)
    with atomic_path(path) as temporary:
        temporary.write_bytes(picture)
    return picture


METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}
"""Metadata of pictures by format; what is None is left out."""
# Colour-blind safe cycle of M. Petroff, "Accessible Color Sequences for Data Visualization"
COLOURS = ("#f89c20", "#964a8b", "#5790fc", "#e42536", "#7a21dd", "#9c9ca1")
LABELS = {
    DIRECT: "direct tagging",
    TRUTH: "true efficiency",
    GENERATED: "generated",
    SELECTED: "selected",
}
"""Names of the built-in methods in legends."""


def stacked_panels(
    height: float, ratios: Sequence[float], *, room: bool = False
) -> tuple[Figure, list[Axes]]:
    """Panels on top of each other with one horizontal axis, in a figure of that height [inch].

    The margins are fixed: to fit them to the labels takes most of the time of a picture.

    Parameters
    ----------
    height : float
        Height of the figure [inch].
    ratios : sequence of float
        Height of each panel from the top, in any unit.
    room : bool, default False
        Whether there is room to the right, for a colour bar.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Figure.
    panels : list of matplotlib.axes.Axes
        Panels from the top.
    """
    width, (left, right, top, bottom) = 6.4, (1.0, 0.75 if room else 0.2, 0.35, 0.55)
    margins = {
        "left": left / width,
        "right": 1.0 - right / width,
        "top": 1.0 - top / height,
        "bottom": bottom / height,
    }
    figure = Figure(figsize=(width, height))
    grid: dict[str, Any] = {"height_ratios": ratios, "hspace": 0.08, **margins}
    panels = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, gridspec_kw=grid)[:, 0]
    return figure, list(panels)


def panel_grid(number: int, columns: int = 3) -> tuple[Figure, list[Axes]]:
    """Panels of one size with common axes, at most so many beside each other.

    Parameters
    ----------
    number : int
        Number of panels.
    columns : int, default 3
        Largest number of panels of a row.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Figure.
    panels : list of matplotlib.axes.Axes
        Panels, row by row.
    """
    across = min(columns, number)
    rows = -(-number // across)
    figure = Figure(figsize=(3.6 * across, 3.2 * rows), layout="constrained")
    grid = figure.subplots(rows, across, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in grid[number:]:
        axes.set_visible(False)
    return figure, list(grid[:number])


def label_grid(panels: Sequence[Axes], x: str, y: str) -> None:
    """Label the outer axes of panels of :func:`panel_grid`.

    Parameters
    ----------
    panels : sequence of matplotlib.axes.Axes
        Panels, row by row.
    x, y : str
        Labels of the axes.
    """
    last: dict[int, Axes] = {}
    for axes in panels:
        place = axes.get_subplotspec()
        assert place is not None
        if place.is_first_col():
            axes.set_ylabel(y)
        last[place.colspan.start] = axes
    for axes in last.values():
        axes.set_xlabel(x)
        axes.tick_params(labelbottom=True)


def method_colours(methods: list[str]) -> dict[str, str]:
    """Fixed colours: the truth in grey, efficiencies along the cycle."""
    learned = [m for m in methods if m not in LABELS and m != ALL]
    return {TRUTH: "#717581", **{m: COLOURS[i % len(COLOURS)] for i, m in enumerate(learned)}}


def ratio_of(values: Array, reference: Array) -> Array:
    """Ratio, NaN where the reference is zero.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Numerators.
    reference : ndarray of float64, shape (n,)
        Denominators.

    Returns
    -------
    ndarray of float64, shape (n,)
        Ratios.
    """
    out: Array = np.full(len(values), np.nan)
    np.divide(values, reference, out=out, where=reference != 0)
    return out


def bin_width(axis: Any) -> tuple[Array, str]:
    """Divisor of the entries (one for equal bins, else the width of each bin), and its name."""
    width = np.diff(axis.edges)
    if np.allclose(width, width[0]):
        return np.ones_like(width), "bin"
    return width, unit_of(axis.label) or "unit"


def corner(values: Array) -> Literal["upper left", "upper right"]:
    """Choose the upper corner of a panel where its legend hides less.

    Matplotlib's own search looks at every bin and band, and takes most of the time of a picture.

    Parameters
    ----------
    values : ndarray of float64, shape (n_bins,)
        Content of the bins.

    Returns
    -------
    str
        Place of a legend.
    """
    third = max(1, len(values) // 3)
    low, high = (np.nan_to_num(part).sum() for part in (values[:third], values[-third:]))
    return "upper left" if low < high else "upper right"


def start_at_zero(axes: Axes, *values: Array) -> None:
    """Let a vertical axis begin at zero; not where a sum of weights is negative.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Panel.
    *values : ndarray of float64
        What it shows.
    """
    if not any(np.any(each < 0.0) for each in values):
        axes.set_ylim(bottom=0)


def filled_range(edges: Array, values: Array) -> tuple[float, float]:
    """Range of the bins that hold anything.

    Parameters
    ----------
    edges : ndarray of float64, shape (n_bins + 1,)
        Edges of the bins.
    values : ndarray of float64, shape (n_bins,)
        Content of the bins.

    Returns
    -------
    tuple of (float, float)
        First and last edge; those of all bins if none holds anything.
    """
    filled = np.flatnonzero(values)
    first, last = (filled[0], filled[-1]) if len(filled) else (0, len(values) - 1)
    return float(edges[first]), float(edges[last + 1])


def known_truth(output: Output) -> TruthHistograms:
    """Distance of every method to the truth.

    Raises
    ------
    InputError
        If the task does not name the truth.
    """
    if output.truth is None:
        raise InputError("expected an output of a task that names the true efficiency")
    return output.truth


def log_scale(*panels: Axes, plain: bool = False) -> None:
    """Make the (shared) vertical axis logarithmic, if anything drawn in the panels is positive.

    ``plain`` writes 2 and 20 instead of powers of ten.

    Parameters
    ----------
    *panels : matplotlib.axes.Axes
        Panels that share the vertical axis.
    plain : bool, default False
        Whether ticks are labelled as 2 and 20 instead of by powers of ten.
    """
    if not any(np.isfinite(axes.dataLim.minposy) for axes in panels):
        return
    panels[0].set_yscale("log")
    if plain:
        panels[0].yaxis.set_major_formatter(LogFormatter())
        panels[0].yaxis.set_minor_formatter(LogFormatter())
