"""Survey of a file: what its columns hold, in as far as a task may want to know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import awkward as ak
import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.data.collections import canonical
from hepsilon.data.formats import Table
from hepsilon.data.layout import column_of
from hepsilon.errors import InputError

__all__ = ["ColumnSurvey", "Sample", "rank_response"]

GRADES = 8
"""Largest number of values of a whole number that may be an ID, or a category."""
FEW = 10
"""Number of entries that tell the type of a column."""
RANKS = (
    re.compile(r"^b_?tag(.*(?<!cv)b|.*v2|_?disc.*)?$", re.IGNORECASE),
    re.compile(r"b_?tag|disc|score|tagger|prob|pnet|deep", re.IGNORECASE),
    re.compile(r"^(tight(?!charge)|medium|cutbased)", re.IGNORECASE),
    re.compile(r"pass|reco|accept|match|trig|fired|seen|found|sel", re.IGNORECASE),
    re.compile(r"(^|_)hlt|tight|medium|loose|iso|id$|tag|is[A-Z]"),
    re.compile(r"mva|bdt", re.IGNORECASE),
)
"""Names of responses, those first that are one most surely."""
REAL = (0, 1, len(RANKS) - 1)
"""Those of them that are names of discriminants."""
OTHERS = re.compile(
    r"idx|index|err|unc|area|rawfactor|corr|res$|^n[A-Z]|ef$|hef|emef|cv[lb]$|qg|flav|pdg|charge|"
    r"weight|true|truth|eff",
    re.IGNORECASE,
)
"""Names of what is between 0 and 1, or a whole number, and is no response."""


@dataclass(frozen=True)
class ColumnSurvey:
    """Kind, range and values of a column in a sample of its file.

    Attributes
    ----------
    name : str
        Name of the field or number.
    low, high : float
        Range of its finite values.
    kind : {"flag", "grade", "whole", "real", "constant"}
        0 and 1; a few whole numbers; many of them; anything else; or one value.
    values : dict of int to int
        Number of each value, of flags and grades.
    n : int
        Number of values.
    n_bad : int
        Number of those that are NaN, infinite or missing.
    inside_unit : float
        Share of the values between 0 and 1.
    """

    name: str
    low: float
    high: float
    kind: str
    values: Mapping[int, int]
    n: int
    n_bad: int
    inside_unit: float

    @classmethod
    def of(cls, name: str, values: Array) -> ColumnSurvey:
        """Look at the values of a column.

        Parameters
        ----------
        name : str
            Name of the field or number.
        values : ndarray
            Its values.

        Returns
        -------
        ColumnSurvey
            What they are.
        """
        numbers = values.astype(np.float64) if values.dtype.kind == "b" else values
        good = numbers[np.isfinite(numbers)] if numbers.dtype.kind == "f" else numbers
        n_bad = len(numbers) - len(good)
        if not len(good):
            return cls(name, np.nan, np.nan, "constant", {}, len(numbers), n_bad, 0.0)
        found, counts = np.unique(good, return_counts=True)
        whole = bool(np.all(found == np.floor(found)))
        few = whole and len(found) <= GRADES
        kind = "whole" if whole and numbers.dtype.kind in "iu" else "real"
        if few:
            kind = "flag" if set(found.tolist()) <= {0, 1} else "grade"
        if len(found) == 1:
            kind = "constant"
        return cls(
            name,
            float(found[0]),
            float(found[-1]),
            kind,
            dict(zip(found.astype(int).tolist(), counts.tolist(), strict=True)) if few else {},
            len(numbers),
            n_bad,
            float(np.mean((good >= 0) & (good <= 1))),
        )

    @property
    def text(self) -> str:
        """The values, for people."""
        bad = f", {self.n_bad} of {self.n} are NaN or missing" if self.n_bad else ""
        if self.kind == "constant":
            return f"always {self.low:g}{bad}" if self.low == self.low else f"no number{bad}"
        if self.values:
            return ", ".join(f"{v}: {count}" for v, count in self.values.items()) + bad
        return f"{self.low:.4g} to {self.high:.4g}{bad}"


def rank_response(column: ColumnSurvey) -> int | None:
    """Tell how well a column would do as a response.

    Parameters
    ----------
    column : ColumnSurvey
        The column.

    Returns
    -------
    int or None
        0 for the best; None for not at all.
    """
    if column.kind == "constant" or canonical(column.name) is not None or column.n_bad:
        return None
    if OTHERS.search(column.name) and not RANKS[0].search(column.name):
        return None
    named = next((i for i, rank in enumerate(RANKS) if rank.search(column.name)), None)
    if column.kind in ("flag", "grade"):
        likely = column.kind == "flag" or named is not None
        return (len(RANKS) if named is None else named) if likely else None
    if column.kind == "real" and named in REAL:
        return named
    return len(RANKS) + 1 if column.kind == "real" and column.inside_unit > 0.9 else None


class Sample:
    """The first entries of a file.

    Parameters
    ----------
    table : Table
        The open file.
    n_entries : int
        Number of entries to look at.
    """

    def __init__(self, table: Table, n_entries: int) -> None:
        self.table, self.n_entries = table, min(n_entries, table.n_entries)
        self.names = table.names
        self._columns: dict[str, ak.Array | None] = {}
        self._dimensions: dict[str, int] = {}
        self.errors: dict[str, InputError] = {}

    def read(self, names: Iterable[str]) -> None:
        """Read columns at once; what cannot be read is left out.

        Parameters
        ----------
        names : iterable of str
            Names of the columns.
        """
        left = [name for name in names if name not in self._columns]
        try:
            events = self.table.read(left, 0, self.n_entries)
            self._columns |= {name: _numbers(events, name) for name in left}
        except (InputError, ValueError, TypeError):
            for name in left:
                self._columns[name] = self._one(name)

    def _one(self, name: str) -> ak.Array | None:
        try:
            return _numbers(self.table.read([name], 0, self.n_entries), name)
        except InputError as error:
            self.errors[name] = error
        except (ValueError, TypeError):  # a type that awkward arrays of numbers do not have
            pass
        return None

    def column(self, name: str) -> ak.Array | None:
        """A column of numbers, or of lists of numbers.

        Parameters
        ----------
        name : str
            Name of the column.

        Returns
        -------
        ak.Array or None
            None for anything else.
        """
        if name not in self._columns:
            self.read([name])
        return self._columns[name]

    def dimensions(self, name: str) -> int:
        """Number of dimensions of a column.

        Parameters
        ----------
        name : str
            Name of the column.

        Returns
        -------
        int
            1 for one number a row, 2 for lists of numbers, 0 for anything else.
        """
        if name not in self._dimensions:
            try:
                column = _numbers(self.table.read([name], 0, min(self.n_entries, FEW)), name)
            except InputError as error:
                column, self.errors[name] = None, error
            except (ValueError, TypeError):
                column = None
            self._dimensions[name] = 0 if column is None else int(column.ndim)
        return self._dimensions[name]

    def values(self, columns: str | tuple[str, ...]) -> Array | None:
        """All numbers of a column, or of the columns of all objects.

        Parameters
        ----------
        columns : str or tuple of str
            Names.

        Returns
        -------
        ndarray or None
            The numbers, NaN where one is missing; None where there are none.
        """
        if isinstance(columns, tuple):
            parts = [self.values(column) for column in columns]
            good = [part for part in parts if part is not None]
            return np.stack(good, axis=1).ravel() if len(good) == len(parts) else None
        column = self.column(columns)
        if column is None:
            return None
        flat = ak.flatten(column, axis=None)
        missing = int(ak.sum(ak.num(column))) - len(flat) if column.ndim == 2 else 0
        values = np.asarray(ak.to_numpy(flat))
        return np.concatenate([values, np.full(missing, np.nan)]) if missing else values

    def survey(self, name: str, columns: str | tuple[str, ...]) -> ColumnSurvey | None:
        """Look at the values of a column.

        Parameters
        ----------
        name : str
            Name of the field.
        columns : str or tuple of str
            Its columns.

        Returns
        -------
        ColumnSurvey or None
            None where it holds no numbers.
        """
        values = self.values(columns)
        return None if values is None or not len(values) else ColumnSurvey.of(name, values)


def _numbers(events: ak.Array, name: str) -> ak.Array | None:
    """A column of numbers of one or two dimensions."""
    column = column_of(events, name)
    if column.ndim > 2 or ak.fields(column):
        return None
    kind = str(column.type).replace("?", "").replace("option", "")
    return column if re.search(r"(bool|u?int\d+|float\d+)", kind) and "string" not in kind else None
