"""Importance of features: how much the loss rises where one of them is shuffled.

A feature is shuffled among all objects of the validation events; what the network has learned from
it is then wrong. The rise of the loss is taken event by event, and its error from the spread of the
events. Two features that say nearly the same share their importance.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.cards import ImportanceCard
from hepsilon.training.kept import Kept

__all__ = ["feature_importance"]

MOST_EVENTS = 20_000
"""Largest number of validation events that are evaluated, once for each feature."""


def feature_importance(
    kept: Kept, columns: TrainingColumns, seed: int
) -> tuple[ImportanceCard, ...]:
    """Shuffle each feature in turn, and take the rise of the loss.

    Parameters
    ----------
    kept : Kept
        Networks that are kept.
    columns : TrainingColumns
        Validation events, one row for each object; with folds all events.
    seed : int
        Seed of the permutations.

    Returns
    -------
    tuple of ImportanceCard
        From the most important feature to the least.
    """
    events = kept.validation(columns)
    events = events.between(0, min(events.n_events, MOST_EVENTS))
    before, found = kept.losses(events), []
    for i, name in enumerate(kept.prepared.spec.names):
        order = np.random.default_rng([seed, i]).permutation(len(events.nodes))
        nodes = np.array(events.nodes)
        nodes[:, i] = nodes[order, i]
        rise = kept.losses(replace(events, nodes=nodes)) - before
        found.append(ImportanceCard(feature=name, rise=rise.mean, error=rise.error))
    return tuple(sorted(found, key=lambda each: -each.rise))
