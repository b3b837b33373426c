"""Efficiencies of all events of files, written beside them entry by entry."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import groupby
from operator import add
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np

from hepsilon._system.outputs import check_folder, check_outputs
from hepsilon._system.progress import progress_bar
from hepsilon.analysis_tools import shifted_efficiencies
from hepsilon.arrays.columns import offsets_of
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.events import event_chunk
from hepsilon.data.numbers import event_ids
from hepsilon.data.objects import collection
from hepsilon.data.parts import Part, Skipped, Wanted, split_files
from hepsilon.data.reading import read_events
from hepsilon.data.sources import Files, Source, find_sources
from hepsilon.efficiencies.base import Efficiency
from hepsilon.efficiencies.card import versions
from hepsilon.efficiencies.inputs import kept_records
from hepsilon.efficiencies.protocol import Evaluation
from hepsilon.efficiencies.reweighting import shifted_ratios
from hepsilon.errors import ConfigError, InputError
from hepsilon.processors.friend_files import ENDINGS, Columns, FriendFile, friend_file
from hepsilon.processors.run_record import RunRecord
from hepsilon.processors.wanted import explained
from hepsilon.weights.condition_text import parse_condition
from hepsilon.weights.tagging import truth_tag_weight

__all__ = ["Applied", "Columns", "apply_efficiency", "entry_columns"]

CHUNK_EVENTS = 50_000
Replicas = Literal["none", "updown", "all"] | int
"""Which replicas are written: none, the efficiency shifted up and down, all, or the first ones."""


@dataclass(frozen=True)
class Applied:
    """Counts of what was written.

    Attributes
    ----------
    files : tuple of Path
        Files that were written.
    n_entries : int
        Number of entries, as many as in the input.
    n_events : int
        Number of events that pass the selection of events, with sound numbers.
    n_damaged : int
        Number of events without an answer, because their numbers are NaN, infinite or missing.
    n_objects : int
        Number of objects of all events; of a task of events that of the events.
    n_selected : int
        Number of those that the selection of the training keeps: these have an efficiency.
    n_out_of_domain : int
        Number of those that are outside the region that the training sample covered.
    """

    files: tuple[Path, ...] = ()
    n_entries: int = 0
    n_events: int = 0
    n_damaged: int = 0
    n_objects: int = 0
    n_selected: int = 0
    n_out_of_domain: int = 0

    def __add__(self, other: Applied) -> Applied:
        pairs = zip(vars(self).items(), vars(other).values(), strict=True)
        return Applied(**{name: mine + theirs for (name, mine), theirs in pairs})


def _clean(name: object) -> str:
    """A name that columns of all formats may have."""
    return re.sub(r"\W+", "_", str(name).replace("+", "plus")).strip("_")


def _applied(task: Task) -> Task:
    """The task without what only its training needs."""
    update = {"weight": None, "object_weight": None, "truth": None, "ratio": None}
    return task.model_copy(update=update)


def _wanted(task: Task) -> Wanted:
    """Columns that the answers depend on, without the response."""
    response = task.passed.field
    cuts = [*task.selection, *(task.fiducial.cuts if task.fiducial else ())]
    used = {*task.features, *(cut.field for cut in cuts)}
    fields = [n for n in task.object_fields if n not in (response, task.object_weight) or n in used]
    numbers = [cut.field for cut in task.event_selection]
    return Wanted(tuple(fields), numbers=tuple(dict.fromkeys(numbers)))


class _Answers:
    """Columns with the answers of one efficiency.

    Raises
    ------
    ConfigError
        If conditions on tags are asked of a task of events, or are none.
    """

    def __init__(
        self, efficiency: Efficiency, config: InputConfig, replicas: Replicas, tags: Sequence[str]
    ) -> None:
        self.efficiency, self.config, self.replicas = efficiency, config, replicas
        self.task, self.wanted = _applied(efficiency.task), _wanted(efficiency.task)
        points = efficiency.working_points
        if tags and self.task.of_events:
            raise ConfigError('weights of tags are for tasks with level = "object"')
        if tags and replicas == "updown" and len(points) > 1:
            raise ConfigError(
                "weights of tags up and down need one working point: the shifts of several could "
                "cross; write the replicas"
            )
        self.conditions = {f"tags_{_clean(text)}": parse_condition(text, points) for text in tags}
        self.of_ratios = efficiency.task.ratio is not None
        if tags and self.of_ratios:
            raise ConfigError("a ratio is no probability of tags: write it without tags")
        name = "ratio" if self.of_ratios else "eps"
        names = [name] if len(points) == 1 else [f"{name}_{_clean(point)}" for point in points]
        if len(set(names)) < len(names):
            names = [f"{name}_{number}" for number in range(len(points))]
        self.names = names

    def columns(self, events: ak.Array) -> tuple[Columns, Applied]:
        """Columns of all entries of a chunk, and what they count."""
        task, fields = self.task, self.wanted.fields
        chunk = event_chunk(
            events, task, self.config, fields=fields, response=False, numbered=False
        )
        assert chunk.kept is not None
        selected, kept = kept_records(chunk.records, task)
        wanted = self.replicas if isinstance(self.replicas, int) else self.replicas != "none"
        found = self.efficiency.evaluate(selected, out_of_domain="ignore", replicas=wanted)
        exists = np.zeros(chunk.n_read, bool)
        exists[chunk.kept] = True
        counts = None
        if not task.of_events or self.config.rows == "objects":
            counts = np.diff(offsets_of(collection(events, task, self.config, fields=fields)))
        if task.of_events:
            size, places = chunk.n_read, chunk.kept[np.asarray(ak.to_numpy(kept))]
        else:
            assert counts is not None
            size = int(counts.sum())
            places = np.flatnonzero(np.repeat(exists, counts))
            places = places[np.asarray(ak.to_numpy(ak.flatten(kept, axis=1)))]
        answered = np.zeros(size, bool)
        answered[places] = True
        inside = _scattered(self._rows(found.in_domain), places, size, False)
        values = self._values(found, places, size)
        values |= {"in_domain": inside}
        entries = self._ids(events)
        if task.of_events:
            entries |= values | {"selected": answered}
            objects = {}
        else:
            objects = values | {"selected": answered}
            entries["event_selected"] = exists
            entries |= self._tag_weights(found, chunk.kept, chunk.n_read)
        applied = Applied(
            n_entries=chunk.n_read,
            n_events=len(chunk.kept),
            n_damaged=chunk.n_damaged,
            n_objects=size,
            n_selected=len(places),
            n_out_of_domain=len(places) - int(np.count_nonzero(inside)),
        )
        return self._in_rows(Columns(entries, objects, counts, task.collection)), applied

    def _in_rows(self, columns: Columns) -> Columns:
        """One entry for each object where a row of the input is one."""
        name = _clean(columns.collection)
        if self.config.rows != "objects" or columns.counts is None:
            return replace(columns, collection=name)
        entries = {n: np.repeat(values, columns.counts) for n, values in columns.entries.items()}
        objects = {f"{name}_{key}": values for key, values in columns.objects.items()}
        return Columns(entries | objects, {}, None, name)

    def _rows(self, answer: Any) -> Array:
        """Flat rows, of objects or of events."""
        flat = answer if self.task.of_events else ak.flatten(answer, axis=1)
        return np.asarray(ak.to_numpy(flat))

    def _ids(self, events: ak.Array) -> dict[str, Array]:
        """Numbers that tell the events apart; file and entry where there are none."""
        update = {"schema_": "base", "event_key": "event"}
        ids = event_ids(events, self.config.model_copy(update=update))
        return dict(zip(("run", "luminosityBlock", "event"), ids, strict=True))

    def _values(self, found: Evaluation, places: Array, size: int) -> dict[str, Array]:
        """Efficiencies, and their replicas, of all objects or events."""
        n_points = len(self.names)
        eps = self._rows(found.eps).reshape(len(places), n_points)
        columns = {}
        for point, name in enumerate(self.names):
            columns[name] = eps[:, point]
            if self.replicas == "updown":
                flat = self._shifted(eps[:, point], self._drawn(found)[:, point])
                columns |= dict(zip((f"{name}_up", f"{name}_down"), flat, strict=True))
            elif self.replicas != "none":
                drawn = self._drawn(found)[:, point]
                columns |= {f"{name}_replica{i}": drawn[:, i] for i in range(drawn.shape[1])}
        return {name: _scattered(rows, places, size, np.nan) for name, rows in columns.items()}

    def _shifted(self, eps: Array, drawn: Array) -> list[Array]:
        """Values up and down by the spread of their replicas (entries, replicas)."""
        if self.of_ratios:
            return list(shifted_ratios(eps, drawn))
        shifted = shifted_efficiencies(ak.Array(eps[:, None]), ak.Array(drawn[:, None]))
        return [np.asarray(ak.to_numpy(ak.flatten(each))) for each in shifted]

    def _drawn(self, found: Evaluation) -> Array:
        """Replicas (objects, working points, replicas), as many as are asked for."""
        if found.replicas is None:
            raise ConfigError(
                "the efficiency has no replicas: train it again with this release, which keeps the "
                "covariance of the last layer, or ask for none"
            )
        rows = self._rows(found.replicas)
        return rows.reshape(len(rows), len(self.names), rows.shape[-1])

    def _tag_weights(self, found: Evaluation, kept: Array, size: int) -> dict[str, Array]:
        """Probability of every condition, of all events."""
        if not self.conditions:
            return {}
        offsets, weights = offsets_of(found.records), {}
        for name, rows in self._variants(found).items():
            eps = ak.unflatten(ak.Array(rows), np.diff(offsets))
            for condition, meaning in self.conditions.items():
                points = [str(p) for p in self.efficiency.working_points]
                weight = truth_tag_weight(
                    eps if rows.shape[-1] > 1 else eps[..., 0],
                    meaning,
                    jets=None,
                    working_points=points if isinstance(self._first_point, str) else None,
                )
                weights[condition + name] = _scattered(weight, kept, size, np.nan)
        return weights

    @property
    def _first_point(self) -> int | str:
        return self.efficiency.working_points[0]

    def _variants(self, found: Evaluation) -> dict[str, Array]:
        """Efficiencies (objects, working points) by the ending of their columns."""
        eps = self._rows(found.eps)
        rows = {"": eps.reshape(len(eps), len(self.names))}
        if self.replicas == "none":
            return rows
        drawn = self._drawn(found)
        if self.replicas != "updown":
            return rows | {f"_replica{i}": drawn[..., i] for i in range(drawn.shape[-1])}
        shifted = shifted_efficiencies(ak.Array(rows[""]), ak.Array(drawn))
        flat = (np.asarray(ak.to_numpy(ak.flatten(each)))[:, None] for each in shifted)
        return rows | dict(zip(("_up", "_down"), flat, strict=True))


def _scattered(rows: Array, places: Array, size: int, fill: float | bool) -> Array:
    """Numbers at their places, and what stands for the others."""
    result = np.full(size, fill)
    result[places] = rows
    return result


def entry_columns(
    events: ak.Array,
    efficiency: Efficiency,
    config: InputConfig | None = None,
    *,
    replicas: Replicas = "none",
    tags: Sequence[str] = (),
) -> tuple[Columns, Applied]:
    """Answers of an efficiency for all entries of a chunk.

    Parameters
    ----------
    events : ak.Array
        Events of any schema.
    efficiency : Efficiency
        The efficiency.
    config : InputConfig, optional
        Places of the columns.
    replicas : {"none", "updown", "all"} or int, default "none"
        Replicas that are wanted (see :func:`apply_efficiency`).
    tags : sequence of str, default ()
        Conditions whose probabilities are wanted.

    Returns
    -------
    columns : Columns
        Columns of all entries.
    applied : Applied
        What they count.
    """
    config = config or InputConfig(schema="nanoaod")
    return _Answers(efficiency, config, replicas, tags).columns(events)


def apply_efficiency(
    efficiency: Efficiency,
    files: Files,
    out: str | Path,
    *,
    config: InputConfig | None = None,
    replicas: Replicas = "none",
    tags: Sequence[str] = (),
    rntuple: bool = False,
    chunksize: int = CHUNK_EVENTS,
    max_events: int | None = None,
    progress: bool = True,
) -> Applied:
    """Write the efficiencies of all events of files, to be read beside them.

    The output has as many entries as the input, in its order. Objects that the selection of the
    training drops, and all objects of events that its selection of events drops, have NaN and
    ``selected = false``. The columns are ``eps`` (``eps_NAME`` of several working points),
    ``in_domain`` and ``selected``, of objects with the collection in front (``Jet_eps``), beside
    ``run``, ``luminosityBlock`` and ``event``.

    Parameters
    ----------
    efficiency : Efficiency
        The efficiency (see :func:`hepsilon.load`).
    files : str, Path, Source or iterable of these
        Files of the sample (see :func:`hepsilon.data.sources.find_sources`).
    out : str or Path
        File to write (.root, .parquet), with the entries of all files in order, or a folder, with
        one file for each.
    config : InputConfig, optional
        Places of the columns in the files.
    replicas : {"none", "updown", "all"} or int, default "none"
        ``"updown"`` adds ``eps_up`` and ``eps_down``
        (:func:`hepsilon.analysis_tools.shifted_efficiencies`), ``"all"`` or a number
        ``eps_replica0`` and so on. They are added to the weights of tags, too.
    tags : sequence of str, default ()
        Conditions such as ``"2"``, ``"2+"`` or ``"2+@M & 1+@T"``: ``tags_2`` is the probability
        that an event has two tags among its selected jets.
    rntuple : bool, default False
        Write RNTuples into ROOT files, in place of TTrees.
    chunksize : int, default 50000
        Largest number of entries at a time.
    max_events : int, optional
        Number of entries after which no more are taken.
    progress : bool, default True
        Whether to show a bar.

    Returns
    -------
    Applied
        Files and counts.

    Raises
    ------
    ConfigError
        For replicas or conditions that the efficiency does not have.
    InputError
        For files or columns that cannot be used, or an output that would overwrite an input.
    """
    config = config or InputConfig(schema="nanoaod")
    answers = _Answers(efficiency, config, replicas, tags)
    sources = find_sources(files)
    targets = _targets(sources, Path(out), rntuple)
    strict = config.model_copy(update={"damaged": "raise"})  # entries that are lost have no place
    with explained([efficiency]):
        parts = split_files(
            sources, answers.task, strict, answers.wanted, step=chunksize, max_events=max_events
        )
    total, last = Applied(), None
    n_entries = sum(part.entrystop - part.entrystart for part in parts)
    with progress_bar("applying", n_entries, show=progress) as advance:
        for target, of_one in groupby(parts, key=lambda part: targets[part.source]):
            with friend_file(target, _tree_name(parts[0]), rntuple=rntuple) as file:
                own, listed = Applied(), list(of_one)
                for columns, applied in _chunks(listed, answers, strict):
                    file.write(columns)
                    last, own = columns, own + applied
                    advance(applied.n_entries)
                file.describe(_origin(efficiency, listed, own))
                total += own
            total += Applied(files=(target,))
    if max_events is None and last is not None:
        total += _write_empty(targets.values(), total.files, last, parts[0], rntuple)
    return total


def _origin(efficiency: Efficiency, parts: Sequence[Part], applied: Applied) -> str:
    """JSON with model, files, versions and counts."""
    read = reduce(add, (RunRecord.of_part(part) for part in parts), RunRecord())
    counts = {name: number for name, number in vars(applied).items() if name != "files"}
    files = [
        {"name": Path(each.path).name, "identity": key, "entries": each.n_entries}
        for key, each in read.files.items()
    ]
    model = {"hash": getattr(efficiency, "hash", None), "efficiency": repr(efficiency)}
    origin = {"model": model, "files": files, "counts": counts, "versions": versions()}
    return json.dumps(origin)


def _chunks(
    parts: Iterable[Part], answers: _Answers, strict: InputConfig
) -> Iterator[tuple[Columns, Applied]]:
    for part in parts:
        for events in read_events(part, answers.task, strict, answers.wanted, Skipped()):
            yield answers.columns(events)


def _write_empty(
    targets: Iterable[Path], written: tuple[Path, ...], columns: Columns, part: Part, rntuple: bool
) -> Applied:
    """Files beside those without entries."""
    left = tuple(dict.fromkeys(target for target in targets if target not in written))
    for target in left:
        with friend_file(target, _tree_name(part), rntuple=rntuple) as file:
            _begin(file, columns)
    return Applied(files=left)


def _begin(file: FriendFile, columns: Columns) -> None:
    file.write(columns.none())


def _tree_name(part: Part) -> str:
    return part.treename.split(";", maxsplit=1)[0].strip("/")


def _targets(sources: list[Source], out: Path, rntuple: bool) -> dict[Source, Path]:
    """File to write for every input.

    Raises
    ------
    InputError
        For an unknown ending, or two outputs of one name.
    ConfigError
        For an output that is an input, or a file of another kind.
    """
    one = out.suffix in ENDINGS and not out.is_dir()
    if out.suffix and not one and not out.is_dir():
        raise InputError(f"{out}: expected a file ending in {', '.join(ENDINGS)}, or a folder")
    if rntuple and one and out.suffix != ".root":
        raise ConfigError(f"--rntuple is for ROOT files, received {out}")
    targets = {source: out if one else out / _name(source) for source in sources}
    if not one and len(set(targets.values())) < len(targets):
        twice = [str(t) for t in targets.values() if list(targets.values()).count(t) > 1]
        raise InputError(f"several inputs would be written to {twice[0]}; apply them one by one")
    kinds: dict[str | Path, str] = {
        target: "root" if target.suffix == ".root" else "parquet" for target in targets.values()
    }
    if not one:
        check_folder(out)
    check_outputs(kinds, [source.path for source in sources])
    return targets


def _name(source: Source) -> str:
    path = Path(source.path.split("?", maxsplit=1)[0])
    return path.stem + (".root" if path.suffix not in (".parquet", ".pq", ".csv") else ".parquet")
