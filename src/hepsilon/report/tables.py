"""Tables of a closure for terminal and page."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from hepsilon.histograms.methods import ALL, TAG_COUNTS, TRUTH

__all__ = [
    "chi2_rows",
    "gain_rows",
    "html_table",
    "mean_chi2",
    "number_text",
    "outside_text",
    "percent_text",
    "summary_rows",
    "tag_counts_section",
]


def _ratio_text(found: Mapping[str, Any], chi2: str = "chi2", ndf: str = "ndf") -> str:
    return f"{found[chi2] / found[ndf]:.2f}" if found[ndf] else "-"


def _divergence_text(entry: Mapping[str, Any]) -> str:
    divergence = entry.get("truth", {}).get("all", {}).get("divergence")
    return "-" if divergence is None else f"{1e4 * divergence:.2f}"


def percent_text(value: float | None) -> str:
    """Signed percentage of a share; ``-`` where it is not known."""
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
    header, rows : list of str, list of list of str
        Text; one row per efficiency.
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
        row = [percent_text(entry["overall"].get("relative_difference")), _pull_text(entry)]
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


def chi2_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
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


def html_table(header: list[str], rows: list[list[str]]) -> str:
    """Table as HTML, in a box that scrolls sideways where the page is narrow."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def outside_text(entry: Mapping[str, Any]) -> str:
    """Number and share of objects outside the domain."""
    return f"{entry['out_of_domain']['count']} ({entry['out_of_domain']['share']:.2%})"


def tag_counts_section(report: Mapping[str, Any]) -> str:
    """Events by number of tags."""
    entries = {k: e[TAG_COUNTS][ALL] for k, e in report["efficiency"].items() if TAG_COUNTS in e}
    if not entries:
        return ""
    header = ["tags", "observed", *(f"{name} (pull)" for name in entries)]
    first = next(iter(entries.values()))
    rows = []
    for tags, found in first.items():
        cells = [
            f"{number_text(e[tags]['expected'])} ({_signed_text(e[tags]['pull'])})"
            for e in entries.values()
        ]
        rows.append([tags, number_text(found["observed"]), *cells])
    return f"<h2>Numbers of tags</h2>{html_table(header, rows)}"


def gain_rows(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
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
            f"{number_text(t['truth_tagged'], 0)} ({number_text(t['weights_only'], 0)})"
            for t in totals
        ]
        row = [key, number_text(found["total"]["direct"], 0), *cells]
        if row[1:] not in [other[1:] for other in rows]:  # other observables of the same entries
            rows.append(row)
    return header, rows


def number_text(value: float | None, digits: int = 1) -> str:
    """Number with thousands separators; ``-`` where it is not known."""
    return "-" if value is None else f"{value:,.{digits}f}"
