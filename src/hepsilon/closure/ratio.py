r"""Closure of a ratio of densities: the reweighted denominator against the numerator.

Shares of the sum of weights are compared, :math:`n_i / N` of the numerator with
:math:`\sum_{j \in i} w_j r_j / \sum_j w_j` of the denominator, where the mean of the ratio is no
free factor. Their covariance is that of both samples, with the fluctuation of the sums that they
are divided by, and of the ratio's own replicas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import chi2

from hepsilon.arrays.statistics import area_under_curve, effective_sample_size
from hepsilon.arrays.types import Array
from hepsilon.closure.entries import Entries, names_of, read_entries
from hepsilon.closure.questions import trained_on
from hepsilon.closure.ratio_record import (
    Agreement,
    RatioClosure,
    RatioObservable,
    RatioVerdict,
    SampleSums,
)
from hepsilon.closure.ratio_verdict import SIDES, judge_ratio
from hepsilon.closure.two_sample import N_DRAWS, cross_fitted_score, two_sample_test
from hepsilon.closure.two_sample_record import TwoSample
from hepsilon.config.file import InputConfig
from hepsilon.config.verdict import VerdictConfig
from hepsilon.data.missing import is_missing
from hepsilon.data.sources import Files, file_names
from hepsilon.efficiencies.card import provenance
from hepsilon.efficiencies.ratio_base import Ratio
from hepsilon.efficiencies.ratio_card import check_two_samples
from hepsilon.errors import ConfigError, InputError
from hepsilon.uncertainty.replicas import shrunk_covariance

__all__ = ["Weighted", "agreement", "close_ratio", "ratio_closure"]

NAME, GIVEN = "ratio", "given"
MOST_BINS = 20
PER_BIN = 50.0
"""Effective entries of the smaller sample in each bin, in which the entries have equal numbers."""
SMALLEST = 1e-9
"""Eigenvalues of a covariance, in units of the largest one, that are zero."""
MOST_ENTRIES = 40_000
"""Entries of both samples that trees are asked about."""
TINY = 1e-12
ROUNDING = 1e-9
"""Relative distance to a bound of the clip within which a ratio is at it."""


@dataclass(frozen=True)
class Weighted:
    """Entries of one sample with their weights and ratios.

    Attributes
    ----------
    values : ndarray of float, shape (n,)
        Observable; what is missing is NaN, and in no bin.
    weights : ndarray of float64, shape (n,)
        Weights.
    ratio : ndarray of float64, shape (n,), or None
        Factors of the weights; None for ones.
    replicas : ndarray of float64, shape (n, n_replicas), or None
        Replicas of the factors.
    moved : ndarray of float64, shape (n, n_replicas), or None
        Replicas of the weights, in units of these, of a sample that is weighted with a ratio.
    """

    values: Array
    weights: Array
    ratio: Array | None = None
    replicas: Array | None = None
    moved: Array | None = None

    def shares(self, edges: Array) -> tuple[Array, Array, Array | None]:
        """Shares of the sum of weights in bins, their covariance, and that of the replicas."""
        number = np.searchsorted(edges, self.values, side="right") - 1
        number[self.values == edges[-1]] = len(edges) - 2
        n_bins = len(edges) - 1
        inside = (number >= 0) & (number < n_bins)
        bins, own = number[inside], self.weights
        total = float(own.sum())
        factor = np.ones(len(own)) if self.ratio is None else self.ratio

        def sums(of_entries: Array) -> Array:
            return np.bincount(bins, of_entries[inside], minlength=n_bins)

        shares = sums(own * factor) / total
        squares = sums(own**2 * factor)
        covariance = np.diag(sums((own * factor) ** 2))
        covariance = covariance - np.outer(shares, squares) - np.outer(squares, shares)
        covariance += np.outer(shares, shares) * float(np.sum(own**2))
        drawn = [sums(new) / whole for new, whole in self.drawn(factor)]
        model = shrunk_covariance(np.stack(drawn)) if len(drawn) > 1 else None
        return shares, covariance / total**2, model

    def drawn(self, factor: Array) -> Iterator[tuple[Array, float]]:
        """Weights times factors, and the sum of the weights, in every replica.

        Parameters
        ----------
        factor : ndarray of float64, shape (n,)
            Factors where these have no replicas.

        Yields
        ------
        weights : ndarray of float64, shape (n,)
            Weights with the factors.
        total : float
            Sum of the weights without them.
        """
        numbers = [each.shape[1] for each in (self.replicas, self.moved) if each is not None]
        for k in range(min(numbers, default=0)):
            own = self.weights if self.moved is None else self.weights * self.moved[:, k]
            yield own * (factor if self.replicas is None else self.replicas[:, k]), float(own.sum())


def agreement(reference: Array, shares: Array, covariance: Array) -> Agreement:
    """Compare shares with those of a reference.

    Parameters
    ----------
    reference, shares : ndarray of float64, shape (n_bins,)
        Shares that are compared.
    covariance : ndarray of float64, shape (n_bins, n_bins)
        Covariance of their difference, which may have directions without variance.

    Returns
    -------
    Agreement
        The chi2, and the mean bias.
    """
    difference = shares - reference
    values, vectors = np.linalg.eigh(covariance)
    known = values > SMALLEST * max(float(values[-1]), 0.0)
    statistic = float(np.sum((vectors[:, known].T @ difference) ** 2 / values[known]))
    ndf = int(np.count_nonzero(known))
    excess = np.where(reference > 0.0, difference**2 - np.diag(covariance), 0.0)
    below = np.where(reference > 0.0, reference, 1.0)
    bias = float(np.sqrt(max(float(np.sum(excess / below)), 0.0)))
    chance = float(chi2.sf(statistic, ndf)) if ndf else None
    return Agreement(chi2=statistic, ndf=ndf, p_value=chance, bias=bias)


def _bins(numerator: Weighted, denominator: Weighted) -> tuple[Array, Array | None] | None:
    """Edges of bins with equal numbers of entries, or around few values, and these; or None."""
    here = [side.values[np.isfinite(side.values)] for side in (numerator, denominator)]
    both = np.concatenate(here)
    if not all(map(len, here)) or both.min() == both.max():
        return None
    worth = min(
        float(effective_sample_size(side.weights.sum(), np.sum(side.weights**2)))
        for side in (numerator, denominator)
    )
    distinct = np.unique(both)
    if len(distinct) <= MOST_BINS:
        between = 0.5 * (distinct[1:] + distinct[:-1])
        return np.concatenate([[distinct[0] - 0.5], between, [distinct[-1] + 0.5]]), distinct
    n_bins = int(np.clip(worth / PER_BIN, 2, MOST_BINS))
    edges: Array = np.unique(np.quantile(both, np.linspace(0.0, 1.0, n_bins + 1)))
    return (edges, None) if len(edges) > 2 else None


def _observable(
    numerator: Weighted, denominator: Weighted, feature: bool
) -> RatioObservable | None:
    """One observable before and after reweighting."""
    bins = _bins(numerator, denominator)
    if bins is None:
        return None
    edges, values = bins
    reference, own, _ = numerator.shares(edges)
    shares, before, given = replace(denominator, ratio=None, replicas=None).shares(edges)
    reweighted, after, model = denominator.shares(edges)
    error = after if model is None else after + model
    return RatioObservable(
        feature=feature,
        edges=edges.tolist(),
        values=None if values is None else values.tolist(),
        numerator=reference.tolist(),
        denominator=shares.tolist(),
        reweighted=reweighted.tolist(),
        numerator_variance=np.diag(own).tolist(),
        reweighted_variance=np.diag(after).tolist(),
        model_variance=None if model is None else np.diag(model).tolist(),
        before=agreement(reference, shares, own + (before if given is None else before + given)),
        after=agreement(reference, reweighted, own + error),
    )


@dataclass(frozen=True)
class _Sample:
    """Entries of one sample, with what the ratio says of them."""

    entries: Entries
    ratio: Array
    replicas: Array | None
    moved: Array | None
    clipped: Array
    inside: Array

    @classmethod
    def of(cls, entries: Entries, ratio: Ratio) -> _Sample:
        low, high = ratio.ratio.clip
        values, drawn = _odds(entries.eps[NAME][:, 0]), entries.replicas.get(NAME)
        moved = entries.replicas.get(GIVEN)
        if moved is not None:
            # a training of its own: its draws are independent, and go with others of the ratio
            moved = np.roll(_odds(moved[:, 0]), 1, axis=1) / _odds(entries.eps[GIVEN])
        return cls(
            entries,
            values,
            None if drawn is None else _odds(drawn[:, 0]),
            moved,
            (values <= low * (1.0 + ROUNDING)) | (values >= high * (1.0 - ROUNDING)),
            entries.inside[NAME],
        )

    def sums(self, files: list[str]) -> SampleSums:
        weights = self.entries.weights
        sizes = np.abs(weights)
        return SampleSums(
            files=files,
            n=len(self.entries),
            sum_of_weights=float(weights.sum()),
            n_effective=float(effective_sample_size(weights.sum(), np.sum(weights**2))),
            n_outside=int(np.count_nonzero(~self.inside)),
            outside_share=float(sizes[~self.inside].sum() / max(float(sizes.sum()), TINY)),
        )

    def column(self, number: int, *, weighted: bool) -> Weighted:
        values = self.entries.inputs[:, number].astype(np.float64)
        values[is_missing(self.entries.inputs[:, number])] = np.nan
        weights = self.entries.weights
        if not weighted:
            return Weighted(values, weights)
        return Weighted(values, weights, self.ratio, self.replicas, self.moved)

    @property
    def model_error(self) -> float | None:
        """Error of the mean of the ratio by the ratio's own error; None where it is not known."""
        drawn = Weighted(self.ratio, self.entries.weights, None, self.replicas, self.moved)
        means = [float(new.sum() / total) for new, total in drawn.drawn(self.ratio)]
        return float(np.std(means, ddof=1)) if len(means) > 1 else None


def ratio_closure(
    ratio: Ratio,
    numerator: Files,
    denominator: Files | None = None,
    *,
    given: Ratio | None = None,
    config: InputConfig | None = None,
    thresholds: VerdictConfig | None = None,
    two_sample: bool = False,
    draws: int = N_DRAWS,
    max_events: int | None = None,
    progress: bool = True,
) -> RatioClosure:
    """Compare two samples before and after reweighting one of them.

    Parameters
    ----------
    ratio : Ratio
        Ratio of densities, learned or binned.
    numerator, denominator : str, Path, Source or iterable of these
        Files of the samples, which are to be others than those of the training. Where a field tells
        the samples apart, the files of both are ``numerator``.
    given : Ratio, optional
        Ratio of the features that this one is conditional on, with which the denominator is
        weighted before and after: what is compared is the rest. Its error is part of the chi2;
        its replicas are taken as independent of those of the ratio.
    config : InputConfig, optional
        Places of the columns; by default those of the training.
    thresholds : VerdictConfig, optional
        Thresholds of the verdict.
    two_sample : bool, default False
        Whether trees are tested against chance, too, which takes minutes.
    draws : int, default 199
        Number of samples with drawn responses for that.
    max_events : int, optional
        Number of events of each sample after which no more are read.
    progress : bool, default True
        Whether to show a bar.

    Returns
    -------
    RatioClosure
        Observables, normalisation, areas and verdict.

    Raises
    ------
    ConfigError
        For a ratio of efficiencies, or a sample that is not named.
    InputError
        For a sample without entries, one whose weights have no positive sum, or a file in both.
    """
    if ratio.ratio.kind != "density":
        raise ConfigError(
            "this closure is of a ratio of densities; of a ratio of efficiencies check those of "
            'both samples: ratio.efficiency("numerator") and ratio.efficiency("denominator")'
        )
    if bool(ratio.ratio.given) != (given is not None):
        raise ConfigError(
            f"the ratio is conditional on {list(ratio.ratio.given) or 'nothing'}: expected "
            + ("the ratio of these, as given" if ratio.ratio.given else "none that is given")
        )
    config = config or ratio.input
    named = {"numerator": numerator}
    samples: dict[str, Entries] = {}
    if ratio.ratio.field is not None:
        if denominator is not None:
            raise ConfigError(
                f"{ratio.ratio.field!r} tells the samples apart: expected one list of files"
            )
        both = _read(ratio, given, numerator, config, max_events)
        samples = {side: _only(both, both.passed == (side == "numerator")) for side in SIDES}
    else:
        if denominator is None:
            raise ConfigError("the denominator of the ratio is not named: expected its files")
        named["denominator"] = denominator
        check_two_samples(file_names(numerator), file_names(denominator))
        for side, files in named.items():
            value = float(side == "numerator")
            branches = {**config.branches, ratio.ratio.side: value}
            own = config.model_copy(update={"branches": branches})
            drawn = two_sample or side == "denominator"  # only what is reweighted needs an error
            samples[side] = _read(ratio, given, files, own, max_events, replicas=drawn)
    if given is not None:
        samples["denominator"] = _weighted_by_given(samples["denominator"])
    seen = [
        name for files in named.values() for name in trained_on({NAME: ratio}, files).get(NAME, [])
    ]
    files_of = {
        side: [Path(name).name for name in file_names(files)] for side, files in named.items()
    }
    return close_ratio(
        ratio,
        samples["numerator"],
        samples["denominator"],
        files=files_of,
        seen=seen,
        thresholds=thresholds,
        draws=draws if two_sample else 0,
    )


def _weighted_by_given(entries: Entries) -> Entries:
    """Entries with the weights that make the features of a ratio those of the numerator."""
    return replace(entries, weights=entries.weights * _odds(entries.eps[GIVEN][:, 0]))


def _read(
    ratio: Ratio,
    given: Ratio | None,
    files: Files,
    config: InputConfig,
    max_events: int | None,
    *,
    replicas: bool = True,
) -> Entries:
    """Entries of a sample with the probability to be of the numerator, and its replicas."""
    networks: dict[str, Any] = {NAME: _Probability(ratio)}
    if given is not None:
        networks[GIVEN] = _Probability(given)
    asked = ratio.task
    return read_entries(
        files, asked, networks, config, max_events=max_events, replicas=replicas, domains=True
    )


class _Probability:
    """A ratio r with its domain as the probability r / (1 + r), as an efficiency."""

    def __init__(self, ratio: Ratio) -> None:
        self._ratio = ratio
        self.task, self.working_points = ratio.task, ratio.working_points

    def __call__(self, records: Any, /) -> Any:
        return self.evaluate(records, out_of_domain="ignore", replicas=False).eps

    def in_domain(self, records: Any, /) -> Any:
        return self._ratio.in_domain(records)

    def evaluate(self, records: Any, /, **options: Any) -> Any:
        found = self._ratio.evaluate(records, **options)
        drawn = None if found.replicas is None else found.replicas / (1.0 + found.replicas)
        return replace(found, eps=found.eps / (1.0 + found.eps), replicas=drawn)


def _odds(probability: Array) -> Array:
    """Ratio of a probability of :class:`_Probability`."""
    return np.asarray(probability / (1.0 - probability))


def _only(entries: Entries, rows: Array) -> Entries:
    """Some of the entries, with all events."""

    def of(columns: Mapping[str, Array]) -> dict[str, Array]:
        return {name: values[rows] for name, values in columns.items()}

    names = "inputs", "passed", "category", "events", "weights"
    own = {name: getattr(entries, name)[rows] for name in names}
    own |= {name: of(getattr(entries, name)) for name in ("eps", "replicas", "inside")}
    return replace(entries, **own)


def close_ratio(
    ratio: Ratio,
    numerator: Entries,
    denominator: Entries,
    *,
    files: Mapping[str, list[str]] | None = None,
    seen: list[str] | None = None,
    thresholds: VerdictConfig | None = None,
    draws: int = 0,
) -> RatioClosure:
    """Closure of entries that are in memory (see :func:`ratio_closure`).

    Parameters
    ----------
    ratio : Ratio
        Ratio of densities.
    numerator, denominator : Entries
        Entries with r / (1 + r) of the ratio r by the name ``"ratio"``; a denominator that was
        weighted with another ratio has that one as ``"given"``.
    files : mapping of str to list of str, optional
        Names of the files of each sample.
    seen : list of str, optional
        Files that the ratio was trained on.
    thresholds : VerdictConfig, optional
        Thresholds of the verdict.
    draws : int, default 0
        Number of samples with drawn responses for the test of trees; none with 0.

    Returns
    -------
    RatioClosure
        The closure with its verdict.
    """
    for side, entries in zip(SIDES, (numerator, denominator), strict=True):
        total = float(entries.weights.sum())
        if not len(entries) or not total > 0.0:
            raise InputError(
                f"the {side}: expected entries whose weights have a positive sum, received "
                f"{len(entries)} with {total:g}"
            )
    above, below = _Sample.of(numerator, ratio), _Sample.of(denominator, ratio)
    weights = denominator.weights
    total, new = float(weights.sum()), weights * below.ratio
    mean = float(new.sum() / total)
    sizes = np.abs(new)
    names, features = names_of(ratio.task), set(ratio.task.features)
    observables = {}
    for number, name in enumerate(names):
        found = _observable(
            above.column(number, weighted=False),
            below.column(number, weighted=True),
            name in features or ratio.task.of_events,
        )
        if found is not None:
            observables[name] = found
    auc_before, auc_after, auc_error, test = _trees(ratio, above, below, draws)
    named = files or {}
    closure = RatioClosure(
        numerator=above.sums(named.get("numerator", [])),
        denominator=below.sums(named.get("denominator", [])),
        mean=mean,
        mean_error=float(np.sqrt(np.sum((weights * (below.ratio - mean)) ** 2)) / total),
        mean_model_error=below.model_error,
        n_effective=float(effective_sample_size(new.sum(), np.sum(new**2))),
        n_clipped=int(np.count_nonzero(below.clipped)),
        clipped_share=float(sizes[below.clipped].sum() / max(float(sizes.sum()), TINY)),
        auc_before=auc_before,
        auc_after=auc_after,
        auc_error=auc_error,
        two_sample=test,
        observables=observables,
        trained_on=list(seen or ()),
        verdict=RatioVerdict(status="pass", reasons=[], thresholds=thresholds or VerdictConfig()),
        **provenance({NAME: ratio}, [name for names in named.values() for name in names]),
    )
    return closure.model_copy(update={"verdict": judge_ratio(closure)})


def _trees(
    ratio: Ratio, above: _Sample, below: _Sample, draws: int
) -> tuple[float | None, float | None, float | None, TwoSample | None]:
    """Areas of trees before and after reweighting, their error, and the test against chance."""
    if find_spec("lightgbm") is None:
        return None, None, None, None
    scale = float(above.entries.weights.sum() / below.entries.weights.sum())
    some = []
    for side in (above, below):
        step = -(-len(side.entries) // (MOST_ENTRIES // 2))
        some.append(np.arange(0, len(side.entries), max(step, 1)))
    both = _for_trees(ratio, above, below, scale, some)
    signal = both.weights * both.passed
    background = both.weights * (1 - both.passed)
    factor = np.concatenate([np.ones(len(some[0])), below.ratio[some[1]]])
    areas = [
        area_under_curve(cross_fitted_score(both, name), signal, background * weight)
        for name, weight in (("nothing", np.ones(len(factor))), (NAME, factor))
    ]
    worth = [
        float(effective_sample_size(w.sum(), np.sum(w**2))) for w in (signal, background * factor)
    ]
    error = float(np.sqrt((1.0 / max(worth[0], 1.0) + 1.0 / max(worth[1], 1.0)) / 12.0))
    test = two_sample_test(both, NAME, ratio.task, draws=draws) if draws else None
    return areas[0], areas[1], error, test


def _for_trees(
    ratio: Ratio, above: _Sample, below: _Sample, scale: float, some: list[Array]
) -> Entries:
    """Some entries of both samples, of equal sums of weights, as one question of an efficiency."""
    parts = []
    for side, rows in zip((above, below), some, strict=True):
        own = _only(side.entries, rows)
        factor = (1.0 if side is above else scale) * len(side.entries) / len(rows)
        odds = side.ratio[rows]
        eps = {NAME: (odds / (1.0 + odds))[:, None], "nothing": np.full((len(rows), 1), 0.5)}
        drawn = side.replicas
        replicas = {} if drawn is None else {NAME: (drawn[rows] / (1.0 + drawn[rows]))[:, None]}
        columns = own.inputs
        if not ratio.task.of_events:
            columns = columns[:, : len(ratio.task.features)]
        parts.append(
            replace(
                own,
                inputs=columns,
                passed=np.full(len(rows), int(side is above)),
                weights=own.weights * factor,
                eps=eps,
                replicas=replicas,
                inside={},
            )
        )
    return Entries.joined(parts)
