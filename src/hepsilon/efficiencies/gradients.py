"""Derivatives of the efficiencies of networks by their features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

from hepsilon.arrays.columns import unflatten
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.task import Task
from hepsilon.data.features import FeatureSpec
from hepsilon.data.selection import places
from hepsilon.efficiencies.asked import Asked
from hepsilon.efficiencies.engines.choice import Evaluator
from hepsilon.efficiencies.engines.keras import Engine
from hepsilon.errors import ConfigError

if TYPE_CHECKING:
    from hepsilon.efficiencies.cards import NetworkCard

__all__ = ["by_feature", "feature_slopes", "probability_slopes"]


def probability_slopes(eps: Array) -> Array:
    """Derivatives of efficiencies by the logits of the bins between working points.

    Parameters
    ----------
    eps : ndarray of float64, shape (n, n_working_points)
        Efficiencies of one network (see :func:`hepsilon.efficiencies.network.to_probability`).

    Returns
    -------
    ndarray of float64, shape (n, n_working_points, n_working_points)
        Of the efficiency of each working point by each logit.
    """
    bins = -np.diff(eps, axis=1, append=0.0)
    passes = np.tri(eps.shape[1]).T  # a bin passes the working points up to its own
    return np.asarray(bins[:, None, :] * (passes - eps[:, :, None]))


def feature_slopes(
    card: NetworkCard, engine: Evaluator, offsets: Offsets, nodes: Nodes, members: Array
) -> Array:
    """Derivatives of efficiencies by the raw features.

    Parameters
    ----------
    card : NetworkCard
        Card of the networks.
    engine : Evaluator
        What evaluates them.
    offsets : ndarray of int64, shape (n_events + 1,)
        Event i has the objects ``offsets[i]:offsets[i + 1]``.
    nodes : ndarray of float32, shape (n_objects, n_features)
        Raw features.
    members : ndarray of float64, shape (n_entries, n_working_points, n_networks)
        Efficiencies of all networks.

    Returns
    -------
    ndarray of float64, shape (n_objects, n_working_points, n_features)
        Of the efficiency of each object or, of a task of events, of that of its event.

    Raises
    ------
    ConfigError
        For an engine that has no gradients.
    """
    if not isinstance(engine, Engine):
        raise ConfigError(
            f"the backend {type(engine).__name__} has no gradients; "
            'hepsilon.load(path, backend="tensorflow"), "jax" or "torch" has them'
        )
    points, objects = card.architecture.working_points, card.architecture.objects
    n_events, width = len(offsets) - 1, nodes.shape[1]
    rows, factors = (offsets, nodes), np.ones(len(nodes), np.float32)
    if objects is not None:  # one row for each event
        rows = np.arange(n_events + 1), nodes.reshape(n_events, objects * width)
        factors = factors[:n_events]
    elif card.task.of_events:  # all nodes of an event say the same: the first one counts
        factors[:] = 0.0
        factors[offsets[:-1]] = 1.0
    slopes = engine.slopes(*rows, factors)
    chosen = np.arange(len(card.networks))[card.nominal].tolist()
    found = np.zeros((len(slopes), points, slopes.shape[2]))
    for number in chosen:
        by_logit = probability_slopes(members[..., number])
        if len(by_logit) != len(slopes):  # one for each event, and its objects
            by_logit = np.repeat(by_logit, np.diff(offsets), axis=0)
        columns = slice(number * points, (number + 1) * points)
        found += np.einsum("nab,nbf->naf", by_logit, slopes[:, columns]) / len(chosen)
    if objects is None:
        return found
    by_object = found.reshape(n_events, points, objects, width)
    return np.asarray(np.moveaxis(by_object, 2, 1).reshape(len(nodes), points, width))


def by_feature(
    slopes: Array, asked: Asked, task: Task, features: FeatureSpec
) -> dict[str, ak.Array]:
    """Derivatives in the order of the objects that were given, by the name of the feature.

    Parameters
    ----------
    slopes : ndarray of float64, shape (n_objects, n_working_points, n_features)
        Derivatives from :func:`feature_slopes`, in the task's order.
    asked : Asked
        Objects that were given.
    task : Task
        Task with its order.
    features : FeatureSpec
        Features, of which the categorical ones have no derivative.

    Returns
    -------
    dict of str to ak.Array of float64, jagged
        One number for each object, or several on one more axis.
    """
    given = np.empty_like(slopes)
    given[places(asked.given.objects, task) if task.of_events else slice(None)] = slopes
    if slopes.shape[1] == 1:
        given = given[:, 0]
    return {
        feature.name: unflatten(given[..., i], asked.offsets)
        for i, feature in enumerate(features.features)
        if feature.kind != "categorical"
    }
