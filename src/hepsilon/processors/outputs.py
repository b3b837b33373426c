"""Records that the processors give for each dataset, and that coffea adds chunk by chunk."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

import hist
from coffea.processor.accumulator import add, iadd

from hepsilon.arrays.repeats import KeySample
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.histograms.entries import EntryCounts
from hepsilon.histograms.methods import part_of
from hepsilon.processors.run_record import RunRecord

__all__ = [
    "CorrectionMethod",
    "Histogram",
    "Histograms",
    "InversionOutput",
    "Output",
    "TaggingOutput",
    "TruthHistograms",
]

Histogram = hist.Hist[Any]
Histograms = dict[str, Histogram]
RECONSTRUCTED = "@reco"
"""Ending of the labels of methods for which all momenta are the reconstructed ones."""


@dataclass(frozen=True)
class TruthHistograms:
    """Distance of every method to the simulated truth.

    Attributes
    ----------
    residuals : Hist
        Relative residuals (E - E_true) / E_true.
    residual_moments : Hist
        Mean and spread of these residuals.
    divergence : Hist
        Mean Kullback-Leibler divergence of the true response from the predicted one [nats].
    """

    residuals: Histogram
    residual_moments: Histogram
    divergence: Histogram

    @classmethod
    def book(cls, axes: Sequence[Any], label: str) -> TruthHistograms:
        """Make empty histograms.

        Parameters
        ----------
        axes : sequence of hist axes
            Axes of all three: the methods, and the categories if there are any.
        label : str
            Label of the axis of the residuals.

        Returns
        -------
        TruthHistograms
            Histograms without entries.
        """
        axis = hist.axis.Regular(120, -0.6, 0.6, name="x", label=label)
        moments, divergence = (hist.Hist(*axes, storage=hist.storage.Mean()) for _ in range(2))
        return cls(hist.Hist(*axes, axis, storage=hist.storage.Int64()), moments, divergence)


def _constant() -> Any:
    """A field that is equal in all chunks, and so in their sum."""
    return field(metadata={"constant": True})


def _sum_of(name: str, a: Any, b: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """One field of a sum; what was not asked for (None) is missing in both."""
    if a is None and b is None:
        return None
    if a is None or b is None:
        raise InputError(f"expected outputs of one processor: only one of them has {name}")
    return combine(a, b)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Output(Mapping[str, Any]):
    """Base of the outputs: two of them add up field by field.

    Numbers and histograms are added, dictionaries key by key (a key that only one of them has is
    kept), so that chunks and files may come in any order. Fields are attributes; they can also be
    read like the keys of a dictionary, in which fields that are None do not occur.

    Attributes
    ----------
    n_events : int
        Number of events processed.
    observables : dict of str to Hist
        Sums of weights of every observable, by its name.
    out_of_domain : dict of str to int
        Number of objects (events, for an efficiency of events) outside the domain of each
        efficiency that knows its own, by method.
    outside_weight : dict of str to float
        Sum of the weights that such an efficiency gives these objects (expected tags, or corrected
        events), by method.
    residuals : Hist or None
        Relative residuals (E - E_true) / E_true by method, where the truth is known.
    residual_moments : Hist or None
        Mean and spread of these residuals by method.
    divergence : Hist or None
        Mean Kullback-Leibler divergence of the true response from the predicted one [nats], by
        method.
    n_damaged : int
        Number of events that were left out on request, for numbers that are NaN or missing.
    n_limited : int
        Number of events whose weight was clipped to ``max_weight``.
    entry_counts : dict of str to EntryCounts
        Numbers of entries of every observable: all, NaN, and outside of the axes.
    left_out : dict of str to str
        What the records lack for the observables that were not filled, by their name.
    calibration : Hist or None
        Sums by predicted efficiency (see :mod:`hepsilon.processors.calibration`), with the axes
        ``method``, ``category``, ``part`` and ``x``. None for measured events.
    run : RunRecord or None
        Loads of artifacts by process; of :func:`hepsilon.processors.runner.run_processor` also
        files, skips, warnings and times.
    """

    n_events: int
    observables: Histograms
    out_of_domain: dict[str, int]
    residuals: Histogram | None = None
    residual_moments: Histogram | None = None
    divergence: Histogram | None = None
    n_damaged: int = 0
    n_limited: int = 0
    entry_counts: dict[str, EntryCounts] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict, metadata={"constant": True})
    calibration: Histogram | None = None
    outside_weight: dict[str, float] = field(default_factory=dict)
    run: RunRecord | None = None

    def __repr__(self) -> str:
        names = ", ".join(self.observables)
        return f"<{type(self).__name__} of {self.n_events:,} events: {names}>"

    @property
    def truth(self) -> TruthHistograms | None:
        """Distance of every method to the truth; None where it is not known."""
        distances = self.residuals, self.residual_moments, self.divergence
        if distances[0] is None or distances[1] is None or distances[2] is None:
            return None
        return TruthHistograms(distances[0], distances[1], distances[2])

    @property
    @abstractmethod
    def histograms(self) -> Mapping[str, Any]:
        """All histograms that ``histograms.json`` holds, by kind and name."""

    def __add__(self, other: Self) -> Self:
        return self._combined(other, add)

    def __iadd__(self, other: Self) -> Self:
        """Sum that reuses the histograms of the first one; the record itself stays as it was."""
        return self._combined(other, iadd)

    def _combined(self, other: Self, combine: Callable[[Any, Any], Any]) -> Self:
        if type(other) is not type(self):
            raise InputError(f"expected a {type(self).__name__} to add, received {type(other)}")
        run = _sum_of("run", self.run, other.run, add)  # first: it knows entries that count twice
        _check_observables(self, other)
        summed: dict[str, Any] = {}
        for part in fields(self):
            if part.name == "run":
                continue
            a, b = getattr(self, part.name), getattr(other, part.name)
            if not part.metadata.get("constant"):
                summed[part.name] = _sum_of(part.name, a, b, combine)
            elif a == b:
                summed[part.name] = a
            else:
                raise InputError(
                    f"expected outputs of one processor: {part.name} is {a!r} and {b!r}"
                )
        return type(self)(**summed, run=run)

    def __getitem__(self, key: str) -> Any:
        if key not in list(self):
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return (f.name for f in fields(self) if getattr(self, f.name) is not None)

    def __len__(self) -> int:
        return len(list(iter(self)))


def _check_observables(a: Output, b: Output) -> None:
    """Refuse a sum in which an observable would be that of some files only."""
    for one, other in ((a, b), (b, a)):
        for name in one.observables.keys() - other.observables.keys():
            reason = other.left_out.get(name, "it was not filled")
            raise InputError(
                f"the observable {name!r} cannot be filled in a part of the files ({reason}); name "
                "observables that all files have, under [observables] or by the argument"
            )
    for name, histogram in a.observables.items():
        if list(histogram.axes)[2:] != list(b.observables[name].axes)[2:]:
            raise InputError(
                f"the observable {name!r} has other bins in a part of the files, as bins that are "
                "chosen for a sample do; name them, under [observables] or by the argument"
            )


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TaggingOutput(Output):
    """Output of :class:`~hepsilon.processors.TruthTagging` for one dataset.

    The histograms of ``observables``, ``binomial`` and ``efficiency_replicas`` have one more entry
    :data:`~hepsilon.histograms.methods.TAG_COUNTS`: the sums over events in which the conditions
    hold, with the axes ``method``, ``category`` (of the leading pair) and ``tags``.

    Attributes
    ----------
    n_objects : int
        Number of objects processed.
    totals : Hist
        Sums of weights of all objects by method, whatever their observables are; the variances are
        those of ``binomial``, zero for direct tagging.
    observables : dict of str to Hist
        Sums of weights with the axes ``method``, ``category`` and ``x``.
    binomial : dict of str to Hist
        Histograms of the same axes whose *variances* are the sums of ``w^2 p (1 - p)``: the
        variance of (direct - expected) if p is the true probability.
    efficiency_replicas : dict of str to dict of str to Hist
        Method, then name: histograms with the axis ``replica`` in place of ``method``, of methods
        that know their own uncertainty (draws of a network's last layer or from a map's posterior,
        members of an ensemble).
    total_replicas : dict of str to Hist
        By method ``totals`` in all replicas, with the axis ``replica``.
    profiles : dict of str to Hist
        Mean and spread of the efficiency per method in bins of each observable of objects, every
        object counted once; the pictures of efficiencies show the weighted ``observables``.
    """

    n_objects: int
    totals: Histogram
    binomial: Histograms
    efficiency_replicas: dict[str, Histograms]
    total_replicas: Histograms = field(default_factory=dict)
    profiles: Histograms

    @property
    def histograms(self) -> Mapping[str, Any]:
        names = ["observables", "binomial", "efficiency_replicas", "total_replicas", "profiles"]
        names += ["calibration"]
        return {name: self[name] for name in names if name in self}


@dataclass(frozen=True)
class CorrectionMethod:
    """One way to correct selected events: an efficiency and the momenta that it is given.

    Attributes
    ----------
    name : str
        Name of the efficiency, or :data:`~hepsilon.histograms.methods.TRUTH`.
    reconstructed : bool, default False
        Whether weights and observables are from reconstructed momenta, as in data.
    """

    name: str
    reconstructed: bool = False

    @property
    def label(self) -> str:
        """Category of the method in the axes ``method``, and its key wherever it is reported."""
        return self.name + RECONSTRUCTED * self.reconstructed


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class InversionOutput(Output):
    """Output of :class:`~hepsilon.processors.EfficiencyInversion` for one dataset.

    Dictionaries by method have the label of the :class:`CorrectionMethod` as key.

    Attributes
    ----------
    totals : dict of str to Hist
        Sums over all events by method, whatever their observables are: ``weights``, with the
        variances of ``observables``, and those whose variances are ``horvitz_thompson`` and
        ``exact`` (not of measured events).
    observables : dict of str to Hist
        Sums of w / E with the axes ``method`` and ``x`` (and ``y``); the variances are sums of
        (w / E)^2 (Poisson).
    horvitz_thompson : dict of str to Hist
        Histograms whose *variances* are the sums of ``w^2 (1 - E) / E^2`` over the selected
        events: the error of the corrected number of events, given those that were generated.
    exact : dict of str to Hist or None
        Histograms whose *variances* are the sums of ``w^2 (1 - E) / E`` over all generated events:
        the variance of (corrected - generated) if E is true. None for measured events.
    replicas : dict of str to Hist or None
        Histograms with one more axis, ``replica``, of bootstrap replicas. None if not asked for.
    efficiency_replicas : dict of str to dict of str to Hist
        Method, then name: sums of w / E with the axis ``replica`` in place of ``method``, one for
        each replica of E, of methods that know their own uncertainty.
    total_replicas : dict of str to Hist
        Sums of w / E over all selected events in each replica of E, by method.
    responses : dict of str to Hist
        Sums of w / E of the selected events with the axes ``method``, ``truth`` and ``reco``, of
        the observables of events in one dimension and the methods of reconstructed momenta (see
        :func:`hepsilon.fits.response_matrix`).
    efficiencies : Hist
        Distribution of log10 E of the selected events by method: what the weights are like.
    clipped : dict of str to int
        Number of selected events whose E was below the floor, by method.
    clipped_weight : dict of str to float
        Sum of the weights of these events, by method.
    jensen : dict of str to float
        Sum over the selected events of ``w Var(E) / E^3`` by method: the upward bias of 1/E by the
        error of E, of methods that know it; of an ensemble Var(E) is that of the mean.
    bias : dict of str to float
        ``sum w (E_true / E - 1)`` over all generated events by method: the bias of the corrected
        total without the noise of the responses.
    n_selected : int
        Number of selected events.
    n_outside : int
        Number of events outside the fiducial region, which are left out of everything else.
    reference : str
        Name of the first observable of events in one dimension: its bins give the totals of
        bin-by-bin corrections. Events without a value count with the mean efficiency.
    methods : tuple of CorrectionMethod
        All methods that correct, in the order of the histograms.
    event_keys : KeySample or None
        Bootstrap keys of the events, to find those that occur twice. None without replicas.
    """

    totals: Histograms
    horvitz_thompson: Histograms
    exact: Histograms | None = None
    replicas: Histograms | None = None
    efficiency_replicas: dict[str, Histograms] = field(default_factory=dict)
    total_replicas: Histograms = field(default_factory=dict)
    responses: Histograms = field(default_factory=dict)
    efficiencies: Histogram
    clipped: dict[str, int]
    clipped_weight: dict[str, float]
    jensen: dict[str, float]
    bias: dict[str, float]
    n_selected: int
    n_outside: int
    event_keys: KeySample | None = None
    reference: str = _constant()
    methods: tuple[CorrectionMethod, ...] = _constant()

    @property
    def n_repeated(self) -> int | None:
        """Number of selected events whose numbers had occurred before; None without replicas."""
        return None if self.event_keys is None else self.event_keys.count(self.n_selected)

    @property
    def histograms(self) -> Mapping[str, Any]:
        names = ["totals", "observables", "horvitz_thompson", "exact", "replicas"]
        names += [
            "efficiency_replicas",
            "total_replicas",
            "responses",
            "efficiencies",
            "calibration",
        ]
        return {name: self[name] for name in names if name in self}

    def variance(self, name: str, method: CorrectionMethod) -> Array:
        """Variance of (corrected - generated) in the bins of an observable, if E is true.

        It is the exact one, where all generated events are known with the momenta that the method
        uses; else the estimate from the selected events (Horvitz-Thompson).

        Parameters
        ----------
        name : str
            Observable.
        method : CorrectionMethod
            One of ``methods``.

        Returns
        -------
        ndarray of float64, shape of the bins
            Variances, without flow.
        """
        known = None if method.reconstructed else self.exact
        histogram = self.horvitz_thompson if known is None else known
        variances: Array = part_of(histogram[name], method=method.label).variances()
        return variances
