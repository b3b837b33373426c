"""Titles and captions of the plots of a closure, in words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hepsilon.closure.model import Closure, InversionClosure, ObservableClosure
from hepsilon.histograms.methods import ALL
from hepsilon.plotting.plot import Kind, Plot

__all__ = ["caption_of", "title_of"]

TITLES: dict[Kind, str] = {
    "calibration": "Observed minus predicted share by predicted efficiency",
    "efficiency": "mean efficiency by category",
    "gain": "effective number of events, direct and truth tagged",
    "pulls": "pulls in bins of two observables",
    "residuals": "Relative differences to the true efficiency",
    "tag_counts": "events by number of tags",
    "weights": "Efficiencies of the selected events",
}
CAPTIONS: dict[Kind, str] = {
    "distribution": "Bands: the efficiency's own error, which the pulls contain.",
    "calibration": "Points: difference in bins of the predicted efficiency, with the error that it "
    "has if the efficiency is true; calibrated is zero.",
    "efficiency": "Lines: mean of the efficiency in each bin; bands: its own error; points: "
    "tagged share with its 68 % interval.",
    "gain": "Solid: with the uncertainty of the efficiency itself, dashed: without it. Below: gain "
    "over direct tagging.",
    "pulls": "Difference in every bin in units of its error.",
    "residuals": "Distribution of (E - true E) / true E over the entries.",
    "tag_counts": "Points: observed; lines: expected from the efficiencies. Below: ratios.",
    "weights": "Events in the tail to the left carry large weights 1/E.",
}


def title_of(closure: Closure, plot: Plot) -> str:
    """Title of a plot.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.
    plot : Plot
        The plot.

    Returns
    -------
    str
        What is drawn.
    """
    if plot.kind == "distribution":
        inversion = isinstance(closure, InversionClosure)
        what = "generated, selected and corrected events" if inversion else "observed and expected"
        scope = "" if plot.category == ALL else f" ({plot.category})"
        return f"{plot.observable}{scope}: {what}"
    return f"{plot.observable}: {TITLES[plot.kind]}" if plot.observable else TITLES[plot.kind]


def caption_of(closure: Closure, plot: Plot) -> str:
    """Caption of a plot: how it agrees, or how it is read.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.
    plot : Plot
        The plot.

    Returns
    -------
    str
        Sentences.
    """
    key = plot.observable if plot.category == ALL else f"{plot.observable}|{plot.category}"
    how = CAPTIONS.get(plot.kind, "")
    agreement = "; ".join(_agreements(closure, key))
    if plot.kind == "distribution" and agreement:
        return f"{agreement}. {how}"
    if plot.kind == "pulls":
        how = " ".join(filter(None, (how, agreement)))
    return how


def _agreements(closure: Closure, key: str) -> Iterator[str]:
    """Agreement of every method in one observable."""
    for method, entry in closure.efficiency.items():
        compared = entry.observables.get(key)
        if compared is not None and compared.ndf:
            yield f"{method}: {_agreement(compared)}"


def _agreement(compared: ObservableClosure) -> str:
    """chi2, p-value and largest pull of one observable."""
    text = f"chi2/ndf {compared.chi2:.1f}/{compared.ndf}"
    if compared.p_value is not None:
        text += f" (p = {compared.p_value:.2g})"
    pulls = np.array(compared.pull, np.float64)  # None becomes NaN
    if pulls.ndim != 1 or np.isnan(pulls).all():
        return text
    worst = int(np.nanargmax(np.abs(pulls)))
    low, high = compared.edges[worst], compared.edges[worst + 1]
    return f"{text}, largest pull {pulls[worst]:+.1f} from {low:.4g} to {high:.4g}"
