"""What lies outside of the domain of the efficiencies, as a section of the page."""

from __future__ import annotations

from hepsilon.closure.model import Closure
from hepsilon.report.content import Section, Table

__all__ = ["domain_sections"]

MEANING = (
    "Outside of the domain is what no training event was like: a feature beyond its range or in "
    "another category, a combination of two features that did not occur, or another number of "
    "objects in the event. There an efficiency is a guess. Weight: share of the tags that are "
    "expected from there, or of the corrected events."
)


def domain_sections(closure: Closure) -> list[Section]:
    """Section with the shares outside of the domain.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.

    Returns
    -------
    list of Section
        One; none where no method knows its domain.
    """
    rows = [
        [
            name,
            f"{entry.out_of_domain.count:,}",
            f"{entry.out_of_domain.share:.3%}",
            f"{entry.out_of_domain.weight:.3%}",
        ]
        for name, entry in closure.efficiency.items()
        if entry.out_of_domain.weight is not None
    ]
    what = "events" if closure.task.of_events else "objects"
    header = ["efficiency", f"{what} outside", "share", "share of the weight"]
    return [Section("Domain", [MEANING], Table(header, rows))] if rows else []
