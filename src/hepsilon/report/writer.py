"""Writes what a closure leaves behind: closure.json, pictures, histograms and the page."""

from __future__ import annotations

import json
from pathlib import Path

import uhi.io.json

from hepsilon import plotting
from hepsilon._system.files import atomic_folder, write_text
from hepsilon._system.progress import progress_bar
from hepsilon.closure.model import Closure
from hepsilon.plotting.style import save_figure
from hepsilon.processors.outputs import Output
from hepsilon.report.page import page

__all__ = ["write_closure"]


def write_closure(out: str | Path, output: Output, report: Closure) -> None:
    """Write ``closure.json``, ``report.html``, ``histograms.json`` and pictures into a folder.

    The histograms are in the UHI serialisation: ``json.load(file, object_hook=
    uhi.io.json.object_hook)`` and ``hist.Hist(...)`` of an entry give them back.

    Parameters
    ----------
    out : str or Path
        Folder; it is made if needed. All files of it change together, or none does.
    output : TaggingOutput or InversionOutput
        Output of the task's processor for one dataset.
    report : TaggingClosure or InversionClosure
        Closure from :func:`hepsilon.closure.closure_report`.
    """
    with atomic_folder(out) as folder:
        figures = plotting.closure_figures(output)
        pictures = {}
        with progress_bar("plots", len(figures)) as advance:
            for name, figure in figures.items():
                pictures[name] = save_figure(figure, folder / f"{name}.png")
                advance()
        histograms = json.dumps(output.histograms, default=uhi.io.json.default)
        write_text(folder / "histograms.json", histograms)
        content = json.dumps(report.as_dict(), indent=1, allow_nan=False)
        write_text(folder / "closure.json", content + "\n")
        write_text(folder / "report.html", page(report, pictures))
