"""Truth tagging and direct tagging side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import awkward as ak
import hist
import numpy as np
from coffea import processor
from scipy.special import rel_entr

from hepsilon.arrays.checks import probabilities
from hepsilon.arrays.columns import flat, flat_rows, offsets_of
from hepsilon.arrays.kernels import bins_between
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.selection import passed, select
from hepsilon.efficiencies.base import Efficiency, SupportsEfficiency
from hepsilon.efficiencies.field import FieldEfficiency
from hepsilon.errors import ConfigError, InputError
from hepsilon.histograms.categories import (
    CategorisedEntries,
    category_names,
    fill_rows,
    object_categories,
    pair_categories,
    pair_names,
)
from hepsilon.histograms.entries import Entries
from hepsilon.histograms.jets import JET_OBSERVABLES
from hepsilon.histograms.methods import ALL, DIRECT, OTHER, TAG_COUNTS, TRUTH
from hepsilon.histograms.observables import Observable
from hepsilon.processors.events import collection, event_weights
from hepsilon.processors.filling import Filled, TagSample
from hepsilon.processors.selections import Method, Selections
from hepsilon.weights.conditions import Condition

__all__ = ["TruthTagging"]


class TruthTagging(processor.ProcessorABC):  # type: ignore[misc]
    """Direct tagging and any number of efficiencies side by side.

    For each observable one histogram with the axes ``method``, ``category`` and ``x``. Methods
    are ``all`` (no tag asked for), ``direct`` (the tag decision itself), ``truth`` (if the task
    names the field) and the names of the efficiencies. Observables of objects are filled with
    the objects' efficiency, those of events with the probability of ``n_tags`` tags among the
    two leading objects (paper Eq. 3). Categories are those of the objects, or of the leading
    pair; further categories are other selections: of objects the other working points, of events
    the ``conditions`` on all objects (by default 0, 1, 2, two and more, three and more tags).

    The output for each dataset:

    ``observables``
        name: histogram.
    ``binomial``
        name: histogram whose *variances* are the sums of ``w^2 p (1 - p)``, the variance of
        (direct - expected) if p is the true probability.
    ``efficiency_replicas``
        method: name: histogram with the axis ``replica`` in place of ``method``, of methods that
        know their own uncertainty: the members of an ensemble, draws from a map's posterior.
    ``tag_counts``
        one more name in each of these three: the sums over events in which the conditions hold,
        with the axes ``method``, ``category`` (of the leading pair) and ``tags``.
    ``profiles``
        name: histogram of the mean (and spread) of the efficiency per method in bins of the
        observable, objects only.
    ``residuals``, ``residual_moments``, ``divergence``
        if the truth is known: (eps - true) / true, its mean and spread, and the mean
        Kullback-Leibler divergence of the true response from that of eps per object [nats].
    ``out_of_domain``
        method: number of objects outside the region its training sample covered.
    ``n_events``, ``n_objects``
        numbers processed.

    Parameters
    ----------
    task : Task
        What the efficiencies are efficiencies of; its selection is applied.
    efficiencies : mapping of str to SupportsEfficiency
        By name; handles from :func:`hepsilon.load` or any callable that pickles.
    observables : sequence of Observable, default JET_OBSERVABLES
        What to fill.
    n_tags : int, default 2
        Tags asked of the leading two objects for observables of events.
    working_point : int or str, default 0
        Name or number of the one that counts.
    conditions : mapping of str to Condition, optional
        Further conditions on events, by name.
    replicas : bool, default True
        Whether to fill the replicas of efficiencies that know their own uncertainty.
    config : InputConfig, optional
        Where the columns are in events without collections.
    """

    def __init__(
        self,
        task: Task,
        efficiencies: Mapping[str, SupportsEfficiency],
        *,
        observables: Sequence[Observable] = JET_OBSERVABLES,
        n_tags: int = 2,
        working_point: int | str = 0,
        conditions: Mapping[str, Condition] | None = None,
        replicas: bool = True,
        config: InputConfig | None = None,
    ) -> None:
        if task.level != "object":
            raise ConfigError('truth tagging needs a task with level = "object"')
        reserved = {ALL, DIRECT, TRUTH} & set(efficiencies)
        if reserved:
            raise ConfigError(f"the names {sorted(reserved)} are reserved for built-in methods")
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
        known = {"object": category_names(self.values), "event": pair_names(self.values)}
        for level, categories in known.items():
            same = {ALL, *categories} & set(self.selections.names(level))
            if same:
                raise ConfigError(
                    f"the names {sorted(same)} of working points or conditions are those of "
                    "categories; choose others (task.passed.names, conditions)"
                )

    def process(self, events: ak.Array) -> dict[str, Any]:
        """Fill all histograms with one chunk."""
        records = select(collection(events, self.task, self.config), self.task)
        weights = event_weights(events, self.task, self.config)
        offsets = offsets_of(records)
        sample = TagSample(weights, offsets, {}, {}, self.selections)
        outside = {}
        for name, (eps, replicas, n_outside) in self._evaluate(records, offsets).items():
            sample.methods[name] = Method.of(offsets, eps, self.selections)
            if replicas is not None:
                rows = np.moveaxis(replicas, -1, 0)
                sample.replicas[name] = [Method.of(offsets, r, self.selections) for r in rows]
            if n_outside is not None:
                outside[name] = n_outside
        output: dict[str, Any] = {
            "n_events": len(events),
            "n_objects": int(offsets[-1]),
            "out_of_domain": outside,
            "profiles": self._profiles(records, sample.methods),
            **sample.fill(self._entries(records)),
        }
        if self.task.truth:
            output |= self._compare(records, sample.methods)
        return {events.metadata["dataset"]: output}

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """Leave the accumulated output as it is."""
        return accumulator

    def _evaluate(
        self, records: ak.Array, offsets: Array
    ) -> dict[str, tuple[Array, Array | None, int | None]]:
        """Direct tagging and every efficiency: (objects, working points), replicas, domain.

        The replicas, (objects, working points, replicas), are those of efficiencies that know
        their own uncertainty; the number of objects out of domain of those that know theirs.
        """
        n_points = len(self.selections.working_points)
        response = flat(ak.values_astype(passed(records, self.task), np.int64))
        direct = (response[:, None] > np.arange(n_points)).astype(np.float64)
        found: dict[str, Any] = {DIRECT: (direct, None, None)}
        for name, efficiency in self.efficiencies.items():
            replicas, n_outside = None, None
            if isinstance(efficiency, Efficiency):
                evaluated = efficiency.evaluate(
                    records, out_of_domain="ignore", replicas=self.replicas
                )
                eps, n_outside = evaluated.eps, int(ak.sum(~evaluated.in_domain))
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
            found[name] = probabilities(rows, name), replicas, n_outside
        return found

    def _categories(self, records: ak.Array, level: str) -> tuple[Array, list[str]]:
        if self.category is None:
            size = len(records) if level == "event" else int(offsets_of(records)[-1])
            return np.full(size, -1), []
        codes = records[self.category]
        if level == "event":
            return pair_categories(codes, self.values), pair_names(self.values)
        return object_categories(codes, self.values), category_names(self.values)

    def _entries(self, records: ak.Array) -> dict[str, Filled]:
        """Entries of all observables, and of the conditions on events."""
        found = {}
        for observable in self.observables:
            category, names = self._categories(records, observable.level)
            entries = Entries.of(observable, records)
            categorised = CategorisedEntries(entries, category[entries.index], names)
            found[observable.name] = Filled(categorised, observable.level)
        if self.selections.conditions:
            found[TAG_COUNTS] = self._tag_counts(records)
        return found

    def _tag_counts(self, records: ak.Array) -> Filled:
        """One entry for each condition and event."""
        names, n_events = list(self.selections.conditions), len(records)
        category, pairs = self._categories(records, "event")
        axis = hist.axis.StrCategory(names, name="tags", label="tags")
        event = np.tile(np.arange(n_events), len(names))
        values = np.repeat(np.array(names), n_events)
        entries = Entries([axis], [values], event, np.arange(len(event)))
        return Filled(CategorisedEntries(entries, category[event], pairs), "tags")

    def _profiles(self, records: ak.Array, methods: dict[str, Method]) -> dict[str, Any]:
        """Mean and spread of the efficiency in bins of the observables of objects."""
        categories = self._categories(records, "object")[0]
        found = {}
        for observable in self.observables:
            if observable.level == "object":
                axes = [*self._method_axes(methods), observable.axis]
                found[observable.name] = profile = hist.Hist(*axes, storage=hist.storage.Mean())
                values = flat(observable.function(records), name=observable.name)
                for name, method in methods.items():
                    eps = method.objects[:, self.selections.working_point]
                    fill_rows(profile, name, categories + 1, values, sample=eps)
        return found

    def _method_axes(self, methods: Mapping[str, Any]) -> list[Any]:
        return [
            hist.axis.StrCategory(list(methods), name="method"),
            hist.axis.StrCategory([OTHER, *category_names(self.values)], name="category"),
        ]

    def _compare(self, records: ak.Array, methods: dict[str, Method]) -> dict[str, Any]:
        """Distance of every efficiency to the truth, object by object."""
        rows = self._categories(records, "object")[0] + 1
        compared = {k: m.objects for k, m in methods.items() if k not in (DIRECT, TRUTH)}
        axes = self._method_axes(compared)
        axis = hist.axis.Regular(
            120, -0.6, 0.6, name="x", label=r"$(\epsilon - \epsilon_{true}) / \epsilon_{true}$"
        )
        residuals = hist.Hist(*axes, axis, storage=hist.storage.Int64())
        moments, divergence = (hist.Hist(*axes, storage=hist.storage.Mean()) for _ in range(2))
        point, truth = self.selections.working_point, methods[TRUTH].objects
        positive = truth[:, point] > 0.0  # a relative residual needs one
        true = truth[positive, point]
        for name, eps in compared.items():
            residual = (eps[positive, point] - true) / true
            fill_rows(residuals, name, rows[positive], residual)
            fill_rows(moments, name, rows[positive], sample=residual)
            distance = rel_entr(*(bins_between(x, 0.0)[0] for x in (truth, eps))).sum(axis=1)
            fill_rows(divergence, name, rows, sample=distance)
        return {
            "residuals": residuals,
            "residual_moments": moments,
            "divergence": divergence,
        }


def _replica_rows(replicas: ak.Array, n_points: int) -> Array:
    """Content (objects, working points, replicas) of jagged replicas."""
    rows = np.asarray(ak.to_numpy(ak.flatten(replicas, axis=1)), np.float64)
    return rows.reshape(len(rows), n_points, rows.shape[-1])
