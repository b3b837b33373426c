"""The format of a file, told by its name or its first bytes."""

from __future__ import annotations

from pathlib import Path

from hepsilon._system.remembered import remembered
from hepsilon.data.formats.arrow import CsvTable, ParquetTable
from hepsilon.data.formats.base import Head, Table
from hepsilon.data.formats.root import RootTable, root_trees
from hepsilon.data.sources import FORMATS
from hepsilon.errors import InputError

__all__ = ["head_of", "open_table", "tree_names"]

MAGIC = {b"root": "ROOT", b"PAR1": "parquet"}


def _format(path: str) -> str:
    """Format by the first bytes of a file on disk, else by the ending of the name."""
    if "://" not in path:
        with Path(path).open("rb") as file:
            start = file.read(4)
        if start in MAGIC:
            return MAGIC[start]
    ending = Path(path.split("?", maxsplit=1)[0]).suffix.lower()
    if ending not in FORMATS:
        raise InputError(
            f"{path}: expected a ROOT, parquet or CSV file ({', '.join(FORMATS)}), received "
            f"{'a file without an ending' if not ending else f'the ending {ending!r}'}"
        )
    return FORMATS[ending]


def open_table(path: str, tree: str) -> Table:
    """Open a file for reading.

    Parameters
    ----------
    path : str
        Path or URL of a ROOT, parquet or CSV file.
    tree : str
        Name of the TTree or RNTuple, of ROOT files.

    Returns
    -------
    Table
        The open file; use it in a ``with`` statement.

    Raises
    ------
    InputError
        If there is no such file, or it cannot be read.
    """
    if "://" not in path and not Path(path).is_file():
        raise InputError(f"no file {path!r}")
    try:
        kind = _format(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if kind == "parquet":
        return ParquetTable(path)
    return CsvTable(path) if kind == "CSV" else RootTable(path, tree)


def head_of(path: str, tree: str) -> Head:
    """Names of the columns and number of rows of a file, which is opened once in a run for that.

    Parameters
    ----------
    path : str
        Path or URL of a ROOT, parquet or CSV file.
    tree : str
        Name of the TTree or RNTuple, of ROOT files.

    Returns
    -------
    Head
        What is known without reading columns.

    Raises
    ------
    InputError
        If there is no such file, or it cannot be read.
    """

    def find() -> Head:
        with open_table(path, tree) as table:
            return Head(table.names, table.n_entries, table.identity)

    return remembered(path, ("head", tree), find)


def tree_names(path: str) -> dict[str, int]:
    """List the trees of a file.

    Parameters
    ----------
    path : str
        Path or URL of a ROOT, parquet or CSV file.

    Returns
    -------
    dict of str to int
        Number of entries by name; none of formats without trees.

    Raises
    ------
    InputError
        If there is no such file, or it cannot be read.
    """
    if "://" not in path and not Path(path).is_file():
        raise InputError(f"no file {path!r}")
    return root_trees(path) if _format(path) == "ROOT" else {}
