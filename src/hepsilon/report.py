"""What a closure leaves behind: closure.json, pictures, histograms and one self-contained page."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uhi.io.json
from matplotlib.figure import Figure

from hepsilon.files import atomic_path
from hepsilon.plotting import closure_figures
from hepsilon.progress import progress_bar

__all__ = ["save_figure", "summary_rows", "write_closure", "write_text"]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem;
       color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .25rem .8rem;
  text-align: right; border-bottom: 1px solid #ddd; } th:first-child, td:first-child {
  text-align: left; } .bad { color: #b00020; font-weight: 600; }
figure { display: inline-block; width: 48%; margin: .5rem 0; vertical-align: top; }
figure.wide { width: 98%; } figure img { max-width: 100%; }
figcaption { text-align: center; color: #666; }
"""


WIDE = ("efficiency_", "residuals")
"""Pictures with several panels beside each other."""


def write_text(path: Path, text: str) -> None:
    """Write a text file that appears only when complete."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def save_figure(figure: Figure, path: Path) -> bytes:
    """Write a figure as PNG, atomically, and return the picture."""
    picture = _png(figure)
    with atomic_path(path) as temporary:
        temporary.write_bytes(picture)
    return picture


def summary_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Table of chi2/ndf per method and observable (all categories together).

    ``yield`` is the pull of the total; ``KL`` the mean divergence from the truth per object.

    Returns
    -------
    header, rows : text; one row per efficiency.
    """
    first = next(iter(report["efficiency"].values()))
    names = [name for name in first["observables"] if "|" not in name]
    truth = any("truth" in entry for entry in report["efficiency"].values())
    header = ["method", "yield", *names, *(["KL [1e-4]"] if truth else [])]
    rows = []
    for method, entry in report["efficiency"].items():
        pull = entry["overall"]["pull"]
        row = [method, "-" if pull is None else f"{pull:+.1f}"]
        for name in names:
            found = entry["observables"][name]
            row.append(f"{found['chi2'] / found['ndf']:.2f}" if found["ndf"] else "-")
        if truth:
            divergence = entry.get("truth", {}).get("all", {}).get("divergence")
            row.append("-" if divergence is None else f"{1e4 * divergence:.2f}")
        rows.append(row)
    return header, rows


def _table(header: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _page(report: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The report page, pictures inside."""
    images = "".join(
        f'<figure class="{"wide" if name.startswith(WIDE) else ""}"><img alt="{html.escape(name)}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>{html.escape(name)}</figcaption></figure>"
        for name, png in pictures.items()
    )
    details = [
        [
            name,
            f"{entry['overall']['observed']:.1f}",
            f"{entry['overall']['expected']:.1f}",
            f"{entry['out_of_domain']['count']} ({entry['out_of_domain']['share']:.2%})",
        ]
        for name, entry in report["efficiency"].items()
    ]
    counts = f"{report['n_events']:,} events, {report['n_objects']:,} objects"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>hepsilon closure</title>'
        f"<style>{STYLE}</style><h1>Closure</h1>"
        f"<p>{counts} from {html.escape(', '.join(report['files']))}</p>"
        "<h2>chi2 / ndf by the exact statistic</h2>"
        "<p>Observed minus expected, with the variance sum w<sup>2</sup> p (1 - p): one for the "
        "true efficiency. The model's own uncertainty is not included. yield: pull of the total; "
        "KL: mean Kullback-Leibler divergence of the truth from the efficiency per object.</p>"
        f"{_table(*summary_rows(report))}<h2>Totals</h2>"
        f"{_table(['efficiency', 'observed', 'expected', 'out of domain'], details)}"
        f"<h2>Distributions</h2>{images}</html>\n"
    )


def write_closure(out: str | Path, output: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Write ``closure.json``, ``report.html``, ``histograms.json`` and pictures into a folder.

    The histograms are in the UHI serialisation: ``json.load(file, object_hook=
    uhi.io.json.object_hook)`` and ``hist.Hist(...)`` of an entry give them back.

    Parameters
    ----------
    out : folder, made if needed.
    output : of :class:`hepsilon.processors.TruthTagging` for one dataset.
    report : from :func:`hepsilon.closure.closure_report`.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    figures = closure_figures(output)
    pictures = {}
    with progress_bar("plots", len(figures)) as advance:
        for name, figure in figures.items():
            pictures[name] = save_figure(figure, folder / f"{name}.png")
            advance()
    histograms = {key: output[key] for key in ("observables", "binomial", "profiles")}
    write_text(folder / "histograms.json", json.dumps(histograms, default=uhi.io.json.default))
    write_text(folder / "closure.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    write_text(folder / "report.html", _page(report, pictures))
