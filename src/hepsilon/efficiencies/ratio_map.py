"""Binned ratios of two samples: the baseline of learned ones.

A map of the probability to come from the numerator, with both samples of equal weight, has as odds
the ratio of the densities; a map of an efficiency that has the sample as one more category is asked
twice. Replicas of a ratio of densities draw the entries of both samples in each bin by themselves,
and every replica is normalised as the ratio is: its mean over the denominator is one.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logit

from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.ratio import RatioConfig
from hepsilon.config.task import Task
from hepsilon.data.features import FeatureSpec
from hepsilon.efficiencies.map import EfficiencyMap, MapCard, bin_numbers
from hepsilon.efficiencies.ratio_base import Ratio, ratio_of
from hepsilon.efficiencies.ratio_card import RatioCard
from hepsilon.efficiencies.reweighting import clipped_ratio
from hepsilon.efficiencies.saved import SavedArrays
from hepsilon.errors import ArtifactError

__all__ = ["RatioMap", "with_side"]

SEED = 1
WORTH = ("numerator", "denominator")
"""Arrays with the effective entries of both samples in every bin, of a ratio of densities."""
SHARE = "share"
"""Array with the share of the weight of the denominator in every bin."""
PRIOR = 0.5
"""Entries by which a bin is known before any is seen: a bin without entries keeps an error."""


def with_side(nodes: Nodes, names: tuple[str, ...], side: str, value: float) -> Nodes:
    """Features with one more column, the sample that an entry is taken to be of.

    Parameters
    ----------
    nodes : ndarray of float32, shape (n, n_features)
        Features without it.
    names : tuple of str
        Features with it, in their order.
    side : str
        Its name.
    value : float
        1 for the numerator, 0 for the denominator.

    Returns
    -------
    ndarray of float32, shape (n, n_features + 1)
        Features with it.
    """
    return np.insert(nodes, names.index(side), np.float32(value), axis=1)


class RatioMap(SavedArrays[MapCard], Ratio):
    """Ratio of two samples in bins.

    Bins in which either sample has no entries are out of domain, as is what is outside of the
    binning, which takes the nearest bin. Use :func:`hepsilon.fit_ratio_map` or
    :func:`hepsilon.load`.
    """

    record, group = MapCard, "map"

    def _check(self) -> None:
        if self.card.ratio is None:
            raise ArtifactError("expected a map of a ratio, received one of an efficiency")
        sides = (*WORTH, SHARE) if self.ratio.kind == "density" else ()
        own = {name: array for name, array in self._arrays.items() if name not in sides}
        self.map = EfficiencyMap(self.card, own, self.hash)
        shape = own["n_effective"].shape
        for name in sides:
            array = self._arrays.get(name, np.empty(0))
            if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ArtifactError(f"{name}: expected finite numbers of shape {shape}")
        if sides and not (self._arrays[SHARE].sum() > 0.0 and self._least().min() >= 0.0):
            raise ArtifactError("expected effective numbers that are not negative, and shares")

    @property
    def ratio(self) -> RatioConfig:
        """Kind of the ratio, and its clip."""
        return ratio_of(self.card.task)

    @property
    def found(self) -> RatioCard:
        """Samples and normalisation."""
        assert self.card.ratio is not None
        return self.card.ratio

    @property
    def task(self) -> Task:
        """The task: objects and their features."""
        return self.card.task.without_side

    @property
    def features(self) -> FeatureSpec:
        """The features of the bins."""
        spec, side = self.card.features, self.ratio.side
        known = tuple(feature for feature in spec.features if feature.name != side)
        return spec.model_copy(update={"features": known})

    @property
    def needs_partners(self) -> bool:
        """Whether a binned feature depends on the other objects of the event."""
        return self.map.needs_partners

    @property
    def n_empty(self) -> int:
        """Number of bins in which one of the samples has no entries."""
        if self.ratio.kind == "density":
            return int(np.count_nonzero(self._least() == 0.0))
        return self.map.n_empty

    def _least(self) -> Array:
        """Effective entries of every bin in the sample that has fewer of them."""
        return np.minimum(*(self._arrays[name] for name in WORTH))

    def _of_sample(self, nodes: Nodes, value: float) -> Nodes:
        """Features as if all entries were of one sample."""
        return with_side(nodes, self.card.features.names, self.ratio.side, value)

    def _covered(self, nodes: Nodes) -> Array:
        if self.ratio.kind == "density":
            filled = self._least().ravel()[self.map._bins(nodes)] > 0.0
            return np.asarray(super()._covered(nodes) & filled)
        both = [self.map._covered(self._of_sample(nodes, value)) for value in (0.0, 1.0)]
        return np.asarray(both[0] & both[1])

    def _predict(self, offsets: Offsets, nodes: Nodes, replicas: int) -> tuple[Array, Array | None]:
        bins, found = bin_numbers(self.features, self.card.edges, nodes), self.values()
        several = (len(self.working_points),) if len(self.working_points) > 1 else ()
        values = found.reshape(-1, *several)[bins]
        if not replicas:
            return values, None
        return values, self.draws(replicas).reshape(-1, *several, replicas)[bins]

    @property
    def _axis_of_side(self) -> int:
        """Axis of the sample, in the bins of a map of efficiencies."""
        categories = [f.name for f in self.card.features.features if f.kind == "categorical"]
        return categories.index(self.ratio.side)

    def _divided(self, efficiencies: Array) -> Array:
        """Ratio of the efficiencies in the numerator and in the denominator."""
        below, above = np.moveaxis(efficiencies, self._axis_of_side, 0)
        return np.asarray(np.clip(above / below, *self.ratio.clip))

    def values(self) -> Array:
        """Ratio of every bin.

        Returns
        -------
        ndarray of float64, shape (categories..., bins..., [n_working_points])
            Axes of the categories first, then those of the binned features.
        """
        if self.ratio.kind == "efficiency":
            return self._divided(self.map.values())
        odds = logit(self.map.values())
        return clipped_ratio(odds, self.found.constant, self.ratio.clip)

    def draws(self, n_replicas: int) -> Array:
        """Ratio of every bin in each replica.

        Entries of the two samples in a bin fluctuate independently of each other: as gamma variates
        with their effective numbers for densities, and in the posteriors of their efficiencies.

        Parameters
        ----------
        n_replicas : int
            Number of replicas; fewer are the first ones of more.

        Returns
        -------
        ndarray of float64, shape (categories..., bins..., [n_working_points], n_replicas)
            Of densities each replica has a mean of one over the denominator, but for its clip.
        """
        if self.ratio.kind == "efficiency":
            return self._divided(self.map._draws(n_replicas, SEED))
        value, share = self.values(), self._arrays[SHARE]
        worth = np.stack([self._arrays[name] + PRIOR for name in WORTH])
        drawn = np.random.default_rng(SEED).standard_gamma(worth, (n_replicas, *worth.shape))
        drawn = np.maximum(drawn / worth, np.finfo(float).tiny)
        ratio = np.clip(value * drawn[:, 0] / drawn[:, 1], *self.ratio.clip)
        axes = tuple(range(1, ratio.ndim))
        mean = np.sum(ratio * share, axis=axes, keepdims=True) / share.sum()
        ratio = np.where(mean > 0.0, ratio / np.where(mean > 0.0, mean, 1.0), ratio)
        return np.moveaxis(np.clip(ratio, *self.ratio.clip), 0, -1)
