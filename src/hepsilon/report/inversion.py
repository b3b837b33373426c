"""Tables and sections of a closure of efficiency inversion."""

from __future__ import annotations

from hepsilon.closure.model import Entry, InversionClosure, InversionEntry
from hepsilon.report.content import Section, Table
from hepsilon.report.text import (
    chi2_text,
    number_text,
    outside_text,
    percent_text,
    ratio_text,
    signed_text,
)

__all__ = ["inversion_cells", "inversion_sections", "mean_chi2"]

AGREEMENT = (
    "chi2 / ndf by the exact statistic: corrected minus generated, with the variance "
    "sum w^2 (1 - E) / E over the generated events, which is one on "
    "average for the true efficiency; the efficiency's own error is included where it is known "
    "(in brackets without). yield, pull: relative difference of the total, "
    "and in units of its error; 1D, 2D: means over all observables in one and in two "
    "dimensions; KL: mean Kullback-Leibler divergence of the truth from the "
    "efficiency per event."
)
RECONSTRUCTED_TEXT = (
    "@reco: weights and observables from reconstructed momenta, with the variance "
    "from the selected events; migrations between bins are not in it."
)
TOTALS = (
    "HT: Horvitz-Thompson, the error given the generated events. bias: that of the "
    "total without the noise of the responses, where the truth is known. Jensen: the upward "
    "bias of 1/E by the error of E, where that is known; it is not subtracted."
)
NAIVE = (
    "naive: the statistic of the reference code, which takes the corrected and the "
    "generated histogram as independent though they share their events; it is below "
    "one for a perfect efficiency."
)


def mean_chi2(entry: Entry) -> tuple[float | None, float | None]:
    """Mean chi2/ndf over all observables in one and in two dimensions.

    Parameters
    ----------
    entry : Entry
        Closure of one efficiency.

    Returns
    -------
    one : float or None
        Mean over the observables in one dimension; None without any.
    two : float or None
        Mean over those in two dimensions; None without any.
    """
    ratios: tuple[list[float], list[float]] = ([], [])
    for observable in entry.observables.values():
        if observable.ndf:
            ratios[observable.dimensions - 1].append(observable.chi2 / observable.ndf)
    one, two = (sum(r) / len(r) if r else None for r in ratios)
    return one, two


def inversion_cells(closure: InversionClosure) -> tuple[list[str], list[list[str]]]:
    """Relative difference of the total, its pull, and mean chi2/ndf, one row per method."""
    rows = []
    for entry in closure.efficiency.values():
        overall, means = entry.overall, mean_chi2(entry)
        row = [percent_text(overall.relative_difference), signed_text(overall.pull)]
        rows.append(row + ["-" if mean is None else f"{mean:.2f}" for mean in means])
    return ["yield", "pull", "1D", "2D"], rows


def _chi2_rows(closure: InversionClosure) -> tuple[list[str], list[list[str]]]:
    """chi2/ndf of every observable, exact and by the naive statistic, one row per observable."""
    entries = closure.efficiency
    header = ["observable", *(f"{m}: {kind}" for m in entries for kind in ("exact", "naive"))]
    rows = []
    for name in next(iter(entries.values())).observables if entries else ():
        row = [name]
        for entry in entries.values():
            observable = entry.observables[name]
            row += [chi2_text(observable), ratio_text(observable.naive_chi2, observable.naive_ndf)]
        rows.append(row)
    return header, rows


def _details(name: str, entry: InversionEntry) -> list[str]:
    """Row of one method in the table of totals."""
    overall, clipped = entry.overall, entry.clipped
    known = entry.jensen is not None and overall.observed != 0.0
    jensen = (entry.jensen or 0.0) / overall.observed if known else None
    return [
        name,
        number_text(overall.observed),
        number_text(overall.horvitz_thompson_error),
        number_text(overall.poisson_error),
        number_text(overall.expected),
        percent_text(overall.relative_bias),
        percent_text(jensen),
        number_text(next(iter(entry.effective_sample_size.values()), None), 0),
        f"{clipped.count:,} ({clipped.share:.2%})",
        outside_text(entry),
    ]


def inversion_sections(closure: InversionClosure, summary: Table) -> list[Section]:
    """Sections between the verdict and the plots.

    Parameters
    ----------
    closure : InversionClosure
        Content of ``closure.json``.
    summary : Table
        Table of chi2/ndf.

    Returns
    -------
    list of Section
        Agreement, totals, and chi2 of all observables.
    """
    header = ["method", "corrected", "HT error", "Poisson error", "generated", "bias", "Jensen"]
    header += ["effective events", "clipped (share of the weight)", "out of domain"]
    details = [_details(name, entry) for name, entry in closure.efficiency.items()]
    counts = f"{closure.n_events:,} events, {closure.n_selected:,} selected"
    if closure.n_outside:
        counts += f", {closure.n_outside:,} outside the fiducial region (left out)"
    return [
        Section(
            "Agreement",
            [
                f"{counts}.",
                AGREEMENT,
                RECONSTRUCTED_TEXT,
            ],
            summary,
        ),
        Section(
            "Totals",
            [
                TOTALS,
            ],
            Table(header, details),
        ),
        Section(
            "All observables",
            [
                NAIVE,
            ],
            Table(*_chi2_rows(closure)),
        ),
    ]
