"""The factorised baseline: the efficiency of an event as the product of its objects' maps."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np

from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.file import Config
from hepsilon.config.learning import BinAxis, MapConfig
from hepsilon.config.task import Task
from hepsilon.data.derived import Derived
from hepsilon.data.features import Feature, FeatureSpec
from hepsilon.data.summary import check_sample
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.data.units import IN_GEV, Unit, edges_in_gev
from hepsilon.efficiencies.base import Efficiency
from hepsilon.efficiencies.card import ArtifactCard, BinEdges, SourceFile, versions
from hepsilon.efficiencies.map import check_axes
from hepsilon.efficiencies.saved import SavedArrays
from hepsilon.errors import ArtifactError, ConfigError

__all__ = ["FactorisedCard", "FactorisedMap", "track_axes", "with_axes"]

ITERATIONS = 500
TOLERANCE = 1e-9
"""The fit ends when the log-likelihood per event changes by less in an iteration."""


class FactorisedCard(ArtifactCard):
    """Card of a factorised map.

    Attributes
    ----------
    edges : dict of str to tuple of float
        Bin edges of each binned feature, in order.
    iterations : int
        Number of iterations of the fit.
    log_likelihood : float
        Mean log-likelihood per event at the end of the fit.
    """

    kind: Literal["factorised-map"] = "factorised-map"
    edges: dict[str, BinEdges]
    iterations: int
    log_likelihood: float


def with_axes(config: Config) -> Config:
    """Replace the features of a configuration's task by those that the map bins.

    Parameters
    ----------
    config : Config
        Configuration, perhaps with a section ``map``.

    Returns
    -------
    Config
        Configuration to read the columns of :meth:`FactorisedMap.fit` with.
    """
    axes = config.map if "map" in config.model_fields_set else track_axes(config.task.unit)
    missing = {name: own for name, own in config.task.missing.items() if name in axes.axes}
    update = {"features": tuple(axes.axes), "categorical": {}, "missing": missing}
    task = config.task.model_copy(update=update)
    return config.model_copy(update={"task": task, "map": axes})


def track_axes(unit: Unit = "GeV") -> MapConfig:
    """Default binning in pt, eta and phi, from the paper's kind of tracks: up to 3 GeV.

    Parameters
    ----------
    unit : {"GeV", "MeV"}, default "GeV"
        Unit of the edges in pt.

    Returns
    -------
    MapConfig
        The binning.
    """
    pt = (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 3.0)
    return MapConfig(
        axes={
            "pt": BinAxis(edges=tuple(edge / IN_GEV[unit] for edge in pt)),
            "eta": BinAxis.model_validate({"bins": 9, "min": -0.9, "max": 0.9}),
            "phi": BinAxis.model_validate({"bins": 36, "min": -np.pi, "max": np.pi}),
        }
    )


class FactorisedMap(SavedArrays[FactorisedCard], Efficiency):
    r"""Efficiency of an event as a product of one map over its objects: :math:`E = \prod e(x_i)`.

    The response of single objects is not known, only that of the event; the map is the maximum
    of the likelihood of the events' responses, found by expectation-maximisation: an object of a
    lost event was lost itself with the probability :math:`(1 - e_i) / (1 - E)`. Each bin starts,
    and is held by a prior worth one effective object, at the mean over all bins.

    Use :meth:`fit` or :func:`hepsilon.load`.
    """

    record, group = FactorisedCard, "map"

    def _check(self) -> None:
        if list(self.features.names) != list(self.card.edges):
            raise ArtifactError(
                f"expected edges of {list(self.features.names)}, received {list(self.card.edges)}"
            )
        if list(self._arrays) != ["value"]:
            raise ArtifactError("expected the values of one map")
        shape = tuple(len(e) - 1 for e in self.card.edges.values())
        values = self.values()
        numbers = values.dtype.kind == "f" and values.shape == shape
        if not numbers or not ((values > 0.0) & (values < 1.0)).all():
            raise ArtifactError(f"expected efficiencies in (0, 1) of shape {shape}")

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
        """Fit the map to the responses of events.

        Parameters
        ----------
        task : Task
            Task whose unit is the event; its features hold the binned ones (see
            :func:`with_axes`).
        columns : TrainingColumns
            The sample (see :func:`hepsilon.data.dataset.load_columns`).
        config : MapConfig, optional
            Binning; by default that of :func:`track_axes`.
        files : tuple of SourceFile, default ()
            Files of the sample, noted in the card.
        warn : bool, default True
            Say in the log which categories know little.

        Returns
        -------
        FactorisedMap
            The map, not yet saved.

        Raises
        ------
        ConfigError
            For a task of objects, or a binned feature that is not among its features.
        InputError
            If all events have the same response.
        TrainingError
            If the weights do not have a positive sum.
        """
        if not task.of_events:
            raise ConfigError('a factorised map needs a task with level = "event"')
        sample = check_sample(columns, task, warn=warn)
        axes = (config or track_axes(task.unit)).axes
        edges = edges_in_gev({name: axis.edges for name, axis in axes.items()}, task.unit)
        missing = [name for name in edges if name not in task.features]
        if missing:
            raise ConfigError(f"map axes {missing} are not among the features {task.features}")
        check_axes(task, edges)
        nodes = columns.nodes[:, [task.features.index(name) for name in edges]]
        bins = _bins(edges, nodes)
        values, iterations, likelihood = _maximise(
            columns.offsets, bins, columns.passed[columns.offsets[:-1]], columns.weights, edges
        )
        card = FactorisedCard(
            task=task,
            features=FeatureSpec(
                features=tuple(
                    Feature(
                        name=name, kind="numeric", low=e[0], high=e[-1], derived=Derived.of(name)
                    )
                    for name, e in edges.items()
                )
            ),
            n_events=columns.n_events,
            n_objects=len(columns.nodes),
            passed_rate=float(np.average(columns.passed, weights=columns.object_weights)),
            files=files,
            versions=versions(),
            arrays=("map",),
            edges=edges,
            iterations=iterations,
            log_likelihood=likelihood,
            sample=sample,
        )
        return cls(card, {"value": values})

    def values(self) -> Array:
        """Efficiency of a single object in every bin (float64, one axis per binned feature)."""
        return self._arrays["value"]

    def _predict(self, offsets: Offsets, nodes: Nodes, replicas: int) -> tuple[Array, Array | None]:
        bins = _bins(self.card.edges, nodes)
        return np.exp(_sums(np.log(self.values().ravel())[bins], offsets)), None


def _bins(edges: dict[str, tuple[float, ...]], nodes: Nodes) -> Array:
    """Flat bin number of each object; the nearest bin outside the binning."""
    index = [
        np.clip(np.searchsorted(e, column, side="right") - 1, 0, len(e) - 2)
        for e, column in zip(edges.values(), nodes.T, strict=True)
    ]
    flat: Array = np.ravel_multi_index(index, tuple(len(e) - 1 for e in edges.values()))
    return flat


def _sums(values: Array, offsets: Offsets) -> Array:
    """Sum over the objects of each event; every event has some."""
    return np.asarray(np.add.reduceat(values, offsets[:-1])) if len(values) else values


def _maximise(
    offsets: Offsets,
    bins: Array,
    passed: Array,
    weights: Array,
    edges: dict[str, tuple[float, ...]],
) -> tuple[Array, int, float]:
    """Expectation-maximisation of the product's likelihood: values, iterations, likelihood."""
    shape = tuple(len(e) - 1 for e in edges.values())
    size = int(np.prod(shape))
    counts = np.diff(offsets)
    start = float(np.clip(np.average(passed, weights=weights), 1e-6, 1 - 1e-6))
    prior = start ** float(1.0 / counts.mean())
    values = np.full(size, prior)
    event_passed, event_weights = np.repeat(passed, counts), np.repeat(weights, counts)
    # a negative sum of weights says as little as no objects
    total = np.maximum(np.bincount(bins, event_weights, minlength=size), 0.0)
    squares = np.bincount(bins, event_weights**2, minlength=size)
    to_counts = np.divide(total, squares, out=np.zeros(size), where=squares > 0.0)
    likelihood, iteration, before = -np.inf, 0, np.inf
    while iteration < ITERATIONS and abs(likelihood - before) >= TOLERANCE:
        single = values[bins]
        event = np.exp(_sums(np.log(single), offsets))
        log_terms = np.where(passed > 0.5, np.log(event), np.log1p(-event))
        before, likelihood = likelihood, float(np.average(log_terms, weights=weights))
        iteration += 1
        both = np.repeat(event, counts)
        survived = np.where(event_passed > 0.5, 1.0, (single - both) / (1.0 - both))
        passed_sums = np.bincount(bins, event_weights * survived, minlength=size)
        values = (np.clip(passed_sums, 0.0, total) * to_counts + prior) / (total * to_counts + 1.0)
        values = np.clip(values, 1e-9, 1.0 - 1e-9)
    return values.reshape(shape), iteration, likelihood
