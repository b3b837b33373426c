"""Files beside others: columns that are aligned, entry by entry, with those of an input."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import pyarrow.parquet
import uproot

from hepsilon._system.files import atomic_path
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError

__all__ = ["ENDINGS", "ORIGIN", "Columns", "FriendFile", "friend_file", "origin_of"]

ENDINGS = (".root", ".parquet", ".pq")
ORIGIN = "hepsilon"
"""Name of the text in a file that says what its columns come from."""


@dataclass(frozen=True)
class Columns:
    """Columns of consecutive entries.

    Attributes
    ----------
    entries : dict of str to ndarray, shape (n_entries,)
        One number for each entry.
    objects : dict of str to ndarray, shape (n_objects,)
        One number for each object of all entries.
    counts : ndarray of int64, shape (n_entries,), or None
        Number of objects of each entry; None where ``objects`` is empty.
    collection : str
        Name of the objects.
    """

    entries: dict[str, Array]
    objects: dict[str, Array]
    counts: Array | None
    collection: str

    def flat(self) -> dict[str, ak.Array]:
        """Columns by name, those of objects jagged and with the name of the collection."""
        columns = {name: ak.Array(values) for name, values in self.entries.items()}
        for name, values in self.objects.items():
            columns[f"{self.collection}_{name}"] = ak.unflatten(values, self.counts)
        return columns

    def grouped(self) -> dict[str, ak.Array]:
        """Columns by name, those of objects as one record, which has one counter in a TTree."""
        columns = {name: ak.Array(values) for name, values in self.entries.items()}
        if self.objects:
            jagged = {n: ak.unflatten(values, self.counts) for n, values in self.objects.items()}
            columns[self.collection] = ak.zip(jagged, depth_limit=2)
        return columns

    def none(self) -> Columns:
        """No entry, of the same columns."""
        counts = None if self.counts is None else self.counts[:0]
        entries = {name: values[:0] for name, values in self.entries.items()}
        objects = {name: values[:0] for name, values in self.objects.items()}
        return Columns(entries, objects, counts, self.collection)


class FriendFile(ABC):
    """A file that grows by columns; the first ones decide their types.

    Parameters
    ----------
    path : Path
        File to write.
    name : str
        Name of the table in it.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._open: Any = None

    def write(self, columns: Columns) -> None:
        """Add entries.

        Parameters
        ----------
        columns : Columns
            Columns of the entries, the same ones every time.
        """
        content = self._content(columns)
        if self._open is None:
            self._open = self._start(content)
        self._extend(content)

    def describe(self, text: str) -> None:
        """Note the origin of the columns, once they are written.

        Parameters
        ----------
        text : str
            JSON, kept under the name :data:`ORIGIN`.
        """
        if self._open is not None:
            self._describe(text)

    @abstractmethod
    def _describe(self, text: str) -> None:
        """Keep a text beside the table."""

    @abstractmethod
    def _content(self, columns: Columns) -> Any:
        """The columns as the format takes them."""

    @abstractmethod
    def _start(self, content: Any) -> Any:
        """Begin the file."""

    @abstractmethod
    def _extend(self, content: Any) -> None:
        """Add to the file."""

    @abstractmethod
    def close(self) -> None:
        """End the file."""


class _Tree(FriendFile):
    """A TTree."""

    def _content(self, columns: Columns) -> dict[str, ak.Array]:
        return columns.grouped()

    def _start(self, content: Mapping[str, ak.Array]) -> Any:
        self._file = uproot.recreate(self.path)
        return self._table({name: ak.type(column).content for name, column in content.items()})

    def _table(self, types: dict[str, ak.types.Type]) -> Any:
        return self._file.mktree(self.name, types)

    def _extend(self, content: Mapping[str, ak.Array]) -> None:
        if len(next(iter(content.values()))):
            self._open.extend(content)

    def _describe(self, text: str) -> None:
        self._file[ORIGIN] = text

    def close(self) -> None:
        """End the file."""
        if self._open is not None:
            self._file.close()


class _NTuple(_Tree):
    """An RNTuple."""

    def _content(self, columns: Columns) -> dict[str, ak.Array]:
        return columns.flat()

    def _table(self, types: dict[str, ak.types.Type]) -> Any:
        return self._file.mkrntuple(self.name, types)


class _Parquet(FriendFile):
    """A parquet file, a row group for each chunk."""

    def _content(self, columns: Columns) -> Any:
        records = ak.zip(columns.flat(), depth_limit=1)
        return ak.to_arrow_table(records, extensionarray=False)

    def _start(self, content: Any) -> Any:
        return pyarrow.parquet.ParquetWriter(self.path, content.schema)

    def _extend(self, content: Any) -> None:
        self._open.write_table(content)

    def _describe(self, text: str) -> None:
        add = getattr(self._open, "add_key_value_metadata", None)
        if add is not None:  # not in the oldest pyarrow
            add({ORIGIN: text})

    def close(self) -> None:
        """End the file."""
        if self._open is not None:
            self._open.close()


@contextmanager
def friend_file(path: Path, name: str, *, rntuple: bool = False) -> Iterator[FriendFile]:
    """Give a file to write to, which appears only when it is complete.

    Parameters
    ----------
    path : Path
        File to write; its ending says the format.
    name : str
        Name of the TTree or RNTuple, of ROOT files.
    rntuple : bool, default False
        Whether a ROOT file holds an RNTuple in place of a TTree.

    Yields
    ------
    FriendFile
        The open file.

    Raises
    ------
    InputError
        For another ending.
    """
    if path.suffix not in ENDINGS:
        raise InputError(f"{path}: expected a file ending in {', '.join(ENDINGS)}, or a folder")
    kind = _Parquet if path.suffix != ".root" else _NTuple if rntuple else _Tree
    with atomic_path(path) as temporary:
        file = kind(temporary, name)
        try:
            yield file
        finally:
            file.close()


def origin_of(path: str | Path) -> dict[str, Any] | None:
    """Read what the columns of a file come from.

    Parameters
    ----------
    path : str or Path
        ROOT or parquet file.

    Returns
    -------
    dict of str to object
        Origin as :func:`hepsilon.processors.apply.apply_efficiency` notes it; None of other files.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(4)
        if start == b"root":
            with uproot.open(path) as opened:
                text = str(opened[ORIGIN])
        elif start == b"PAR1":
            metadata = pyarrow.parquet.read_metadata(path).metadata or {}
            text = metadata[ORIGIN.encode()].decode()
        else:
            return None
        origin = json.loads(text)
    except Exception:  # damaged, or not from here
        return None
    return origin if isinstance(origin, dict) else None
