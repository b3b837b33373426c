"""Writes what a closure leaves behind: closure.json, pictures, histograms and the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uhi.io.json

from hepsilon import plotting
from hepsilon._system.files import atomic_folder, write_text
from hepsilon._system.progress import progress_bar
from hepsilon.closure.merging import RESULT, Question, Seen
from hepsilon.closure.model import Closure
from hepsilon.efficiencies.card import versions
from hepsilon.efficiencies.card_text import card_rows
from hepsilon.efficiencies.cards import NetworkCard
from hepsilon.plotting.experiments import Look
from hepsilon.plotting.style import png, save_figure
from hepsilon.processors.outputs import Output
from hepsilon.processors.saved_outputs import write_saved
from hepsilon.report.captions import caption_of, title_of
from hepsilon.report.content import Picture, Table
from hepsilon.report.page import EfficiencyPart, Origin, page, png_url

__all__ = ["efficiency_part", "write_closure"]


def write_closure(
    out: str | Path,
    output: Output,
    report: Closure,
    efficiencies: Mapping[str, Any] | None = None,
    *,
    formats: Iterable[str] = ("png",),
    look: Look | None = None,
    origin: Origin | None = None,
    question: Question | None = None,
) -> None:
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
    efficiencies : mapping of str to object, optional
        Efficiencies by name; the page shows their cards and the curves of their trainings.
    formats : iterable of str, default ("png",)
        Formats of the pictures in the folder: ``"png"``, ``"pdf"``, ``"svg"``.
    look : Look, optional
        Style and label of an experiment; plain plots by default.
    origin : Origin, optional
        Command and date, for the page.
    question : Question, optional
        All that decides the result beside the events; with it ``result.npz`` is written, whose sums
        ``hepsilon merge`` adds to those of other jobs.
    """
    cards = {name: getattr(each, "card", None) for name, each in (efficiencies or {}).items()}
    parts = [efficiency_part(name, card) for name, card in cards.items()]
    content = json.dumps(report.as_dict(), indent=1, allow_nan=False)
    with atomic_folder(out) as folder:
        pictures = _draw(output, report, folder, formats, look or Look())
        histograms = json.dumps(output.histograms, default=uhi.io.json.default)
        write_text(folder / "histograms.json", histograms)
        write_text(folder / "closure.json", content + "\n")
        if question is not None:
            beside = {"versions": versions(), "seen": asdict(Seen.of(report))}
            write_saved(folder / RESULT, output, question.as_dict() | beside)
        known = [part for part in parts if part is not None]
        write_text(folder / "report.html", page(report, pictures, known, origin))


def _draw(
    output: Output, report: Closure, folder: Path, formats: Iterable[str], look: Look
) -> list[Picture]:
    """Write all pictures of a closure into a folder, and give them with what they show."""
    with look.drawing():
        plots = plotting.closure_plots(output)
    pictures = []
    with progress_bar("plots", len(plots)) as advance:
        for name, plot in plots.items():
            look.finish(plot)
            written = {f: save_figure(plot.figure, folder / f"{name}.{f}") for f in formats}
            title, caption = title_of(report, plot), caption_of(report, plot)
            data = png_url(written.get("png") or png(plot.figure))
            shown = Picture(name, title, caption, data, plot.observable, plot.category, plot.wide)
            pictures.append(shown)
            advance()
    return pictures


def efficiency_part(name: str, card: Any) -> EfficiencyPart | None:
    """Card of an efficiency, and the curves of its training, for a page.

    Parameters
    ----------
    name : str
        Name of the efficiency.
    card : ArtifactCard or None
        Its card.

    Returns
    -------
    EfficiencyPart or None
        None without a card.
    """
    if card is None:
        return None
    picture = None
    if isinstance(card, NetworkCard) and any(each.history for each in card.members):
        data = png_url(png(plotting.plot_history(card)))
        caption = "Cross-entropy by epoch; the epoch that was kept is marked."
        picture = Picture(f"training-{name}", f"Training of {name}", caption, data)
    return EfficiencyPart(name, Table(["", "value"], card_rows(card)), picture)
