"""Parts of the report page, as plain text that the templates turn into HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["Picture", "Section", "Table"]


@dataclass(frozen=True)
class Table:
    """Table of text; its first column names the rows.

    Attributes
    ----------
    header : list of str
        Names of the columns.
    rows : list of list of str
        Cells.
    """

    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Section:
    """Part of the page under a heading of its own.

    Attributes
    ----------
    title : str
        Heading.
    text : list of str
        Paragraphs before the table.
    table : Table or None
        The table.
    warnings : list of str
        Paragraphs in the colour of warnings, behind the table.
    remarks : list of str
        Paragraphs behind the table.
    folded : tuple of (str, str) or None
        Line that is always shown, and preformatted text that opens below it.
    """

    title: str
    text: list[str] = field(default_factory=list)
    table: Table | None = None
    warnings: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    folded: tuple[str, str] | None = None

    @property
    def anchor(self) -> str:
        """Name of the section in addresses."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Picture:
    """Picture with what it shows.

    Attributes
    ----------
    name : str
        File name without suffix.
    title : str
        What is drawn.
    caption : str
        What can be read off, in words.
    data : str
        Content as a data URL.
    observable, category : str
        What filters look for; empty where there is none.
    wide : bool
        Whether it has several panels beside each other.
    """

    name: str
    title: str
    caption: str
    data: str
    observable: str = ""
    category: str = ""
    wide: bool = False
