"""Truth tagging and direct tagging side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import hist
import numpy as np
import numpy.typing as npt
from coffea import processor

from hepsilon.columns import flat, offsets_of
from hepsilon.config import InputConfig, Task
from hepsilon.efficiency import Efficiency, FieldEfficiency, SupportsEfficiency, checked
from hepsilon.errors import ConfigError, InputError
from hepsilon.features import passed, select
from hepsilon.histograms import (
    ALL,
    DIRECT,
    JET_OBSERVABLES,
    OTHER,
    TRUTH,
    Observable,
    book,
    category_names,
    fill,
    object_categories,
    pair_categories,
    pair_names,
)
from hepsilon.processors.common import bernoulli_divergence, collection, event_weights
from hepsilon.weights import truth_tag_weight

__all__ = ["TruthTagging"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Method:
    """Probabilities of one method: per object (flat), and per event for the tag count."""

    objects: Array
    events: Array


class TruthTagging(processor.ProcessorABC):  # type: ignore[misc]
    """Direct tagging and any number of efficiencies side by side.

    For each observable one histogram with the axes ``method``, ``category`` and ``x``. Methods
    are ``all`` (no tag asked for), ``direct`` (the tag decision itself), ``truth`` (if the task
    names the field) and the names of the efficiencies. Observables of objects are filled with
    the objects' efficiency, those of events with the probability of ``n_tags`` tags among the
    two leading objects (paper Eq. 3).

    The output for each dataset:

    ``observables``
        name: histogram.
    ``binomial``
        name: histogram whose *variances* are the sums of ``w^2 p (1 - p)``, the variance of
        (direct - expected) if p is the true probability.
    ``profiles``
        name: histogram of the mean (and spread) of the efficiency per method in bins of the
        observable, objects only.
    ``residuals``, ``residual_moments``, ``divergence``
        if the truth is known: (eps - true) / true, its mean and spread, and the mean
        Kullback-Leibler divergence of Bernoulli(true) from Bernoulli(eps) per object [nats].
    ``out_of_domain``
        method: number of objects outside the region its training sample covered.
    ``n_events``, ``n_objects``
        numbers processed.

    Parameters
    ----------
    task : what the efficiencies are efficiencies of; its selection is applied.
    efficiencies : by name; handles from :func:`hepsilon.load` or any callable that pickles.
    observables : what to fill.
    n_tags : tags asked of the leading two objects for observables of events.
    config : where the columns are in events without collections.
    """

    def __init__(
        self,
        task: Task,
        efficiencies: Mapping[str, SupportsEfficiency],
        *,
        observables: Sequence[Observable] = JET_OBSERVABLES,
        n_tags: int = 2,
        config: InputConfig | None = None,
    ) -> None:
        if task.level != "object":
            raise ConfigError('truth tagging needs a task with level = "object"')
        reserved = {ALL, DIRECT, TRUTH} & set(efficiencies)
        if reserved:
            raise ConfigError(f"the names {sorted(reserved)} are reserved for built-in methods")
        self.task, self.observables, self.n_tags = task, tuple(observables), n_tags
        self.config = config or InputConfig(schema="nanoaod")
        truth = {TRUTH: FieldEfficiency(*task.truth_fields)} if task.truth else {}
        self.efficiencies: dict[str, SupportsEfficiency] = {**truth, **efficiencies}
        names = list(task.categorical)
        self.category = names[0] if names else None
        self.values = task.categorical[names[0]] if names else ()

    def process(self, events: ak.Array) -> dict[str, Any]:
        """Fill all histograms with one chunk."""
        records = select(collection(events, self.task, self.config), self.task)
        weights = event_weights(events, self.task, self.config)
        methods = self._methods(records)
        output: dict[str, Any] = {
            "n_events": len(events),
            "n_objects": int(offsets_of(records)[-1]),
            "out_of_domain": self._out_of_domain(records),
            **self._fill(records, weights, methods),
        }
        if self.task.truth:
            output |= self._compare(records, methods)
        return {events.metadata["dataset"]: output}

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """Leave the accumulated output as it is."""
        return accumulator

    def _methods(self, records: ak.Array) -> dict[str, _Method]:
        """Probabilities of direct tagging and of every efficiency."""
        probabilities = {DIRECT: ak.values_astype(passed(records, self.task), np.float64)}
        for name, efficiency in self.efficiencies.items():
            if isinstance(efficiency, Efficiency):  # its domain is counted in the output
                probabilities[name] = efficiency(records, out_of_domain="ignore")
            else:
                probabilities[name] = efficiency(records)
        expected = offsets_of(records)
        methods = {}
        for name, eps in probabilities.items():
            offsets, values = checked(eps, name)
            if not np.array_equal(offsets, expected):
                raise InputError(f"{name}: expected one efficiency for each object of each event")
            methods[name] = _Method(values, truth_tag_weight(eps, self.n_tags))
        return methods

    def _out_of_domain(self, records: ak.Array) -> dict[str, int]:
        return {
            name: int(ak.sum(~efficiency.in_domain(records)))
            for name, efficiency in self.efficiencies.items()
            if isinstance(efficiency, Efficiency)
        }

    def _categories(self, records: ak.Array, level: str) -> tuple[Array, list[str]]:
        if self.category is None:
            size = len(records) if level == "event" else int(offsets_of(records)[-1])
            return np.full(size, -1), []
        codes = records[self.category]
        if level == "event":
            return pair_categories(codes, self.values), pair_names(self.values)
        return object_categories(codes, self.values), category_names(self.values)

    def _fill(
        self, records: ak.Array, weights: Array, methods: dict[str, _Method]
    ) -> dict[str, Any]:
        """All observables, with every method."""
        out: dict[str, dict[str, Any]] = {"observables": {}, "binomial": {}, "profiles": {}}
        per_object = np.repeat(weights, np.diff(offsets_of(records)))
        expectations = [name for name in methods if name != DIRECT]
        for observable in self.observables:
            name, level = observable.name, observable.level
            categories, names = self._categories(records, level)
            result = observable.function(records)
            values = flat(result, name=name) if level == "object" else np.asarray(result)
            weight = per_object if level == "object" else weights
            filled = book(observable, [ALL, *methods], names)
            binomial = book(observable, expectations, names)
            fill(filled, ALL, values, weight, categories, names)
            for key, method in methods.items():
                p = method.objects if level == "object" else method.events
                fill(filled, key, values, weight * p, categories, names)
                if key != DIRECT:
                    spread = np.abs(weight) * np.sqrt(p * (1.0 - p))
                    fill(binomial, key, values, spread, categories, names)
            out["observables"][name], out["binomial"][name] = filled, binomial
            if level == "object":
                out["profiles"][name] = self._profile(observable, values, methods, categories)
        return out

    def _profile(
        self, observable: Observable, values: Array, methods: dict[str, _Method], categories: Array
    ) -> hist.Hist[Any]:
        """Mean and spread of the efficiency in bins of an observable of objects."""
        axes = [*self._method_axes(methods), observable.axis]
        profile = hist.Hist(*axes, storage=hist.storage.Mean())
        labels = self._labels(categories)
        for name, method in methods.items():
            profile.fill(method=name, category=labels, x=values, sample=method.objects)
        return profile

    def _method_axes(self, methods: Mapping[str, Any]) -> list[Any]:
        return [
            hist.axis.StrCategory(list(methods), name="method"),
            hist.axis.StrCategory([OTHER, *category_names(self.values)], name="category"),
        ]

    def _labels(self, categories: Array) -> Array:
        names: Array = np.array([OTHER, *category_names(self.values)])
        return np.asarray(names[categories + 1])

    def _compare(self, records: ak.Array, methods: dict[str, _Method]) -> dict[str, Any]:
        """Distance of every efficiency to the truth, object by object."""
        labels = self._labels(self._categories(records, "object")[0])
        compared = {k: m.objects for k, m in methods.items() if k not in (DIRECT, TRUTH)}
        axes = self._method_axes(compared)
        axis = hist.axis.Regular(
            120, -0.6, 0.6, name="x", label=r"$(\epsilon - \epsilon_{true}) / \epsilon_{true}$"
        )
        residuals = hist.Hist(*axes, axis, storage=hist.storage.Int64())
        moments, divergence = (hist.Hist(*axes, storage=hist.storage.Mean()) for _ in range(2))
        true = methods[TRUTH].objects
        positive = true > 0.0  # a relative residual needs one
        for name, eps in compared.items():
            residual = (eps - true)[positive] / true[positive]
            residuals.fill(method=name, category=labels[positive], x=residual)
            moments.fill(method=name, category=labels[positive], sample=residual)
            divergence.fill(method=name, category=labels, sample=bernoulli_divergence(true, eps))
        return {
            "residuals": residuals,
            "residual_moments": moments,
            "divergence": divergence,
        }
