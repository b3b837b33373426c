"""Index of the closures of several samples: verdicts, and a table of methods and samples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from hepsilon._system.files import atomic_folder, write_text
from hepsilon.closure.model import Closure
from hepsilon.closure.universality import MethodAgreement, Universality, universality
from hepsilon.report.content import Section, Table
from hepsilon.report.dependence import ratio_percent
from hepsilon.report.page import Origin, origin_rows, render
from hepsilon.report.tables import presentation
from hepsilon.report.text import percent_text, ratio_text, signed_text
from hepsilon.report.verdict import verdict_items

__all__ = ["samples_page", "universality_rows", "write_samples"]

MEANING = (
    "chi2 / ndf by the exact statistic, of all categories together. An efficiency that depends on "
    "all that matters agrees on every sample; one that averages over something agrees only where "
    "that is distributed as in its training."
)


def universality_rows(found: Universality) -> Table:
    """Table of methods and samples against observables.

    Parameters
    ----------
    found : Universality
        Closures side by side.

    Returns
    -------
    Table
        One row for each method and sample: verdict, total, differences to efficiencies from other
        simulations, and chi2/ndf of every observable.
    """
    methods = dict.fromkeys(m for entries in found.samples.values() for m in entries)
    rows = [
        [f"{method} on {sample}", *_cells(entries[method], found)]
        for method in methods
        for sample, entries in found.samples.items()
        if method in entries
    ]
    header = ["method and sample", "verdict", "p-value", "total", "pull"]
    header += [f"{name} / method" for name in found.alternatives]
    header += found.observables
    return Table(header, rows)


def _cells(method: MethodAgreement, table: Universality) -> list[str]:
    found = [method.observables.get(name) for name in table.observables]
    return [
        method.status or "-",
        "-" if method.p_value is None else f"{method.p_value:.2g}",
        percent_text(method.relative_difference),
        signed_text(method.pull),
        *(ratio_percent(method.dependence.get(name)) for name in table.alternatives),
        *("-" if o is None else ratio_text(o.chi2, o.ndf) for o in found),
    ]


def samples_page(
    closures: Mapping[str, Closure],
    origin: Origin | None = None,
    trainings: Mapping[str, str] | None = None,
) -> str:
    """Page with the verdicts of all samples and links to their reports.

    Parameters
    ----------
    closures : mapping of str to TaggingClosure or InversionClosure
        Closures by the name of the sample, which is the folder of its report.
    origin : Origin, optional
        Command and date; by default no command, and now.
    trainings : mapping of str to str, optional
        Pages of trainings, as paths relative to this one, by the name of the efficiency.

    Returns
    -------
    str
        HTML that refers to the reports only.
    """
    found = universality(closures)
    samples = [
        {
            "name": name,
            "address": f"{quote(name)}/report.html",
            "sentences": verdict_items(closure),
        }
        for name, closure in closures.items()
    ]
    made = origin_rows(next(iter(closures.values())), origin or Origin())
    return render(
        "samples.html",
        title=f"Closure of {len(closures)} samples",
        status=found.status,
        samples=samples,
        trainings={name: quote(path) for name, path in (trainings or {}).items()},
        sections=[
            *_agreements(closures),
            Section("Provenance", table=Table(["", "value"], made)),
        ],
    )


def _agreements(closures: Mapping[str, Closure]) -> list[Section]:
    """One table for each use case, since their observables differ."""
    groups: dict[str, dict[str, Closure]] = {}
    for name, closure in closures.items():
        groups.setdefault(presentation(closure).title, {})[name] = closure
    return [
        Section(f"{title}: methods and samples", [MEANING], universality_rows(universality(group)))
        for title, group in groups.items()
    ]


def write_samples(
    out: str | Path,
    closures: Mapping[str, Closure],
    origin: Origin | None = None,
    trainings: Mapping[str, str] | None = None,
) -> Universality:
    """Write ``index.html`` and ``universality.json`` beside the folders of the samples.

    Parameters
    ----------
    out : str or Path
        Folder with one folder for each sample.
    closures : mapping of str to TaggingClosure or InversionClosure
        Closures by the name of the sample.
    origin : Origin, optional
        Command and date, for the page.
    trainings : mapping of str to str, optional
        Pages of trainings, as paths relative to ``out``, by the name of the efficiency.

    Returns
    -------
    Universality
        Content of ``universality.json``.
    """
    found = universality(closures)
    content = json.dumps(found.as_dict(), indent=1, allow_nan=False)
    with atomic_folder(out) as folder:
        write_text(folder / "universality.json", content + "\n")
        write_text(folder / "index.html", samples_page(closures, origin, trainings))
    return found
