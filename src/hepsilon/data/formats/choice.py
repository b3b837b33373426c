"""The format of a file, told by its name or its first bytes."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from hepsilon._system.plugins import place_of
from hepsilon._system.remembered import remembered
from hepsilon.data.formats.arrow import CsvTable, ParquetTable
from hepsilon.data.formats.base import PARTS, Head, Table
from hepsilon.data.formats.root import RootTable, root_trees
from hepsilon.data.readers import FORMATS, ending_of, endings, own_reader
from hepsilon.errors import HepsilonError, InputError

__all__ = ["head_of", "open_table", "tree_names"]

MAGIC = {b"root": "ROOT", b"PAR1": "parquet"}


def _format(path: str) -> str:
    """Format by the first bytes of a file on disk, else by the ending of the name."""
    if "://" not in path:
        with Path(path).open("rb") as file:
            start = file.read(4)
        if start in MAGIC:
            return MAGIC[start]
    ending = ending_of(path)
    if ending in FORMATS:
        return FORMATS[ending]
    if own_reader(ending) is None:
        raise InputError(
            f"{path}: expected a ROOT, parquet or CSV file ({', '.join(endings())}), received "
            f"{'a file without an ending' if not ending else f'the ending {ending!r}'}; a reader "
            "of another format is known once its module is imported, or its package installed "
            "(see hepsilon.data.formats.register_reader)"
        )
    return ending


def _open_own(path: str, tree: str, ending: str) -> Table:
    """Open a file by a reader that was registered, and check that it gives a table."""
    reader = own_reader(ending)
    assert reader is not None
    try:
        table = reader(path, tree)
    except HepsilonError:
        raise
    except Exception as error:  # whatever that reader raises
        raise InputError(f"{path} cannot be read by {place_of(reader)}: {error!r}") from None
    lacking = [part for part in PARTS if not hasattr(table, part)]
    if lacking:
        raise InputError(
            f"{path}: the reader {place_of(reader)} gave {type(table).__name__}, which lacks "
            f"{lacking}; expected a table (see hepsilon.data.formats.ColumnTable)"
        )
    return cast(Table, table)


def open_table(path: str, tree: str) -> Table:
    """Open a file for reading.

    Parameters
    ----------
    path : str
        Path or URL of a ROOT, parquet or CSV file, or one of a registered reader.
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
    if kind == "ROOT":
        return RootTable(path, tree)
    tables = {"parquet": ParquetTable, "CSV": CsvTable}
    return tables[kind](path) if kind in tables else _open_own(path, tree, kind)


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
        Path or URL of a ROOT, parquet or CSV file, or one of a registered reader.

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
