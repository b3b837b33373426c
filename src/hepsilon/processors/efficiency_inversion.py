"""Efficiency inversion: any histogram of selected events, corrected with the weight 1/E."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import awkward as ak
import hist
import numpy as np
from coffea import processor

from hepsilon.arrays.checks import checked_events
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.selection import inside_fiducial, ordered, passed, select
from hepsilon.efficiencies.base import Efficiency, SupportsEfficiency
from hepsilon.efficiencies.bin_by_bin import BinByBin
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.errors import ConfigError
from hepsilon.histograms.entries import Entries, book_methods
from hepsilon.histograms.methods import GENERATED, SELECTED, TRUTH, replica_axis
from hepsilon.histograms.tracks import TrackObservable, track_observables
from hepsilon.processors.events import (
    bernoulli_divergence,
    collection,
    event_column,
    event_ids,
    event_weights,
)
from hepsilon.uncertainty.bootstrap import bootstrap_key, fill_replicas
from hepsilon.weights.inversion import FLOOR, inversion_weight

__all__ = ["BUILT_IN", "RECONSTRUCTED", "EfficiencyInversion"]

RECONSTRUCTED = "@reco"
"""Ending of the methods for which all momenta are the reconstructed ones."""
BUILT_IN = (GENERATED, SELECTED)
Correction = SupportsEfficiency | BinByBin


@dataclass(frozen=True)
class _Sample:
    """Events of one chunk, all that one set of momenta gives.

    Attributes
    ----------
    records : ak.Array
        Objects, in the task's order.
    weights : ndarray
        Of the events.
    selected : ndarray
        True for the events that were.
    keys : ndarray or None
        Of the bootstrap; None without replicas.
    spread : dict of str to ndarray
        Of ensembles, by method: variance of their mean efficiency of each event.
    """

    records: ak.Array
    weights: Array
    selected: Array
    keys: Array | None
    spread: dict[str, Array] = field(default_factory=dict)

    def take(self, events: Array) -> _Sample:
        keys = None if self.keys is None else self.keys[events]
        spread = {name: variance[events] for name, variance in self.spread.items()}
        columns = self.weights[events], self.selected[events]
        return _Sample(self.records[events], *columns, keys, spread)


class EfficiencyInversion(processor.ProcessorABC):  # type: ignore[misc]
    """Selected events, corrected by any number of efficiencies, beside what was generated.

    For each observable one histogram with the axes ``method`` and ``x`` (and ``y``). Methods are
    ``selected`` (not corrected) and the names of the efficiencies; on simulated events also
    ``generated``, ``truth`` (if the task names the field), and for each learned efficiency
    ``NAME@reco``, if a collection of reconstructed objects is given: with weights and observables
    from reconstructed momenta, as in data.

    The output for each dataset:

    ``observables``
        name: histogram of the sums of w / E; the variances are sums of (w / E)^2 (Poisson).
    ``horvitz_thompson``
        name: histogram whose *variances* are the sums of ``w^2 (1 - E) / E^2`` over the selected
        events: the error of the corrected number of events, given those that were generated.
    ``exact``
        name: the same from all generated events, ``w^2 (1 - E) / E``: the variance of (corrected
        - generated) if E is true (simulated events only).
    ``replicas``
        name: histogram with one more axis, ``replica``, of bootstrap replicas (if asked for).
    ``clipped``
        method: number of selected events whose E was below the floor; ``clipped_weight`` the sum
        of their weights.
    ``jensen``
        method: for ensembles the sum over selected events of ``w Var(E) / E^3``, the upward bias
        of 1/E that is left after averaging the members; Var(E) is that of their mean.
    ``efficiencies``
        histogram of log10 E of the selected events per method: what the weights are like.
    ``divergence``, ``residuals``, ``residual_moments``, ``bias``
        if the truth is known: mean Kullback-Leibler divergence of Bernoulli(true) from
        Bernoulli(E) [nats], (E - true) / true, and ``sum w (true / E - 1)`` over all generated
        events: the bias of the corrected total, without the noise of the responses. For
        bin-by-bin corrections those of the first observable of events.
    ``reference``
        name of the first observable of events: that of all totals (with the number of events).
    ``out_of_domain``, ``n_events``, ``n_selected``, ``n_outside``
        events outside an efficiency's domain (of those it was asked for), processed, selected,
        and outside the fiducial region (which are left out of everything else).

    Parameters
    ----------
    task : Task
        What the efficiencies are efficiencies of; its selection is applied.
    efficiencies : mapping of str to Correction
        By name; handles from :func:`hepsilon.load`, bin-by-bin corrections, or any callable that
        pickles.
    observables : sequence of TrackObservable, optional
        What to fill; by default :func:`hepsilon.histograms.tracks.track_observables`.
    floor : float, default FLOOR
        Explicit cutoff for E -> 0 (see :func:`hepsilon.inversion_weight`).
    replicas : int, default 0
        Number of bootstrap replicas.
    reconstructed : str, optional
        Collection of reconstructed objects, of the selected events.
    measured : bool, default False
        True for data: every event of the files was selected, and nothing is generated.
    config : InputConfig, optional
        Where the columns are in events without collections.
    """

    def __init__(
        self,
        task: Task,
        efficiencies: Mapping[str, Correction],
        *,
        observables: Sequence[TrackObservable] | None = None,
        floor: float = FLOOR,
        replicas: int = 0,
        reconstructed: str | None = None,
        measured: bool = False,
        config: InputConfig | None = None,
    ) -> None:
        if task.level != "event":
            raise ConfigError('efficiency inversion needs a task with level = "event"')
        wrong = [n for n in efficiencies if n in (GENERATED, SELECTED, TRUTH) or "@" in n]
        if wrong:
            raise ConfigError(f"the names {sorted(wrong)} are reserved for built-in methods")
        if measured and reconstructed is not None:
            raise ConfigError("of measured events the objects are those of task.collection")
        if not 0.0 < floor <= 1.0 or replicas < 0:
            raise ConfigError(
                f"expected a floor in (0, 1] and zero or more replicas, got {floor}, {replicas}"
            )
        self.task, self.floor, self.replicas = task, floor, replicas
        self.observables = tuple(track_observables() if observables is None else observables)
        if not any(o.level == "event" and len(o.axes) == 1 for o in self.observables):
            raise ConfigError("expected an observable of events in one dimension, for the totals")
        self.efficiencies = dict(efficiencies)
        self.reconstructed, self.measured = reconstructed, measured
        self.config = config or InputConfig(schema="nanoaod")

    @property
    def reference(self) -> str:
        """The first observable of events in one dimension: that of the totals."""
        return next(o.name for o in self.observables if o.level == "event" and len(o.axes) == 1)

    @property
    def learned(self) -> list[str]:
        """Names of the efficiencies that are evaluated on momenta."""
        return [n for n, e in self.efficiencies.items() if not isinstance(e, BinByBin)]

    @property
    def has_truth(self) -> bool:
        """Whether the true efficiency is known."""
        return self.task.truth is not None and not self.measured

    @property
    def methods(self) -> list[str]:
        """All methods, in the order of the histograms."""
        built_in = [SELECTED] if self.measured else [GENERATED, SELECTED]
        truth = [TRUTH] if self.has_truth else []
        reco = [f"{name}{RECONSTRUCTED}" for name in self.learned] if self.reconstructed else []
        return [*built_in, *truth, *self.efficiencies, *reco]

    def process(self, events: ak.Array) -> dict[str, Any]:
        """Fill all histograms with one chunk."""
        output = self._book()
        sample = self._sample(events, self.task.collection)
        inside = inside_fiducial(sample.records, self.task)
        output["n_events"], output["n_outside"] = len(events), int(np.count_nonzero(~inside))
        dataset = events.metadata["dataset"]
        events, sample = events[inside], sample.take(inside)
        output["reference"] = {self.reference: len(events)}
        output["n_selected"] = int(np.count_nonzero(sample.selected))
        self._fill(output, sample, self._evaluate(output, events, sample))
        if self.reconstructed is not None:
            chosen = events[sample.selected]
            self._fill_reconstructed(output, self._sample(chosen, self.reconstructed))
        return {dataset: output}

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """Leave the accumulated output as it is."""
        return accumulator

    def _sample(self, events: ak.Array, name: str) -> _Sample:
        """Objects of a collection with what belongs to their events."""
        records = select(collection(events, self.task, self.config, name), self.task)
        if self.measured:
            selected = np.ones(len(events), bool)
        else:
            response = self.task.passed.field
            column = {response: event_column(events, response, self.config)}
            selected = ak.to_numpy(passed(ak.zip(column), self.task))
        keys = bootstrap_key(*event_ids(events, self.config)) if self.replicas else None
        weights = event_weights(events, self.task, self.config)
        return _Sample(ordered(records, self.task), weights, selected, keys)

    def _eps(self, output: dict[str, Any], name: str, method: str, sample: _Sample) -> Array:
        """One learned efficiency of all events of a sample."""
        efficiency: Any = self.efficiencies[name]
        if isinstance(efficiency, Efficiency):  # its domain is counted in the output
            ensemble = isinstance(efficiency, NetworkEfficiency)
            evaluated = efficiency.evaluate(
                sample.records, out_of_domain="ignore", replicas=ensemble
            )
            output["out_of_domain"][method] = int(ak.sum(~evaluated.in_domain))
            eps = evaluated.eps
            if ensemble and evaluated.replicas is not None and method in self.efficiencies:
                members = ak.to_numpy(evaluated.replicas)
                sample.spread[method] = members.var(axis=1, ddof=1) / members.shape[1]
        else:
            eps = efficiency(sample.records)
        return checked_events(eps, len(sample.weights), method)

    def _evaluate(
        self, output: dict[str, Any], events: ak.Array, sample: _Sample
    ) -> dict[str, Array]:
        """All efficiencies but the bin-by-bin ones; of measured events that is all there are."""
        eps = {}
        if self.has_truth:
            column = event_column(events, self.task.truth_fields[0], self.config)
            eps[TRUTH] = checked_events(column, len(sample.weights), TRUTH)
        for name in self.learned:
            eps[name] = self._eps(output, name, name, sample)
        for name, values in eps.items() if TRUTH in eps else ():
            if name != TRUTH:
                self._compare(output, name, eps[TRUTH], values, sample.weights)
        return eps

    def _fill(self, output: dict[str, Any], sample: _Sample, eps: dict[str, Array]) -> None:
        """All observables of the task's own collection."""
        chosen = sample.take(sample.selected)
        eps_chosen = {name: values[sample.selected] for name, values in eps.items()}
        self._count(output, chosen, eps_chosen)
        for observable in self.observables:
            entries = Entries.of(observable, sample.records)
            histogram = output["observables"][observable.name]
            weights = sample.weights[entries.event]
            if not self.measured:
                entries.fill(histogram, GENERATED, weights)
                exact = output["exact"][observable.name]
                found = self._of_entries(observable.name, entries, eps)
                if observable.name == self.reference and TRUTH in eps:
                    self._compare_bins(output, found, weights)
                for name, values in found.items():
                    bounded = np.maximum(values, self.floor)
                    entries.fill_variance(exact, name, weights**2 * (1.0 - bounded) / bounded)
            entries = entries.of_events(sample.selected)
            entries.fill(histogram, SELECTED, chosen.weights[entries.event])
            self._correct(output, observable.name, entries, chosen, eps_chosen)

    def _fill_reconstructed(self, output: dict[str, Any], sample: _Sample) -> None:
        """All observables of the reconstructed objects of selected events."""
        eps = {}
        for name in self.learned:
            eps[name + RECONSTRUCTED] = self._eps(output, name, name + RECONSTRUCTED, sample)
        self._count(output, sample, eps)
        for observable in self.observables:
            entries = Entries.of(observable, sample.records)
            self._correct(output, observable.name, entries, sample, eps, binned=False)

    def _of_entries(
        self, name: str, entries: Entries, eps: dict[str, Array], binned: bool = True
    ) -> dict[str, Array]:
        """Efficiency of every entry of an observable, from all methods."""
        values = {method: column[entries.event] for method, column in eps.items()}
        for method, efficiency in self.efficiencies.items() if binned else ():
            if isinstance(efficiency, BinByBin):
                values[method] = efficiency.efficiency(name, entries)
        return values

    def _correct(
        self,
        output: dict[str, Any],
        name: str,
        entries: Entries,
        sample: _Sample,
        eps: dict[str, Array],
        binned: bool = True,
    ) -> None:
        """One observable of selected events, corrected by all methods."""
        weights = sample.weights[entries.event]
        for method, values in self._of_entries(name, entries, eps, binned).items():
            inverse = inversion_weight(values, self.floor)
            corrected = weights * inverse.weight
            entries.fill(output["observables"][name], method, corrected)
            variance = weights**2 * inverse.variance
            entries.fill_variance(output["horvitz_thompson"][name], method, variance)
            if sample.keys is not None:
                fill_replicas(output["replicas"][name], method, entries, sample.keys, corrected)

    def _count(self, output: dict[str, Any], sample: _Sample, eps: dict[str, Array]) -> None:
        """What the weights of selected events are like."""
        for method, values in eps.items():
            inverse = inversion_weight(values, self.floor)
            weights = sample.weights * inverse.weight
            output["clipped"][method] = inverse.n_clipped
            output["clipped_weight"][method] = float(weights[inverse.clipped].sum())
            logarithm = np.log10(np.maximum(values, 1e-99))
            output["efficiencies"].fill(method=method, x=logarithm, weight=sample.weights)
            if method in sample.spread:
                bias = weights * sample.spread[method] * inverse.weight**2
                output["jensen"][method] = float(np.sum(bias))

    def _compare(
        self, output: dict[str, Any], name: str, true: Array, eps: Array, weights: Array
    ) -> None:
        """Distance of one efficiency to the truth, over all generated events."""
        positive = true > 0.0  # a relative residual needs one
        residual = (eps - true)[positive] / true[positive]
        output["residuals"].fill(method=name, x=residual)
        output["residual_moments"].fill(method=name, sample=residual)
        output["divergence"].fill(method=name, sample=bernoulli_divergence(true, eps))
        bounded = np.maximum(eps, self.floor)
        output["bias"][name] = float(np.sum(weights * (true / bounded - 1.0)))

    def _compare_bins(
        self, output: dict[str, Any], found: dict[str, Array], weights: Array
    ) -> None:
        """Distance of the bin-by-bin corrections of one observable to the truth."""
        for name, efficiency in self.efficiencies.items():
            if isinstance(efficiency, BinByBin):
                self._compare(output, name, found[TRUTH], found[name], weights)

    def _book(self) -> dict[str, Any]:
        """An empty output."""
        methods, corrected = self.methods, [m for m in self.methods if m not in BUILT_IN]
        named: dict[str, Any] = {"observables": {}, "horvitz_thompson": {}}
        for observable in self.observables:
            named["observables"][observable.name] = book_methods(observable, methods)
            named["horvitz_thompson"][observable.name] = book_methods(observable, corrected)
        if not self.measured:
            named["exact"] = {o.name: book_methods(o, corrected) for o in self.observables}
        if self.replicas:
            axis = replica_axis(self.replicas)
            named["replicas"] = {
                o.name: book_methods(o, corrected, (axis,)) for o in self.observables
            }
        method = hist.axis.StrCategory(corrected, name="method")
        bins = hist.axis.Regular(60, -4.0, 0.0, name="x", label=r"$\log_{10} E$")
        named["efficiencies"] = hist.Hist(method, bins, storage=hist.storage.Double())
        if self.has_truth:
            bins = hist.axis.Regular(120, -0.6, 0.6, name="x", label=r"$(E - E_{true}) / E_{true}$")
            named["residuals"] = hist.Hist(method, bins, storage=hist.storage.Int64())
            for key in ("residual_moments", "divergence"):
                named[key] = hist.Hist(method, storage=hist.storage.Mean())
        counters = ("clipped", "clipped_weight", "jensen", "bias", "out_of_domain")
        return named | {key: {} for key in counters}
