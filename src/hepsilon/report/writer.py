"""Writes what a closure leaves behind: closure.json, pictures, histograms and the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uhi.io.json

from hepsilon._system.files import write_text
from hepsilon._system.progress import progress_bar
from hepsilon.plotting import closure_figures
from hepsilon.plotting.style import save_figure
from hepsilon.report.page import page

__all__ = ["write_closure"]

HISTOGRAMS = (
    "observables",
    "binomial",
    "efficiency_replicas",
    "profiles",
    "horvitz_thompson",
    "exact",
    "replicas",
    "efficiencies",
)
"""What of an output is written as histograms."""


def write_closure(out: str | Path, output: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Write ``closure.json``, ``report.html``, ``histograms.json`` and pictures into a folder.

    The histograms are in the UHI serialisation: ``json.load(file, object_hook=
    uhi.io.json.object_hook)`` and ``hist.Hist(...)`` of an entry give them back.

    Parameters
    ----------
    out : str or Path
        Folder, made if needed.
    output : mapping of str to object
        Of the task's processor for one dataset.
    report : mapping of str to object
        From :func:`hepsilon.closure.closure_report`.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    figures = closure_figures(output)
    pictures = {}
    with progress_bar("plots", len(figures)) as advance:
        for name, figure in figures.items():
            pictures[name] = save_figure(figure, folder / f"{name}.png")
            advance()
    histograms = {key: output[key] for key in HISTOGRAMS if key in output}
    write_text(folder / "histograms.json", json.dumps(histograms, default=uhi.io.json.default))
    write_text(folder / "closure.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    write_text(folder / "report.html", page(report, pictures))
