"""The protocol of all file formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import awkward as ak

from hepsilon.data.identity import file_identity
from hepsilon.errors import HepsilonError, InputError

__all__ = ["PARTS", "ColumnTable", "Damage", "Head", "Table"]

PARTS = ("names", "n_entries", "identity", "__enter__", "__exit__", "read", "damages")
"""Attributes and methods of a table."""


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


class ColumnTable(ABC):
    """Base of readers of your own: open the file, and give columns of a range of entries.

    Parameters
    ----------
    path : str
        Path or URL of the file.
    names : iterable of str
        Names of all columns.
    n_entries : int
        Number of events.

    Attributes
    ----------
    path, names, n_entries : str, frozenset of str, int
        The parameters.
    identity : str
        Text that tells the file apart, whatever its name.
    """

    def __init__(self, path: str, names: Sequence[str], n_entries: int) -> None:
        self.path, self.names, self.n_entries = path, frozenset(names), int(n_entries)
        self.identity = file_identity(path).text

    @abstractmethod
    def columns(self, names: Sequence[str], start: int, stop: int) -> Mapping[str, Any]:
        """Read some columns of a range of entries.

        Parameters
        ----------
        names : sequence of str
            Names of the columns.
        start, stop : int
            First entry, and the one behind the last.

        Returns
        -------
        mapping of str to array
            Arrays of ``stop - start`` entries, of NumPy, or of awkward where an entry is a list.
        """

    def close(self) -> None:  # noqa: B027
        """Close the file; by default nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def read(self, columns: Sequence[str], start: int, stop: int) -> ak.Array:
        """Read some columns of a range of entries (see :meth:`.Table.read`).

        Parameters
        ----------
        columns : sequence of str
            Names of the columns.
        start, stop : int
            Range of the entries.

        Returns
        -------
        ak.Array of records, shape (stop - start,)
            The columns by name.

        Raises
        ------
        InputError
            If the reader fails, with the column, or gives another number of entries.
        """
        try:
            return self._read(columns, start, stop)
        except HepsilonError:
            raise
        except Exception as error:  # whatever that reader raises
            place = next(self.damages(columns, start, stop), repr(error))
            raise InputError(f"{self.path} is damaged: {place}") from None

    def _read(self, columns: Sequence[str], start: int, stop: int) -> ak.Array:
        found = dict(self.columns(list(columns), start, stop))
        for name in columns:
            if name not in found or len(found[name]) != stop - start:
                received = f"{len(found[name])} entries" if name in found else "none"
                raise InputError(
                    f"{self.path}: the reader {type(self).__name__} was asked for the column "
                    f"{name!r}, entries {start} to {stop}, and gave {received}"
                )
        return ak.Array({name: found[name] for name in columns})

    def damages(self, columns: Sequence[str], start: int, stop: int) -> Iterator[Damage]:
        """Find columns that cannot be read in a range of entries (see :meth:`.Table.damages`).

        Parameters
        ----------
        columns : sequence of str
            Names of the columns.
        start, stop : int
            Range of the entries.

        Yields
        ------
        Damage
            One for each of these columns, with the reason.
        """
        for name in columns:
            try:
                self._read([name], start, stop)
            except Exception as error:
                yield Damage(name, start, stop, f"{type(error).__name__}: {error}"[:200])
