"""What a training expects of events that its networks did not see, and how wrong that is by region.

Held-out events are those of the validation; with folds all events, each by the network that was not
trained on it. They give a first answer to how accurate the efficiency is (:func:`closure`), where
there is no second sample. They also show where it is biased (:func:`bias`): there the events of the
training count as well. Of these the training has taken a part of what there is to see, which is
known for the last layers: the noise of the residuals is smaller by it. What else hidden layers
have taken makes the residuals smaller still, so that a bias is rather missed than invented.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.special import expit, logit
from scipy.stats import chi2

from hepsilon.arrays.fields import partners_of
from hepsilon.arrays.statistics import effective_sample_size
from hepsilon.arrays.types import Array
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.bias import region_inputs, region_names
from hepsilon.efficiencies.held_out_cards import BiasCard, HeldOutBins, HeldOutCard
from hepsilon.efficiencies.logits import by_network, mean_logits
from hepsilon.efficiencies.regions import Regions, categories_of
from hepsilon.training.kept import Kept
from hepsilon.training.loss import step_weights
from hepsilon.training.preparation import Sides
from hepsilon.training.refinement_entries import leading
from hepsilon.uncertainty.bias import BiasMoments, bias_moments
from hepsilon.uncertainty.last_layer import Covariance
from hepsilon.uncertainty.region_sums import RegionEntries, RegionSums

__all__ = ["Answers", "HeldOut"]

MOST_OBJECTS = 500_000
"""Largest number of objects of each side that are looked at."""
EVENTS = 20_000
"""Events that are evaluated at a time."""
PER_BIN = 25.0
"""Effective entries, of those that passed and of those that did not, in each bin of a category: the
statistical error of a bin is then a fifth of the smaller of them or less."""
MOST_BINS = 10
MOST_REGIONS = 1200
"""Regions of all inputs, categories and working points, whose covariance fits into memory."""
FEWEST = 5.0
"""Variance of a bin, in units of the squared weight of an effective entry, ``sum w^2 / sum w``,
below which it is not in the chi2."""


@dataclass(frozen=True)
class _Part:
    """Events of one side, of which the networks have seen some or none."""

    columns: TrainingColumns
    trained: bool
    added: Array | None


@dataclass(frozen=True)
class Answers:
    """What a training says of events that its networks did not see.

    Attributes
    ----------
    logits : ndarray of float64, shape (n, n_working_points)
        Logits of the efficiency.
    passed : ndarray of int64, shape (n,)
        Number of working points that each entry passes.
    weights : ndarray of float64, shape (n,)
        Weight of each entry.
    features : ndarray of float32, shape (n, n_networks, n_inputs), or None
        What the last layers see; None where that is not known.
    shares : ndarray of float64, shape (n, n_networks)
        Share of each network in the efficiency of the entry.
    """

    logits: Array
    passed: Array
    weights: Array
    features: Array | None
    shares: Array


@dataclass(frozen=True)
class HeldOut:
    """Held-out events of a training, and what its efficiency expects of them.

    Attributes
    ----------
    kept : Kept
        Networks after their training.
    sides : tuple of two TrainingColumns
        Events of the training and of the validation, one row for each object; with folds both are
        all events.
    covariance : Covariance or None
        That of the last layers; None where it is not known.
    added : tuple of ndarray of float64
        What trees add that were not fitted to the entry (see
        :class:`hepsilon.training.refinement.Findings`).
    """

    kept: Kept
    sides: Sides
    covariance: Covariance | None
    added: tuple[Array, ...] = ()

    @property
    def _folds(self) -> bool:
        return self.kept.prepared.resampling.folds

    @property
    def events(self) -> Literal["validation", "out of fold"]:
        """Events that are held out."""
        return "out of fold" if self._folds else "validation"

    @property
    def partners(self) -> bool:
        """Whether the efficiency of an object depends on the other objects of its event."""
        own = self.kept.prepared
        if own.config.task.alone:  # the columns hold no partners
            return False
        neighbours = own.architecture.has_edges or bool(partners_of(own.spec.names))
        return own.config.task.of_events or neighbours

    def _parts(self) -> list[_Part]:
        """Both sides, or with folds all events once."""
        sides = self.sides[:1] if self._folds else self.sides
        parts = []
        for number, side in enumerate(sides):
            added = self.added[number] if self.added else None
            parts.append(_Part(leading(side, MOST_OBJECTS), number == 0, added))
        return parts

    def closure(self) -> HeldOutCard:
        """Compare what passed with what is expected, in bins of every input.

        Returns
        -------
        HeldOutCard
            The totals and all inputs, for each working point.
        """
        part = self._parts()[-1]
        regions = self._regions([part])
        table = _Table(regions, self._sums([part], regions), self._names, self._categories())
        task = self.kept.prepared.config.task
        points = [str(p) for p in task.passed.working_points]
        families = range(len(regions.columns))
        bins = [
            table.bins(family, point, name if len(points) > 1 else "")
            for point, name in enumerate(points)
            for family in (families[-1], *families[:-1])  # the totals come first
        ]
        return HeldOutCard(events=self.events, n_events=part.columns.n_events, inputs=tuple(bins))

    def bias(
        self, ratio: Callable[[Array], Array] | None = None
    ) -> tuple[BiasCard, dict[str, Array]]:
        """Estimate by how much the logits are wrong in regions of the inputs.

        Parameters
        ----------
        ratio : callable, optional
            Ratio of two samples from logits (n,). Its mean over the entries that did not pass is
            imposed, and the shifts do not move it.

        Returns
        -------
        card : BiasCard
            Numbers for the card.
        arrays : dict of str to ndarray
            Regions and shifts (see :class:`hepsilon.efficiencies.bias.BiasTerm`); empty where no
            bias is seen.
        """
        parts = self._parts()
        regions = self._regions(parts)
        sums = self._sums(parts, regions, ratio)
        points = self.kept.prepared.architecture.working_points
        groups = regions.families * regions.n_categories + regions.categories
        components = (groups[:, None] * points + np.arange(points)).ravel()
        n_events = sum(part.columns.n_events for part in parts)
        found = bias_moments(sums.residuals(components), common_scale=ratio is not None)
        if ratio is not None:
            found = replace(found, factor=_balanced(found.factor, regions, sums.reweighted))
        return self._card_of_bias(regions, found, sums, n_events)

    def _card_of_bias(
        self, regions: Regions, found: BiasMoments, sums: RegionSums, n_events: int
    ) -> tuple[BiasCard, dict[str, Array]]:
        points = self.kept.prepared.architecture.working_points
        factor = found.factor.reshape(regions.size, points, -1)
        shown = [self._names[column] for column in regions.columns]
        spread = {
            name: float(np.sqrt(np.mean(np.sum(factor[regions.families == i] ** 2, axis=2))))
            for i, name in enumerate(shown)
        }
        # "all" is the last family: its rows are those of the totals
        rows = np.flatnonzero(np.repeat(regions.families, points) == len(shown) - 1)
        moved = np.linalg.norm(sums.slopes[rows].sum(axis=0) @ found.factor)
        expected = float(sums.expected[regions.families == len(shown) - 1, 0].sum())
        card = BiasCard(
            spread=spread,
            total_error=float(moved / abs(expected)) if expected else 0.0,
            n_events=n_events,
            partners=self.partners,
            regions=regions.size,
            directions=factor.shape[2],
            variance_of_ratio=_variance(found.factor, sums.reweighted, rows),
        )
        arrays = {
            "columns": regions.columns,
            "edges": regions.edges,
            "bounds": regions.bounds,
            "factor": factor.astype(np.float32),
        }
        return card, arrays if factor.shape[2] else {}

    @property
    def _names(self) -> tuple[str, ...]:
        return region_names(self.kept.prepared.config.task, self.partners)

    def _inputs(self, columns: TrainingColumns) -> tuple[Array, Array]:
        """Inputs of the entries, and their categories."""
        own = self.kept.prepared
        task = own.config.task
        inputs = region_inputs(task, self.partners, columns.offsets, columns.nodes)
        return inputs, categories_of(None if task.of_events else own.spec, inputs)[0]

    def _categories(self) -> tuple[str, ...]:
        own = self.kept.prepared
        spec = None if own.config.task.of_events else own.spec
        return categories_of(spec, np.empty((0, len(own.spec.features)), np.float32))[1]

    def _regions(self, parts: Sequence[_Part]) -> Regions:
        """Quantile bins: as many as the effective entries of a category allow."""
        task = self.kept.prepared.config.task
        found = [self._inputs(part.columns) for part in parts]
        inputs, categories = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        passed, weights = (
            np.concatenate([_of_entries(part.columns, task.of_events)[i] for part in parts])
            for i in (0, 1)
        )
        n_bins = []
        for category in range(len(self._categories())):
            rows = categories == category
            worth = [
                effective_sample_size(np.sum(weights[mine]), np.sum(weights[mine] ** 2))
                for mine in (rows & (passed > 0.5), rows & (passed < 0.5))
            ]
            n_bins.append(min(worth) / PER_BIN)
        known = self.kept.prepared.spec.features
        alone = {f.name for f in known if f.kind == "categorical"}
        skipped = alone if len(n_bins) > 1 and not task.of_events else set()
        columns = [i for i, name in enumerate(self._names) if name not in skipped]
        points = self.kept.prepared.architecture.working_points
        most = min(MOST_BINS, MOST_REGIONS // (len(columns) * len(n_bins) * points))
        whole = [int(np.clip(number, 1, max(most, 1))) for number in n_bins]
        return Regions.of(inputs, columns, categories, whole)

    def _sums(
        self,
        parts: Sequence[_Part],
        regions: Regions,
        ratio: Callable[[Array], Array] | None = None,
    ) -> RegionSums:
        """Sums over all entries of some parts."""
        points = self.kept.prepared.architecture.working_points
        sums = RegionSums(regions.size, points, self.covariance, ratio)
        for part in parts:
            done = 0
            for start in range(0, part.columns.n_events, EVENTS):
                stop = min(start + EVENTS, part.columns.n_events)
                some = part.columns.between(start, stop)
                entries = self._entries(some, regions, part, done)
                sums.add(entries)
                done += len(entries.passed)
        return sums

    def _entries(
        self, some: TrainingColumns, regions: Regions, part: _Part, done: int
    ) -> RegionEntries:
        """Some events of a part, behind so many of its entries."""
        own = self.kept.prepared
        mu, of_events = own.recipe.mu, own.config.task.of_events
        networks, features, shares = self._networks(some)
        n, _, n_networks = networks.shape
        logits = self._logits(networks, shares)
        if part.added is not None:
            logits = logits + part.added[done : done + n]
        passed, weights, events = _of_entries(some, of_events)
        seen = np.zeros((n, n_networks))
        if part.trained:
            objects = np.ones(n) if of_events else np.diff(some.offsets)[events]
            counts = [own.resampling.counts(some.keys, k)[events] for k in range(n_networks)]
            seen = (weights / objects)[:, None] * np.stack(counts, axis=1)
            seen *= step_weights(networks[:, 0], own.recipe.loss)
        inputs, categories = self._inputs(some)
        return RegionEntries(
            regions=regions.numbers(inputs, categories),
            logits=logits,
            passed=passed,
            weights=weights,
            networks=networks,
            features=features,
            shares=shares,
            seen=seen,
            mu=mu,
        )

    def _logits(self, networks: Array, shares: Array) -> Array:
        """Logits (n, working points) of the efficiency, from those of its networks."""
        mu = self.kept.prepared.recipe.mu
        if networks.shape[2] == 1 or self._folds:
            logits = np.einsum("npk,nk->np", networks, shares)
        else:
            logits = mean_logits(networks, mu)
        return np.asarray(logits + np.log(mu))

    def answers(self) -> tuple[Answers, ...]:
        """Logits of entries, with what they are compared with.

        Returns
        -------
        tuple of Answers
            One row for each entry: of the training, and held out; with folds all are held out.
        """
        return tuple(self._answers(part) for part in self._parts())

    def _answers(self, part: _Part) -> Answers:
        found: list[Any] = []
        for start in range(0, part.columns.n_events, EVENTS):
            some = part.columns.between(start, min(start + EVENTS, part.columns.n_events))
            networks, features, shares = self._networks(some)
            passed, weights, _ = _of_entries(some, self.kept.prepared.config.task.of_events)
            found.append((self._logits(networks, shares), passed, weights, features, shares))
        joined: list[Any] = [
            None if column[0] is None else np.concatenate(column)
            for column in zip(*found, strict=True)
        ]
        answers = Answers(*joined)
        if part.added is None:
            return answers
        return replace(answers, logits=answers.logits + part.added[: len(answers.logits)])

    def averaged(self) -> tuple[Answers, ...]:
        """All entries with the logits of the mean of the networks, as the efficiency is asked.

        Returns
        -------
        tuple of Answers
            With folds each entry has been in the training of all networks but one.
        """
        if not self._folds:
            return self.answers()
        found = []
        for logits, passed, weights in self.of_networks():
            mean = logit(expit(logits).mean(axis=1))[:, None]
            shares = np.full(logits.shape, 1.0 / logits.shape[1])
            found.append(Answers(mean, passed, weights, None, shares))
        return tuple(found)

    def of_networks(self) -> list[tuple[Array, Array, Array]]:
        """Logits of every network, of one working point, as they were trained.

        Returns
        -------
        list of tuple of ndarray
            Logits (n, n_networks), numbers of working points that are passed, and weights.
        """
        own, found = self.kept.prepared, []
        own.engine.set_members([fit.weights for fit in self.kept.fits])
        for part in self._parts():
            for start in range(0, part.columns.n_events, EVENTS):
                some = part.columns.between(start, min(start + EVENTS, part.columns.n_events))
                of_events, objects = own.config.task.of_events, own.architecture.objects
                rows = some if objects is None else some.joined(objects)
                logits = own.engine.logits(rows.offsets, rows.nodes)
                if of_events and objects is None:
                    logits = logits[some.offsets[:-1]]
                passed, weights, _ = _of_entries(some, of_events)
                found.append((by_network(logits, 1)[:, 0] + np.log(own.recipe.mu), passed, weights))
        return found

    def _networks(self, some: TrainingColumns) -> tuple[Array, Array | None, Array]:
        """Logits and hidden features of all networks, and the share of each in the efficiency.

        Shapes (n, working points, networks), (n, networks, inputs) and (n, networks).
        """
        own = self.kept.prepared
        points, task = own.architecture.working_points, own.config.task
        networks = 1 if own.resampling.kind == "bootstrap" else len(self.kept.fits)
        rows = some
        if own.architecture.objects is not None:
            rows = some.joined(own.architecture.objects)
        own.engine.set_members([fit.weights for fit in self.kept.fits[:networks]])
        both = None
        if self.covariance is not None:
            both = own.engine.with_features(rows.offsets, rows.nodes, networks)
        if both is None:
            logits, features = own.engine.logits(rows.offsets, rows.nodes), None
        else:
            logits, features = both
        if task.of_events and own.architecture.objects is None:
            logits = logits[some.offsets[:-1]]
            features = None if features is None else features[some.offsets[:-1]]
        per_event = _of_entries(some, task.of_events)[2]
        shares = np.full((len(logits), networks), 1.0 / networks)
        if self._folds:
            mine = [own.resampling.validated(some.keys, k)[per_event] for k in range(networks)]
            shares = np.stack(mine, axis=1).astype(np.float64)
        shaped = None if features is None else features.reshape(len(logits), networks, -1)
        return by_network(logits, points), shaped, shares


def _balanced(factor: Array, regions: Regions, reweighted: Array) -> Array:
    """Shifts that do not move the mean of a ratio: a constant of all entries goes against them."""
    everywhere = regions.families == len(regions.columns) - 1
    sums = np.diag(reweighted)
    centred = factor.copy()
    centred[everywhere] -= sums @ factor / sums[everywhere].sum()
    return np.asarray(centred)


def _variance(factor: Array, reweighted: Array, everywhere: Array) -> float:
    """Mean variance of the shifts of a ratio over the reweighted entries; zero without one."""
    if not reweighted.size:
        return 0.0
    total = float(np.diag(reweighted)[everywhere].sum())
    return max(float(np.einsum("rd,rs,sd->", factor, reweighted, factor) / total), 0.0)


class _Table:
    """Passed against expected entries in the bins of every input."""

    def __init__(
        self, regions: Regions, sums: RegionSums, names: Sequence[str], categories: Sequence[str]
    ) -> None:
        self.regions, self.sums, self.names, self.categories = regions, sums, names, categories
        self.noise, self.own = sums.noise, sums.own

    def bins(self, family: int, point: int, working_point: str) -> HeldOutBins:
        """The bins of one input for one working point."""
        regions, sums, n_points = self.regions, self.sums, self.sums.points
        mine = np.flatnonzero(regions.families == family)
        # what passes the working point is in one of the bins from it to the tightest
        places = mine[:, None] * n_points + np.arange(point, n_points)

        def block(matrix: Array) -> Array:
            return np.asarray(matrix[places[:, :, None, None], places].sum(axis=(1, 3)))

        binomial, noise = block(sums.binomial), block(self.noise)
        variance = np.diag(binomial)
        weights, squares = sums.weights[mine], sums.squares[mine]
        per_entry = np.divide(
            squares, weights, out=np.full_like(weights, np.inf), where=weights > 0
        )
        enough = variance > FEWEST * per_entry**2
        difference = sums.values[places].sum(axis=1)
        statistic, ndf, chance = _chance(difference, binomial, noise, enough)
        own = None
        if self.own is not None:
            own = _plain(np.sum(self.own[places].sum(axis=1) ** 2, axis=1))
        name = self.names[regions.columns[family]]
        return HeldOutBins(
            name=name,
            working_point=working_point,
            bins=tuple(regions.text(int(region), name) for region in mine),
            categories=tuple(self.categories[c] for c in regions.categories[mine]),
            n_effective=_plain(effective_sample_size(weights, squares)),
            observed=_plain(sums.observed[mine, point]),
            expected=_plain(sums.expected[mine, point]),
            variance=_plain(variance),
            efficiency_variance=own,
            chi2=statistic,
            ndf=ndf,
            p_value=chance,
        )


def _plain(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.8g}") for value in values)


def _of_entries(columns: TrainingColumns, of_events: bool) -> tuple[Array, Array, Array]:
    """Working points that each entry passes, its weight, and the number of its event."""
    weights = np.asarray(columns.weights, np.float64)
    if of_events:
        passed = columns.passed[columns.offsets[:-1]]
        return passed.astype(np.int64), weights, np.arange(columns.n_events)
    events = np.repeat(np.arange(columns.n_events), np.diff(columns.offsets))
    return columns.passed.astype(np.int64), weights[events], events


def _chance(
    difference: Array, binomial: Array, noise: Array, enough: Array
) -> tuple[float, int, float]:
    """Sum of squared pulls, the number of bins, and the chance of a larger sum.

    The pulls are correlated: the sum is distributed as a scaled chi2 with equal mean and variance
    (F. E. Satterthwaite, Biometrics Bulletin 2 (1946) 110).
    """
    used = np.flatnonzero(enough)
    if not len(used):
        return 0.0, 0, 1.0
    scale = np.sqrt(np.diag(binomial)[used])
    matrix = noise[np.ix_(used, used)] / np.outer(scale, scale)
    spread = np.sqrt(np.maximum(np.diag(matrix), 0.02))
    correlation = matrix / np.outer(spread, spread)
    statistic = float(np.sum((difference[used] / scale / spread) ** 2))
    mean, squares = float(np.trace(correlation)), float(np.sum(correlation**2))
    freedom = mean**2 / squares
    return statistic, len(used), float(chi2.sf(statistic * freedom / mean, freedom))
