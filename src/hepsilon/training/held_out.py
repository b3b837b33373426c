"""What a training expects of events that its networks did not see, and how wrong that is by region.

Held-out events are those of the validation; with folds all events, each by the network that was not
trained on it. They give a first answer to how accurate the efficiency is (:func:`closure`), where
there is no second sample. They also show where it is biased (:func:`bias`): there the events of the
training count as well. Of these the training has taken a part of what there is to see, which is
known for the last layers: the noise of the residuals is smaller by it. What else hidden layers
have taken makes the residuals smaller still, so that a bias is rather missed than invented.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array
from scipy.special import softmax
from scipy.stats import chi2

from hepsilon.arrays.fields import partners_of
from hepsilon.arrays.statistics import effective_sample_size
from hepsilon.arrays.types import Array
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.bias import region_inputs, region_names
from hepsilon.efficiencies.held_out_cards import BiasCard, HeldOutBins, HeldOutCard
from hepsilon.efficiencies.network import logits_of, to_probability
from hepsilon.efficiencies.regions import Regions, categories_of
from hepsilon.training.kept import Kept
from hepsilon.training.preparation import Sides
from hepsilon.training.refinement_entries import leading
from hepsilon.uncertainty.bias import BiasMoments, Residuals, bias_moments
from hepsilon.uncertainty.last_layer import Covariance

__all__ = ["HeldOut"]

MOST_OBJECTS = 1_000_000
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
"""Variance of a bin, in units of the mean squared weight, below which it is not in the chi2."""


@dataclass(frozen=True)
class _Part:
    """Events of one side, of which the networks have seen some or none."""

    columns: TrainingColumns
    trained: bool
    added: Array | None


@dataclass
class _Sums:
    """Sums over entries by region; the outputs of a region follow each other."""

    values: Array
    slopes: Array
    binomial: Array
    gradient: Array
    cross: Array
    observed: Array
    expected: Array
    weights: Array
    squares: Array
    n_events: int = 0
    square: float = 0.0
    n_entries: int = 0
    inverse: Array | None = field(default=None, repr=False)
    factor: Array | None = field(default=None, repr=False)

    @classmethod
    def empty(cls, regions: int, points: int, covariance: Covariance | None) -> _Sums:
        size = regions * points
        networks, width = (0, 0) if covariance is None else covariance.inverse.shape[:2]
        matrices = (np.zeros((size, size)) for _ in range(2))
        gradients = (np.zeros((networks, size, width)) for _ in range(2))
        seen = (np.zeros((regions, points)) for _ in range(2))
        found = cls(
            np.zeros(size),
            *matrices,
            *gradients,
            *seen,
            np.zeros(regions),
            np.zeros(regions),
        )
        if covariance is not None:
            found.inverse = covariance.inverse
            found.factor = covariance.factor.reshape(networks, width, -1).astype(np.float64)
        return found

    @property
    def own(self) -> Array | None:
        """Factor of the efficiency's own covariance of the expected sums."""
        return None if self.factor is None else np.einsum("kri,kid->rd", self.gradient, self.factor)

    @property
    def noise(self) -> Array:
        """Covariance of the residuals if nothing but the last layers is uncertain."""
        own = self.own
        if own is None or self.inverse is None:
            return self.binomial
        taken = np.einsum("kri,kij,ksj->rs", self.gradient, self.inverse, self.cross, optimize=True)
        return np.asarray(self.binomial - taken - taken.T + own @ own.T)


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
    def partners(self) -> bool:
        """Whether the efficiency of an object depends on the other objects of its event."""
        own = self.kept.prepared
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
        sums = self._sums([part], regions)
        task = self.kept.prepared.config.task
        points = [str(p) for p in task.passed.working_points]
        names = region_names(task, self.partners)
        families = sorted(
            range(len(regions.columns)), key=lambda i: names[regions.columns[i]] != "all"
        )
        bins = [
            self._bins(sums, regions, family, names, point, points)
            for point in range(len(points))
            for family in families
        ]
        kind = "out of fold" if self._folds else "validation"
        return HeldOutCard(events=kind, n_events=sums.n_events, inputs=tuple(bins))

    def bias(self) -> tuple[BiasCard, dict[str, Array]]:
        """Estimate by how much the logits are wrong in regions of the inputs.

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
        sums = self._sums(parts, regions)
        points = self.kept.prepared.architecture.working_points
        groups = regions.families * regions.n_categories + regions.categories
        components = (groups[:, None] * points + np.arange(points)).ravel()
        found = bias_moments(
            Residuals(sums.values, sums.slopes, sums.binomial, sums.noise, components)
        )
        return self._card_of_bias(regions, found, sums)

    def _card_of_bias(
        self, regions: Regions, found: BiasMoments, sums: _Sums
    ) -> tuple[BiasCard, dict[str, Array]]:
        own = self.kept.prepared
        points, names = (
            own.architecture.working_points,
            region_names(own.config.task, self.partners),
        )
        factor = found.factor.reshape(regions.size, points, -1)
        shown = [names[column] for column in regions.columns]
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
            n_events=sums.n_events,
            partners=self.partners,
            regions=regions.size,
            directions=factor.shape[2],
        )
        arrays = {
            "columns": regions.columns,
            "edges": regions.edges,
            "bounds": regions.bounds,
            "factor": factor.astype(np.float32),
        }
        return card, arrays if factor.shape[2] else {}

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
        names = region_names(task, self.partners)
        known = self.kept.prepared.spec.features
        alone = {f.name for f in known if f.kind == "categorical"}
        skipped = alone if len(n_bins) > 1 and not task.of_events else set()
        columns = [i for i, name in enumerate(names) if name not in skipped]
        points = self.kept.prepared.architecture.working_points
        most = min(MOST_BINS, MOST_REGIONS // (len(columns) * len(n_bins) * points))
        whole = [int(np.clip(number, 1, max(most, 1))) for number in n_bins]
        return Regions.of(inputs, columns, categories, whole)

    def _sums(self, parts: Sequence[_Part], regions: Regions) -> _Sums:
        points = self.kept.prepared.architecture.working_points
        sums = _Sums.empty(regions.size, points, self.covariance)
        for part in parts:
            done = 0
            for start in range(0, part.columns.n_events, EVENTS):
                stop = min(start + EVENTS, part.columns.n_events)
                some = part.columns.between(start, stop)
                done += self._add(sums, regions, some, part, done)
        return sums

    def _add(
        self, sums: _Sums, regions: Regions, some: TrainingColumns, part: _Part, done: int
    ) -> int:
        """Add some events of a part; the number of their entries."""
        own = self.kept.prepared
        mu, of_events = own.recipe.mu, own.config.task.of_events
        logits, features, shares = self._networks(some)
        n, points, networks = logits.shape
        if networks == 1 or self._folds:
            nominal = np.einsum("npk,nk->np", logits, shares)
        else:
            flat = np.moveaxis(logits, 2, 0)
            eps = [to_probability(x[:, 0] if points == 1 else x, mu) for x in flat]
            nominal = logits_of(np.mean(eps, axis=0), mu)
        if part.added is not None:
            nominal = nominal + part.added[done : done + n]
        passed, weights, per_event = _of_entries(some, of_events)
        bins = _softmax(nominal + np.log(mu))
        residual = (passed[:, None] == np.arange(1, points + 1)) - bins
        inputs, categories = self._inputs(some)
        numbers = regions.numbers(inputs, categories)
        families = numbers.shape[1]
        place = np.arange(0, n * families + 1, families)
        rows = csr_array((np.ones(numbers.size), numbers.ravel(), place), (n, regions.size))
        sums.values += (rows.T @ (weights[:, None] * residual)).ravel()
        passing = passed[:, None] > np.arange(points)
        sums.observed += rows.T @ (weights[:, None] * passing)
        sums.expected += rows.T @ (weights[:, None] * np.cumsum(bins[:, ::-1], axis=1)[:, ::-1])
        sums.weights += rows.T @ weights
        sums.squares += rows.T @ weights**2
        sums.square += float(np.sum(weights**2))
        sums.n_entries += n
        sums.n_events += some.n_events
        for p, q, curvature in _curvatures(bins):
            for matrix, weight in ((sums.slopes, weights), (sums.binomial, weights**2)):
                scaled = csr_array(rows.multiply((weight * curvature)[:, None]))
                matrix[p::points, q::points] += (rows.T @ scaled).toarray()
        if features is None:
            return n
        width = features.shape[2]
        for k in range(networks):
            inner = np.concatenate([features[:, k], np.ones((n, 1), np.float32)], axis=1)
            inner = inner.astype(np.float64)
            for p, q, curvature in _curvatures(bins):
                columns = slice(q * (width + 1), (q + 1) * (width + 1))
                scaled = (shares[:, k] * weights * curvature)[:, None] * inner
                sums.gradient[k, p::points, columns] += rows.T @ scaled
            if not part.trained:
                continue
            counts = own.resampling.counts(some.keys, k)[per_event]
            objects = np.diff(some.offsets)[per_event] if not of_events else 1.0
            trained = _softmax(logits[:, :, k])
            norm = mu + (1.0 - mu) * bins.sum(axis=1)
            for p, q, curvature in _curvatures(trained):
                columns = slice(q * (width + 1), (q + 1) * (width + 1))
                scale = weights**2 * counts / objects * norm * curvature
                sums.cross[k, p::points, columns] += rows.T @ (scale[:, None] * inner)
        return n

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
        logits = np.moveaxis(logits.reshape(len(logits), networks, points), 1, 2)
        shaped = None if features is None else features.reshape(len(logits), networks, -1)
        return logits, shaped, shares

    def _bins(
        self,
        sums: _Sums,
        regions: Regions,
        family: int,
        names: Sequence[str],
        point: int,
        points: Sequence[str],
    ) -> HeldOutBins:
        """The bins of one input for one working point."""
        own, n_points = np.flatnonzero(regions.families == family), len(points)
        passing = np.arange(point, n_points)  # outputs of what passes the working point
        places = own[:, None] * n_points + passing

        def block(matrix: Array) -> Array:
            return np.asarray(matrix[places][:, :, places].sum(axis=(1, 3)))

        binomial, noise, factor = block(sums.binomial), block(sums.noise), sums.own
        variance = np.diag(binomial)
        difference = sums.values[places].sum(axis=1)
        enough = variance > FEWEST * sums.square / max(sums.n_entries, 1)
        statistic, ndf, chance = _chance(difference, binomial, noise, enough)
        labels = self._categories()
        own_variance = None
        if factor is not None:
            own_variance = np.sum(factor[places].sum(axis=1) ** 2, axis=1)
        name = names[regions.columns[family]]
        effective = effective_sample_size(sums.weights[own], sums.squares[own])
        return HeldOutBins(
            name=name,
            working_point=points[point] if n_points > 1 else "",
            bins=tuple(regions.text(int(r), name) for r in own),
            categories=tuple(labels[c] for c in regions.categories[own]),
            n_effective=_plain(effective),
            observed=_plain(sums.observed[own, point]),
            expected=_plain(sums.expected[own, point]),
            variance=_plain(variance),
            efficiency_variance=None if own_variance is None else _plain(own_variance),
            chi2=statistic,
            ndf=ndf,
            p_value=chance,
        )


def _plain(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.8g}") for value in values)


def _softmax(logits: Array) -> Array:
    """Shares of the bins between working points, without that of what passes none."""
    zeros = np.zeros((len(logits), 1))
    return np.asarray(softmax(np.concatenate([zeros, logits], axis=1), axis=1)[:, 1:])


def _curvatures(bins: Array) -> Iterator[tuple[int, int, Array]]:
    """Covariances of the outputs of every entry, by the numbers of two outputs."""
    for p in range(bins.shape[1]):
        for q in range(bins.shape[1]):
            yield p, q, bins[:, p] * ((p == q) - bins[:, q])


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
