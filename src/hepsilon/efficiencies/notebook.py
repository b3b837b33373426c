"""Efficiencies in a notebook: a line, and the card as a table."""

from __future__ import annotations

from html import escape
from typing import Any

from hepsilon.efficiencies.card_text import card_groups

__all__ = ["card_html", "card_line"]

MOST_FEATURES = 6
LONGEST = 300
"""Characters of a value in the table; the whole is in the card."""
STYLE = "text-align: left; vertical-align: top"


def card_line(name: str, card: Any, where: str = "") -> str:
    """One line about an artifact.

    Parameters
    ----------
    name : str
        Name of its class.
    card : ArtifactCard
        Its card.
    where : str, optional
        File that it was read from.

    Returns
    -------
    str
        ``<EfficiencyMap of Jet: discriminant > 0 by pt, eta>``.
    """
    task = card.task
    more = len(task.features) - MOST_FEATURES
    features = ", ".join(task.features[:MOST_FEATURES]) + (f" and {more} more" if more > 0 else "")
    whose = f"events of {task.collection}" if task.of_events else task.collection
    file = f", {where}" if where else ""
    return f"<{name} of {whose}: {task.passed.field} by {features}{file}>"


def card_html(title: str, card: Any) -> str:
    """Card of an artifact as HTML; all that comes from a file is escaped.

    Parameters
    ----------
    title : str
        Line above the table.
    card : ArtifactCard
        The card.

    Returns
    -------
    str
        A table with one part for each group of rows, of which the first is open.
    """
    parts = [f"<div><strong>{escape(title)}</strong>"]
    for number, (group, rows) in enumerate(card_groups(card).items()):
        cells = "".join(
            f'<tr><th style="{STYLE}">{escape(name)}</th>'
            f'<td style="{STYLE}">{escape(_short(value))}</td></tr>'
            for name, value in rows
        )
        state = " open" if number == 0 else ""
        parts.append(
            f"<details{state}><summary>{escape(group)}</summary><table>{cells}</table></details>"
        )
    return "".join([*parts, "</div>"])


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ..."
