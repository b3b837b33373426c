"""Objects, or events of a task of events, one by one, with what an efficiency says of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import probabilities
from hepsilon.arrays.columns import flat
from hepsilon.arrays.keys import SPLIT_SALT, event_key
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.events import EventChunk, event_chunk
from hepsilon.data.features import event_matrix, feature_matrix
from hepsilon.data.parts import Skipped, split_files
from hepsilon.data.reading import read_events
from hepsilon.data.selection import inside_fiducial, ordered, passed, select
from hepsilon.data.sources import Files
from hepsilon.data.weights import object_weights
from hepsilon.efficiencies.bin_by_bin import BinByBin
from hepsilon.efficiencies.protocol import SupportsEfficiency, SupportsEvaluation
from hepsilon.efficiencies.tree_inputs import input_names, tree_inputs
from hepsilon.errors import InputError
from hepsilon.histograms.categories import category_names
from hepsilon.processors.wanted import explained, wanted_columns, wanted_fields

__all__ = ["Entries", "categories_of", "names_of", "read_chunks_of", "read_entries"]

EVENTS_AT_ONCE = 5_000


@dataclass(frozen=True)
class Entries:
    """Entries of a sample: objects, or the events of a task of events.

    Attributes
    ----------
    inputs : ndarray of float32, shape (n, n_inputs)
        Features, and what follows from the other objects of the event (see
        :mod:`hepsilon.efficiencies.tree_inputs`).
    passed : ndarray of int64, shape (n,)
        Number of working points that the entry passes.
    category : ndarray of int64, shape (n,)
        Number of the category of each entry, -1 for none.
    events : ndarray of int64, shape (n,)
        Number of the event of each entry.
    weights : ndarray of float64, shape (n,)
        Weight of the event of each entry.
    keys : ndarray of uint64, shape (n_events,)
        Keys of the events.
    eps : dict of str to ndarray of float64, shape (n, working points)
        Probability to pass each working point, by efficiency.
    replicas : dict of str to ndarray of float64, shape (n, working points, n_replicas)
        Replicas, of the efficiencies that know their own uncertainty.
    inside : dict of str to ndarray of bool, shape (n,)
        Whether each entry is in the domain, of the efficiencies that know it.
    """

    inputs: Array
    passed: Array
    category: Array
    events: Array
    weights: Array
    keys: Array
    eps: dict[str, Array]
    replicas: dict[str, Array]
    inside: dict[str, Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.passed)

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Put the entries of several parts one after the other.

        Parameters
        ----------
        parts : list of Entries
            At least one.

        Returns
        -------
        Entries
            All of them.
        """
        starts = np.cumsum([0, *(len(part.keys) for part in parts)])
        names = "inputs", "passed", "category", "weights", "keys"
        arrays = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}

        def by_name(each: str) -> dict[str, Array]:
            columns = [getattr(part, each) for part in parts]
            return {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}

        return cls(
            **arrays,
            events=np.concatenate([p.events + s for p, s in zip(parts, starts, strict=False)]),
            eps=by_name("eps"),
            replicas=by_name("replicas"),
            inside=by_name("inside"),
        )


def read_entries(
    files: Files,
    task: Task,
    efficiencies: Mapping[str, Any],
    config: InputConfig,
    *,
    most: int | None = None,
    max_events: int | None = None,
    replicas: bool = False,
    domains: bool = False,
) -> Entries:
    """Read the first entries of files, and evaluate efficiencies on them.

    Parameters
    ----------
    files : str, Path, Source or iterable of these
        Files of the sample (see :func:`hepsilon.data.sources.find_sources`).
    task : Task
        The question.
    efficiencies : mapping of str to SupportsEfficiency
        Efficiencies by name; bin-by-bin corrections, which know no single event, are left out.
    config : InputConfig
        Places of the columns.
    most : int, optional
        Number of entries after which no more events are read.
    max_events : int, optional
        Number of events after which no more are read.
    replicas : bool, default False
        Whether replicas are wanted, of the efficiencies that have some.
    domains : bool, default False
        Whether to note which entries the efficiencies know.

    Returns
    -------
    Entries
        Entries of whole events.

    Raises
    ------
    InputError
        If there are no entries, or for files that cannot be used.
    """
    asked = {n: e for n, e in efficiencies.items() if not isinstance(e, BinByBin)}
    parts: list[Entries] = []
    with explained(asked.values()):
        for chunk in read_chunks_of(files, task, asked, config, max_events):
            parts.append(_entries(chunk, task, asked, replicas, domains))
            if most is not None and sum(map(len, parts)) >= most:
                break
    if not sum(map(len, parts)):
        raise InputError("expected objects or events to compare with, the files hold none")
    return Entries.joined(parts)


def read_chunks_of(
    files: Files,
    task: Task,
    efficiencies: Mapping[str, Any],
    config: InputConfig,
    max_events: int | None = None,
    of_file: int | None = None,
) -> Iterator[EventChunk]:
    """Read what a task and efficiencies need from files, chunk by chunk.

    Parameters
    ----------
    files : str, Path, Source or iterable of these
        The files.
    task : Task
        The question.
    efficiencies : mapping of str to object
        Efficiencies, which may need more fields.
    config : InputConfig
        Places of the columns.
    max_events : int, optional
        Number of events after which no more are read.
    of_file : int, optional
        Number of entries of each file from which on no more of it are read.

    Yields
    ------
    EventChunk
        Events in the order of the files.
    """
    wanted, skipped = wanted_columns(task, efficiencies.values(), ()), Skipped()
    step = min(EVENTS_AT_ONCE, of_file or EVENTS_AT_ONCE)
    parts = split_files(
        files, task, config, wanted, step=step, max_events=max_events, skipped=skipped
    )
    for part in parts:
        if of_file is not None and part.entrystart >= of_file:
            continue
        for events in read_events(part, task, config, wanted, skipped):
            fields = wanted_fields(events, task, config, wanted)
            yield event_chunk(events, task, config, fields=fields)
    skipped.report()


def _covered(efficiency: SupportsEvaluation, records: ak.Array, task: Task) -> Array:
    """Whether an efficiency knows each entry."""
    found = efficiency.in_domain(records)
    return np.asarray(ak.to_numpy(found if task.of_events else ak.flatten(found, axis=1)))


def _entries(
    chunk: EventChunk, task: Task, efficiencies: Mapping[str, Any], replicas: bool, domains: bool
) -> Entries:
    """Entries of one chunk."""
    records = select(chunk.records, task)
    inside = inside_fiducial(records, task)
    records = ordered(records[inside], task)
    keys = event_key(chunk.run, chunk.luminosity_block, chunk.event, SPLIT_SALT)[inside]
    weights = np.asarray(chunk.weights, np.float64)[inside]
    if task.of_events:
        offsets, nodes = event_matrix(records, task, task.features)
        response = ak.to_numpy(passed(chunk.events, task))[inside]
        events, category = np.arange(len(records)), np.full(len(records), -1)
    else:
        offsets, nodes = feature_matrix(records, task.features, task.unit, task.missing)
        response = flat(passed(records, task), np.float32, name=task.passed.field)
        events = np.repeat(np.arange(len(records)), np.diff(offsets))
        category = _categories(records, task, len(nodes))
    found = {n: _evaluated(n, e, records, task, replicas) for n, e in efficiencies.items()}
    return Entries(
        inputs=tree_inputs(task, True, offsets, nodes),
        passed=np.asarray(response, np.int64),
        category=category,
        events=events,
        weights=_of_objects(weights[events], records, task),
        keys=keys,
        eps={name: eps for name, (eps, _) in found.items()},
        replicas={name: drawn for name, (_, drawn) in found.items() if drawn is not None},
        inside={
            name: _covered(efficiency, records, task)
            for name, efficiency in efficiencies.items()
            if domains and isinstance(efficiency, SupportsEvaluation)
        },
    )


def _of_objects(weights: Array, records: ak.Array, task: Task) -> Array:
    """Weights of the events times those of the objects, where the task names some."""
    own = object_weights(records, task)
    return weights if own is None else weights * own


def _categories(records: ak.Array, task: Task, size: int) -> Array:
    """Number of the category of each object."""
    if not task.categorical:
        return np.full(size, -1)
    name, values = next(iter(task.categorical.items()))
    codes = flat(records[name], name=name)
    matches = codes[:, None] == np.asarray(values)
    return np.where(matches.any(axis=1), matches.argmax(axis=1), -1)


def categories_of(task: Task) -> list[str]:
    """Names of the categories of a task, in the order of their numbers."""
    return category_names(next(iter(task.categorical.values()))) if task.categorical else []


def names_of(task: Task) -> tuple[str, ...]:
    """Names of the inputs of the entries of a task."""
    return input_names(task, partners=True)


def _evaluated(
    name: str, efficiency: SupportsEfficiency, records: ak.Array, task: Task, replicas: bool
) -> tuple[Array, Array | None]:
    """Efficiencies (n, points), and replicas (n, points, n_replicas) where there are some."""
    drawn, answer = None, None
    if isinstance(efficiency, SupportsEvaluation):
        evaluated = efficiency.evaluate(records, out_of_domain="ignore", replicas=replicas)
        answer, drawn = evaluated.eps, evaluated.replicas
    else:
        answer = efficiency(records)

    def rows(values: Any) -> Array:
        flattened = values if task.of_events else ak.flatten(values, axis=1)
        return np.asarray(ak.to_numpy(flattened), np.float64)

    points = len(task.passed.working_points)
    eps = rows(answer)
    eps = probabilities(eps.reshape(len(eps), points), name)
    if drawn is None:
        return eps, None
    all_of = rows(drawn)
    return eps, all_of.reshape(len(eps), points, all_of.shape[-1])
