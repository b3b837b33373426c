"""Tables and sections of a closure of truth tagging."""

from __future__ import annotations

from hepsilon.closure.model import TaggingClosure
from hepsilon.histograms.methods import ALL, TRUTH
from hepsilon.report.content import Section, Table
from hepsilon.report.text import chi2_text, number_text, outside_text, signed_text

__all__ = ["tagging_cells", "tagging_sections"]

AGREEMENT = (
    "chi2 / ndf by the exact statistic: observed minus expected, with the variance "
    "sum w^2 p (1 - p), which is one on average for the true efficiency; the efficiency's own "
    "error is included where it is known (in brackets without). yield: pull of the total; "
    "KL: mean Kullback-Leibler divergence of the truth from the efficiency per object."
)
STATISTICS = (
    "Effective number of events, (sum w)^2 / variance, of all bins together: "
    "of direct tagging, and of truth tagging with the variance of the efficiency "
    "itself over its replicas (in brackets without)."
)


def tagging_cells(closure: TaggingClosure) -> tuple[list[str], list[list[str]]]:
    """Pull of the total (``yield``), and chi2/ndf of every observable, one row per efficiency."""
    entries = list(closure.efficiency.values())
    names = [name for name in entries[0].observables if "|" not in name] if entries else []
    rows = [
        [signed_text(entry.overall.pull), *(chi2_text(entry.observables[name]) for name in names)]
        for entry in entries
    ]
    return ["yield", *names], rows


def _tag_counts(closure: TaggingClosure) -> list[Section]:
    """Events by number of tags."""
    by_method = {name: e.tag_counts[ALL] for name, e in closure.efficiency.items() if e.tag_counts}
    if not by_method:
        return []
    header = ["tags", "observed", *(f"{name} (pull)" for name in by_method)]
    rows = []
    for tags, first in next(iter(by_method.values())).items():
        counts = [counts[tags] for counts in by_method.values()]
        cells = [f"{number_text(c.expected)} ({signed_text(c.pull)})" for c in counts]
        rows.append([tags, number_text(first.observed), *cells])
    return [Section("Numbers of tags", table=Table(header, rows))]


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


def tagging_sections(closure: TaggingClosure, summary: Table) -> list[Section]:
    """Sections between the verdict and the plots.

    Parameters
    ----------
    closure : TaggingClosure
        Content of ``closure.json``.
    summary : Table
        Table of chi2/ndf.

    Returns
    -------
    list of Section
        Agreement, totals, numbers of tags and statistics.
    """
    details = [
        [name, number_text(e.overall.observed), number_text(e.overall.expected), outside_text(e)]
        for name, e in closure.efficiency.items()
    ]
    return [
        Section(
            "Agreement",
            [
                f"{closure.n_events:,} events with {closure.n_objects:,} objects.",
                AGREEMENT,
            ],
            summary,
        ),
        Section(
            "Totals", table=Table(["efficiency", "observed", "expected", "out of domain"], details)
        ),
        *_tag_counts(closure),
        Section(
            "Statistics",
            [
                STATISTICS,
            ],
            Table(*_gain_rows(closure)),
        ),
    ]
