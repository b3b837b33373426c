"""Truth tagging and direct tagging side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import hist
import numpy as np
from coffea import processor
from scipy.special import rel_entr

from hepsilon.arrays.checks import probabilities
from hepsilon.arrays.columns import flat, flat_rows, offsets_of
from hepsilon.arrays.kernels import bins_between
from hepsilon.arrays.types import Array, Offsets
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.events import event_chunk
from hepsilon.data.numbers import metadata
from hepsilon.data.parts import Wanted
from hepsilon.data.selection import passed, select
from hepsilon.data.units import in_gev
from hepsilon.data.weights import one_by_one
from hepsilon.efficiencies.field import FieldEfficiency
from hepsilon.efficiencies.loads import loads_here
from hepsilon.efficiencies.protocol import SupportsEfficiency, SupportsEvaluation
from hepsilon.errors import ConfigError, InputError
from hepsilon.histograms.categories import CategorisedEntries, category_names, fill_rows
from hepsilon.histograms.entries import Entries
from hepsilon.histograms.jets import JET_OBSERVABLES
from hepsilon.histograms.methods import ALL, DIRECT, OTHER, TAG_COUNTS, TRUTH
from hepsilon.histograms.observables import AnyObservable, Observable
from hepsilon.processors.calibration import book_calibration, fill_calibration
from hepsilon.processors.filling import ObservableEntries, TagSample
from hepsilon.processors.observables import available_observables, warn_of_entries
from hepsilon.processors.outputs import Histogram, Histograms, TaggingOutput, TruthHistograms
from hepsilon.processors.run_record import RunRecord
from hepsilon.processors.selections import Selections, TagProbabilities
from hepsilon.processors.units import CONDITIONS, EVENTS, OBJECTS, UNITS, Unit
from hepsilon.processors.wanted import check_levels, wanted_columns, wanted_fields
from hepsilon.weights.conditions import Condition

__all__ = ["TruthTagging"]


@dataclass(frozen=True)
class _Prediction:
    """Probabilities that one method gives the objects of a chunk.

    Attributes
    ----------
    eps : ndarray of float64, shape (n_objects, n_working_points)
        Probability to pass each working point.
    replicas : ndarray of float64, shape (n_objects, n_working_points, n_replicas), or None
        Replicas of an efficiency that knows its own uncertainty.
    outside : ndarray of bool, shape (n_objects,), or None
        True for objects out of domain, of an efficiency that knows its own.
    """

    eps: Array
    replicas: Array | None = None
    outside: Array | None = None


class TruthTagging(processor.ProcessorABC):  # type: ignore[misc]
    """Direct tagging and any number of efficiencies side by side.

    For each observable one histogram with the axes ``method``, ``category`` and ``x``. Methods
    are ``all`` (no tag asked for), ``direct`` (the tag decision itself), ``truth`` (if the task
    names the field) and the names of the efficiencies. Observables of objects are filled with
    the objects' efficiency, those of events with the probability of ``n_tags`` tags among the
    two leading objects (paper Eq. 3). Categories are those of the objects, or of the leading
    pair; further categories are other selections: of objects the other working points, of events
    the ``conditions`` on all objects (by default 0, 1, 2, two and more, three and more tags).

    The output for each dataset is a :class:`~hepsilon.processors.outputs.TaggingOutput`.

    Parameters
    ----------
    task : Task
        Task of objects that the efficiencies are efficiencies of; its selection is applied.
    efficiencies : mapping of str to SupportsEfficiency
        Efficiencies by name: handles from :func:`hepsilon.load`, or any callables that pickle.
    observables : sequence of Observable or Observable2D, default JET_OBSERVABLES
        Observables to fill.
    n_tags : int, default 2
        Tags asked of the leading two objects for observables of events.
    working_point : int or str, default 0
        Name or number of the working point that counts.
    conditions : mapping of str to Condition, optional
        Further conditions on events, by name.
    replicas : bool or int, default True
        Whether to fill the replicas of efficiencies that know their own uncertainty, or how many
        of them (see :meth:`hepsilon.Efficiency.evaluate`).
    config : InputConfig, optional
        Places of the columns in events without collections.

    Raises
    ------
    ConfigError
        For a task of events, or an efficiency of events, or a name that is reserved or used twice.
    """

    def __init__(
        self,
        task: Task,
        efficiencies: Mapping[str, SupportsEfficiency],
        *,
        observables: Sequence[AnyObservable] = JET_OBSERVABLES,
        n_tags: int = 2,
        working_point: int | str = 0,
        conditions: Mapping[str, Condition] | None = None,
        replicas: bool | int = True,
        config: InputConfig | None = None,
    ) -> None:
        if task.of_events:
            raise ConfigError('truth tagging needs a task with level = "object"')
        reserved = {ALL, DIRECT, TRUTH} & set(efficiencies)
        if reserved:
            raise ConfigError(f"the names {sorted(reserved)} are reserved for built-in methods")
        check_levels(efficiencies, task)
        if TAG_COUNTS in [observable.name for observable in observables]:
            raise ConfigError(f"the name {TAG_COUNTS!r} of an observable is reserved")
        self.task, self.observables, self.replicas = task, tuple(observables), replicas
        points = task.passed.working_points
        self.selections = Selections.of(points, working_point, n_tags, conditions)
        self.config = config or InputConfig(schema="nanoaod")
        truth = {TRUTH: FieldEfficiency(*task.truth_fields)} if task.truth else {}
        self.efficiencies: dict[str, SupportsEfficiency] = {**truth, **efficiencies}
        names = list(task.categorical)
        self.category = names[0] if names else None
        self.values = task.categorical[names[0]] if names else ()
        self._check_names()

    def _check_names(self) -> None:
        """Refuse selections with the name of a category: one of the two would be lost."""
        for unit in UNITS.values():
            known = {ALL, *unit.category_names(self.values)}
            same = known & set(unit.selections(self.selections))
            if same:
                raise ConfigError(
                    f"the names {sorted(same)} of working points or conditions are those of "
                    "categories; choose others (task.passed.names, conditions)"
                )

    def process(self, events: ak.Array) -> dict[str, TaggingOutput]:
        """Fill all histograms with one chunk.

        Parameters
        ----------
        events : ak.Array
            A chunk with the dataset's name in its metadata, as coffea gives it.

        Returns
        -------
        dict of str to TaggingOutput
            The output by dataset.
        """
        fields = wanted_fields(events, self.task, self.config, self.wanted)
        chunk = event_chunk(events, self.task, self.config, fields=fields, numbered=False)
        records = select(chunk.records, self.task)
        offsets = offsets_of(records)
        predictions = self._predictions(records, offsets)
        weights = chunk.weights
        if self.task.object_weight is not None:  # an object's weight is none of its partners
            records, weights = one_by_one(records, weights, self.task)
            offsets = offsets_of(records)
        sample = self._sample(weights, offsets, predictions)
        records = in_gev(records, self.task.unit)
        observables, left_out = available_observables(self.observables, records)
        entries = self._entries(records, observables)
        truth = self._compare(records, sample.methods) if self.task.truth else None
        known = {k: p.outside for k, p in predictions.items() if p.outside is not None}
        object_weights = OBJECTS.weights(weights, offsets, self.selections)
        point = self.selections.working_point
        output = TaggingOutput(
            n_events=chunk.n_read,
            n_damaged=chunk.n_damaged,
            n_limited=chunk.n_limited,
            n_objects=int(offsets[-1]),
            totals=sample.totals(),
            out_of_domain={k: int(outside.sum()) for k, outside in known.items()},
            outside_weight={
                k: float(np.sum((object_weights * predictions[k].eps[:, point])[outside]))
                for k, outside in known.items()
            },
            profiles=self._profiles(records, observables, sample.methods),
            calibration=self._calibration(records, sample),
            left_out=left_out,
            entry_counts={
                name: counts
                for name, filled in entries.items()
                if (counts := filled.categorised.entries.counts) is not None
            },
            observables={key: sample.observable(filled) for key, filled in entries.items()},
            binomial={key: sample.binomial(filled) for key, filled in entries.items()},
            efficiency_replicas={
                name: {key: sample.efficiency_replicas(name, e) for key, e in entries.items()}
                for name in sample.replicas
            },
            total_replicas={name: sample.total_replicas(name) for name in sample.replicas},
            run=RunRecord(loads=loads_here()),
            **({} if truth is None else vars(truth)),
        )
        return {metadata(events)["dataset"]: output}

    @property
    def wanted(self) -> Wanted:
        """Columns that the processor reads."""
        return wanted_columns(self.task, self.efficiencies.values(), self.observables)

    def postprocess(self, accumulator: dict[str, TaggingOutput]) -> dict[str, TaggingOutput]:
        """Say what the histograms do not show; the output stays as it is."""
        warn_of_entries(accumulator.values())
        return accumulator

    def _predictions(self, records: ak.Array, offsets: Offsets) -> dict[str, _Prediction]:
        """Direct tagging, and every efficiency, by method."""
        n_points = len(self.selections.working_points)
        response = flat(ak.values_astype(passed(records, self.task), np.int64))
        direct = (response[:, None] > np.arange(n_points)).astype(np.float64)
        predictions = {DIRECT: _Prediction(direct)}
        for name, efficiency in self.efficiencies.items():
            predictions[name] = self._prediction(name, efficiency, records, offsets)
        return predictions

    def _prediction(
        self, name: str, efficiency: SupportsEfficiency, records: ak.Array, offsets: Offsets
    ) -> _Prediction:
        """One efficiency of all objects, checked."""
        n_points = len(self.selections.working_points)
        replicas, outside = None, None
        if isinstance(efficiency, SupportsEvaluation):
            evaluated = efficiency.evaluate(records, out_of_domain="ignore", replicas=self.replicas)
            eps, outside = evaluated.eps, ~flat(evaluated.in_domain, bool, name=name)
            replicas = evaluated.replicas
        else:
            eps = efficiency(records)
        there, rows = flat_rows(eps, name=name)
        if not len(rows):  # their type need not say how many columns they have
            rows = np.empty((0, n_points))
        if not np.array_equal(there, offsets) or rows.shape[1] != n_points:
            raise InputError(
                f"{name}: expected one efficiency for each object of each event and each of "
                f"{n_points} working point(s), received {eps.type}"
            )
        if replicas is not None:
            replicas = _replica_rows(replicas, n_points)
        return _Prediction(probabilities(rows, name), replicas, outside)

    def _sample(
        self, weights: Array, offsets: Offsets, predictions: Mapping[str, _Prediction]
    ) -> TagSample:
        """Probabilities of all conditions, from those of the objects."""

        def tags(eps: Array) -> TagProbabilities:
            return TagProbabilities.of(offsets, eps, self.selections)

        methods = {name: tags(prediction.eps) for name, prediction in predictions.items()}
        replicas = {
            name: [tags(rows) for rows in np.moveaxis(prediction.replicas, -1, 0)]
            for name, prediction in predictions.items()
            if prediction.replicas is not None
        }
        return TagSample(weights, offsets, methods, replicas, self.selections)

    def _categories(self, records: ak.Array, unit: Unit) -> tuple[Array, list[str]]:
        """Category of every unit, and the names; none if the task has no categories."""
        if self.category is None:
            weights = unit.weights(np.ones(len(records)), offsets_of(records), self.selections)
            return np.full(len(weights), -1), []
        codes = records[self.category]
        return unit.categories(codes, self.values), unit.category_names(self.values)

    def _entries(
        self, records: ak.Array, observables: Iterable[AnyObservable]
    ) -> dict[str, ObservableEntries]:
        """Entries of all observables, and of the conditions on events."""
        filled = {}
        for observable in observables:
            unit = UNITS[observable.level]
            category, names = self._categories(records, unit)
            entries = Entries.of(observable, records)
            categorised = CategorisedEntries(entries, category[entries.index], names)
            filled[observable.name] = ObservableEntries(categorised, unit)
        if self.selections.conditions:
            filled[TAG_COUNTS] = self._tag_counts(records)
        return filled

    def _tag_counts(self, records: ak.Array) -> ObservableEntries:
        """One entry for each condition and event."""
        names, n_events = list(self.selections.conditions), len(records)
        category, pairs = self._categories(records, EVENTS)
        axis = hist.axis.StrCategory(names, name="tags", label="tags")
        event = np.tile(np.arange(n_events), len(names))
        values = np.repeat(np.array(names), n_events)
        entries = Entries([axis], [values], event, np.arange(len(event)))
        return ObservableEntries(CategorisedEntries(entries, category[event], pairs), CONDITIONS)

    def _profiles(
        self,
        records: ak.Array,
        observables: Iterable[AnyObservable],
        methods: Mapping[str, TagProbabilities],
    ) -> Histograms:
        """Mean and spread of the efficiency in bins of observables of objects, in one dimension."""
        categories = self._categories(records, OBJECTS)[0]
        histograms: Histograms = {}
        for observable in observables:
            if isinstance(observable, Observable) and not observable.of_events:
                axes = [*self._method_axes(methods), observable.axis]
                histograms[observable.name] = profile = hist.Hist(
                    *axes, storage=hist.storage.Mean()
                )
                values = flat(observable.function(records), name=observable.name)
                for name, method in methods.items():
                    eps = method.objects[:, self.selections.working_point]
                    fill_rows(profile, name, categories + 1, values, sample=eps)
        return histograms

    def _calibration(self, records: ak.Array, sample: TagSample) -> Histogram:
        """Sums of all objects by the efficiency that each method gives them."""
        point = self.selections.working_point
        names = [name for name in sample.methods if name != DIRECT]
        histogram = book_calibration(names, [OTHER, *category_names(self.values)])
        rows = self._categories(records, OBJECTS)[0] + 1
        weights = OBJECTS.weights(sample.weights, sample.offsets, self.selections)
        tagged = sample.methods[DIRECT].objects[:, point]
        for name in names:
            eps = sample.methods[name].objects[:, point]
            fill_calibration(histogram, name, rows, eps, tagged, weights)
        return histogram

    def _method_axes(self, methods: Iterable[str]) -> list[Any]:
        return [
            hist.axis.StrCategory(list(methods), name="method"),
            hist.axis.StrCategory([OTHER, *category_names(self.values)], name="category"),
        ]

    def _compare(
        self, records: ak.Array, methods: Mapping[str, TagProbabilities]
    ) -> TruthHistograms:
        """Distance of every efficiency to the truth, object by object."""
        rows = self._categories(records, OBJECTS)[0] + 1
        compared = {k: m.objects for k, m in methods.items() if k not in (DIRECT, TRUTH)}
        label = r"$(\epsilon - \epsilon_{true}) / \epsilon_{true}$"
        filled = TruthHistograms.book(self._method_axes(compared), label)
        point, truth = self.selections.working_point, methods[TRUTH].objects
        positive = truth[:, point] > 0.0  # a relative residual needs one
        true = truth[positive, point]
        for name, eps in compared.items():
            residual = (eps[positive, point] - true) / true
            fill_rows(filled.residuals, name, rows[positive], residual)
            fill_rows(filled.residual_moments, name, rows[positive], sample=residual)
            distance = rel_entr(*(bins_between(x, 0.0)[0] for x in (truth, eps))).sum(axis=1)
            fill_rows(filled.divergence, name, rows, sample=distance)
        return filled


def _replica_rows(replicas: ak.Array, n_points: int) -> Array:
    """Content (objects, working points, replicas) of jagged replicas."""
    rows = np.asarray(ak.to_numpy(ak.flatten(replicas, axis=1)), np.float64)
    return rows.reshape(len(rows), n_points, rows.shape[-1])
