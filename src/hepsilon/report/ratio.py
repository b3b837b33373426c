"""Closure of a ratio as files: closure.json, pictures and a page."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from hepsilon._system.files import atomic_folder, write_text
from hepsilon.closure.ratio_record import Agreement, RatioClosure
from hepsilon.efficiencies.card_text import card_rows
from hepsilon.efficiencies.ratio_base import Ratio
from hepsilon.plotting.ratio import plot_reweighted
from hepsilon.plotting.style import png, save_figure
from hepsilon.report.content import Picture, Section, Table
from hepsilon.report.page import Origin, png_url, render
from hepsilon.report.verdict import Sentence

__all__ = ["observable_table", "ratio_page", "sample_table", "write_ratio"]

MEANING = (
    "Shares of the sum of weights in bins, of the denominator before and after it is multiplied "
    "with the ratio, against those of the numerator. The chi2 contains the covariance of both "
    "samples and, after reweighting, of the ratio's own error; bias is the root mean square of the "
    "relative differences without their noise. Observables that are no features are shown for "
    "information: the ratio does not know them."
)


def sample_table(closure: RatioClosure) -> Table:
    """Numbers of the samples, and what reweighting leaves.

    Parameters
    ----------
    closure : RatioClosure
        Content of ``closure.json``.

    Returns
    -------
    Table
        Name and value.
    """
    rows = []
    for side in ("numerator", "denominator"):
        own = closure[side]
        text = f"{own.n:,} entries, worth {own.n_effective:,.0f}"
        rows.append([side, f"{text}; outside of the overlap {own.outside_share:.2%} of the weight"])
    model = closure.mean_model_error
    own_error = "" if model is None else f" +- {model:.4f} (ratio)"
    rows.append(["mean ratio", f"{closure.mean:.4f} +- {closure.mean_error:.4f}{own_error}"])
    left = closure.n_effective / max(closure.denominator.n_effective, 1e-12)
    rows.append(["worth after reweighting", f"{closure.n_effective:,.0f} entries ({left:.1%})"])
    clipped = f"{closure.n_clipped:,} entries, {closure.clipped_share:.2%} of the new weight"
    rows.append(["clipped", clipped])
    if closure.auc_before is not None and closure.auc_after is not None:
        error = closure.auc_error or 0.0
        text = f"{closure.auc_before:.4f} before, {closure.auc_after:.4f} after, +- {error:.4f}"
        rows.append(["area under the curve of trees", text])
    if closure.two_sample is not None:
        test = closure.two_sample.with_own_error or closure.two_sample.by_sample
        rows.append(["trees against chance", f"p = {test.p_value:.2g}"])
    return Table(["", "value"], rows)


def _cells(found: Agreement) -> list[str]:
    chance = "-" if found.p_value is None else f"{found.p_value:.2g}"
    return [f"{found.chi2:.1f} / {found.ndf}", chance, f"{found.bias:.1%}"]


def observable_table(closure: RatioClosure) -> Table:
    """Agreement of every observable before and after reweighting.

    Parameters
    ----------
    closure : RatioClosure
        Content of ``closure.json``.

    Returns
    -------
    Table
        One row for each observable.
    """
    header = ["observable", "chi2 / ndf before", "p", "bias", "chi2 / ndf after", "p", "bias"]
    rows = [
        [f"{name}{'' if o.feature else ' (no feature)'}", *_cells(o.before), *_cells(o.after)]
        for name, o in closure.observables.items()
    ]
    return Table(header, rows)


def ratio_page(
    closure: RatioClosure,
    ratio: Ratio,
    name: str,
    pictures: Sequence[Picture],
    origin: Origin | None = None,
) -> str:
    """Page of a closure of a ratio.

    Parameters
    ----------
    closure : RatioClosure
        Content of ``closure.json``.
    ratio : Ratio
        The ratio, for its card.
    name : str
        Name of the ratio, such as that of its file.
    pictures : sequence of Picture
        Pictures of the observables.
    origin : Origin, optional
        Command and date; by default no command, and now.

    Returns
    -------
    str
        HTML that refers to no other file.
    """
    made, card = origin or Origin(), getattr(ratio, "card", None)
    rows = [["date", f"{made.date:%Y-%m-%d %H:%M} UTC"], ["files", ", ".join(closure.files)]]
    rows += [["command", made.command]] if made.command else []
    rows += [[f"version of {package}", text] for package, text in closure.versions.items()]
    verdict = closure.verdict
    return render(
        "ratio.html",
        title="Closure of a ratio of two samples",
        status=verdict.status,
        items=[Sentence(verdict.status, name, verdict.reasons)],
        sections=[
            Section("Samples", table=sample_table(closure)),
            Section("Observables", [MEANING], observable_table(closure)),
        ],
        pictures=pictures,
        card=Table(["", "value"], [] if card is None else card_rows(card)),
        provenance=Section("Provenance", table=Table(["", "value"], rows)),
    )


def write_ratio(
    out: str | Path,
    closure: RatioClosure,
    ratio: Ratio,
    name: str,
    *,
    formats: Sequence[str] = ("png",),
    origin: Origin | None = None,
) -> None:
    """Write ``closure.json``, ``report.html`` and one picture for each observable.

    Parameters
    ----------
    out : str or Path
        Folder to write.
    closure : RatioClosure
        The closure.
    ratio : Ratio
        The ratio.
    name : str
        Name of the ratio, such as that of its file.
    formats : sequence of {"png", "pdf", "svg"}, default ("png",)
        Formats of the pictures.
    origin : Origin, optional
        Command and date, for the page.
    """
    content = json.dumps(closure.as_dict(), indent=1, allow_nan=False)
    pictures = []
    with atomic_folder(out) as folder:
        for observable, found in closure.observables.items():
            figure = plot_reweighted(observable, found)
            stem = re.sub(r"\W+", "_", observable).strip("_")
            written = {f: save_figure(figure, folder / f"{stem}.{f}") for f in formats}
            caption = (
                f"chi2/ndf {found.before.chi2:.1f}/{found.before.ndf} before, "
                f"{found.after.chi2:.1f}/{found.after.ndf} after reweighting"
            )
            data = png_url(written.get("png") or png(figure))
            pictures.append(Picture(stem, observable, caption, data, observable))
        write_text(folder / "closure.json", content + "\n")
        write_text(folder / "report.html", ratio_page(closure, ratio, name, pictures, origin))
