"""Collections of objects that a file holds, found by the names of its columns."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["Found", "canonical", "find_collections"]

Kind = Literal["jagged", "numbered", "rows"]
CANONICAL = {
    "pt": "pt",
    "px": "px",
    "py": "py",
    "pz": "pz",
    "eta": "eta",
    "phi": "phi",
    "mass": "mass",
    "m": "mass",
    "charge": "charge",
    "q": "charge",
}
"""Names of the fields of momenta by what files call them, in small letters."""
MOMENTA = ("pt", "px")
AUXILIARY = ("AuxDyn", "Aux")
NUMBER = re.compile(r"\d{1,2}")
ORDER = ("jet", "fatjet", "track", "trk", "muon", "mu", "electron", "tau", "photon", "lep")
"""Kinds of objects, those first that efficiencies are wanted of most often."""


@dataclass(frozen=True)
class Found:
    """A collection that a file seems to hold.

    Attributes
    ----------
    name : str
        Name, as the configuration may use it.
    kind : {"jagged", "numbered", "rows"}
        Lists in every event; one column for each object; or one object in a row.
    columns : dict of str to str or tuple of str
        Column, or one for each object, by the field's own name in the file.
    """

    name: str
    kind: Kind
    columns: dict[str, str | tuple[str, ...]]

    @property
    def n_objects(self) -> int | None:
        """Number of objects in every event, where that is fixed."""
        sizes = {len(c) for c in self.columns.values() if isinstance(c, tuple)}
        return max(sizes) if sizes else None

    @property
    def fields(self) -> dict[str, str]:
        """Fields of momenta, by the names of the configuration; their own names in the file."""
        found = {canonical(name): name for name in reversed(self.columns)}
        known = dict.fromkeys(CANONICAL.values())
        return {name: found[name] for name in known if name in found}


def canonical(field: str) -> str | None:
    """Name that the configuration has for a field of momenta; None for other fields."""
    return CANONICAL.get(field.lower())


def _split(name: str) -> tuple[str, str, str]:
    """Beginning, separator and last word of a name."""
    match = re.fullmatch(r"(?P<start>.*?)(?P<sign>[._]?)(?P<word>[^._]+)", name)
    return (match["start"], match["sign"], match["word"]) if match else (name, "", "")


def _jagged(names: Iterable[str], dimensions: Callable[[str], int]) -> Iterator[Found]:
    names = sorted(name for name in names if "/" not in name)
    starts = {}
    for name in names:
        start, sign, word = _split(name)
        if word.lower() in MOMENTA and (sign or not start) and dimensions(name) == 2:
            starts[start + sign] = start
    for prefix, start in starts.items():
        name = start
        for ending in AUXILIARY:
            name = name.removesuffix(ending)
        columns: dict[str, str | tuple[str, ...]]
        columns = {n.removeprefix(prefix): n for n in names if n.startswith(prefix)}
        if not prefix:
            columns = {n: n for n in names if canonical(n) is not None}
        yield Found(name.rsplit(".", 1)[-1] or "Object", "jagged", columns)


def _numbered(names: Iterable[str], dimensions: Callable[[str], int]) -> Iterator[Found]:
    groups: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for name in sorted(names):
        for match in NUMBER.finditer(name):  # any of them may count the objects
            groups[name[: match.start()], name[match.end() :]][int(match[0])] = name
    collections: dict[tuple[str, int], dict[str, tuple[str, ...]]] = defaultdict(dict)
    for (before, behind), columns in groups.items():
        numbers = sorted(columns)
        if len(numbers) < 2 or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            continue
        start, _, field = _split(f"{before}{behind}".strip("_.").replace("__", "_"))
        collections[start, len(numbers)][field] = tuple(columns[i] for i in numbers)
    for (start, _), fields in collections.items():
        momenta = [field for field in fields if field.lower() in MOMENTA]
        if momenta and all(dimensions(c) == 1 for c in fields[momenta[0]]):
            yield Found(start or "Object", "numbered", dict(fields))


def _rows(names: Iterable[str], dimensions: Callable[[str], int]) -> Iterator[Found]:
    every = set(names)
    names = sorted(n for n in every if "/" not in n and n.removeprefix("n") not in every - {n})
    for name in names:  # without the counters of lists, such as nJet_pt
        start, sign, word = _split(name)
        if word.lower() in MOMENTA and (sign or not start) and dimensions(name) == 1:
            prefix = start + sign
            fields = [n.removeprefix(prefix) for n in names if n.startswith(prefix)]
            if word.lower() == "pt" or prefix + "py" in names:
                yield Found(start or "Object", "rows", {f: prefix + f for f in fields})


def _rank(found: Found) -> tuple[int, int, str]:
    name = found.name.lower().removeprefix("analysis")
    places = [i + 0.5 for i, word in enumerate(ORDER) if name.startswith(word)]
    exact = [float(i) for i, word in enumerate(ORDER) if name.rstrip("s") == word]
    place = min(exact or places or [len(ORDER)])
    return int(2 * place), -len(found.columns), found.name


def find_collections(names: Iterable[str], dimensions: Callable[[str], int]) -> Mapping[str, Found]:
    """Find the collections of a file.

    Parameters
    ----------
    names : iterable of str
        Names of all columns.
    dimensions : callable
        Gives 1 for a column with one number a row, 2 for lists, and 0 for anything else.

    Returns
    -------
    mapping of str to Found
        By name, those first that efficiencies are wanted of most often. Tables with one object a
        row are taken for that only where nothing else is found.
    """
    names = list(names)
    found = [*_jagged(names, dimensions), *_numbered(names, dimensions)]
    found = found or list(_rows(names, dimensions))
    by_name: dict[str, Found] = {}
    for each in sorted(found, key=_rank):
        by_name.setdefault(each.name, each)
    return by_name
