"""Lines and tables that commands show."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["facts", "judged", "plain", "say", "shown", "table"]


def shown(text: str) -> str:
    """Text from a file or a user, in which nothing commands the terminal.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    str
        With control characters, but for new lines and tabs, written out.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def say(text: str) -> None:
    """Print a line to standard error.

    Parameters
    ----------
    text : str
        The line.
    """
    Console(stderr=True).print(shown(text), highlight=False, markup=False, soft_wrap=True)


COLOURS = {"pass": "bold green", "warn": "bold yellow", "fail": "bold red"}


def judged(status: str, sentence: str) -> Text:
    """Give a sentence that begins with a verdict, as a word and in its colour.

    Parameters
    ----------
    status : {"pass", "warn", "fail"}
        The verdict.
    sentence : str
        Text behind it.

    Returns
    -------
    rich.text.Text
        One paragraph.
    """
    return Text.assemble((status, COLOURS[status]), " ", shown(sentence))


def table(title: str, header: list[str], rows: list[list[str]]) -> Table:
    """Give a table whose first column is text, and whose others are numbers.

    Parameters
    ----------
    title : str
        Line above the table.
    header : list of str
        Names of the columns.
    rows : list of list of str
        Cells.

    Returns
    -------
    rich.table.Table
        The table.
    """
    result = Table(title=Text(shown(title)), title_justify="left", box=SIMPLE, padding=(0, 0, 0, 1))
    for number, name in enumerate(header):
        result.add_column(Text(shown(name)), justify="right" if number else "left")
    for row in rows:
        result.add_row(*(Text(shown(cell)) for cell in row))
    return result


def facts(title: str, rows: list[list[str]]) -> Table:
    """Give a table of names and values.

    Parameters
    ----------
    title : str
        Line above the table.
    rows : list of list of str
        Name and value.

    Returns
    -------
    rich.table.Table
        The table.
    """
    result = Table(title=f"\n{title}", title_justify="left", title_style="bold", box=None)
    result.show_header = False
    result.add_column(overflow="fold")
    result.add_column(overflow="fold")
    for name, value in rows:
        result.add_row(Text(shown(name)), Text(shown(value)))
    return result


def plain(card: Any) -> dict[str, Any]:
    """Give a record as plain data.

    Parameters
    ----------
    card : Record
        The record.

    Returns
    -------
    dict of str to object
        What JSON can hold.
    """
    content: dict[str, Any] = card.model_dump(mode="json", exclude_none=True)
    return content
