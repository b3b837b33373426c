"""Efficiency inversion: any histogram of selected events, corrected with the weight 1/E."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import awkward as ak
import numpy as np
from coffea import processor

from hepsilon.arrays.checks import checked_events
from hepsilon.arrays.repeats import KeySample, repeats_text
from hepsilon.arrays.types import Array
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.events import EventChunk, event_chunk
from hepsilon.data.numbers import metadata
from hepsilon.data.objects import collection
from hepsilon.data.parts import Wanted
from hepsilon.data.selection import inside_fiducial, ordered, passed, select
from hepsilon.data.units import in_gev
from hepsilon.efficiencies.bin_by_bin import BinByBin
from hepsilon.efficiencies.loads import loads_here
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.efficiencies.protocol import SupportsEfficiency, SupportsEvaluation
from hepsilon.errors import ConfigError
from hepsilon.histograms.entries import Entries
from hepsilon.histograms.methods import GENERATED, SELECTED, TRUTH
from hepsilon.histograms.tracks import TrackObservable, track_observables
from hepsilon.processors.inversion_filling import InversionFilling
from hepsilon.processors.observables import available_observables, warn_of_entries
from hepsilon.processors.outputs import RECONSTRUCTED, CorrectionMethod, InversionOutput
from hepsilon.processors.run_record import RunRecord
from hepsilon.processors.wanted import check_levels, wanted_columns, wanted_fields
from hepsilon.uncertainty.bootstrap import bootstrap_key
from hepsilon.weights.inversion import FLOOR

__all__ = ["Correction", "EfficiencyInversion"]

logger = logging.getLogger("hepsilon")

Correction = SupportsEfficiency | BinByBin
"""Anything that selected events can be corrected with."""


@dataclass(frozen=True)
class _Sample:
    """Events of one chunk with one set of momenta.

    Attributes
    ----------
    records : ak.Array of records, jagged
        Objects of each event.
    weights : ndarray of float64, shape (n_events,)
        Weights of the events.
    selected : ndarray of bool, shape (n_events,)
        True for the events that were selected.
    keys : ndarray of uint64, shape (n_events,), or None
        Bootstrap keys; None without replicas.
    """

    records: ak.Array
    weights: Array
    selected: Array
    keys: Array | None

    def take(self, events: Array) -> _Sample:
        keys = None if self.keys is None else self.keys[events]
        return _Sample(self.records[events], self.weights[events], self.selected[events], keys)

    def ordered(self, task: Task) -> _Sample:
        return replace(self, records=ordered(self.records, task))


@dataclass(frozen=True)
class _Prediction:
    """Efficiency of all events of a sample from one method.

    Attributes
    ----------
    eps : ndarray of float64, shape (n_events,)
        The efficiencies.
    replicas : ndarray of float64, shape (n_events, n_replicas), or None
        Replicas of an efficiency that knows its own uncertainty.
    outside : ndarray of bool, shape (n_events,), or None
        True for events out of domain, of an efficiency that knows its own.
    networks : int
        Number of networks whose mean the efficiency is, where the replicas are these.
    """

    eps: Array
    replicas: Array | None = None
    outside: Array | None = None
    networks: int = 1

    @property
    def spread(self) -> Array | None:
        """Variance of the efficiency."""
        if self.replicas is None:
            return None
        return np.asarray(self.replicas.var(axis=1, ddof=1) / self.networks)

    def take(self, events: Array | slice) -> _Prediction:
        replicas = None if self.replicas is None else self.replicas[events]
        outside = None if self.outside is None else self.outside[events]
        return _Prediction(self.eps[events], replicas, outside, self.networks)


def _reference(observables: Sequence[TrackObservable]) -> str:
    """Name of the first observable of which every event has one entry, in one dimension."""
    for observable in observables:
        if observable.of_events and len(observable.parts) == 1:
            return observable.name
    raise ConfigError("expected an observable of events in one dimension, for the totals")


class EfficiencyInversion(processor.ProcessorABC):  # type: ignore[misc]
    """Selected events, corrected by any number of efficiencies, beside what was generated.

    For each observable one histogram with the axes ``method`` and ``x`` (and ``y``). Methods are
    ``selected`` (not corrected) and the names of the efficiencies; on simulated events also
    ``generated``, ``truth`` (if the task names the field), and for each learned efficiency
    ``NAME@reco``, if a collection of reconstructed objects is given: with weights and observables
    from reconstructed momenta, as in data.

    The output for each dataset is an :class:`~hepsilon.processors.outputs.InversionOutput`.

    Parameters
    ----------
    task : Task
        Task of events that the efficiencies are efficiencies of; its selection is applied.
    efficiencies : mapping of str to SupportsEfficiency or BinByBin
        Efficiencies by name: handles from :func:`hepsilon.load`, bin-by-bin corrections, or any
        callables that pickle.
    observables : sequence of TrackObservable, optional
        Observables to fill; by default :func:`hepsilon.histograms.tracks.track_observables`.
    floor : float, default FLOOR
        Explicit cutoff for E -> 0 (see :func:`hepsilon.inversion_weight`).
    replicas : int, default 0
        Number of bootstrap replicas.
    efficiency_replicas : bool or int, default True
        Whether to fill the replicas of efficiencies that know their own uncertainty, or how many
        of them (see :meth:`hepsilon.Efficiency.evaluate`).
    reconstructed : str, optional
        Collection of reconstructed objects, of the selected events.
    measured : bool, default False
        True for data: every event of the files was selected, and nothing is generated.
    config : InputConfig, optional
        Places of the columns in events without collections.

    Raises
    ------
    ConfigError
        For a task or an efficiency of objects, a name that is reserved, or options that exclude
        each other.
    """

    def __init__(
        self,
        task: Task,
        efficiencies: Mapping[str, Correction],
        *,
        observables: Sequence[TrackObservable] | None = None,
        floor: float = FLOOR,
        replicas: int = 0,
        efficiency_replicas: bool | int = True,
        reconstructed: str | None = None,
        measured: bool = False,
        config: InputConfig | None = None,
    ) -> None:
        if not task.of_events:
            raise ConfigError('efficiency inversion needs a task with level = "event"')
        built_in = (GENERATED, SELECTED, TRUTH)
        wrong = [n for n in efficiencies if n in built_in or n.endswith(RECONSTRUCTED)]
        if wrong:
            raise ConfigError(f"the names {sorted(wrong)} are reserved for built-in methods")
        check_levels(efficiencies, task)
        if measured and reconstructed is not None:
            raise ConfigError("of measured events the objects are those of task.collection")
        if not 0.0 < floor <= 1.0 or replicas < 0:
            raise ConfigError(
                f"expected a floor in (0, 1] and zero or more replicas, got {floor}, {replicas}"
            )
        self.task, self.floor, self.replicas = task, floor, replicas
        self.efficiency_replicas = efficiency_replicas
        self.observables = tuple(track_observables() if observables is None else observables)
        _reference(self.observables)
        self.efficiencies = dict(efficiencies)
        self.reconstructed, self.measured = reconstructed, measured
        self.config = config or InputConfig(schema="nanoaod")

    @property
    def reference(self) -> str:
        """Name of the first observable of events in one dimension, for bin-by-bin totals."""
        return _reference(self.observables)

    @property
    def learned(self) -> dict[str, SupportsEfficiency]:
        """Efficiencies that are evaluated on momenta, by name."""
        return {n: e for n, e in self.efficiencies.items() if not isinstance(e, BinByBin)}

    @property
    def binned(self) -> dict[str, BinByBin]:
        """Bin-by-bin corrections, by name."""
        return {n: e for n, e in self.efficiencies.items() if isinstance(e, BinByBin)}

    @property
    def has_truth(self) -> bool:
        """Whether the true efficiency is known."""
        return self.task.truth is not None and not self.measured

    @property
    def methods(self) -> list[CorrectionMethod]:
        """All methods that correct, in the order of the histograms."""
        names = [*([TRUTH] if self.has_truth else []), *self.efficiencies]
        methods = [CorrectionMethod(name) for name in names]
        reconstructed = self.learned if self.reconstructed else ()
        return methods + [CorrectionMethod(name, reconstructed=True) for name in reconstructed]

    def process(self, events: ak.Array) -> dict[str, InversionOutput]:
        """Fill all histograms with one chunk.

        Parameters
        ----------
        events : ak.Array
            A chunk with the dataset's name in its metadata, as coffea gives it.

        Returns
        -------
        dict of str to InversionOutput
            The output by dataset.
        """
        chunk = event_chunk(
            events,
            self.task,
            self.config,
            fields=wanted_fields(events, self.task, self.config, self.wanted),
            response=not self.measured,
            truth=self.has_truth,
            numbered=self.replicas > 0,
        )
        every = self._sample(chunk)
        inside = inside_fiducial(every.records, self.task)
        sample = every.take(inside).ordered(self.task)
        others = []
        if self.reconstructed is not None:
            assert chunk.kept is not None  # by event_chunk
            rows = inside & every.selected
            others.append(self._reconstructed(events[chunk.kept[rows]], every.take(rows)))
        observables, left_out = available_observables(
            self.observables, sample.records, *(other.records for other in others)
        )
        filling = InversionFilling(
            observables,
            self.methods,
            floor=self.floor,
            replicas=self.replicas,
            measured=self.measured,
            has_truth=self.has_truth,
        )
        predictions = self._truth(chunk, inside) | self._predictions(sample)
        self._fill(filling, observables, sample, predictions)
        for chosen in others:
            from_reconstructed = self._predictions(chosen, reconstructed=True)
            generated = sample.take(sample.selected)
            self._fill_reconstructed(filling, observables, chosen, generated, from_reconstructed)
            predictions |= from_reconstructed
        output = filling.output(
            n_events=chunk.n_read,
            n_damaged=chunk.n_damaged,
            n_limited=chunk.n_limited,
            event_keys=None if sample.keys is None else KeySample.of(sample.keys[sample.selected]),
            n_selected=int(np.count_nonzero(sample.selected)),
            n_outside=int(np.count_nonzero(~inside)),
            out_of_domain={
                k: int(p.outside.sum()) for k, p in predictions.items() if p.outside is not None
            },
            reference=_reference(observables),
            left_out=left_out,
        )
        output = replace(output, run=RunRecord(loads=loads_here()))
        return {metadata(events)["dataset"]: output}

    @property
    def wanted(self) -> Wanted:
        """Columns that the processor reads."""
        return wanted_columns(
            self.task,
            self.learned.values(),
            self.observables,
            response=not self.measured,
            reconstructed=self.reconstructed,
        )

    def postprocess(self, accumulator: dict[str, InversionOutput]) -> dict[str, InversionOutput]:
        """Say what the histograms do not show; the output stays as it is."""
        warn_of_entries(accumulator.values())
        for output in accumulator.values():
            if output.n_repeated:
                logger.warning("%s", repeats_text(output.n_repeated, output.n_selected))
        return accumulator

    def _sample(self, chunk: EventChunk) -> _Sample:
        """Objects of the task with what belongs to their events."""
        records = select(chunk.records, self.task)
        selected = np.ones(len(records), bool)
        if not self.measured:
            selected = np.asarray(ak.to_numpy(passed(chunk.events, self.task)))
        keys = None
        if self.replicas:
            keys = bootstrap_key(chunk.run, chunk.luminosity_block, chunk.event)
        return _Sample(records, chunk.weights, selected, keys)

    def _reconstructed(self, events: ak.Array, generated: _Sample) -> _Sample:
        """Reconstructed objects of some events, with what belongs to their events."""
        where = (self.task, self.config)
        fields = wanted_fields(events, *where, self.wanted, self.reconstructed)
        objects = collection(events, *where, self.reconstructed, fields)
        return replace(generated, records=ordered(select(objects, self.task), self.task))

    def _truth(self, chunk: EventChunk, inside: Array) -> dict[str, _Prediction]:
        """The true efficiency of all events, if it is known."""
        if not self.has_truth or chunk.events is None:
            return {}
        column = ak.to_numpy(chunk.events[self.task.truth_fields[0]])[inside]
        return {TRUTH: _Prediction(checked_events(column, len(column), TRUTH))}

    def _predictions(
        self, sample: _Sample, *, reconstructed: bool = False
    ) -> dict[str, _Prediction]:
        """All learned efficiencies of a sample, by label of the method."""
        predictions = {}
        for name, efficiency in self.learned.items():
            label = CorrectionMethod(name, reconstructed).label
            wanted = self.efficiency_replicas
            predictions[label] = _predict(label, efficiency, sample.records, replicas=wanted)
        return predictions

    def _fill(
        self,
        filling: InversionFilling,
        observables: Sequence[TrackObservable],
        sample: _Sample,
        predictions: Mapping[str, _Prediction],
    ) -> None:
        """All observables of the task's own collection."""
        eps = {label: prediction.eps for label, prediction in predictions.items()}
        chosen = sample.take(sample.selected)
        eps_chosen = self._count(filling, chosen, predictions, sample.selected)
        drawn = _replicas(predictions, sample.selected)
        filling.total_of_replicas(drawn, chosen.weights)
        records = in_gev(sample.records, self.task.unit)
        all_eps = eps | self._of_events(observables, records)
        filling.total(all_eps, sample.weights, sample.selected)
        for label in all_eps if TRUTH in eps else ():
            if label != TRUTH:
                filling.compare(label, eps[TRUTH], all_eps[label], sample.weights)
        for observable in observables:
            name = observable.name
            entries = Entries.of(observable, records)
            assert entries.counts is not None
            filling.entry_counts[name] = entries.counts
            if not self.measured:
                prediction = _of_entries(entries, eps) | self._of_bins(name, entries)
                filling.generate(name, entries, prediction, sample.weights[entries.event])
            entries = entries.of_events(sample.selected)
            weights = chosen.weights[entries.event]
            filling.select(name, entries, weights)
            prediction = _of_entries(entries, eps_chosen) | self._of_bins(name, entries)
            filling.correct(name, entries, prediction, weights, chosen.keys)
            filling.correct_replicas(name, entries, drawn, weights)

    def _fill_reconstructed(
        self,
        filling: InversionFilling,
        observables: Sequence[TrackObservable],
        sample: _Sample,
        generated: _Sample,
        predictions: Mapping[str, _Prediction],
    ) -> None:
        """All observables of the reconstructed objects of selected events."""
        eps = self._count(filling, sample, predictions, slice(None))
        for label, values in eps.items():
            filling.total_of(label, values, sample.weights)
        drawn = _replicas(predictions, slice(None))
        filling.total_of_replicas(drawn, sample.weights)
        records = in_gev(sample.records, self.task.unit)
        true_records = in_gev(generated.records, self.task.unit)
        for observable in observables:
            entries = Entries.of(observable, records)
            weights = sample.weights[entries.event]
            truth = Entries.of(observable, true_records)
            filling.respond(observable.name, truth, entries, eps, sample.weights)
            of_entries = _of_entries(entries, eps)
            filling.correct(observable.name, entries, of_entries, weights, sample.keys)
            filling.correct_replicas(observable.name, entries, drawn, weights)

    def _count(
        self,
        filling: InversionFilling,
        chosen: _Sample,
        predictions: Mapping[str, _Prediction],
        selected: Array | slice,
    ) -> dict[str, Array]:
        """Count the weights of the selected events; their efficiencies, by label."""
        eps = {}
        for label, prediction in predictions.items():
            accepted = prediction.take(selected)
            filling.count(label, accepted.eps, chosen.weights, accepted.spread, accepted.outside)
            eps[label] = accepted.eps
        return eps

    def _of_events(
        self, observables: Sequence[TrackObservable], records: ak.Array
    ) -> dict[str, Array]:
        """Efficiency of every event from the bin-by-bin corrections of the reference."""
        if not self.binned:
            return {}
        name = _reference(observables)
        entries = Entries.of(next(o for o in observables if o.name == name), records)
        eps = {k: np.full(len(records), e.card.passed_rate) for k, e in self.binned.items()}
        for label, values in self._of_bins(name, entries).items():
            eps[label][entries.event] = values
        return eps

    def _of_bins(self, name: str, entries: Entries) -> dict[str, Array]:
        """Efficiency of every entry of an observable from the bin-by-bin corrections."""
        return {label: e.efficiency(name, entries) for label, e in self.binned.items()}


def _of_entries(entries: Entries, eps: Mapping[str, Array]) -> dict[str, Array]:
    """Efficiency of the event of every entry, by label of the method."""
    return {label: column[entries.event] for label, column in eps.items()}


def _replicas(predictions: Mapping[str, _Prediction], selected: Array | slice) -> dict[str, Array]:
    """Replicas of the selected events, by label of the methods that have some.

    Networks whose mean is the efficiency are brought as close to it as their mean is to itself.
    """
    found = {}
    for label, prediction in predictions.items():
        chosen = prediction.take(selected)
        if chosen.replicas is not None:
            moved = (chosen.replicas - chosen.eps[:, None]) / np.sqrt(chosen.networks)
            found[label] = chosen.eps[:, None] + moved
    return found


def _predict(
    label: str, efficiency: SupportsEfficiency, records: ak.Array, *, replicas: bool | int
) -> _Prediction:
    """One efficiency of all events, checked."""
    if not isinstance(efficiency, SupportsEvaluation):
        return _Prediction(checked_events(efficiency(records), len(records), label))
    evaluated = efficiency.evaluate(records, out_of_domain="ignore", replicas=replicas)
    eps = checked_events(evaluated.eps, len(records), label)
    rows, networks = None, 1
    if evaluated.replicas is not None and len(ak.to_numpy(evaluated.replicas).T) > 1:
        rows = np.asarray(ak.to_numpy(evaluated.replicas), np.float64)
        if isinstance(efficiency, NetworkEfficiency) and not efficiency.draws_last_layer:
            networks = efficiency.card.averaged
    outside = ~np.asarray(ak.to_numpy(evaluated.in_domain), bool)
    return _Prediction(eps, rows, outside, networks)
