"""Objects, or events of a task of events, with what the networks of a training say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.special import logsumexp

from hepsilon.arrays.types import Array
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.logits import by_network, mean_logits, to_probability
from hepsilon.efficiencies.tree_inputs import tree_inputs
from hepsilon.training.kept import Kept
from hepsilon.training.loss import object_loss_weights
from hepsilon.training.validation import EventLosses

__all__ = ["Entries", "entries_of", "leading"]


@dataclass(frozen=True)
class Entries:
    """Entries: objects, or the events of a task of events.

    Attributes
    ----------
    inputs : ndarray of float32, shape (n, n_inputs)
        Inputs of trees (see :mod:`hepsilon.efficiencies.tree_inputs`).
    logits : ndarray of float64, shape (n, working points)
        What the efficiency says, of networks that were not trained on the entry where there are
        such.
    passed : ndarray of int64, shape (n,)
        Number of working points that the entry passes.
    events : ndarray of int64, shape (n,)
        Number of the event of each entry.
    weights : ndarray of float64, shape (n_events,)
        Weights of the events.
    keys : ndarray of uint64, shape (n_events,)
        Keys of the events.
    mu : float
        Weight of what did not pass (paper Eq. 5).
    """

    inputs: Array
    logits: Array
    passed: Array
    events: Array
    weights: Array
    keys: Array
    mu: float

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.weights)

    @property
    def eps(self) -> Array:
        """Probability to pass each working point, float64 of the shape (n, working points)."""
        return to_probability(self.logits, self.mu)

    @property
    def event_weights(self) -> Array:
        """Weight of the event of each entry."""
        return self.weights[self.events]

    @property
    def loss_weights(self) -> Array:
        """Weight of each entry in the loss (see :func:`object_loss_weights`)."""
        counts = np.bincount(self.events, minlength=self.n_events)
        return object_loss_weights(self.weights, counts, self.passed, self.mu)

    def losses(self, added: Array | None = None) -> EventLosses:
        """Losses event by event (see :func:`hepsilon.training.loss.event_losses`).

        Parameters
        ----------
        added : ndarray of float64, shape (n, working points), optional
            What is added to the logits.

        Returns
        -------
        EventLosses
            Of all events in their order.
        """
        logits = self.logits if added is None else self.logits + added
        full = np.concatenate([np.zeros((len(logits), 1)), logits], axis=1)
        terms = logsumexp(full, axis=1) - full[np.arange(len(full)), self.passed]
        shares = replace(self, weights=np.ones(self.n_events)).loss_weights
        losses = np.bincount(self.events, weights=shares * terms, minlength=self.n_events)
        return EventLosses(losses, self.weights)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Put the events of several parts one after the other.

        Parameters
        ----------
        parts : sequence of Entries
            At least one.

        Returns
        -------
        Entries
            All of them.
        """
        starts = np.cumsum([0, *(part.n_events for part in parts)])
        events = [p.events + start for p, start in zip(parts, starts, strict=False)]
        names = "inputs", "logits", "passed", "weights", "keys"
        arrays = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
        return cls(**arrays, events=np.concatenate(events), mu=parts[0].mu)


def leading(columns: TrainingColumns, most_objects: int) -> TrainingColumns:
    """Take the first events, of no more than so many objects, but at least one event.

    Parameters
    ----------
    columns : TrainingColumns
        Events.
    most_objects : int
        Largest number of objects.

    Returns
    -------
    TrainingColumns
        Views of them.
    """
    stop = int(np.searchsorted(columns.offsets, most_objects, side="right")) - 1
    return columns.between(0, min(max(stop, 1), columns.n_events))


def entries_of(
    kept: Kept, columns: TrainingColumns, partners: bool, network: int | None = None
) -> Entries:
    """Evaluate the efficiency that is kept on some events.

    With folds each event is evaluated by the network that was not trained on it.

    Parameters
    ----------
    kept : Kept
        Networks after their training.
    columns : TrainingColumns
        Events, one row for each object.
    partners : bool
        Whether the inputs of trees look at the other objects of an event.
    network : int, optional
        Number of the one network to evaluate, in place of the efficiency.

    Returns
    -------
    Entries
        In the order of the events.
    """
    blocks = [_of_block(kept, block, partners, network) for block in columns.blocks()]
    return Entries.joined(blocks)


def _of_block(kept: Kept, block: TrainingColumns, partners: bool, network: int | None) -> Entries:
    own, task = kept.prepared, kept.prepared.config.task
    points = own.architecture.working_points
    rows = block
    if own.architecture.objects is not None:
        rows = block.joined(own.architecture.objects)
    if network is not None:
        logits = _logits(kept, rows, [network], points)
    elif own.resampling.folds:
        logits = np.empty((len(rows.nodes), points))
        for number in range(own.resampling.networks):
            mine = np.flatnonzero(own.resampling.validated(rows.keys, number))
            if len(mine):
                chosen = np.isin(_event_numbers(rows), mine)
                logits[chosen] = _logits(kept, rows.take(mine), [number], points)
    else:
        numbers = [0] if own.resampling.kind != "none" else list(range(len(kept.fits)))
        logits = _logits(kept, rows, numbers, points)
    passed, events = block.passed, _event_numbers(block)
    if task.of_events:
        passed, events = block.passed[block.offsets[:-1]], np.arange(block.n_events)
        logits = logits if own.architecture.objects is not None else logits[block.offsets[:-1]]
    return Entries(
        inputs=tree_inputs(task, partners, block.offsets, block.nodes),
        logits=logits,
        passed=passed.astype(np.int64),
        events=events,
        weights=np.array(block.weights, np.float64),
        keys=np.array(block.keys),
        mu=own.recipe.mu,
    )


def _event_numbers(columns: TrainingColumns) -> Array:
    return np.repeat(np.arange(columns.n_events), np.diff(columns.offsets))


def _logits(kept: Kept, rows: TrainingColumns, networks: list[int], points: int) -> Array:
    """Logits of the mean efficiency of some networks."""
    own = kept.prepared
    own.engine.set_members([kept.fits[number].weights for number in networks])
    logits = np.asarray(own.engine.logits(rows.offsets, rows.nodes), np.float64)
    return mean_logits(by_network(logits, points), own.recipe.mu)
