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
from hepsilon.histograms import ALL, TAG_COUNTS, TRUTH
from hepsilon.plotting import closure_figures
from hepsilon.progress import progress_bar

__all__ = ["mean_chi2", "save_figure", "summary_rows", "write_closure", "write_text"]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem;
       color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .25rem .8rem;
  text-align: right; border-bottom: 1px solid #ddd; } th:first-child, td:first-child {
  text-align: left; } .bad { color: #b00020; font-weight: 600; }
figure { display: inline-block; width: 48%; margin: .5rem 0; vertical-align: top; }
figure.wide { width: 98%; } figure img { max-width: 100%; }
.scroll { overflow-x: auto; } figcaption { text-align: center; color: #666; }
"""


WIDE = ("efficiency_", "pulls_", "residuals", "tag_counts")
"""Pictures with several panels beside each other."""

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


def _ratio_text(found: Mapping[str, Any], chi2: str = "chi2", ndf: str = "ndf") -> str:
    return f"{found[chi2] / found[ndf]:.2f}" if found[ndf] else "-"


def _divergence_text(entry: Mapping[str, Any]) -> str:
    divergence = entry.get("truth", {}).get("all", {}).get("divergence")
    return "-" if divergence is None else f"{1e4 * divergence:.2f}"


def _percent_text(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.2f}%"


def _is_2d(found: Mapping[str, Any]) -> bool:
    return bool(found["edges"]) and isinstance(found["edges"][0], list)


def summary_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Table of chi2/ndf per method (all categories together), by the exact statistic.

    Of truth tagging one column per observable, the pull of the total (``yield``) and ``KL``, the
    mean divergence from the truth per object. Of inverted efficiencies the relative difference of
    the total, its pull, the means over all observables in one and in two dimensions, and ``KL``
    per event.

    Returns
    -------
    header, rows : text; one row per efficiency.
    """
    entries = report["efficiency"]
    truth = any("truth" in entry for entry in entries.values())
    events = report["task"].get("level") == "event"
    header, cells = (_inversion_cells if events else _tagging_cells)(entries)
    rows = []
    for (method, entry), row in zip(entries.items(), cells, strict=True):
        rows.append([method, *row, *([_divergence_text(entry)] if truth else [])])
    return ["method", *header, *(["KL [1e-4]"] if truth else [])], rows


def _signed_text(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f}"


def _pull_text(entry: Mapping[str, Any]) -> str:
    return _signed_text(entry["overall"]["pull"])


def _tagging_cells(entries: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    first: Mapping[str, Any] = next(iter(entries.values()), {"observables": {}})
    names = [name for name in first["observables"] if "|" not in name]
    rows = [
        [_pull_text(entry), *(_ratio_text(entry["observables"][name]) for name in names)]
        for entry in entries.values()
    ]
    return ["yield", *names], rows


def _inversion_cells(entries: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for entry in entries.values():
        means = mean_chi2(entry)
        row = [_percent_text(entry["overall"].get("relative_difference")), _pull_text(entry)]
        rows.append(row + ["-" if mean is None else f"{mean:.2f}" for mean in means])
    return ["yield", "pull", "1D", "2D"], rows


def mean_chi2(entry: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Mean chi2/ndf over all observables in one and in two dimensions; None without any."""
    ratios: tuple[list[float], list[float]] = ([], [])
    for found in entry["observables"].values():
        if found["ndf"]:
            ratios[_is_2d(found)].append(found["chi2"] / found["ndf"])
    one, two = (sum(r) / len(r) if r else None for r in ratios)
    return one, two


def _chi2_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """chi2/ndf of every observable, exact and by the naive statistic, one row per observable."""
    entries = report["efficiency"]
    header = ["observable", *(f"{m}: {kind}" for m in entries for kind in ("exact", "naive"))]
    rows = []
    for name in next(iter(entries.values()), {"observables": {}})["observables"]:
        row = [name]
        for entry in entries.values():
            found = entry["observables"][name]
            row += [_ratio_text(found), _ratio_text(found, "naive_chi2", "naive_ndf")]
        rows.append(row)
    return header, rows


def _table(header: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _page(report: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The report page, pictures inside."""
    images = "".join(
        f'<figure class="{"wide" if name.startswith(WIDE) else ""}"><img alt="{html.escape(name)}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>{html.escape(name)}</figcaption></figure>"
        for name, png in pictures.items()
    )
    body = _inversion_body if report["task"].get("level") == "event" else _tagging_body
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>hepsilon closure</title>'
        f"<style>{STYLE}</style><h1>Closure</h1>{body(report)}"
        f"<h2>Distributions</h2>{images}</html>\n"
    )


def _outside_text(entry: Mapping[str, Any]) -> str:
    return f"{entry['out_of_domain']['count']} ({entry['out_of_domain']['share']:.2%})"


def _tagging_body(report: Mapping[str, Any]) -> str:
    """Tables of a closure of truth tagging."""
    details = [
        [
            name,
            f"{entry['overall']['observed']:.1f}",
            f"{entry['overall']['expected']:.1f}",
            _outside_text(entry),
        ]
        for name, entry in report["efficiency"].items()
    ]
    counts = f"{report['n_events']:,} events, {report['n_objects']:,} objects"
    return (
        f"<p>{counts} from {html.escape(', '.join(report['files']))}</p>"
        "<h2>chi2 / ndf by the exact statistic</h2>"
        "<p>Observed minus expected, with the variance sum w<sup>2</sup> p (1 - p): one for the "
        "true efficiency. The model's own uncertainty is not included. yield: pull of the total; "
        "KL: mean Kullback-Leibler divergence of the truth from the efficiency per object.</p>"
        f"{_table(*summary_rows(report))}<h2>Totals</h2>"
        f"{_table(['efficiency', 'observed', 'expected', 'out of domain'], details)}"
        f"{_tag_counts(report)}"
        "<h2>Statistics</h2>"
        "<p>Effective number of events, (sum w)<sup>2</sup> / variance, of all bins together: of "
        "direct tagging, and of truth tagging with the variance of the efficiency itself over its "
        "replicas (in brackets without).</p>"
        f"{_table(*_gain_rows(report))}"
    )


def _tag_counts(report: Mapping[str, Any]) -> str:
    """Events by number of tags."""
    entries = {k: e[TAG_COUNTS][ALL] for k, e in report["efficiency"].items() if TAG_COUNTS in e}
    if not entries:
        return ""
    header = ["tags", "observed", *(f"{name} (pull)" for name in entries)]
    first = next(iter(entries.values()))
    rows = []
    for tags, found in first.items():
        cells = [
            f"{_number_text(e[tags]['expected'])} ({_signed_text(e[tags]['pull'])})"
            for e in entries.values()
        ]
        rows.append([tags, _number_text(found["observed"]), *cells])
    return f"<h2>Numbers of tags</h2>{_table(header, rows)}"


def _gain_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Effective events of all entries, categories and selections included."""
    entries = {name: e["statistics_gain"] for name, e in report["efficiency"].items()}
    known = {n: e["n_replicas"] > 0 or n == TRUTH for n, e in report["efficiency"].items()}
    header = ["observable", "direct"]
    header += [name + ("" if known[name] else ", own uncertainty unknown") for name in entries]
    rows: list[list[str]] = []
    for key, found in next(iter(entries.values()), {}).items():
        if "total" not in found:
            continue
        totals = [entry[key]["total"] for entry in entries.values()]
        cells = [
            f"{_number_text(t['truth_tagged'], 0)} ({_number_text(t['weights_only'], 0)})"
            for t in totals
        ]
        row = [key, _number_text(found["total"]["direct"], 0), *cells]
        if row[1:] not in [other[1:] for other in rows]:  # other observables of the same entries
            rows.append(row)
    return header, rows


def _number_text(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _inversion_body(report: Mapping[str, Any]) -> str:
    """Tables of a closure of efficiency inversion."""
    header = ["method", "corrected", "HT error", "Poisson error", "generated", "bias", "Jensen"]
    header += ["effective events", "clipped (share of the weight)", "out of domain"]
    details = []
    for name, entry in report["efficiency"].items():
        overall, clipped = entry["overall"], entry["clipped"]
        sizes = entry["effective_sample_size"]
        jensen = (
            entry["jensen"] / overall["observed"]
            if overall["observed"] and "jensen" in entry
            else None
        )
        details.append(
            [
                name,
                _number_text(overall["observed"]),
                _number_text(overall["horvitz_thompson_error"]),
                _number_text(overall["poisson_error"]),
                _number_text(overall["expected"]),
                _percent_text(overall.get("relative_bias")),
                _percent_text(jensen),
                _number_text(next(iter(sizes.values()), None), 0),
                f"{clipped['count']:,} ({clipped['share']:.2%})",
                _outside_text(entry),
            ]
        )
    counts = f"{report['n_events']:,} events, {report['n_selected']:,} selected"
    if report["n_outside"]:
        counts += f", {report['n_outside']:,} outside the fiducial region (left out)"
    return (
        f"<p>{counts}, from {html.escape(', '.join(report['files']))}</p>"
        "<h2>chi2 / ndf by the exact statistic</h2>"
        "<p>Corrected minus generated, with the variance sum w<sup>2</sup> (1 - E) / E over the "
        "generated events: one for the true efficiency. The model's own uncertainty is not "
        "included. yield, pull: relative difference of the total, and in units of its error; 1D, "
        "2D: means over all observables in one and in two dimensions; KL: mean Kullback-Leibler "
        "divergence of the truth from the efficiency per event. @reco: weights and observables "
        "from reconstructed momenta, "
        "with the variance from the selected events; migrations between bins are not in it.</p>"
        f"{_table(*summary_rows(report))}<h2>Totals</h2>"
        "<p>HT: Horvitz-Thompson, the error given the generated events. bias: that of the total "
        "without the noise of the responses, where the truth is known. Jensen: what averaging the "
        "members of an ensemble leaves of the upward bias of 1/E, from their spread.</p>"
        f"{_table(header, details)}<h2>All observables</h2>"
        "<p>naive: the statistic of the reference code, which takes the corrected and the "
        "generated histogram as independent though they share their events; it is below one for "
        "a perfect efficiency.</p>"
        f"{_table(*_chi2_rows(report))}"
    )


def write_closure(out: str | Path, output: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Write ``closure.json``, ``report.html``, ``histograms.json`` and pictures into a folder.

    The histograms are in the UHI serialisation: ``json.load(file, object_hook=
    uhi.io.json.object_hook)`` and ``hist.Hist(...)`` of an entry give them back.

    Parameters
    ----------
    out : folder, made if needed.
    output : of the task's processor for one dataset.
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
    histograms = {key: output[key] for key in HISTOGRAMS if key in output}
    write_text(folder / "histograms.json", json.dumps(histograms, default=uhi.io.json.default))
    write_text(folder / "closure.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    write_text(folder / "report.html", _page(report, pictures))
