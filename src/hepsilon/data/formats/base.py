"""The protocol of all file formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import awkward as ak

__all__ = ["Damage", "Head", "Table"]


@dataclass(frozen=True)
class Damage:
    """A part of a column that cannot be read.

    Attributes
    ----------
    column : str
        Name of the column.
    start, stop : int
        Its entries.
    reason : str
        Error of the library that reads it.
    """

    column: str
    start: int
    stop: int
    reason: str

    def __str__(self) -> str:
        return f"{self.column!r}, entries {self.start} to {self.stop}: {self.reason}"


@dataclass(frozen=True)
class Head:
    """What is known of a table without its columns.

    Attributes
    ----------
    names : frozenset of str
        Names of all columns.
    n_entries : int
        Number of rows.
    identity : str
        Text that tells files apart.
    """

    names: frozenset[str]
    n_entries: int
    identity: str


class Table(Protocol):
    """Columns of one file, open for reading; to be used in a ``with`` statement.

    Attributes
    ----------
    names : frozenset of str
        Names of all columns; fields of nested ones with a dot (``Jet.pt``).
    n_entries : int
        Number of rows.
    identity : str
        Text that tells files apart without reading all of them.
    """

    names: frozenset[str]
    n_entries: int
    identity: str

    def __enter__(self) -> Self:
        """Keep the file open."""
        ...

    def __exit__(self, *error: object) -> None:
        """Close the file."""
        ...

    def read(self, columns: Sequence[str], start: int, stop: int) -> ak.Array:
        """Read some columns of a range of entries.

        Parameters
        ----------
        columns : sequence of str
            Names out of ``names``.
        start, stop : int
            First entry, and the one behind the last.

        Returns
        -------
        ak.Array of records, shape (stop - start,)
            One field for each column; a nested column as a record.

        Raises
        ------
        InputError
            If a part of the file is damaged, with its place.
        """
        ...

    def damages(self, columns: Sequence[str], start: int, stop: int) -> Iterator[Damage]:
        """Find what cannot be read in a range of entries.

        Parameters
        ----------
        columns : sequence of str
            Names out of ``names``.
        start, stop : int
            First entry, and the one behind the last.

        Yields
        ------
        Damage
            One for each part.
        """
        ...
