"""Plots of tag multiplicities and of the statistics that truth tagging gains."""

from __future__ import annotations

from typing import Any

import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepsilon.arrays.statistics import effective_sample_size
from hepsilon.closure.gain import efficiency_variance, n_replicas
from hepsilon.histograms.methods import ALL, DIRECT, TAG_COUNTS, TRUTH, part_of
from hepsilon.plotting.style import (
    LABELS,
    filled_range,
    log_scale,
    method_colours,
    ratio_of,
    stacked_panels,
)
from hepsilon.processors.outputs import TaggingOutput

__all__ = ["plot_gain", "plot_tag_counts"]


def _methods(histogram: Any) -> list[str]:
    return [m for m in histogram.axes["method"] if m not in (ALL, DIRECT)]


def plot_tag_counts(output: TaggingOutput) -> Figure:
    """Events by number of tags: observed and expected, for every category of the leading pair.

    Parameters
    ----------
    output : TaggingOutput
        Output of :class:`hepsilon.processors.TruthTagging` for one dataset.

    Returns
    -------
    Figure
        One column of two panels for each category that has events.
    """
    histogram = output.observables[TAG_COUNTS]
    categories = [
        c for c in histogram.axes["category"] if part_of(histogram, category=c).values().any()
    ]
    categories = categories or [ALL]
    size = (1.2 + 2.4 * len(categories), 4.8)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(
        2,
        len(categories),
        sharex=True,
        sharey="row",
        squeeze=False,
        gridspec_kw={"height_ratios": [2, 1.2]},
    )
    for column, category in enumerate(categories):
        _tag_panels(panels[0, column], panels[1, column], output, category)
    log_scale(*panels[0])
    panels[0, 0].set_ylabel("events")
    panels[0, 0].legend(fontsize=8)
    panels[1, 0].set_ylim(0.8, 1.2)
    reference = TRUTH if TRUTH in _methods(histogram) else DIRECT
    panels[1, 0].set_ylabel(f"ratio to\n{LABELS[reference]}")
    return figure


def _tag_panels(main: Axes, ratio: Axes, output: TaggingOutput, category: str) -> None:
    """Counts and ratios of one category."""
    filled = part_of(output.observables[TAG_COUNTS], category=category)
    methods = _methods(filled)
    colours = method_colours(methods)
    names = list(filled.axes["tags"])
    edges, centres = np.arange(len(names) + 1.0), np.arange(len(names)) + 0.5
    reference = part_of(filled, method=TRUTH if TRUTH in methods else DIRECT).values()
    direct = part_of(filled, method=DIRECT)
    observed, errors = direct.values(), np.sqrt(direct.variances())
    style: dict[str, Any] = {"color": "black", "fmt": "o", "markersize": 3, "linewidth": 1}
    main.errorbar(centres, observed, errors, label=LABELS[DIRECT], **style)
    scaled = np.abs(ratio_of(errors, reference))
    ratio.errorbar(centres, ratio_of(observed, reference), scaled, **style)
    for method in methods:
        values = part_of(filled, method=method).values()
        line = {"color": colours[method], "linewidth": 1.4, "edges": False}
        mplhep.histplot(values, edges, ax=main, label=LABELS.get(method, method), **line)
        mplhep.histplot(ratio_of(values, reference), edges, ax=ratio, **line)
    main.set_title("all events" if category == ALL else category, fontsize=10)
    ratio.axhline(1.0, color="0.6", linewidth=0.8, zorder=0)
    ratio.set_xticks(centres, names, rotation=60, fontsize=8)


def plot_gain(output: TaggingOutput, name: str, category: str = ALL) -> Figure:
    """Effective number of events in every bin: direct and truth tagging, and their ratio.

    Dashed: without the uncertainty of the efficiency itself.

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
        Effective events, and below them the ratio to direct tagging.
    """
    histogram = part_of(output.observables[name], category=category)
    methods = _methods(histogram)
    colours = method_colours(methods)
    figure, (main, ratio) = stacked_panels(5.2, [2.0, 1.4])
    direct = part_of(histogram, method=DIRECT)
    edges = direct.axes["x"].edges
    before = effective_sample_size(direct.values(), direct.variances())
    line: dict[str, Any] = {"linewidth": 1.4, "edges": False}
    mplhep.histplot(before, edges, ax=main, color="black", label=LABELS[DIRECT], **line)
    for method in methods:
        filled = part_of(histogram, method=method)
        spread = efficiency_variance(output, method, name, category)
        known = n_replicas(output, method) or method == TRUTH
        label = LABELS.get(method, method) + ("" if known else " (own uncertainty unknown)")
        for extra, style in ((spread, "-"), (0.0, "--")):
            after = effective_sample_size(filled.values(), filled.variances() + extra)
            line |= {"color": colours[method], "linestyle": style}
            mplhep.histplot(after, edges, ax=main, label=label if style == "-" else None, **line)
            mplhep.histplot(ratio_of(after, before), edges, ax=ratio, **line)
    main.set_title("" if category == ALL else category, loc="right", fontsize=10)
    main.set_ylabel("effective events / bin")
    log_scale(main)
    main.set_xlim(*filled_range(edges, part_of(histogram, method=ALL).values()))
    main.legend(fontsize=8)
    ratio.axhline(1.0, color="0.6", linewidth=0.8, zorder=0)
    log_scale(ratio, plain=True)
    ratio.set_ylabel("gain over\ndirect tagging")
    ratio.set_xlabel(direct.axes["x"].label)
    return figure
