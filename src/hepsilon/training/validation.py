"""Losses of networks, and of any efficiency, event by event, on validation events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.engines.keras import Engine
from hepsilon.efficiencies.logits import by_network, mean_logits
from hepsilon.training.loss import event_losses
from hepsilon.training.resampling import Resampling

__all__ = ["EventLosses", "losses_of_ensemble", "losses_of_networks"]


@dataclass(frozen=True)
class EventLosses:
    """Loss of every validation event, and its weight.

    Attributes
    ----------
    losses : ndarray of float64, shape (n_events,)
        Cross-entropy of each event (see :func:`hepsilon.training.loss.event_losses`).
    weights : ndarray of float64, shape (n_events,)
        Weight of each event.
    """

    losses: Array
    weights: Array

    @property
    def mean(self) -> float:
        """Mean per unit of event weight."""
        return float(np.sum(self.weights * self.losses) / np.sum(self.weights))

    @property
    def error(self) -> float:
        """Statistical error of the mean, by the spread of the events."""
        residuals = self.weights * (self.losses - self.mean)
        return float(np.sqrt(np.sum(residuals**2)) / abs(np.sum(self.weights)))

    def __sub__(self, other: EventLosses) -> EventLosses:
        """Difference event by event: what is common to both does not add to its error."""
        return EventLosses(self.losses - other.losses, self.weights)

    @classmethod
    def joined(cls, parts: Sequence[EventLosses]) -> EventLosses:
        """All events of several parts, one after the other."""
        return cls(
            np.concatenate([part.losses for part in parts]),
            np.concatenate([part.weights for part in parts]),
        )


def losses_of_networks(
    engine: Engine,
    networks: Sequence[tuple[int, Sequence[Array]]],
    columns: TrainingColumns,
    resampling: Resampling,
    mu: float,
) -> list[EventLosses]:
    """Losses of networks on the events that each of them is validated on.

    Parameters
    ----------
    engine : Engine
        What evaluates networks of their architecture.
    networks : sequence of (int, sequence of ndarray)
        Number and weights of each network.
    columns : TrainingColumns
        Events of the validation; with folds those of all folds. They may be mapped from disk.
    resampling : Resampling
        Which events each network is validated on.
    mu : float
        Weight of the objects that did not pass (paper Eq. 5).

    Returns
    -------
    list of EventLosses
        For each network, in the order of the events.
    """
    if not resampling.folds:
        engine.set_members([weights for _, weights in networks])
        logits = engine.logits(columns.offsets, columns.nodes)
        return [
            EventLosses(event_losses(own, columns, mu), columns.weights)
            for own in np.split(logits, len(networks), axis=1)
        ]
    found: list[list[EventLosses]] = [[] for _ in networks]
    for block in columns.blocks():
        for (number, weights), parts in zip(networks, found, strict=True):
            own = block.take(np.flatnonzero(resampling.validated(block.keys, number)))
            if own.n_events:
                engine.set_members([weights])
                logits = engine.logits(own.offsets, own.nodes)
                parts.append(EventLosses(event_losses(logits, own, mu), own.weights))
    return [EventLosses.joined(parts) for parts in found]


def losses_of_ensemble(
    engine: Engine,
    networks: Sequence[Sequence[Array]],
    columns: TrainingColumns,
    mu: float,
    working_points: int,
) -> EventLosses:
    """Losses of the mean efficiency of several networks.

    Parameters
    ----------
    engine : Engine
        What evaluates networks of their architecture.
    networks : sequence of sequence of ndarray
        Weights of each network.
    columns : TrainingColumns
        Events, which may be mapped from disk.
    mu : float
        Weight of the objects that did not pass (paper Eq. 5).
    working_points : int
        Number of outputs of a network.

    Returns
    -------
    EventLosses
        For the events in their order.
    """
    engine.set_members(networks)
    parts = []
    for block in columns.blocks():
        logits = engine.logits(block.offsets, block.nodes)
        losses = event_losses(mean_logits(by_network(logits, working_points), mu), block, mu)
        parts.append(EventLosses(losses, np.asarray(block.weights)))
    return EventLosses.joined(parts)
