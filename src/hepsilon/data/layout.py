"""Names of columns: one description of where they are, in a file and in the events of any schema.

A task speaks of fields of its collection and of numbers of the event. Files and schemas hold them
under other names: ``Jet_pt`` in NanoAOD, ``events.Jet.pt`` in its schema, ``Jet.pt`` in nested
columns, ``AnalysisJetsAuxDyn.pt`` in PHYSLITE, ``t1_px`` and ``t2_px`` in flat ntuples.
:class:`Layout` finds them; training, maps, closure and processors all ask it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import awkward as ak

from hepsilon.arrays.columns import shortened
from hepsilon.arrays.fields import derived_field
from hepsilon.config.file import Branch, InputConfig
from hepsilon.config.task import Task
from hepsilon.data.elements import element, split_element
from hepsilon.errors import InputError

__all__ = ["Column", "Layout", "collection_in", "column_of", "names_of"]

Column = str | float | tuple[str, ...]
"""Name of a column, one column for each object of the event, or a number of all objects."""

EVENT_ALIASES = {
    "run": ("runNumber", "RunNumber", "EventInfoAuxDyn.runNumber", "EventInfoAux.runNumber"),
    "luminosityBlock": ("lumi", "lumiBlock", "EventInfoAuxDyn.lumiBlock", "EventInfoAux.lumiBlock"),
    "event": (
        "eventNumber",
        "EventNumber",
        "EventInfoAuxDyn.eventNumber",
        "EventInfoAux.eventNumber",
    ),
}
"""Other names that event numbers have in files."""
MOMENTUM = ("pt", "eta", "phi", "px", "py", "pz")
FIELD_ALIASES = {"mass": ("m",), "energy": ("E", "e")}
"""Other names that fields of objects have in files."""


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """All ways to read ``A_b_c`` as a field of a record: (A, b_c), (A_b, c)."""
    for position, letter in enumerate(name):
        if letter in "_." and 0 < position < len(name) - 1:
            yield name[:position], name[position + 1 :]


def _spellings(name: str) -> Iterator[str]:
    """A name, and that of a branch of PHYSLITE in coffea's schema: ``AnalysisJetsAuxDyn.pt``."""
    yield name
    record, dot, field = name.partition(".")
    short = record.removesuffix("AuxDyn").removesuffix("Aux")
    if dot and short != record:
        yield f"{short.removeprefix('Analysis')}.{field}"


def column_of(events: ak.Array, name: str) -> ak.Array:
    """Take a column by the name that a :class:`Layout` gave it.

    Parameters
    ----------
    events : ak.Array of records
        Events of any schema.
    name : str
        Name of the column, with a dot between a record and its field, and perhaps the number of
        an object (see :mod:`hepsilon.data.elements`).

    Returns
    -------
    ak.Array
        The column.
    """
    if name in ak.fields(events):
        return _plain(events, name)
    column, number = split_element(name)
    if number is not None:
        return element(column_of(events, column), number, column)
    for record, field in _splits(name):
        if record in ak.fields(events):
            return column_of(_plain(events, record), field)
    raise InputError(f"expected the column {name!r}, received {shortened(ak.fields(events), name)}")


def _plain(events: ak.Array, name: str) -> ak.Array:
    """A field of the events, without the behaviour of records that want more than there is."""
    try:
        return events[name]
    except ValueError:  # coffea's jets want a charge, which NanoAODSchema fills for TTrees only
        return ak.Array(ak.without_parameters(events.layout[name], highlevel=False))


def names_of(events: ak.Array) -> Callable[[str], bool]:
    """Give a function that tells whether events of any schema have a column.

    Parameters
    ----------
    events : ak.Array of records
        The events.

    Returns
    -------
    callable
        True for a name that :func:`column_of` finds.
    """
    form = events.layout.form

    def known(name: str) -> bool:
        return _has(form, name)

    return known


def _has(form: Any, name: str) -> bool:
    while form.fields and not form.is_record:  # lists of records
        form = form.content
    fields = set(form.fields)
    if name in fields:
        return True
    return any(
        record in fields and _has(form.content(record), field) for record, field in _splits(name)
    )


def collection_in(names: Sequence[str], collection: str) -> str:
    """Name under which a schema gives a collection of the file.

    coffea's PHYSLITESchema calls AnalysisJets Jets.

    Parameters
    ----------
    names : sequence of str
        Fields of the events.
    collection : str
        Name of the collection in the file.

    Returns
    -------
    str
        The short name if only that is a field, else the name itself.
    """
    short = collection.removeprefix("Analysis")
    return short if short in names and collection not in names else collection


class Layout:
    """Which column of a file, or of events, holds which name of a task.

    Parameters
    ----------
    known : callable
        Tells whether a column exists.
    names : iterable of str
        All columns, for errors and for :meth:`all_fields`.
    place : str
        The file or schema, for errors.
    collection : str
        Name of the collection of objects.
    branches : mapping of str to str, tuple of str or float
        Columns that do not follow a pattern, by name of the field or number.
    generated : Layout, optional
        Of reconstructed objects: layout of the generated ones, whose momenta they must not take.
    """

    def __init__(
        self,
        known: Callable[[str], bool],
        names: Iterable[str],
        place: str,
        collection: str,
        branches: Mapping[str, Branch],
        generated: Layout | None = None,
    ) -> None:
        self.known, self.names, self.place = known, tuple(names), place
        self.collection, self.branches, self.generated = collection, branches, generated

    @classmethod
    def of_events(
        cls, events: ak.Array, task: Task, config: InputConfig, name: str | None = None
    ) -> Layout:
        """Describe events of any schema.

        Parameters
        ----------
        events : ak.Array of records
            The events.
        task, config : Task or InputConfig
            Collection and branches.
        name : str, optional
            Collection of reconstructed objects, in place of the task's.

        Returns
        -------
        Layout
            Layout of these events.
        """
        known, names = names_of(events), ak.fields(events)
        task = task.model_copy(update={"collection": collection_in(names, task.collection)})
        return cls._of(known, names, "the events", task, config, name)

    @classmethod
    def of_numbers(cls, events: ak.Array, config: InputConfig) -> Layout:
        """Describe the numbers of the events of any schema.

        Parameters
        ----------
        events : ak.Array of records
            The events.
        config : InputConfig
            Branches.

        Returns
        -------
        Layout
            Layout without a collection.
        """
        return cls(names_of(events), ak.fields(events), "the events", "", config.branches)

    @classmethod
    def of_names(
        cls,
        names: frozenset[str],
        place: str,
        task: Task,
        config: InputConfig,
        name: str | None = None,
    ) -> Layout:
        """Describe a file.

        Parameters
        ----------
        names : frozenset of str
            Names of its columns.
        place : str
            The file.
        task, config : Task or InputConfig
            Collection and branches.
        name : str, optional
            Collection of reconstructed objects, in place of the task's.

        Returns
        -------
        Layout
            Layout of this file.
        """
        return cls._of(names.__contains__, sorted(names), place, task, config, name)

    @classmethod
    def _of(
        cls,
        known: Callable[[str], bool],
        names: Iterable[str],
        place: str,
        task: Task,
        config: InputConfig,
        name: str | None,
    ) -> Layout:
        """Layout of the task's objects, or of reconstructed ones."""
        names = tuple(names)
        own = cls(known, names, place, task.collection, config.branches)
        return own if name is None else cls(known, names, place, name, config.reconstructed, own)

    def _first(self, candidates: Iterable[str]) -> str | None:
        """The first name that exists, or could be read as a field of a record."""
        for candidate in candidates:
            if self.known(candidate):
                return candidate
            column, number = split_element(candidate)
            found = self._column_of_file(column)
            if found is not None:
                return found if number is None else f"{found}[{number}]"
        return None

    def _column_of_file(self, candidate: str) -> str | None:
        for name in _spellings(candidate):
            if self.known(name):
                return name
            for record, field in _splits(name):
                if self.known(f"{record}.{field}"):
                    return f"{record}.{field}"
        return None

    def of_event(self, name: str, *, required: bool = True) -> str | None:
        """Find the column of a number of the event.

        Parameters
        ----------
        name : str
            Name in the task, or of an event number.
        required : bool, default True
            Whether it is an error if there is none.

        Returns
        -------
        str or None
            Name of the column; None if it is optional and missing, or one number of all events.

        Raises
        ------
        InputError
            If it is required, or named under ``[input.branches]``, and missing.
        """
        branch = self.branches.get(name)
        if isinstance(branch, float) and name not in EVENT_ALIASES:
            return None
        if branch is not None and not isinstance(branch, str):
            raise InputError(f"[input.branches] {name}: expected one branch, received {branch}")
        aliases = () if branch is not None else EVENT_ALIASES.get(name, ())
        column = self._first([branch or name, *aliases])
        if column is None and (required or branch is not None):
            wanted = branch or name
            raise InputError(
                f"{self.place}: expected the column {wanted!r} ({name}), received "
                f"{shortened(self.names, wanted)}; name another one under [input.branches]"
            )
        return column

    def of_object(self, field: str) -> Column:
        """Find the column of a field of the collection.

        A number of the event stands for a field of all its objects, where the collection has no
        such field.

        Parameters
        ----------
        field : str
            Name of the field.

        Returns
        -------
        str, tuple of str or float
            The column, one column for each object, or a number that all objects have.

        Raises
        ------
        InputError
            If there is none.
        """
        column = self._column(field)
        own = self.generated
        if own is not None and field in MOMENTUM and own._same(field, column):
            raise InputError(
                f"{self.place}: the reconstructed {self.collection} objects would take {field!r} "
                f"from the generated ones ({column}); name their own under [input.reconstructed]"
            )
        return column

    def _same(self, field: str, column: Column) -> bool:
        try:
            return self._column(field) == column
        except InputError:
            return False

    def _column(self, field: str) -> Column:
        branch = self.branches.get(field)
        if isinstance(branch, float | int):
            return float(branch)
        if branch is not None:
            wanted = [branch] if isinstance(branch, str) else list(branch)
            columns = [self._first([name]) for name in wanted]
            if all(column is not None for column in columns):
                found = tuple(column for column in columns if column is not None)
                return found[0] if isinstance(branch, str) else found
            missing = wanted[columns.index(None)]
        else:
            column = self._first(self._patterns(field))
            if column is not None:
                return column
            missing = f"{self.collection}_{field}"
        raise InputError(
            f"{self.place}: expected the column {missing!r} for the field {field!r}, "
            f"received {shortened(self.names, missing)}; name another one "
            f"under [input.{'branches' if self.generated is None else 'reconstructed'}]"
        )

    def has_object(self, field: str) -> bool:
        """Tell whether there is a column for a field of the collection."""
        try:
            self.of_object(field)
        except InputError:
            return False
        return True

    def _patterns(self, field: str) -> Iterator[str]:
        """Names that a field of the collection may have."""
        short = self.collection.removeprefix("Analysis")
        for name in (field, *FIELD_ALIASES.get(field, ())):
            yield f"{self.collection}_{name}"
            for collection in dict.fromkeys((self.collection, f"Analysis{short}")):
                yield f"{collection}AuxDyn.{name}"
                yield f"{collection}Aux.{name}"
            if short != self.collection:
                yield f"{short}_{name}"
        yield field  # a number of the event, which all its objects share

    def of_objects(self, fields: Iterable[str]) -> dict[str, Column]:
        """Find the columns of fields, and of what those that do not exist are computed from.

        Parameters
        ----------
        fields : iterable of str
            Names of the fields.

        Returns
        -------
        dict of str to str, tuple of str or float
            Columns by field.

        Raises
        ------
        InputError
            If a field is missing, and so is what it could be computed from.
        """
        columns: dict[str, Column] = {}
        for field in fields:
            columns |= self._or_inputs(field, ())
        return columns

    def _or_inputs(self, field: str, above: tuple[str, ...]) -> dict[str, Column]:
        """Column of a field, or those of what it is computed from, which is none of ``above``."""
        try:
            return {field: self.of_object(field)}
        except InputError as error:
            derived = derived_field(field)
            if derived is None or field in above:
                raise
            columns: dict[str, Column] = {}
            try:
                for each in derived.inputs:
                    columns |= self._or_inputs(each, (*above, field))
            except InputError:
                raise error from None  # the user asked for this one
            return columns

    def all_fields(self) -> list[str]:
        """List all fields of the collection, and those under ``[input.branches]``.

        Returns
        -------
        list of str
            Their names.
        """
        starts = tuple(pattern.removesuffix("*") for pattern in self._patterns("*"))[:-1]
        starts = (*starts, f"{self.collection}.")
        fields = [n.removeprefix(s) for n in self.names for s in starts if n.startswith(s)]
        fields += [name for name, others in FIELD_ALIASES.items() if {*fields} & {*others}]
        return [n for n in dict.fromkeys([*fields, *self.branches]) if n not in EVENT_ALIASES]

    @property
    def counter(self) -> str | None:
        """Column with the number of objects of each event, as NanoAOD has it (``nJet``)."""
        return self._first([f"n{self.collection}"])
