"""Tables and page of a closure of truth tagging."""

from __future__ import annotations

import html

from hepsilon.closure.model import TaggingClosure
from hepsilon.histograms.methods import ALL, TRUTH
from hepsilon.report.text import chi2_text, html_table, number_text, outside_text, signed_text

__all__ = ["tagging_body", "tagging_cells"]


def tagging_cells(closure: TaggingClosure) -> tuple[list[str], list[list[str]]]:
    """Pull of the total (``yield``), and chi2/ndf of every observable, one row per efficiency."""
    entries = list(closure.efficiency.values())
    names = [name for name in entries[0].observables if "|" not in name] if entries else []
    rows = [
        [signed_text(entry.overall.pull), *(chi2_text(entry.observables[name]) for name in names)]
        for entry in entries
    ]
    return ["yield", *names], rows


def _tag_counts_section(closure: TaggingClosure) -> str:
    """Events by number of tags."""
    by_method = {name: e.tag_counts[ALL] for name, e in closure.efficiency.items() if e.tag_counts}
    if not by_method:
        return ""
    header = ["tags", "observed", *(f"{name} (pull)" for name in by_method)]
    rows = []
    for tags, first in next(iter(by_method.values())).items():
        counts = [counts[tags] for counts in by_method.values()]
        cells = [f"{number_text(c.expected)} ({signed_text(c.pull)})" for c in counts]
        rows.append([tags, number_text(first.observed), *cells])
    return f"<h2>Numbers of tags</h2>{html_table(header, rows)}"


def _gain_rows(closure: TaggingClosure) -> tuple[list[str], list[list[str]]]:
    """Effective events of all entries, categories and selections included."""
    entries = closure.efficiency
    known = {name: e.n_replicas > 0 or name == TRUTH for name, e in entries.items()}
    header = ["observable", "direct"]
    header += [name + ("" if known[name] else ", own uncertainty unknown") for name in entries]
    rows: list[list[str]] = []
    first = next(iter(entries.values())).statistics_gain if entries else {}
    for key in first:
        totals = [entry.statistics_gain[key].total for entry in entries.values()]
        cells = [
            f"{number_text(t.truth_tagged, 0)} ({number_text(t.weights_only, 0)})"
            for t in totals
            if t is not None
        ]
        if totals[0] is None:
            continue
        row = [key, number_text(totals[0].direct, 0), *cells]
        if row[1:] not in [other[1:] for other in rows]:  # other observables of the same entries
            rows.append(row)
    return header, rows


def tagging_body(closure: TaggingClosure, summary: str) -> str:
    """HTML between the headline and the pictures.

    Parameters
    ----------
    closure : TaggingClosure
        Content of ``closure.json``.
    summary : str
        Table of chi2/ndf as HTML.

    Returns
    -------
    str
        HTML of text and tables.
    """
    details = [
        [name, number_text(e.overall.observed), number_text(e.overall.expected), outside_text(e)]
        for name, e in closure.efficiency.items()
    ]
    counts = f"{closure.n_events:,} events, {closure.n_objects:,} objects"
    return (
        f"<p>{counts} from {html.escape(', '.join(closure.files))}</p>"
        "<h2>chi2 / ndf by the exact statistic</h2>"
        "<p>Observed minus expected, with the variance sum w<sup>2</sup> p (1 - p): one for the "
        "true efficiency. The efficiency's own error is included where it is known (in brackets "
        "without). yield: pull of the total; "
        "KL: mean Kullback-Leibler divergence of the truth from the efficiency per object.</p>"
        f"{summary}<h2>Totals</h2>"
        f"{html_table(['efficiency', 'observed', 'expected', 'out of domain'], details)}"
        f"{_tag_counts_section(closure)}"
        "<h2>Statistics</h2>"
        "<p>Effective number of events, (sum w)<sup>2</sup> / variance, of all bins together: of "
        "direct tagging, and of truth tagging with the variance of the efficiency itself over its "
        "replicas (in brackets without).</p>"
        f"{html_table(*_gain_rows(closure))}"
    )
