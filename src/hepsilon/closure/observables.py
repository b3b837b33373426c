"""Observables of a closure: those that were asked for and exist, with bins that fit the sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hepsilon._system.plugins import missing
from hepsilon.arrays.columns import shortened
from hepsilon.arrays.fields import available
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.observables import ObservableConfig
from hepsilon.config.task import Task
from hepsilon.data.events import event_chunk
from hepsilon.data.formats import head_of
from hepsilon.data.layout import Layout
from hepsilon.data.parts import Skipped, Wanted, split_files
from hepsilon.data.reading import read_events
from hepsilon.data.selection import inside_fiducial, ordered, select
from hepsilon.data.sources import Source, find_sources
from hepsilon.data.units import IN_GEV, in_gev, is_angle, is_momentum
from hepsilon.efficiencies.bin_by_bin import BinByBin
from hepsilon.errors import ConfigError, InputError
from hepsilon.histograms.entries import Entries
from hepsilon.histograms.jets import JET_CATALOGUE, JET_OBSERVABLES
from hepsilon.histograms.observables import (
    GEV,
    AnyObservable,
    Observable,
    Observable2D,
    of_field,
    own_observable,
    own_observables,
    regular,
    split_available,
)
from hepsilon.histograms.ranges import fits, proposed, proposed_edges
from hepsilon.histograms.tracks import TRACK_CATALOGUE, track_observables
from hepsilon.processors.observables import refuse_none
from hepsilon.processors.wanted import wanted_fields

__all__ = ["Chosen", "choose_observables"]

SAMPLE_EVENTS = 100_000
"""Events that ranges are proposed from."""
SAMPLE_FILES = 20
"""Files that they are taken from, evenly."""
BINS_2D = 20
TOTALS = "number"
"""Observable that counts events where no other one does."""
Edges = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Chosen:
    """Observables to fill.

    Attributes
    ----------
    observables : tuple of Observable or Observable2D
        Those that all files have the fields for, with their bins.
    left_out : dict of str to str
        What is missing for each of the others.
    """

    observables: tuple[AnyObservable, ...]
    left_out: dict[str, str]


def choose_observables(
    files: Any,
    task: Task,
    config: InputConfig,
    asked: Mapping[str, ObservableConfig] | None = None,
    efficiencies: Mapping[str, Any] | None = None,
    *,
    reconstructed: str | None = None,
) -> Chosen:
    """Choose observables and their bins, the same ones for all chunks and efficiencies.

    Bins are those of the configuration; where it gives none, those of a bin-by-bin correction; else
    the usual ones of this package, if the sample fits into them, or equal ones in a range that is
    proposed from the first events of the files.

    Parameters
    ----------
    files : str, Path, Source or iterable of these
        Files of the sample.
    task, config : Task or InputConfig
        Names of the columns, and their places.
    asked : mapping of str to ObservableConfig, optional
        Section ``[observables]`` of the configuration; without it the defaults of the use case.
    efficiencies : mapping of str to SupportsEfficiency or BinByBin, optional
        Efficiencies by name: bin-by-bin corrections have edges of their own.
    reconstructed : str, optional
        Collection of reconstructed objects, which need the fields, too.

    Returns
    -------
    Chosen
        Observables, and what was left out.

    Raises
    ------
    ConfigError
        For a name that is neither a built-in observable nor a field of the objects.
    InputError
        If no observable can be filled.
    """
    sources = find_sources(files)
    names = _Names.of_files(sources, task, config, reconstructed)
    wishes = _Wishes(task, dict(asked or {}), names)
    corrections = {n: e for n, e in (efficiencies or {}).items() if isinstance(e, BinByBin)}
    kept, left_out = split_available(wishes.observables(), *names.of_each)
    refuse_none(kept, left_out)
    if not asked:
        kept, without = _corrected(kept, corrections)
        left_out |= without
        refuse_none(kept, left_out)
    if task.of_events and not any(o.of_events and len(o.parts) == 1 for o in kept):
        kept = (*kept, TRACK_CATALOGUE[TOTALS])
    edges = {n: e for c in reversed(corrections.values()) for n, e in c.card.edges.items()}
    binning = _Binning(task, wishes, edges)
    parts = {p.name: p for o in kept for p in o.parts if binning.needs_sample(o, p)}
    binning.sample = _sample(sources, task, config, list(parts.values())) if parts else {}
    binned: list[AnyObservable] = []
    for observable in kept:
        try:
            binned.append(binning.of(observable))
        except _NoValuesError as error:
            left_out[observable.name] = str(error)
    refuse_none(binned, left_out)
    return Chosen(tuple(binned), left_out)


def _corrected(
    observables: Sequence[AnyObservable], corrections: Mapping[str, BinByBin]
) -> tuple[tuple[AnyObservable, ...], dict[str, str]]:
    """Leave out what nobody asked for and a bin-by-bin correction does not have."""
    left_out = {
        o.name: f"not in the bin-by-bin correction {name!r}"
        for o in observables
        for name, correction in corrections.items()
        if o.name not in correction.card.edges
    }
    return tuple(o for o in observables if o.name not in left_out), left_out


@dataclass(frozen=True)
class _Names:
    """Fields of the objects in each file."""

    of_each: tuple[frozenset[str], ...]

    @classmethod
    def of_files(
        cls,
        sources: Sequence[Source],
        task: Task,
        config: InputConfig,
        reconstructed: str | None,
    ) -> _Names:
        """Look at the columns of all files; the reader judges those that cannot be read."""
        found: set[frozenset[str]] = set()
        errors = [InputError(f"the files hold no events: {[s.path for s in sources]}")]
        for source in sources:
            try:
                head = head_of(source.path, source.tree or config.tree)
                columns, n_entries = head.names, head.n_entries
            except InputError as error:
                errors.insert(0, error)
                continue
            if not n_entries:
                continue
            for collection in dict.fromkeys((None, reconstructed)):
                layout = Layout.of_names(columns, source.path, task, config, collection)
                own = task.object_fields if collection is None else ()
                found.add(frozenset(layout.all_fields()).union(own))
        if not found:
            raise errors[0]
        return cls(tuple(found))

    def somewhere(self, name: str) -> bool:
        """Tell whether any file has a field, or what it is computed from."""
        return any(available(names, name) for names in self.of_each)


@dataclass(frozen=True)
class _Wishes:
    """Observables that were asked for, by the names of those that exist."""

    task: Task
    asked: Mapping[str, ObservableConfig]
    names: _Names

    @property
    def catalogue(self) -> Mapping[str, AnyObservable]:
        """Observables of the use case that have a name."""
        return TRACK_CATALOGUE if self.task.of_events else JET_CATALOGUE

    def observables(self) -> tuple[AnyObservable, ...]:
        """All that were asked for, or the defaults."""
        if not self.asked:
            return track_observables() if self.task.of_events else JET_OBSERVABLES
        return tuple(map(self._observable, self.asked))

    def _observable(self, name: str) -> AnyObservable:
        spec, known = self.asked[name], self.catalogue.get(name)
        if spec.x is not None and spec.y is not None:
            return Observable2D(name, self._single(spec.x), self._single(spec.y))
        if isinstance(known, Observable2D) and spec.field is None:
            if (spec.min, spec.max, spec.edges) != (None, None, None):
                raise ConfigError(
                    f"observables.{name} is two-dimensional; give {known.x.name!r} and "
                    f"{known.y.name!r} a section of their own for their ranges"
                )
            return Observable2D(name, self._single(known.x.name), self._single(known.y.name))
        return self._single(name)

    def _single(self, name: str) -> Observable:
        """An observable in one dimension: of the section, built-in, or a field."""
        spec = self.asked.get(name, ObservableConfig())
        observable = self._existing(spec.field or name)
        label = observable.label if spec.label is None else spec.label
        return replace(observable, name=name, label=label)

    def _existing(self, name: str) -> Observable:
        known = self.catalogue.get(name) or own_observable(name)
        if isinstance(known, Observable):
            return known
        package = next((s.package for n, s in self.asked.items() if name in (n, s.field)), "")
        if package:
            what = f"observables: the observable {name!r}"
            raise ConfigError(f"{missing(what, package)}, or leave it out")
        if isinstance(known, Observable2D) or not self.names.somewhere(name):
            fields = sorted(frozenset().union(*self.names.of_each))
            raise ConfigError(
                f"observables: expected the name of an observable in one dimension, received "
                f"{name!r}; built-in are {list(self.catalogue)}, registered are "
                f"{own_observables()}, and the objects have the fields {shortened(fields, name)}"
            )
        unit = GEV if is_momentum(name) else "rad" if is_angle(name) else ""
        return of_field(name, unit=unit)


class _NoValuesError(Exception):
    """The sample has no values of an observable, whose range is to be proposed."""


class _Binning:
    """Bins of every observable.

    Parameters
    ----------
    task : Task
        Its unit is that of the configuration.
    wishes : _Wishes
        What was asked for.
    corrections : mapping of str to tuple
        Edges of the axes of bin-by-bin corrections, by observable.
    """

    def __init__(self, task: Task, wishes: _Wishes, corrections: Mapping[str, Edges]) -> None:
        self.in_gev = IN_GEV[task.unit]
        self.wishes, self.corrections = wishes, corrections
        self.sample: dict[str, Array] = {}

    def _spec(self, name: str) -> ObservableConfig:
        return self.wishes.asked.get(name, ObservableConfig())

    def _is_fixed(self, observable: AnyObservable) -> bool:
        """Whether a bin-by-bin correction says the edges."""
        spec = self._spec(observable.name)
        edges = self.corrections.get(observable.name, ())
        numbers = tuple(len(each) - 1 for each in edges)
        same = spec.bins in (None, numbers, *(numbers if len(set(numbers)) == 1 else ()))
        ranged = (spec.min, spec.max, spec.edges) != (None, None, None)
        return len(edges) == len(observable.parts) and same and not ranged

    def needs_sample(self, observable: AnyObservable, part: Observable) -> bool:
        """Tell whether the range of an axis depends on the sample."""
        spec = self._spec(part.name)
        given = spec.edges is not None or None not in (spec.min, spec.max)
        return not given and not self._is_fixed(observable)

    def of(self, observable: AnyObservable) -> AnyObservable:
        """Give an observable its bins."""
        if self._is_fixed(observable):
            edges = self.corrections[observable.name]
            parts = [
                p.binned(e, "correction") for p, e in zip(observable.parts, edges, strict=True)
            ]
        elif isinstance(observable, Observable):
            parts = [self._single(observable)]
        else:
            bins = self._spec(observable.name).bins
            both = bins if isinstance(bins, tuple) else (bins, bins)
            parts = [
                self._coarse(self._single(part), number)
                for part, number in zip(observable.parts, both, strict=True)
            ]
        return parts[0] if len(parts) == 1 else Observable2D(observable.name, *parts)

    def _coarse(self, part: Observable, bins: int | None) -> Observable:
        """Bins of an axis of two dimensions, in the range that it has alone."""
        if bins is None and _size(part) <= BINS_2D:
            return part
        return part.binned(_again(part.edges, bins or BINS_2D), part.origin)

    def _single(self, observable: Observable) -> Observable:
        """Bins of one axis."""
        spec = self._spec(observable.name)
        factor = observable.factor(self.in_gev)
        bins = spec.bins if isinstance(spec.bins, int) else None
        low, high = (None if end is None else end * factor for end in (spec.min, spec.max))
        if spec.edges is not None:
            return observable.binned((edge * factor for edge in spec.edges), "given")
        if low is not None and high is not None:
            return observable.binned(regular(bins or _size(observable), low, high), "given")
        values = self.sample.get(observable.name, np.empty(0))
        if not len(values) and (observable.origin, low, high) != ("default", None, None):
            raise _NoValuesError("no values in the sample")
        if low is not None or high is not None:
            return self._half_given(observable, (low, high), values, bins)
        usual = observable.edges
        if observable.origin == "default" and (not len(values) or fits(usual, values)):
            same = bins in (None, _size(observable))
            return observable if same else observable.binned(_again(usual, bins), "default")
        return observable.binned(proposed_edges(observable, values, bins), "sample")

    def _half_given(
        self,
        observable: Observable,
        given: tuple[float | None, float | None],
        values: Array,
        bins: int | None,
    ) -> Observable:
        """Bins of one axis of which one end is given, and the other one proposed."""
        low, high = given
        inside = values[(values >= (-np.inf if low is None else low))]
        inside = inside[inside <= (np.inf if high is None else high)]
        if not len(inside):
            raise ConfigError(
                f"observables.{observable.name}: no value of the sample is in the range that is "
                f"given; its values are {values.min():g} to {values.max():g} {observable.unit}"
            )
        ends = proposed(inside, observable.limits)
        low, high = ends[0] if low is None else low, ends[1] if high is None else high
        if not low < high:
            raise ConfigError(
                f"observables.{observable.name}: expected min < max, received {low:g} and {high:g}"
            )
        return observable.binned(regular(bins or _size(observable), low, high), "sample")


def _size(observable: Observable) -> int:
    """Number of bins."""
    return len(observable.edges) - 1


def _again(edges: tuple[float, ...], bins: int | None) -> tuple[float, ...]:
    """Equal bins in the range of others."""
    return regular(bins or len(edges) - 1, edges[0], edges[-1])


def _sample(
    sources: Sequence[Source], task: Task, config: InputConfig, observables: list[Observable]
) -> dict[str, Array]:
    """Finite values of observables in the first events of some files, by name.

    The reader of the whole sample judges files that cannot be read; only where all are such, it is
    an error here.
    """
    fields = tuple(name for o in observables for name in o.fields or ())
    own = Wanted.of_task(task, response=False)
    wanted = Wanted(own.fields, tuple(dict.fromkeys(fields)), own.numbers)
    step = max(1, -(-len(sources) // SAMPLE_FILES))
    chosen = sources[::step]
    n_events = max(1, SAMPLE_EVENTS // len(chosen))
    found: dict[str, list[Array]] = {o.name: [] for o in observables}
    errors: list[InputError] = []
    for source in chosen:
        try:
            for records in _records(source, task, config, wanted, n_events):
                for observable in observables:
                    values = Entries.of(observable, records).values[0]
                    found[observable.name].append(values[np.isfinite(values)])
        except InputError as error:
            errors.append(error)
    if len(errors) == len(chosen):
        raise errors[0]
    return {name: np.concatenate(v) if v else np.empty(0) for name, v in found.items()}


def _records(
    source: Source, task: Task, config: InputConfig, wanted: Wanted, n_events: int
) -> Iterable[Any]:
    """Objects of the first events of a file as a processor has them, in GeV."""
    skipped = Skipped()
    parts = split_files(
        [source], task, config, wanted, step=n_events, max_events=n_events, skipped=skipped
    )
    for part in parts:
        for events in read_events(part, task, config, wanted, skipped):
            names = wanted_fields(events, task, config, wanted)
            chunk = event_chunk(events, task, config, fields=names, response=False, numbered=False)
            records = select(chunk.records, task)
            records = ordered(records[inside_fiducial(records, task)], task)
            yield in_gev(records, task.unit)
