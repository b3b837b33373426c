"""Page of a training: its closure on held-out events, without a second sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hepsilon._system.files import write_text
from hepsilon.closure.held_out import judge_held_out
from hepsilon.config.verdict import VerdictConfig
from hepsilon.efficiencies.held_out_cards import HeldOutBins, HeldOutCard
from hepsilon.errors import ConfigError
from hepsilon.plotting.held_out import plot_held_out
from hepsilon.plotting.style import png
from hepsilon.report.content import Picture, Section, Table
from hepsilon.report.page import Origin, png_url, render_page
from hepsilon.report.verdict import Sentence
from hepsilon.report.writer import efficiency_part

__all__ = ["held_out_page", "held_out_verdict", "write_held_out"]

FIRST_ANSWER = (
    "This is a first answer, by events of the training sample that the networks were not fitted "
    "to; it says nothing about another sample, another simulation or data. A closure on other "
    "events does: hepsilon closure."
)
VALIDATION = "Validation events have chosen the epoch that is kept."
HEADER = ["working point", "category", "passed", "expected", "passed / expected", "last layer"]


def _thresholds(limits: VerdictConfig) -> str:
    return (
        f"A difference is clear with a p-value below {limits.p_value:g} after as many tests as "
        f"were made, and large above {100 * limits.total:g} % in the total or "
        f"{100 * limits.bin:g} % on average over the bins of an input: clear and large fails, "
        "clear warns. The p-values contain the statistical error of these events, not that of the "
        "efficiency."
    )


def held_out_verdict(held_out: HeldOutCard, name: str) -> Sentence:
    """Verdict on a training by its held-out events.

    Parameters
    ----------
    held_out : HeldOutCard
        Closure of the training.
    name : str
        Name of the efficiency.

    Returns
    -------
    Sentence
        Word, subject and reasons.
    """
    judged = judge_held_out(held_out)
    subject = f"{name} on {held_out.n_events:,} {held_out.events} events"
    return Sentence(judged.status, subject, judged.reasons)


def _title(each: HeldOutBins, before: str = "") -> str:
    name = "Totals by category" if each.name == "all" else f"{before}{each.name}"
    return ", ".join(filter(None, (name, each.working_point)))


def _picture(number: int, each: HeldOutBins) -> Picture:
    """One input of one working point."""
    caption = (
        f"chi2 / bins = {each.chi2:.1f} / {each.ndf}, p = {each.p_value:.2g}. Points are events "
        "with their statistical error"
    )
    caption += "; the band is the error of the last layer." if each.efficiency_variance else "."
    data = png_url(png(plot_held_out(each)))
    wide = len(set(each.categories)) > 1
    title = _title(each, "Passed over expected by ")
    return Picture(f"held-out-{number}", title, caption, data, each.name, wide=wide)


def _cells(each: HeldOutBins, number: int) -> list[str]:
    """Row of one bin."""
    return [cell.replace("+-", "\N{PLUS-MINUS SIGN}") for cell in each.cells(number)]


def _sections(held_out: HeldOutCard) -> list[Section]:
    """Totals, chances of all inputs, and all numbers."""
    points = any(each.working_point for each in held_out.totals)
    totals = [
        [*([each.working_point] if points else []), *_cells(each, number)[1:]]
        for each in held_out.totals
        for number in range(len(each.bins))
    ]
    chances = [
        [_title(each), f"{each.chi2:.1f} / {each.ndf}", f"{each.p_value:.2g}"]
        for each in held_out.inputs
    ]
    widths = 44, 22, 11, 11, 18, 8
    lines = [
        "  ".join(map(str.ljust, cells, widths))
        for each in held_out.inputs
        for cells in [
            [_title(each), *HEADER[1:]],
            *(_cells(each, number) for number in range(len(each.bins))),
        ]
    ]
    return [
        Section("Totals", table=Table(HEADER[not points :], totals)),
        Section(
            "Inputs",
            ["P-values allow for the correlation of the bins, and are those of single tests."],
            Table(["input", "chi2 / bins", "p-value"], chances),
            folded=("Passed and expected entries in all bins", "\n".join(lines)),
        ),
    ]


def held_out_page(card: Any, name: str, origin: Origin | None = None) -> str:
    """Page of a training by its held-out events, pictures inside.

    Parameters
    ----------
    card : NetworkCard
        Card of the artifact.
    name : str
        Name of the efficiency, for the title.
    origin : Origin, optional
        Command and date; by default no command, and now.

    Returns
    -------
    str
        HTML that refers to no other file.

    Raises
    ------
    ConfigError
        For an artifact that has no closure on held-out events.
    """
    found = getattr(card, "held_out", None)
    if found is None:
        raise ConfigError(
            f"{name} holds no closure on held-out events: networks that are trained with this "
            "release do"
        )
    made = origin or Origin()
    rows = [["date", f"{made.date:%Y-%m-%d %H:%M} UTC"]]
    rows += [["command", made.command]] if made.command else []
    rows += [["file", each.name] for each in card.files]
    verdict = held_out_verdict(found, name)
    return render_page(
        title=f"{name} on events held out of its training",
        status=verdict.status,
        items=[verdict],
        thresholds=_thresholds(VerdictConfig()),
        remarks=[FIRST_ANSWER, *([VALIDATION] if found.events == "validation" else [])],
        sections=_sections(found),
        pictures=[_picture(number, each) for number, each in enumerate(found.inputs)],
        efficiencies=[part for part in [efficiency_part(name, card)] if part],
        provenance=Section("Provenance", table=Table(["", "value"], rows)),
    )


def write_held_out(path: str | Path, card: Any, name: str, origin: Origin | None = None) -> None:
    """Write the page of a training.

    Parameters
    ----------
    path : str or Path
        File to write.
    card : NetworkCard
        Card of the artifact.
    name : str
        Name of the efficiency, for the title.
    origin : Origin, optional
        Command and date; by default no command, and now.
    """
    write_text(Path(path), held_out_page(card, name, origin))
