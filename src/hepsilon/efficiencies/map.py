"""Binned efficiency maps: the baseline, one map per category in (pt, eta) or any other binning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Self

import hist
import numpy as np

from hepsilon.arrays.checks import check_seed
from hepsilon.arrays.fields import partners_of
from hepsilon.arrays.kernels import bins_between
from hepsilon.arrays.statistics import observed_efficiency
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.learning import MapConfig
from hepsilon.config.task import Task
from hepsilon.data.derived import Derived
from hepsilon.data.features import Feature, FeatureSpec, Multiplicity, check_categories
from hepsilon.data.summary import check_sample
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.data.units import edges_in_gev
from hepsilon.efficiencies.base import N_REPLICAS, Efficiency
from hepsilon.efficiencies.card import ArtifactCard, BinEdges, SourceFile, versions
from hepsilon.efficiencies.profiles import WORKING_POINT, Curve, feature_label
from hepsilon.efficiencies.ratio_card import RatioCard
from hepsilon.efficiencies.saved import SavedArrays
from hepsilon.errors import ArtifactError, ConfigError, InputError, TrainingError

__all__ = ["EfficiencyMap", "MapCard", "bin_numbers"]

SEED = 1
Edges = dict[str, tuple[float, ...]]


class MapCard(ArtifactCard):
    """Card of a map.

    Attributes
    ----------
    edges : dict of str to tuple of float
        Bin edges of each binned feature, in order.
    unphysical : int
        Number of bins, of all working points, whose weighted ratio was outside [0, 1] or whose
        value was above that of the looser working point (negative weights).
    n_outside : int
        Number of objects of the sample outside the binning, which were not filled.
    ratio : RatioCard or None
        Samples and normalisation of a binned ratio; None for an efficiency.
    """

    kind: Literal["map", "ratio-map"] = "map"
    edges: dict[str, BinEdges]
    unphysical: int
    n_outside: int
    ratio: RatioCard | None = None


def _shape(features: FeatureSpec, edges: Edges) -> tuple[int, ...]:
    """Shape of the bins: categories first, then the binned features."""
    categories = [len(f.categories) for f in features.features if f.kind == "categorical"]
    return (*categories, *(len(e) - 1 for e in edges.values()))


def bin_numbers(features: FeatureSpec, edges: Edges, nodes: Nodes) -> Array:
    """Flat bin number of each object; the nearest bin outside the binning.

    The last bin of a feature includes its upper edge. An unknown category takes the first one.

    Parameters
    ----------
    features : FeatureSpec
        Categories, and behind them the binned features.
    edges : dict of str to tuple of float
        Bin edges of each binned feature.
    nodes : ndarray of float32, shape (n_objects, n_features)
        Values of these features.

    Returns
    -------
    ndarray of int64, shape (n_objects,)
        Numbers from zero.
    """
    index = []
    for column, feature in zip(nodes.T, features.features, strict=True):
        if feature.kind == "categorical":
            known = column[:, None] == np.asarray(feature.categories, column.dtype)
            index.append(known.argmax(axis=1))
        else:
            bounds = edges[feature.name]
            number = np.searchsorted(bounds, column, side="right") - 1
            index.append(np.clip(number, 0, len(bounds) - 2))
    flat: Array = np.ravel_multi_index(index, _shape(features, edges))
    return flat


class EfficiencyMap(SavedArrays[MapCard], Efficiency):
    """Efficiency in bins.

    With the weighted sums ``k`` of passed and ``n`` of all objects of a bin, the effective number
    of objects ``n_eff = n^2 / sum w^2`` and the category's mean efficiency ``p``, the value is
    ``(n_eff k / n + p) / (n_eff + 1)``: the mean of the Beta posterior whose prior is worth one
    object at ``p``. It stays inside (0, 1); a bin without objects has the value ``p`` and is out
    of domain. Objects outside the binning take the nearest bin and are out of domain, too. Of
    several working points the last axis of the values is that of the working points.

    Use :meth:`fit` or :func:`hepsilon.load`.
    """

    record, group = MapCard, "map"

    def _check(self) -> None:
        binned = [f.name for f in self.features.features if f.kind != "categorical"]
        if binned != list(self.card.edges):
            raise ArtifactError(f"expected edges of {binned}, received {list(self.card.edges)}")
        shape = _shape(self.features, self.card.edges)
        if set(self._arrays) != {"value", "low", "high", "n_effective"}:
            raise ArtifactError(f"unknown arrays of a map: {sorted(self._arrays)}")
        points = len(self.working_points)
        for name, array in self._arrays.items():
            expected = shape if points == 1 or name == "n_effective" else (*shape, points)
            numbers = array.dtype.kind == "f" and array.shape == expected
            if not numbers or not np.isfinite(array).all():
                raise ArtifactError(f"{name}: expected finite numbers of shape {expected}")
        value, low, high = (self._arrays[name] for name in ("value", "low", "high"))
        inside = (value > 0.0) & (value < 1.0) & (low >= 0.0) & (low <= high) & (high <= 1.0)
        falling = points == 1 or bool((np.diff(value, axis=-1) <= 0.0).all())
        if not inside.all() or not falling or (self._arrays["n_effective"] < 0.0).any():
            raise ArtifactError(
                "expected efficiencies in (0, 1) that fall along the working points, intervals in "
                "[0, 1], and effective numbers that are not negative"
            )

    @classmethod
    def fit(
        cls,
        task: Task,
        columns: TrainingColumns,
        config: MapConfig | None = None,
        files: tuple[SourceFile, ...] = (),
        *,
        warn: bool = True,
    ) -> Self:
        """Fill the map.

        Parameters
        ----------
        task : Task
            Task whose features hold the binned ones; each of its categories gets a map.
        columns : TrainingColumns
            The sample (see :func:`hepsilon.data.dataset.load_columns`).
        config : MapConfig, optional
            Binning; by default the 19 x 10 bins of the paper's public code in (pt, eta).
        files : tuple of SourceFile, default ()
            Files of the sample, noted in the card.
        warn : bool, default True
            Say in the log which categories know little.

        Returns
        -------
        EfficiencyMap
            The map, not yet saved.

        Raises
        ------
        ConfigError
            If a binned feature is not among the task's.
        InputError
            If all objects have the same response.
        TrainingError
            For unknown categories, or a sum of weights, of all objects or of those inside the
            binning, that is not positive.
        """
        sample = check_sample(columns, task, by_category=False, warn=warn)
        binning = config or MapConfig()
        edges = {name: axis.edges for name, axis in binning.axes.items()}
        if "axes" in binning.model_fields_set:  # the default is in GeV
            edges = edges_in_gev(edges, task.unit)
        spec = _map_features(task, edges)
        for name in task.categorical:
            check_categories(task, name, columns.nodes[:, task.features.index(name)])
        nodes = columns.nodes[:, [task.features.index(name) for name in spec.names]]
        if partners_of(spec.names):
            spec = spec.model_copy(update={"multiplicity": Multiplicity.of(columns.offsets)})
        inside = spec.in_domain(nodes)
        numbers = bin_numbers(spec, edges, nodes[inside])
        weights = columns.object_weights
        arrays, unphysical = _posteriors(
            len(task.passed.working_points),
            (numbers, columns.passed[inside], weights[inside]),
            _shape(spec, edges),
            len(edges),
        )
        card = MapCard(
            task=task,
            features=spec,
            n_events=columns.n_events,
            n_objects=len(nodes),
            passed_rate=float(np.average(columns.passed > 0.5, weights=weights)),
            files=files,
            versions=versions(),
            arrays=("map",),
            edges=edges,
            sample=sample,
            unphysical=unphysical,
            n_outside=int(np.count_nonzero(~inside)),
        )
        return cls(card, arrays)

    @property
    def needs_partners(self) -> bool:
        """Whether a binned feature depends on the other objects of the event."""
        return bool(partners_of(self.features.names))

    def _bins(self, nodes: Nodes) -> Array:
        return bin_numbers(self.features, self.card.edges, nodes)

    def _covered(self, nodes: Nodes) -> Array:
        filled = self._arrays["n_effective"].ravel()[self._bins(nodes)] > 0.0
        return np.asarray(super()._covered(nodes) & filled)

    def _of_bins(self, table: Array, numbers: Array) -> Array:
        """Rows of a table of all bins (bins..., others...) for the bin number of each object."""
        bins = _shape(self.features, self.card.edges)
        flat = table.reshape(int(np.prod(bins)), *table.shape[len(bins) :])
        return np.asarray(flat[numbers])

    def _predict(self, offsets: Offsets, nodes: Nodes, replicas: int) -> tuple[Array, Array | None]:
        numbers = self._bins(nodes)
        eps = self._of_bins(self._arrays["value"], numbers)
        if not replicas:
            return eps, None
        return eps, self._of_bins(self._draws(replicas, SEED), numbers)

    def replicas(self, records: Any, /, *, n_replicas: int | None = None, seed: int = SEED) -> Any:
        """Efficiencies with the statistical fluctuations of the map, on one more axis.

        Every bin is drawn from its posterior (of which the value is the mean), a Beta or, of
        several working points, a Dirichlet distribution.

        Parameters
        ----------
        records : ak.Array, jagged
            Events, objects such as ``events.Jet``, or a table, as for a call.
        n_replicas : int, optional
            Number of draws of the whole map, by default 20.
        seed : int, default 1
            Seed of the draws, which are the same in every call. With the defaults they are those of
            :meth:`evaluate`.

        Returns
        -------
        ak.Array of float64
            One more axis than the efficiencies.

        Raises
        ------
        ValueError
            If the seed is not a whole number of zero or more.
        """
        asked = self._asked(records)
        drawn = self._draws(N_REPLICAS if n_replicas is None else n_replicas, seed)
        bins = self._bins(asked.nodes)
        eps, found = self._of_bins(self._arrays["value"], bins), self._of_bins(drawn, bins)
        _, mapped = self._recalibrated(asked.nodes, eps, found)
        return asked.answer(found if mapped is None else mapped)

    def _draws(self, n_replicas: int, seed: int) -> Array:
        """Values of all bins in every replica, shape (bins..., [working points,] replicas).

        The shares of objects between neighbouring working points are drawn from the Dirichlet
        posterior as normalised gamma variates; their sums from the tightest one are the replicas,
        which therefore fall from one working point to the next, too.
        """
        values = self._arrays["value"]
        bins, _ = bins_between(values.reshape(-1, len(self.working_points)), 0.0)
        concentration = (self._arrays["n_effective"].reshape(-1, 1) + 1.0) * bins
        rng = np.random.default_rng(check_seed(seed))
        drawn = rng.standard_gamma(concentration, (n_replicas, *bins.shape))
        sums = np.cumsum(drawn[..., ::-1], axis=-1)[..., ::-1]
        eps = sums[..., 1:] / np.maximum(sums[..., :1], np.finfo(float).tiny)
        eps = np.clip(eps, np.finfo(float).tiny, 1.0 - np.finfo(float).epsneg)
        return np.moveaxis(eps, 0, -1).reshape(*values.shape, n_replicas)

    def interval(self) -> tuple[Array, Array]:
        """68 % interval of Clopper and Pearson in every bin, on effective counts.

        Returns
        -------
        low : ndarray of float64, shape of :meth:`values`
            Lower ends.
        high : ndarray of float64, shape of :meth:`values`
            Upper ends.
        """
        return self._arrays["low"], self._arrays["high"]

    def to_hist(
        self, *names: str, records: Any = None, bins: int | Sequence[float] = 30
    ) -> hist.Hist[Any]:
        """Bins of the map, before any recalibration, or its mean over a sample.

        Parameters
        ----------
        *names : str
            Features that are the axes of a sample's mean.
        records : ak.Array, jagged, optional
            Sample, as for any efficiency.
        bins : int or sequence of float, default 30
            Bins of numeric features of a sample.

        Returns
        -------
        hist.Hist
            Without a sample the map itself: axes of the categories, of the binned features, and of
            the working points if there are several, with the variances of the posteriors (storage
            Weight).

        Raises
        ------
        InputError
            For features without a sample.
        """
        if records is not None:
            return super().to_hist(*names, records=records, bins=bins)
        if names:
            raise InputError(
                "expected records for the mean in bins of features; to_hist() gives the map itself"
            )
        axes = [self._axis(feature) for feature in self.features.features]
        if len(self.working_points) > 1:
            points = [str(point) for point in self.working_points]
            axes.append(hist.axis.StrCategory(points, name=WORKING_POINT))
        filled = hist.Hist(*axes, storage=hist.storage.Weight())
        view: Any = filled.view()
        view["value"], view["variance"] = self.values(), self._variances()
        return filled

    def _axis(self, feature: Feature) -> Any:
        """Axis of hist, without flow, for a feature of the map."""
        if feature.kind == "categorical":
            return hist.axis.IntCategory(list(feature.categories), name=feature.name, flow=False)
        edges = self.card.edges[feature.name]
        return hist.axis.Variable(
            edges, name=feature.name, label=feature_label(feature), flow=False
        )

    def _variances(self) -> Array:
        """Variances of the posteriors of all bins."""
        values, n = self.values(), self.n_effective
        several = len(self.working_points) > 1
        return np.asarray(values * (1.0 - values) / ((n[..., None] if several else n) + 2.0))

    def _own_curves(self, feature: str) -> list[Curve]:
        """Bins along one feature, averaged over the other binned ones by what they hold."""
        if feature not in self.card.edges:
            raise InputError(f"expected a binned feature of {list(self.card.edges)}")
        shape = _shape(self.features, self.card.edges)
        first = len(shape) - len(self.card.edges)
        kept = first + list(self.card.edges).index(feature)
        others = tuple(i for i in range(first, len(shape)) if i != kept)
        points = len(self.working_points)
        n = self.n_effective[..., None]
        values, variances = (a.reshape(*shape, points) for a in (self.values(), self._variances()))
        sums = np.sum(n, axis=others)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.sum(n * values, axis=others) / sums
            error = np.sqrt(np.sum(n**2 * variances, axis=others)) / sums
        edges, curves = np.asarray(self.card.edges[feature]), []
        names = [f for f in self.features.features if f.kind == "categorical"]
        for index in np.ndindex(shape[:first]):
            parts = [f"{f.name} = {f.categories[i]}" for f, i in zip(names, index, strict=True)]
            for point, label in enumerate(self.working_points):
                text = ", ".join([*parts, *([str(label)] if points > 1 else [])])
                where = (*index, slice(None), point)
                curves.append(Curve(text, edges, mean[where], error[where]))
        return curves

    def _own_title(self) -> str:
        before = " before its recalibration" * (self.recalibration is not None)
        return f"the map{before}, averaged over its other bins"

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return int(self._arrays["n_effective"].size)

    @property
    def n_empty(self) -> int:
        """Number of bins without objects."""
        return int(np.count_nonzero(self._arrays["n_effective"] == 0.0))

    @property
    def n_effective(self) -> Array:
        """Effective number of objects of every bin, shape (categories..., bins...)."""
        return self._arrays["n_effective"]

    def values(self) -> Array:
        """Efficiency of every bin.

        Returns
        -------
        ndarray of float64, shape (categories..., bins..., [n_working_points])
            Axes of the categories first, then those of the binned features.
        """
        return self._arrays["value"]


def check_axes(task: Task, names: Iterable[str]) -> None:
    """Refuse axes of a map whose feature may be missing, for which there is no bin.

    Parameters
    ----------
    task : Task
        Task with the values that stand for a missing one.
    names : iterable of str
        Features of the axes.

    Raises
    ------
    ConfigError
        With the features.
    """
    wrong = [name for name in names if name in task.missing]
    if wrong:
        raise ConfigError(
            f"map axes {wrong} may be missing by task.missing, and a map has no bin for that; "
            "leave them out of [map.axes]"
        )


def _map_features(task: Task, edges: Edges) -> FeatureSpec:
    missing = [n for n in edges if n not in task.features or n in task.categorical]
    if missing:
        raise ConfigError(
            f"map axes {missing} are not among the numeric features of the task "
            f"({[f for f in task.features if f not in task.categorical]})"
        )
    check_axes(task, edges)
    categories = [
        Feature(name=name, kind="categorical", categories=values, derived=Derived.of(name))
        for name, values in task.categorical.items()
    ]
    binned = [
        Feature(name=name, kind="numeric", low=e[0], high=e[-1], derived=Derived.of(name))
        for name, e in edges.items()
    ]
    return FeatureSpec(features=(*categories, *binned))


def _posteriors(
    working_points: int, sample: tuple[Array, Array, Array], shape: tuple[int, ...], n_binned: int
) -> tuple[dict[str, Array], int]:
    """Posteriors of all working points, on one more axis where there are several."""
    numbers, passed, weights = sample
    posteriors = [
        _posterior(numbers, passed > point, weights, shape, n_binned)
        for point in range(working_points)
    ]
    if working_points == 1:
        return posteriors[0]
    arrays = {k: np.stack([a[k] for a, _ in posteriors], axis=-1) for k in ("value", "low", "high")}
    # with negative weights only can a tighter working point seem to have a higher efficiency
    rising = np.diff(arrays["value"], axis=-1) > 0.0
    arrays["value"] = np.minimum.accumulate(arrays["value"], axis=-1)
    arrays["n_effective"] = posteriors[0][0]["n_effective"]
    return arrays, sum(n for _, n in posteriors) + int(np.count_nonzero(rising))


def _posterior(
    numbers: Array, passed: Array, weights: Array, shape: tuple[int, ...], n_binned: int
) -> tuple[dict[str, Array], int]:
    """Values, interval and effective counts of all bins; number of unphysical ratios.

    Parameters
    ----------
    numbers : ndarray of int64, shape (n_objects,)
        Flat bin number of the objects in the binning.
    passed : ndarray, shape (n_objects,)
        Response.
    weights : ndarray, shape (n_objects,)
        Weights.
    shape : tuple of int
        Shape of the bins.
    n_binned : int
        Number of binned features, which are the last axes.
    """
    size = int(np.prod(shape))
    n, k, squares = (
        np.bincount(numbers, weights=w, minlength=size).reshape(shape)
        for w in (weights, weights * passed, weights**2)
    )
    if not np.sum(n) > 0.0:
        raise TrainingError(
            f"expected objects inside the binning with a positive sum of weights, received "
            f"{numbers.size} objects with the sum {np.sum(n):g}"
        )
    observed = observed_efficiency(k, n, squares)
    ratio = np.nan_to_num(np.clip(observed.value, 0.0, 1.0))
    n_effective = observed.n_effective
    binned = tuple(range(n.ndim - n_binned, n.ndim))
    good_sum, all_sum = (np.sum(x, axis=binned, keepdims=True) for x in (k, n))
    overall = np.full_like(good_sum, np.sum(k) / np.sum(n))
    prior = np.divide(good_sum, all_sum, out=overall, where=all_sum > 0)
    prior = np.clip(prior, 1e-9, 1.0 - 1e-9)
    value = (n_effective * ratio + prior) / (n_effective + 1.0)
    arrays = {"low": observed.low, "high": observed.high, "n_effective": n_effective}
    return {"value": value} | arrays, int(np.count_nonzero(observed.unphysical))
