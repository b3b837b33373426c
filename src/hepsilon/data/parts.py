"""Parts of files, ranges of entries, and the columns of them that are needed."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from dataclasses import field as attribute
from itertools import pairwise

import awkward as ak
import numpy as np

from hepsilon.arrays.keys import EVENT_NAMES
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.elements import list_of
from hepsilon.data.formats import Head, Table, head_of, open_table
from hepsilon.data.layout import Layout
from hepsilon.data.sources import Files, Source, find_sources
from hepsilon.errors import InputError

__all__ = [
    "CHUNK_EVENTS",
    "NUMBER",
    "Part",
    "Skipped",
    "Wanted",
    "check_file",
    "event_starts",
    "needed_columns",
    "split_files",
]

CHUNK_EVENTS = 200_000
logger = logging.getLogger("hepsilon")


@dataclass(frozen=True)
class Wanted:
    """Columns that somebody needs.

    Attributes
    ----------
    fields : tuple of str
        Fields of the collection.
    optional : tuple of str or None
        Further fields, where a file has them; None for all that it has.
    numbers : tuple of str
        Numbers of the event.
    reconstructed : str or None
        Collection of reconstructed objects that is needed, too.
    """

    fields: tuple[str, ...]
    optional: tuple[str, ...] | None = ()
    numbers: tuple[str, ...] = ()
    reconstructed: str | None = None

    @classmethod
    def of_task(cls, task: Task, *, response: bool = True, truth: bool = False) -> Wanted:
        """List what a task needs.

        Parameters
        ----------
        task : Task
            The task.
        response : bool, default True
            Whether the response of events is needed.
        truth : bool, default False
            Whether the true efficiency is needed.

        Returns
        -------
        Wanted
            Columns of the task.
        """
        fields, numbers = list(task.object_fields), list(task.event_fields)
        if task.of_events and not response:
            numbers = [name for name in numbers if name != task.passed.field]
        elif truth:
            (numbers if task.of_events else fields).extend(task.truth_fields)
        return cls(tuple(dict.fromkeys(fields)), numbers=tuple(dict.fromkeys(numbers)))


@dataclass(frozen=True)
class Part:
    """A range of entries of one file, with the names that coffea's work items have.

    Attributes
    ----------
    source : Source
        The file.
    treename : str
        Its tree.
    entrystart, entrystop : int
        First entry, and the one behind the last.
    fileuuid : str
        Text that tells the file apart from others.
    """

    source: Source
    treename: str
    entrystart: int
    entrystop: int
    fileuuid: str


NUMBER = "{count}"
"""Stands for the number in a text of what was left out."""


@dataclass
class Skipped:
    """Files, entries and events that were left out on request, or held nothing.

    Attributes
    ----------
    counts : Counter
        Number of entries or files by what was the matter, with :data:`NUMBER` in its place.
    """

    counts: Counter[str] = attribute(default_factory=Counter)

    def texts(self) -> list[str]:
        """Sentences with their numbers."""
        return [t.replace(NUMBER, str(n)) for t, n in sorted(self.counts.items())]

    def report(self) -> None:
        """Say everything once."""
        for text in self.texts():
            logger.warning("%s", text)


def needed_columns(
    table: Table | Head, place: str, task: Task, config: InputConfig, wanted: Wanted
) -> set[str]:
    """Names of the columns of one file that are needed.

    Parameters
    ----------
    table : Table or Head
        The opened file, or what is known of it.
    place : str
        Its name, for errors.
    task : Task
        Objects, features and response.
    config : InputConfig
        Places of the columns.
    wanted : Wanted
        Fields that are needed, and those that are read where they are there.

    Returns
    -------
    set of str
        Columns of the file.

    Raises
    ------
    InputError
        If one is missing.
    """
    layout = Layout.of_names(table.names, place, task, config)
    required = config.schema_ == "nanoaod" and config.event_key == "event"
    ids = [layout.of_event(name, required=required) for name in EVENT_NAMES]
    numbers = [layout.of_event(name) for name in wanted.numbers]
    columns = {name for name in (*ids, *numbers, layout.counter) if name is not None}
    columns |= _object_columns(layout, wanted)
    if wanted.reconstructed is not None:
        others = Layout.of_names(table.names, place, task, config, wanted.reconstructed)
        columns |= _object_columns(others, wanted)
    return {name if name in table.names else list_of(name) for name in columns}


def _object_columns(layout: Layout, wanted: Wanted) -> set[str]:
    found = list(layout.of_objects(wanted.fields).values())
    for field in layout.all_fields() if wanted.optional is None else wanted.optional:
        try:
            found += layout.of_objects([field]).values()
        except InputError:
            continue  # who asked for it says that it is missing
    return {
        name
        for column in found
        if not isinstance(column, float)
        for name in ([column] if isinstance(column, str) else column)
    }


def check_file(path: Files, task: Task, config: InputConfig, *, response: bool = True) -> None:
    """Check that a file has what applying a task needs.

    Parameters
    ----------
    path : str, Path or Source
        The file.
    task, config : Task or InputConfig
        Names of the columns, and their places.
    response : bool, default True
        Whether response and truth are needed, for tasks of events.

    Raises
    ------
    InputError
        For a missing or unreadable file, tree or column.
    """
    wanted = Wanted.of_task(task, response=response, truth=True)
    for source in find_sources(path):
        head = head_of(source.path, source.tree or config.tree)
        needed_columns(head, source.path, task, config, wanted)


def split_files(
    files: Files,
    task: Task,
    config: InputConfig,
    wanted: Wanted,
    *,
    step: int = CHUNK_EVENTS,
    max_events: int | None = None,
    skipped: Skipped | None = None,
) -> list[Part]:
    """Divide files into parts, and check that they have the columns, before any work.

    Parameters
    ----------
    files : str, Path, Source or iterable of these
        The files (see :func:`hepsilon.data.sources.find_sources`).
    task, config : Task or InputConfig
        Names of the columns, and their places.
    wanted : Wanted
        Columns that are needed.
    step : int, default CHUNK_EVENTS
        Largest number of entries of a part.
    max_events : int, optional
        Number of entries after which no more are taken.
    skipped : Skipped, optional
        Where files without entries are counted, and those that are left out.

    Returns
    -------
    list of Part
        All parts, in the order of the files.

    Raises
    ------
    InputError
        For a missing or unreadable file, tree or column, a file that is given twice, or if no file
        holds an entry.
    """
    if step < 1 or (max_events is not None and max_events < 1):
        raise InputError(f"expected at least one event, received {step} and {max_events}")
    skipped = skipped if skipped is not None else Skipped()
    parts: list[Part] = []
    seen: dict[tuple[str, str], str] = {}
    empty: list[str] = []
    left = max_events
    sources = find_sources(files)
    for source in sources:
        if left is not None and left <= 0:
            break
        tree = source.tree or config.tree
        head = _head(source, tree, config, skipped)
        if head is None:
            continue
        bounds, identity = _bounds(head, source, task, config, wanted, step), head.identity
        if not bounds:
            empty.append(source.path)
            continue
        if (identity, tree) in seen:
            raise InputError(
                f"{source.path} and {seen[identity, tree]} are copies of one file; its events "
                "would count twice"
            )
        seen[identity, tree] = source.path
        for start, end in pairwise(bounds):
            stop = end if left is None else min(end, start + left)
            left = None if left is None else left - (stop - start)
            if start < stop:
                parts.append(Part(source, tree, start, stop, identity))
    if empty:
        skipped.counts[f"files without entries: {NUMBER}, such as {empty[0]}"] += len(empty)
    if not parts:
        why = "; ".join(["", *skipped.texts()])
        raise InputError(f"the files hold no events: {[s.path for s in sources]}{why}")
    return parts


def _head(source: Source, tree: str, config: InputConfig, skipped: Skipped) -> Head | None:
    """Look at a file; one that cannot be read is an error, or counted and None."""
    try:
        return head_of(source.path, tree)
    except InputError as error:
        if config.damaged != "skip":
            raise
        skipped.counts[f"{NUMBER} file was left out: {error}"] += 1
        return None


def _bounds(
    head: Head, source: Source, task: Task, config: InputConfig, wanted: Wanted, step: int
) -> list[int]:
    """Entries where parts of a file begin, and its end; no part divides an event."""
    if not head.n_entries:
        return []
    needed_columns(head, source.path, task, config, wanted)
    if config.rows == "objects":
        with open_table(source.path, source.tree or config.tree) as table:
            starts = event_starts(table, source.path, task, config, 0, head.n_entries)
        return [*np.unique(starts[:: max(1, step)]).tolist(), head.n_entries]
    return [*range(0, head.n_entries, step), head.n_entries]


def event_starts(
    table: Table, place: str, task: Task, config: InputConfig, start: int, stop: int
) -> Array:
    """Rows where another event begins, of a table with one object per row.

    Parameters
    ----------
    table : Table
        The opened file.
    place : str
        Its name, for errors.
    task : Task
        Task whose layout tells the columns of the event numbers.
    config : InputConfig
        Places of the columns.
    start, stop : int
        Range of the rows.

    Returns
    -------
    ndarray of int64, shape (n_starts,)
        Numbers of the rows.
    """
    layout = Layout.of_names(table.names, place, task, config)
    ids = [layout.of_event(name, required=False) for name in EVENT_NAMES]
    names = [name for name in ids if name is not None]
    if ids[-1] is None:
        return np.arange(start, stop)
    rows = table.read(names, start, stop)
    changed = np.ones(stop - start, bool)
    columns = [np.asarray(ak.to_numpy(rows[name], allow_missing=False)) for name in names]
    changed[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return start + np.flatnonzero(changed)
