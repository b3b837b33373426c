"""Validation losses of the binned baselines, beside which networks are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hepsilon.arrays.geometry import spherical_momentum
from hepsilon.config.file import Config
from hepsilon.config.learning import MapConfig
from hepsilon.config.task import Task
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.factorised import FactorisedMap, track_axes
from hepsilon.efficiencies.logits import logits_of
from hepsilon.efficiencies.map import EfficiencyMap
from hepsilon.training.loss import event_losses
from hepsilon.training.preparation import Sides
from hepsilon.training.resampling import Resampling
from hepsilon.training.validation import EventLosses

__all__ = ["losses_of_map"]

SPHERICAL = "pt", "eta", "phi"


def losses_of_map(config: Config, sides: Sides, resampling: Resampling) -> tuple[EventLosses, int]:
    """Fit the map of a task, of events the factorised one, and take its losses.

    Parameters
    ----------
    config : Config
        Task, and binning of the map.
    sides : tuple of two TrainingColumns
        Events to fit and to validate on; with folds both are all events.
    resampling : Resampling
        With folds the map is fitted on what the first network is trained on.

    Returns
    -------
    losses : EventLosses
        Losses of the validation events, as the first network has them.
    n_bins : int
        Number of bins.

    Raises
    ------
    ConfigError
        If a binned feature is not among those of the task, and does not follow from them.
    TrainingError
        If the weights do not have a positive sum.
    """
    task, train, validation = config.task, *sides
    if resampling.folds:
        train = train.take(np.flatnonzero(resampling.counts(train.keys, 0)))
        validation = validation.take(np.flatnonzero(resampling.validated(validation.keys, 0)))
    if task.of_events:
        axes = config.map if "map" in config.model_fields_set else track_axes(task.unit)
        wider, train, validation = _with_angles(task, train, validation, axes)
        events = FactorisedMap.fit(wider, train, axes, warn=False)
        return _losses(events, wider, validation, config.training.mu), events.values().size
    objects = EfficiencyMap.fit(task, train, config.map, warn=False)
    return _losses(objects, task, validation, config.training.mu), objects.n_bins


def _losses(
    found: EfficiencyMap | FactorisedMap, task: Task, validation: TrainingColumns, mu: float
) -> EventLosses:
    columns = [task.features.index(name) for name in found.features.names]
    parts = []
    for block in validation.blocks():
        eps, _ = found._predict(block.offsets, block.nodes[:, columns], False)
        if task.of_events:
            eps = np.repeat(eps, np.diff(block.offsets))
        losses = event_losses(logits_of(eps, mu), block, mu)
        parts.append(EventLosses(losses, np.asarray(block.weights)))
    return EventLosses.joined(parts)


def _with_angles(
    task: Task, train: TrainingColumns, validation: TrainingColumns, axes: MapConfig
) -> tuple[Task, TrainingColumns, TrainingColumns]:
    """Add pt, eta and phi that are binned, where px, py and pz are the features."""
    names = [n for n in SPHERICAL if n in axes.axes and n not in task.features]
    if not names or not {"px", "py", "pz"} <= set(task.features):
        return task, train, validation

    def wider(columns: TrainingColumns) -> TrainingColumns:
        records = {n: columns.nodes[:, task.features.index(n)] for n in ("px", "py", "pz")}
        more = [np.asarray(spherical_momentum(records, name)) for name in names]
        nodes = np.column_stack([columns.nodes, *more]).astype(np.float32)
        return replace(columns, nodes=nodes)

    more = task.model_copy(update={"features": (*task.features, *names)})
    return more, wider(train), wider(validation)
