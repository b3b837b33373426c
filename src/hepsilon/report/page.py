"""The report: one self-contained HTML page of a closure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import jinja2

from hepsilon._version import __version__
from hepsilon.arrays.repeats import repeats_text
from hepsilon.closure.model import Closure, InversionClosure
from hepsilon.closure.questions import warnings_of
from hepsilon.report.axes import axes_sections
from hepsilon.report.calibration import calibration_sections
from hepsilon.report.content import Picture, Section, Table
from hepsilon.report.dependence import dependence_sections
from hepsilon.report.domain import domain_sections
from hepsilon.report.registry import own_sections
from hepsilon.report.tables import presentation, summary_rows
from hepsilon.report.two_sample import two_sample_sections
from hepsilon.report.verdict import Sentence, sample_text, thresholds_text, verdict_items

__all__ = ["EfficiencyPart", "Origin", "origin_rows", "page", "png_url", "render", "render_page"]

TEMPLATES = files("hepsilon.report") / "templates"


@dataclass(frozen=True)
class EfficiencyPart:
    """Part of the page about one efficiency.

    Attributes
    ----------
    name : str
        Name of the efficiency.
    card : Table
        Its card: name and value.
    picture : Picture or None
        Curves of its training, where it was trained.
    """

    name: str
    card: Table
    picture: Picture | None = None


@dataclass(frozen=True)
class Origin:
    """Origin of a report.

    Attributes
    ----------
    command : str
        Command that made it; empty for one that was made from Python.
    date : datetime
        When it was made.
    """

    command: str = ""
    date: datetime = field(default_factory=lambda: datetime.now(UTC))


def png_url(content: bytes) -> str:
    """Give a picture (PNG) as a data URL, which needs no file."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def render(template: str, **context: Any) -> str:
    """Fill a template of this package; every value is escaped.

    Parameters
    ----------
    template : str
        File name of the template.
    **context
        Values by the names that the template uses.

    Returns
    -------
    str
        HTML that refers to no other file.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hepsilon.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    text = environment.get_template(template).render(style=style, version=__version__, **context)
    return text + "\n"


def _repeats(closure: Closure) -> list[str]:
    """A sentence about events that occur twice, if there are any."""
    if not isinstance(closure, InversionClosure):
        return []
    repeated = closure.repeated_events
    if repeated is None or not repeated.count:
        return []
    return [f"warning: {repeats_text(repeated.count, closure.n_selected)}"]


def origin_rows(closure: Closure, origin: Origin) -> list[list[str]]:
    """Date, command and versions, which all closures of one command have in common.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.
    origin : Origin
        Command and date.

    Returns
    -------
    list of list of str
        Name and value.
    """
    rows = [["date", f"{origin.date:%Y-%m-%d %H:%M} UTC"]]
    rows += [["command", origin.command]] if origin.command else []
    return rows + [[f"version of {name}", text] for name, text in closure.versions.items()]


def _provenance(closure: Closure, origin: Origin) -> Section:
    """Everything that made the closure, and its files."""
    rows = origin_rows(closure, origin)
    for name, digest in closure.model_hash.items():
        rows.append([f"efficiency {name}", digest or "not from a file"])
    rows += [["events", f"{closure.n_events:,}"]]
    read = [] if closure.run is None else closure.run.files
    rows += [["file", f"{each.name}, {each.entries:,} entries"] for each in read]
    known = {each.name for each in read}
    rows += [["file", name] for name in closure.files if name not in known]
    return Section("Provenance", table=Table(["", "value"], rows))


def _found(closure: Closure) -> list[Section]:
    """What the trainings of the efficiencies found, a paragraph for each finding."""
    texts = [
        f"{name}: {text}" for name, all_of in closure.found_in_training.items() for text in all_of
    ]
    return [Section("Found in training", texts)] if texts else []


def _each_once(names: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name]


def page(
    closure: Closure,
    pictures: Sequence[Picture] = (),
    efficiencies: Sequence[EfficiencyPart] = (),
    origin: Origin | None = None,
) -> str:
    """The report page, pictures inside.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.
    pictures : sequence of Picture, optional
        Pictures in the order of the page.
    efficiencies : sequence of EfficiencyPart, optional
        Cards and training curves of the efficiencies.
    origin : Origin, optional
        Command and date; by default no command, and now.

    Returns
    -------
    str
        HTML that refers to no other file.
    """
    summary = Table(*summary_rows(closure))
    compared: Mapping[str, str] = closure.compared
    return render_page(
        title=f"Closure of {sample_text(closure)}" if closure.files else "Closure",
        status=closure.verdict.status if closure.verdict else None,
        items=verdict_items(closure),
        thresholds=thresholds_text(closure.verdict.thresholds) if closure.verdict else "",
        warnings=[*warnings_of(closure.differences, closure.trained_on), *_repeats(closure)],
        remarks=[
            f"{name} was chosen by its validation loss: {text}" for name, text in compared.items()
        ],
        sections=[
            *presentation(closure).sections(closure, summary),
            *calibration_sections(closure),
            *two_sample_sections(closure),
            *dependence_sections(closure),
            *domain_sections(closure),
            *axes_sections(closure),
            *_found(closure),
            *own_sections(closure),
        ],
        pictures=pictures,
        efficiencies=efficiencies,
        provenance=_provenance(closure, origin or Origin()),
    )


def render_page(
    *,
    title: str,
    status: str | None,
    items: Sequence[Sentence],
    sections: Sequence[Section],
    pictures: Sequence[Picture],
    provenance: Section,
    thresholds: str = "",
    warnings: Sequence[str] = (),
    remarks: Sequence[str] = (),
    efficiencies: Sequence[EfficiencyPart] = (),
) -> str:
    """A page with verdict, sections, pictures with their filters, efficiencies and provenance.

    Parameters
    ----------
    title : str
        Title of the page.
    status : {"pass", "warn", "fail"} or None
        The verdict; None without one.
    items : sequence of Sentence
        Verdicts on all methods.
    sections : sequence of Section
        Sections above the pictures.
    pictures : sequence of Picture
        Pictures in the order of the page.
    provenance : Section
        What made the page.
    thresholds : str, optional
        Sentences on what decides the verdict.
    warnings : sequence of str, optional
        Paragraphs in the colour of warnings, below the verdict.
    remarks : sequence of str, optional
        Paragraphs behind them.
    efficiencies : sequence of EfficiencyPart, optional
        Cards and training curves.

    Returns
    -------
    str
        HTML that refers to no other file.
    """
    return render(
        "closure.html",
        title=title,
        status=status,
        items=items,
        thresholds=thresholds,
        warnings=warnings,
        remarks=remarks,
        sections=sections,
        pictures=pictures,
        observables=_each_once(picture.observable for picture in pictures),
        categories=_each_once(picture.category for picture in pictures),
        efficiencies=efficiencies,
        provenance=provenance,
        script=(TEMPLATES / "filters.js").read_text(encoding="utf-8"),
    )
