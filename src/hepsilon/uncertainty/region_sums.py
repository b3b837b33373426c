r"""Sums of residuals over entries by region, with the covariance that they have without any bias.

The residuals of a region are :math:`r = \sum w (t - p)`. They fluctuate with the responses of its
entries, by :math:`\sum w^2 p (1 - p)`, and with the last layers of the networks, by
:math:`G C G^T` with the slopes :math:`G = \sum w\, p (1 - p)\, h` and the covariance C of
:mod:`hepsilon.uncertainty.last_layer`. Where an entry was among the events of a network's training,
both fluctuate together: a response that is larger by chance has raised p. The covariance of its
term with the scores of the training is :math:`Q = \sum w\, w_t\, p (1 - p)\, h`, so that
:math:`G H^{-1} Q^T` and its transpose are subtracted. Of a fit that is as free as there are regions
nothing is left: its residuals vanish.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.special import softmax

from hepsilon.arrays.types import Array
from hepsilon.uncertainty.bias import Residuals
from hepsilon.uncertainty.last_layer import Covariance

__all__ = ["RegionEntries", "RegionSums"]


@dataclass(frozen=True)
class RegionEntries:
    """Entries with their regions, and what networks say of them.

    Attributes
    ----------
    regions : ndarray of int64, shape (n, n_families)
        Regions of every entry.
    logits : ndarray of float64, shape (n, n_working_points)
        Logits of the efficiency, of networks that were not trained on the entry where there are
        such.
    passed : ndarray of int64, shape (n,)
        Number of working points that each entry passes.
    weights : ndarray of float64, shape (n,)
        Weight of each entry.
    networks : ndarray of float64, shape (n, n_working_points, n_networks)
        Logits of every network, as they were trained.
    features : ndarray of float32, shape (n, n_networks, n_inputs), or None
        What the last layers see; None where that is not known.
    shares : ndarray of float64, shape (n, n_networks)
        Share of each network in the efficiency of the entry.
    seen : ndarray of float64, shape (n, n_networks)
        Weight of the entry in the loss of each network if it passes; zero where it was not among
        the events of its training.
    mu : float
        Weight of what did not pass, in the trainings.
    """

    regions: Array
    logits: Array
    passed: Array
    weights: Array
    networks: Array
    features: Array | None
    shares: Array
    seen: Array
    mu: float


class RegionSums:
    """Sums over entries by region; the working points of a region follow each other.

    Parameters
    ----------
    n_regions : int
        Number of regions.
    points : int
        Number of working points.
    covariance : Covariance or None
        That of the last layers; None where it is not known.
    ratio : callable, optional
        Ratio of two samples from logits (n,), with which entries that did not pass are weighted.
    """

    def __init__(
        self,
        n_regions: int,
        points: int,
        covariance: Covariance | None,
        ratio: Callable[[Array], Array] | None = None,
    ) -> None:
        size = n_regions * points
        self._ratio = ratio
        self.reweighted = np.zeros((n_regions, n_regions) if ratio else (0, 0))
        """Weights times ratios of the entries that two regions share and that did not pass."""
        self.points, self._covariance = points, covariance
        self.values = np.zeros(size)
        self.slopes, self.binomial = np.zeros((size, size)), np.zeros((size, size))
        self.observed, self.expected = (np.zeros((n_regions, points)) for _ in range(2))
        self.weights, self.squares = np.zeros(n_regions), np.zeros(n_regions)
        networks, width = (0, 0) if covariance is None else covariance.inverse.shape[:2]
        self._gradient, self._cross = (np.zeros((networks, size, width)) for _ in range(2))

    def add(self, entries: RegionEntries) -> None:
        """Add some entries.

        Parameters
        ----------
        entries : RegionEntries
            The entries.
        """
        weights, points = entries.weights, self.points
        n, families = entries.regions.shape
        starts = np.arange(0, n * families + 1, families)
        ones, n_regions = np.ones(n * families), len(self.weights)
        rows = csr_array((ones, entries.regions.ravel(), starts), (n, n_regions))
        to_regions = rows.T.tocsr()
        bins = _shares(entries.logits)
        seen = entries.passed[:, None] == np.arange(1, points + 1)
        self.values += (to_regions @ (weights[:, None] * (seen - bins))).ravel()
        eps = np.cumsum(bins[:, ::-1], axis=1)[:, ::-1]
        passing = entries.passed[:, None] > np.arange(points)
        self.observed += to_regions @ (weights[:, None] * passing)
        self.expected += to_regions @ (weights[:, None] * eps)
        self.weights += to_regions @ weights
        self.squares += to_regions @ weights**2
        for p, q, curvature in _curvatures(bins):
            noise = self._noise_of(curvature, entries.passed, bins)
            for matrix, each in (
                (self.slopes, weights * curvature),
                (self.binomial, weights**2 * noise),
            ):
                scaled = rows.multiply(each[:, None])
                matrix[p::points, q::points] += (to_regions @ scaled.tocsr()).toarray()
        if self._ratio is not None:
            new = weights * (entries.passed == 0) * self._ratio(entries.logits[:, 0])
            self.reweighted += (to_regions @ rows.multiply(new[:, None]).tocsr()).toarray()
        if self._covariance is not None and entries.features is not None:
            self._add_own(entries, entries.features, bins, to_regions)

    def _add_own(
        self, entries: RegionEntries, features: Array, bins: Array, to_regions: csr_array
    ) -> None:
        """Slopes by the last layers, and covariances with the scores of their trainings."""
        points, weights = self.points, entries.weights
        norm = entries.mu + (1.0 - entries.mu) * bins.sum(axis=1)
        width = features.shape[2] + 1
        for k in range(features.shape[1]):
            inputs = np.concatenate([features[:, k], np.ones((len(features), 1))], axis=1)
            for p, q, curvature in _curvatures(bins):
                columns = slice(q * width, (q + 1) * width)
                scale = entries.shares[:, k] * weights * curvature
                self._gradient[k, p::points, columns] += to_regions @ (scale[:, None] * inputs)
            if not entries.seen[:, k].any():
                continue
            own = _shares(entries.networks[:, :, k])
            for p, q, curvature in _curvatures(own):
                columns = slice(q * width, (q + 1) * width)
                noise = self._noise_of(curvature, entries.passed, own)
                scale = weights * entries.seen[:, k] * norm * noise
                self._cross[k, p::points, columns] += to_regions @ (scale[:, None] * inputs)

    def _noise_of(self, curvature: Array, passed: Array, bins: Array) -> Array:
        """Variance of the response of every entry: that of the efficiency or, of a ratio, as seen.

        Weights of the two samples of a ratio differ, so that they depend on the response.
        """
        return curvature if self._ratio is None else (passed - bins[:, 0]) ** 2

    @property
    def own(self) -> Array | None:
        """Factor of the covariance of the expected sums by the last layers, (n, n_directions)."""
        if self._covariance is None:
            return None
        networks, _, width = self._gradient.shape
        factor = self._covariance.factor.reshape(networks, width, -1).astype(np.float64)
        return np.asarray(np.einsum("kri,kid->rd", self._gradient, factor))

    @property
    def noise(self) -> Array:
        """Covariance of the residuals without bias, (n, n)."""
        own = self.own
        if own is None or self._covariance is None:
            return self.binomial
        steps = self._gradient @ self._covariance.inverse
        taken = np.einsum("kri,ksi->rs", steps, self._cross)
        return np.asarray(self.binomial - taken - taken.T + own @ own.T)

    def residuals(self, components: Array) -> Residuals:
        """Residuals of all regions.

        Parameters
        ----------
        components : ndarray of int64, shape (n_regions * n_working_points,)
            Which variance the shift of each region has.

        Returns
        -------
        Residuals
            With their covariance.
        """
        return Residuals(self.values, self.slopes, self.binomial, self.noise, components)


def _shares(logits: Array) -> Array:
    """Shares of the bins between working points, without that of what passes none."""
    zeros = np.zeros((len(logits), 1))
    return np.asarray(softmax(np.concatenate([zeros, logits], axis=1), axis=1)[:, 1:])


def _curvatures(bins: Array) -> Iterator[tuple[int, int, Array]]:
    """Covariances of the outputs of every entry, by the numbers of two outputs."""
    for p in range(bins.shape[1]):
        for q in range(bins.shape[1]):
            yield p, q, bins[:, p] * ((p == q) - bins[:, q])
