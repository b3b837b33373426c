"""Histograms and counters of efficiency inversion, filled for one chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import hist
import numpy as np

from hepsilon.arrays.repeats import KeySample
from hepsilon.arrays.statistics import bernoulli_divergence
from hepsilon.arrays.types import Array
from hepsilon.histograms.entries import Entries, EntryCounts, book_methods, method_row
from hepsilon.histograms.methods import ALL, GENERATED, SELECTED, replica_axis
from hepsilon.histograms.tracks import TrackObservable
from hepsilon.processors.calibration import book_calibration, fill_calibration
from hepsilon.processors.outputs import (
    CorrectionMethod,
    Histograms,
    InversionOutput,
    TruthHistograms,
)
from hepsilon.uncertainty.bootstrap import fill_replicas
from hepsilon.weights.inversion import inversion_weight

__all__ = ["InversionFilling"]


class InversionFilling:
    """Everything that is filled with one chunk, before it becomes an output.

    Parameters
    ----------
    observables : sequence of TrackObservable
        Observables to fill.
    methods : sequence of CorrectionMethod
        Methods that correct, in the order of the histograms.
    floor : float
        Explicit cutoff for E -> 0.
    replicas : int
        Number of bootstrap replicas.
    measured : bool
        True for data: nothing is generated.
    has_truth : bool
        Whether the true efficiency is known.
    """

    def __init__(
        self,
        observables: Sequence[TrackObservable],
        methods: Sequence[CorrectionMethod],
        *,
        floor: float,
        replicas: int,
        measured: bool,
        has_truth: bool,
    ) -> None:
        self.floor, self.methods = floor, tuple(methods)
        corrected = [method.label for method in methods]
        every = [*([] if measured else [GENERATED]), SELECTED, *corrected]

        def book(names: list[str], *axes: Any) -> Histograms:
            return {o.name: book_methods(o, names, axes) for o in observables}

        self.observables, self.horvitz_thompson = book(every), book(corrected)
        self.exact = None if measured else book(corrected)
        self.replicas = book(corrected, replica_axis(replicas)) if replicas else None
        self.totals = {"weights": _totals(every), "horvitz_thompson": _totals(corrected)}
        if not measured:
            self.totals["exact"] = _totals(corrected)
        method = hist.axis.StrCategory(corrected, name="method")
        bins = hist.axis.Regular(60, -4.0, 0.0, name="x", label=r"$\log_{10} E$")
        self._observables = {o.name: o for o in observables}
        self.efficiency_replicas: dict[str, Histograms] = {}
        self.total_replicas: Histograms = {}
        reconstructed = [method.label for method in methods if method.reconstructed]
        self.responses = {
            o.name: _book_response(o, reconstructed)
            for o in observables
            if reconstructed and o.of_events and len(o.parts) == 1
        }
        self.efficiencies = hist.Hist(method, bins, storage=hist.storage.Double())
        label = r"$(E - E_{true}) / E_{true}$"
        self.truth = TruthHistograms.book([method], label) if has_truth else None
        self.calibration = None if measured else book_calibration(corrected, [ALL])
        self.entry_counts: dict[str, EntryCounts] = {}
        self.clipped: dict[str, int] = {}
        self.clipped_weight: dict[str, float] = {}
        self.outside_weight: dict[str, float] = {}
        self.jensen: dict[str, float] = {}
        self.bias: dict[str, float] = {}

    def total(self, eps: Mapping[str, Array], weights: Array, selected: Array) -> None:
        """Add up all events, whatever their observables are.

        Parameters
        ----------
        eps : mapping of str to ndarray of float64, shape (n_events,)
            Efficiency of each event, by label of the method.
        weights : ndarray of float64, shape (n_events,)
            Weights of the events.
        selected : ndarray of bool, shape (n_events,)
            True for the events that were selected.
        """
        chosen = weights[selected]
        _add(self.totals["weights"], SELECTED, chosen, chosen**2)
        if self.exact is not None:
            _add(self.totals["weights"], GENERATED, weights, weights**2)
        for method, values in eps.items():
            self.total_of(method, values[selected], chosen)
            if self.exact is not None:
                bounded = np.maximum(values, self.floor)
                _add(self.totals["exact"], method, weights, weights**2 * (1.0 - bounded) / bounded)
            if self.calibration is not None:
                rows = np.zeros(len(values), np.int64)
                fill_calibration(self.calibration, method, rows, values, selected, weights)

    def total_of(self, method: str, eps: Array, weights: Array) -> None:
        """Add up the selected events, corrected by one method.

        Parameters
        ----------
        method : str
            Label of the method.
        eps : ndarray of float64, shape (n_selected,)
            Efficiency of each selected event.
        weights : ndarray of float64, shape (n_selected,)
            Weights of these events.
        """
        inverse = inversion_weight(eps, self.floor)
        corrected = weights * inverse.weight
        _add(self.totals["weights"], method, corrected, corrected**2)
        _add(self.totals["horvitz_thompson"], method, corrected, weights**2 * inverse.variance)

    def total_of_replicas(self, replicas: Mapping[str, Array], weights: Array) -> None:
        """Add up the selected events, corrected by every replica of the methods.

        Parameters
        ----------
        replicas : mapping of str to ndarray of float64, shape (n_selected, n_replicas)
            Efficiency of each event in all replicas, by label of the method.
        weights : ndarray of float64, shape (n_selected,)
            Weights of these events.
        """
        for method, values in replicas.items():
            if method not in self.total_replicas:
                axis = replica_axis(values.shape[1])
                self.total_replicas[method] = hist.Hist(axis, storage=hist.storage.Double())
            self.total_replicas[method].view()[:] += weights @ (
                1.0 / np.maximum(values, self.floor)
            )

    def count(
        self,
        method: str,
        eps: Array,
        weights: Array,
        spread: Array | None,
        outside: Array | None,
    ) -> None:
        """Count what the weights of selected events are like.

        Parameters
        ----------
        method : str
            Label of the method.
        eps : ndarray of float64, shape (n_selected,)
            Efficiency of each selected event.
        weights : ndarray of float64, shape (n_selected,)
            Weights of these events, not corrected.
        spread : ndarray of float64, shape (n_selected,), or None
            Variance of the efficiency, where it is known.
        outside : ndarray of bool, shape (n_selected,), or None
            True for events out of domain, where it is known.
        """
        inverse = inversion_weight(eps, self.floor)
        corrected = weights * inverse.weight
        self.clipped[method] = inverse.n_clipped
        self.clipped_weight[method] = float(corrected[inverse.clipped].sum())
        if outside is not None:
            self.outside_weight[method] = float(corrected[outside].sum())
        logarithm = np.log10(np.maximum(eps, 1e-99))
        _fill(self.efficiencies, method, x=logarithm, weight=weights)
        if spread is not None:
            self.jensen[method] = float(np.sum(corrected * spread * inverse.weight**2))

    def compare(self, method: str, true: Array, eps: Array, weights: Array) -> None:
        """Fill the distance of one method to the truth, over all generated events.

        Parameters
        ----------
        method : str
            Label of the method.
        true : ndarray of float64, shape (n_events,)
            True efficiency of each generated event.
        eps : ndarray of float64, shape (n_events,)
            Efficiency by the method.
        weights : ndarray of float64, shape (n_events,)
            Weights of the events.
        """
        if self.truth is None:
            return
        positive = true > 0.0  # a relative residual needs one
        residual = (eps - true)[positive] / true[positive]
        _fill(self.truth.residuals, method, x=residual)
        _fill(self.truth.residual_moments, method, sample=residual)
        _fill(self.truth.divergence, method, sample=bernoulli_divergence(true, eps))
        bounded = np.maximum(eps, self.floor)
        self.bias[method] = float(np.sum(weights * (true / bounded - 1.0)))

    def generate(
        self, name: str, entries: Entries, eps: Mapping[str, Array], weights: Array
    ) -> None:
        """Fill one observable of all generated events, and the exact variance of every method.

        Parameters
        ----------
        name : str
            Observable.
        entries : Entries
            Its entries of all events.
        eps : mapping of str to ndarray of float64, shape (n_entries,)
            Efficiency of each entry, by label of the method.
        weights : ndarray of float64, shape (n_entries,)
            Event weight of each entry.
        """
        if self.exact is None:
            return
        entries.fill(self.observables[name], GENERATED, weights)
        for method, values in eps.items():
            bounded = np.maximum(values, self.floor)
            variance = weights**2 * (1.0 - bounded) / bounded
            entries.fill_variance(self.exact[name], method, variance)

    def select(self, name: str, entries: Entries, weights: Array) -> None:
        """Fill one observable of the selected events, not corrected.

        Parameters
        ----------
        name : str
            Observable.
        entries : Entries
            Its entries of the selected events.
        weights : ndarray of float64, shape (n_entries,)
            Weights of the entries.
        """
        entries.fill(self.observables[name], SELECTED, weights)

    def correct(
        self,
        name: str,
        entries: Entries,
        eps: Mapping[str, Array],
        weights: Array,
        keys: Array | None,
    ) -> None:
        """Fill one observable of the selected events, corrected by every method.

        Parameters
        ----------
        name : str
            Observable.
        entries : Entries
            Its entries of the selected events.
        eps : mapping of str to ndarray of float64, shape (n_entries,)
            Efficiency of each entry, by label of the method.
        weights : ndarray of float64, shape (n_entries,)
            Event weight of each entry.
        keys : ndarray of uint64, shape (n_selected,), or None
            Bootstrap key of each event; None without replicas.
        """
        for method, values in eps.items():
            inverse = inversion_weight(values, self.floor)
            corrected = weights * inverse.weight
            entries.fill(self.observables[name], method, corrected)
            variance = weights**2 * inverse.variance
            entries.fill_variance(self.horvitz_thompson[name], method, variance)
            if self.replicas is not None and keys is not None:
                fill_replicas(self.replicas[name], method, entries, keys, corrected)

    def correct_replicas(
        self, name: str, entries: Entries, replicas: Mapping[str, Array], weights: Array
    ) -> None:
        """Fill one observable of the selected events, corrected by every replica of the methods.

        Parameters
        ----------
        name : str
            Observable.
        entries : Entries
            Its entries of the selected events.
        replicas : mapping of str to ndarray of float64, shape (n_selected, n_replicas)
            Efficiency of each event in all replicas, by label of the method.
        weights : ndarray of float64, shape (n_entries,)
            Event weight of each entry.
        """
        for method, values in replicas.items():
            filled = self.efficiency_replicas.setdefault(method, {})
            if name not in filled:
                axes: list[Any] = [replica_axis(values.shape[1]), *self._observables[name].axes]
                filled[name] = hist.Hist(*axes, storage=hist.storage.Double())
            view = filled[name].view(flow=True)
            for number, column in enumerate(values.T):
                corrected = weights / np.maximum(column[entries.event], self.floor)
                view[number] += entries.sums(corrected)

    def respond(
        self,
        name: str,
        truth: Entries,
        reco: Entries,
        eps: Mapping[str, Array],
        weights: Array,
    ) -> None:
        """Fill true against reconstructed values of selected events.

        Parameters
        ----------
        name : str
            Observable; one that has no response matrix is left out.
        truth, reco : Entries
            Its entries of the selected events, generated and reconstructed.
        eps : mapping of str to ndarray of float64, shape (n_selected,)
            Efficiency of each event from reconstructed momenta, by label of the method.
        weights : ndarray of float64, shape (n_selected,)
            Weights of these events.
        """
        if name not in self.responses:
            return
        histogram = self.responses[name]
        shape = truth.shape[0], reco.shape[0]
        bins = np.zeros(len(weights), np.int64)  # without a value: below all bins
        bins[truth.event] = truth.bins
        numbers = np.ravel_multi_index((bins[reco.event], reco.bins), shape)
        for method, values in eps.items():
            corrected = (weights * inversion_weight(values, self.floor).weight)[reco.event]
            row = method_row(histogram, method)
            for part, column in (("value", corrected), ("variance", corrected**2)):
                sums = np.bincount(numbers, column, minlength=shape[0] * shape[1])
                row[part] += sums.reshape(shape)

    def output(
        self,
        *,
        n_events: int,
        n_selected: int,
        n_outside: int,
        n_damaged: int,
        n_limited: int,
        event_keys: KeySample | None,
        out_of_domain: dict[str, int],
        reference: str,
        left_out: dict[str, str],
    ) -> InversionOutput:
        """Make the record of all that was filled.

        Parameters
        ----------
        n_events, n_selected, n_outside : int
            Numbers of events: processed, selected, outside the fiducial region.
        n_damaged, n_limited : int
            Numbers of events that were left out for damaged numbers, and whose weight was clipped.
        event_keys : KeySample or None
            Bootstrap keys of the selected events.
        out_of_domain : dict of str to int
            Number of events outside the domain of each efficiency that knows its own.
        reference : str
            Observable whose bins give the totals of bin-by-bin corrections.
        left_out : dict of str to str
            What the records lack for observables that are not filled.

        Returns
        -------
        InversionOutput
            Output of the chunk.
        """
        return InversionOutput(
            observables=self.observables,
            totals=self.totals,
            horvitz_thompson=self.horvitz_thompson,
            exact=self.exact,
            replicas=self.replicas,
            efficiency_replicas=self.efficiency_replicas,
            total_replicas=self.total_replicas,
            responses=self.responses,
            efficiencies=self.efficiencies,
            clipped=self.clipped,
            clipped_weight=self.clipped_weight,
            outside_weight=self.outside_weight,
            jensen=self.jensen,
            bias=self.bias,
            out_of_domain=out_of_domain,
            n_events=n_events,
            n_selected=n_selected,
            n_outside=n_outside,
            n_damaged=n_damaged,
            n_limited=n_limited,
            event_keys=event_keys,
            reference=reference,
            calibration=self.calibration,
            entry_counts=self.entry_counts,
            left_out=left_out,
            methods=self.methods,
            **({} if self.truth is None else vars(self.truth)),
        )


def _fill(histogram: Any, method: str, **values: Array) -> None:
    """Fill one method; without entries nothing is filled (hist would count the method once)."""
    if all(map(len, values.values())):
        histogram.fill(method=method, **values)


def _book_response(observable: TrackObservable, methods: list[str]) -> Any:
    """Empty histogram of true against reconstructed values."""
    (part,) = observable.axes
    edges, label = part.edges, part.label
    axes = [hist.axis.Variable(edges, name=name, label=label) for name in ("truth", "reco")]
    method = hist.axis.StrCategory(methods, name="method")
    return hist.Hist(method, *axes, storage=hist.storage.Weight())


def _totals(methods: list[str]) -> Any:
    axis = hist.axis.StrCategory(methods, name="method")
    return hist.Hist(axis, storage=hist.storage.Weight())


def _add(totals: Any, method: str, weights: Array, variances: Array) -> None:
    """Add to the sum of one method, and to its variance."""
    total = totals[method]
    totals[method] = [total.value + weights.sum(), total.variance + variances.sum()]
