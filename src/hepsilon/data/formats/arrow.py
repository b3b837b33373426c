"""Tables of Arrow: parquet and CSV files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Self

import awkward as ak
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from hepsilon.data.formats.base import Damage
from hepsilon.data.identity import file_identity, open_bytes
from hepsilon.errors import InputError

__all__ = ["CsvTable", "ParquetTable"]


def _open(path: str) -> Any:
    """A file on disk or behind a URL, for reading bytes."""
    try:
        return open_bytes(path) if "://" in path else pa.OSFile(path)
    except (OSError, ValueError, ImportError) as error:  # also for protocols that are not installed
        raise InputError(f"{path} cannot be read: {error}") from None


def _names(schema: Any, prefix: str = "") -> Iterator[str]:
    """Names of columns, those of nested ones with a dot."""
    for field in schema:
        kind = field.type
        while pa.types.is_list(kind) or pa.types.is_large_list(kind):
            kind = kind.value_type
        yield prefix + field.name
        if pa.types.is_struct(kind):
            yield from _names(kind, f"{prefix}{field.name}.")


def _error(path: str, kind: str, error: BaseException) -> InputError:
    text = str(error).splitlines() or [type(error).__name__]
    return InputError(f"{path} is not a readable {kind} file: {text[0]}")


class _ArrowTable:
    """Common part of the tables of Arrow.

    Parameters
    ----------
    path : str
        Path or URL of the file.

    Raises
    ------
    InputError
        If the file cannot be read.
    """

    kind: ClassVar[str]
    """Name of the format, for errors."""
    names: frozenset[str]
    n_entries: int

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = _open(path)
        try:
            self.identity = path if "://" in path else file_identity(path).text
            self._load()
        except (pa.ArrowException, OSError, ValueError) as error:
            self._file.close()
            raise _error(path, self.kind, error) from None

    def _load(self) -> None:
        raise NotImplementedError

    def _take(self, columns: list[str], start: int, stop: int) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(self, columns: Sequence[str], start: int, stop: int) -> ak.Array:
        """Read some columns of a range of entries (see :meth:`.Table.read`)."""
        try:
            table = self._take(list(columns), start, stop)
            arrays = ak.from_arrow(table)
        except (pa.ArrowException, OSError) as error:
            place = next(self.damages(columns, start, stop), error)
            raise InputError(f"{self.path} is damaged: {place}") from None
        return arrays

    def damages(self, columns: Sequence[str], start: int, stop: int) -> Iterator[Damage]:
        """Find columns that cannot be read (see :meth:`.Table.damages`)."""
        for name in columns:
            try:
                self._take([name], start, stop)
            except (pa.ArrowException, OSError) as error:
                yield Damage(name, start, stop, str(error).splitlines()[0])


class ParquetTable(_ArrowTable):
    """A parquet file."""

    kind = "parquet"

    def _load(self) -> None:
        self._parquet = pyarrow.parquet.ParquetFile(self._file)
        self.names = frozenset(_names(self._parquet.schema_arrow))
        self.n_entries = self._parquet.metadata.num_rows
        sizes = [self._parquet.metadata.row_group(i).num_rows for i in range(self.n_groups)]
        self._starts = [0]
        for size in sizes:
            self._starts.append(self._starts[-1] + size)
        self._held: tuple[Any, Any] = (None, None)

    @property
    def n_groups(self) -> int:
        """Number of row groups."""
        return int(self._parquet.num_row_groups)

    def _take(self, columns: list[str], start: int, stop: int) -> Any:
        bounds = enumerate(pairwise(self._starts))
        groups = [i for i, (low, high) in bounds if low < stop and high > start]
        top = set(self._parquet.schema_arrow.names)
        tops = list(dict.fromkeys(n if n in top else n.split(".")[0] for n in columns))
        if not groups:
            return self._parquet.schema_arrow.empty_table().select(tops)
        if self._held[0] != (groups, tops):  # a row group may be larger than what is asked for
            self._held = (groups, tops), self._parquet.read_row_groups(groups, columns=tops)
        return self._held[1].slice(start - self._starts[groups[0]], stop - start)


class CsvTable(_ArrowTable):
    """A CSV file with a line of names, in memory."""

    kind = "CSV"

    def _load(self) -> None:
        self._table = pyarrow.csv.read_csv(self._file)
        names = self._table.column_names
        if len(set(names)) != len(names):
            raise ValueError(f"columns have the same name: {names}")
        self.names = frozenset(names)
        self.n_entries = self._table.num_rows

    def _take(self, columns: list[str], start: int, stop: int) -> Any:
        return self._table.select(columns).slice(start, stop - start)
