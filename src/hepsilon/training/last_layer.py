"""Covariance of the last layers at the end of a training, on the events that it has seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.cards import LastLayerCard
from hepsilon.efficiencies.logits import by_network
from hepsilon.training.kept import Kept
from hepsilon.training.loss import object_loss_weights, step_weights
from hepsilon.training.refinement_entries import leading
from hepsilon.uncertainty.last_layer import Covariance, Scores, sandwich

__all__ = ["last_layers"]

EVENTS = 20_000
"""Events that are evaluated at a time."""
MOST_OBJECTS = 1_000_000
"""Largest number of objects that the covariance is found from. A quarter of 4,200 events gave the
errors of all to 5 %."""


def last_layers(kept: Kept) -> tuple[LastLayerCard, Covariance] | None:
    """Covariance of the last layers of the networks whose mean is kept.

    Parameters
    ----------
    kept : Kept
        Networks after their training.

    Returns
    -------
    card : LastLayerCard
        Numbers for the card.
    covariance : Covariance
        The covariance. None in place of both where the last layer is of a kind that is not known.
    """
    resampling = kept.prepared.resampling
    averaged = 1 if resampling.kind == "bootstrap" else len(kept.fits)
    engine = kept.prepared.engine
    engine.set_members([fit.weights for fit in kept.fits[:averaged]])
    events = leading(kept.prepared.sides[0], MOST_OBJECTS)  # in the order of random keys
    none = events.between(0, 0)
    if engine.with_features(none.offsets, none.nodes, averaged) is None:
        return None
    found = sandwich(_scores(kept, events, averaged), _shares(events, kept.prepared.sides[0]))
    card = LastLayerCard(
        n_events=found.n_events,
        inputs=found.factor.shape[2] - 1,
        directions=found.factor.shape[3],
        share=found.share,
        total_error=found.total_error,
    )
    return card, found


def _shares(part: TrainingColumns, whole: TrainingColumns) -> tuple[float, float]:
    """Shares of the sum of weights, and of that of squared weights, that some events have."""
    if part.n_events == whole.n_events:  # weights of both signs may cancel
        return 1.0, 1.0
    some, every = (np.asarray(columns.weights) for columns in (part, whole))
    return float(some.sum() / every.sum()), float(some @ some / (every @ every))


def _scores(kept: Kept, events: TrainingColumns, networks: int) -> Iterator[Scores]:
    """Events of the training, some at a time."""
    prepared = kept.prepared
    points, mu = prepared.architecture.working_points, prepared.recipe.mu
    for start in range(0, events.n_events, EVENTS):
        part = events.between(start, min(start + EVENTS, events.n_events))
        both = prepared.engine.with_features(part.offsets, part.nodes, networks)
        assert both is not None
        logits, features = both
        counts, keys = np.diff(part.offsets), part.keys
        networks_of = by_network(logits, points)
        weights = [
            object_loss_weights(
                part.weights * prepared.resampling.counts(keys, number), counts, part.passed, mu
            )
            for number in range(networks)
        ]
        factors = step_weights(networks_of[:, 0], prepared.recipe.loss)
        yield Scores(
            networks_of,
            features.reshape(len(features), networks, -1),
            part.passed,
            np.stack(weights, axis=1) * factors,
            part.offsets if not prepared.config.task.alone else _by_key(keys),
        )


def _by_key(keys: Array) -> Array:
    """Offsets of the events whose objects, which follow each other, are entries of their own."""
    first = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    return np.concatenate([[0], first, [len(keys)]]).astype(np.int64)
