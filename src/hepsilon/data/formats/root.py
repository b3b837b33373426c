"""ROOT files: TTree and RNTuple."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import awkward as ak
import uproot

from hepsilon.arrays.columns import shortened
from hepsilon.data.formats.base import Damage
from hepsilon.errors import InputError

__all__ = ["RootTable", "root_trees"]

TABLES = ("TTree", "ROOT::RNTuple", "TNtuple", "TNtupleD")


class RootTable:
    """A TTree or RNTuple.

    Parameters
    ----------
    path : str
        Path or URL of the file.
    name : str
        Name of the tree, with its directory and optionally its cycle (``"ntuplizer/tree;1"``).

    Raises
    ------
    InputError
        If the file cannot be read, or does not hold the tree.
    """

    def __init__(self, path: str, name: str) -> None:
        self.path = path
        try:
            # every range is read once: what is kept of it would only live until a collection
            self._file = uproot.open(path, array_cache=None)
        except Exception as error:  # uproot raises whatever the bytes bring about
            raise InputError(f"{path} is not a readable ROOT file: {_reason(error)}") from None
        try:
            self._tree = self._find(name)
            self._is_tree = isinstance(self._tree, uproot.TTree)
            keys = list(self._tree.keys())
        except BaseException:
            self._file.close()
            raise
        self._keys = {key.rsplit("/", 1)[-1]: key for key in reversed(keys)} | {k: k for k in keys}
        self.names = frozenset(self._keys)
        self.n_entries = int(self._tree.num_entries)
        self.identity = str(self._file.file.uuid)

    def _find(self, name: str) -> Any:
        classes = self._file.classnames(recursive=True)
        found = [key.split(";")[0] for key, kind in classes.items() if kind in TABLES]
        wanted = name.strip("/")
        if wanted.split(";")[0] not in found:
            held = list(dict.fromkeys(found)) or [key.split(";")[0] for key in classes]
            raise InputError(
                f"{self.path}: expected a tree {name!r}, the file holds {shortened(held, name)}; "
                "name another one under [input] tree, or behind the file (FILE:tree)"
            )
        try:
            return self._file[wanted]
        except Exception as error:
            raise InputError(f"{self.path}: cannot read {name!r}: {_reason(error)}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(self, columns: Sequence[str], start: int, stop: int) -> ak.Array:
        """Read some columns of a range of entries (see :meth:`.Table.read`).

        Parameters
        ----------
        columns : sequence of str
            Names of the branches.
        start, stop : int
            Range of the entries.

        Returns
        -------
        ak.Array of records, shape (stop - start,)
            The columns by name.
        """
        try:
            return self._read(columns, start, stop)
        except Exception as error:
            first = next(self.damages(columns, start, stop), None)
            place = f"cannot read {list(columns)}: {_reason(error)}" if first is None else first
            raise InputError(f"{self.path} is damaged: {place}") from None

    def _read(self, columns: Sequence[str], start: int, stop: int) -> ak.Array:
        # by a filter, not by an expression: no name is ever evaluated
        wanted = set(columns) | {self._keys[name] for name in columns}
        filters = {"filter_name": wanted.__contains__, "entry_start": start, "entry_stop": stop}
        arrays = self._tree.arrays(**filters)
        tops = {name if name in arrays.fields else name.split(".")[0]: None for name in columns}
        return arrays[list(tops)]

    def damages(self, columns: Sequence[str], start: int, stop: int) -> Iterator[Damage]:
        """Find baskets that cannot be read (see :meth:`.Table.damages`).

        Parameters
        ----------
        columns : sequence of str
            Names of the branches.
        start, stop : int
            Range of the entries.

        Yields
        ------
        Damage
            Column and entries of each basket, with the reason.
        """
        for name in columns:
            for first, last in self._baskets(name, start, stop):
                try:
                    self._read([name], first, last)
                except Exception as error:
                    yield Damage(name, first, last, _reason(error))

    def _baskets(self, name: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Ranges of entries that are stored together."""
        if not self._is_tree:
            yield start, stop
            return
        branch = self._tree[self._keys[name]]
        for number in range(branch.num_baskets):
            first, last = branch.basket_entry_start_stop(number)
            first, last = max(first, start), min(last, stop)
            if first < last:
                yield first, last


def root_trees(path: str) -> dict[str, int]:
    """List the trees of a ROOT file.

    Parameters
    ----------
    path : str
        Path or URL of the file.

    Returns
    -------
    dict of str to int
        Number of entries by name.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        with uproot.open(path) as file:
            classes = file.classnames(recursive=True)
            names = dict.fromkeys(k.split(";")[0] for k, c in classes.items() if c in TABLES)
            return {name: int(file[name].num_entries) for name in names}
    except Exception as error:  # uproot raises whatever the bytes bring about
        raise InputError(f"{path} is not a readable ROOT file: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
