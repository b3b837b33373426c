"""The weighted binary cross-entropy of the paper's Eq. 5."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logsumexp

from hepsilon.arrays.checks import check_seed
from hepsilon.arrays.keys import MEMBER_SALT, event_key, poisson_of
from hepsilon.arrays.types import Array
from hepsilon.data.training_columns import TrainingColumns

__all__ = [
    "bootstrap_counts",
    "cross_entropy",
    "event_losses",
    "object_loss_weights",
    "step_weights",
]


def object_loss_weights(weights: Array, counts: Array, passed: Array, mu: float) -> Array:
    """Weight of each object in the loss, by Eq. 5 of the paper.

    It is ``w_event / n_objects``, times ``mu`` for an object that did not pass.

    Parameters
    ----------
    weights : ndarray of float64, shape (n_events,)
        Weight of each event.
    counts : ndarray of int64, shape (n_events,)
        Number of objects of each event.
    passed : ndarray of float32, shape (n_objects,)
        Response of each object; above 0.5 it passed.
    mu : float
        Weight of the objects that did not pass, relative to the others.

    Returns
    -------
    ndarray of float64, shape (n_objects,)
        Weights of all objects; those of an event sum to the event's weight if ``mu`` is 1.
    """
    per_event = np.repeat(weights / counts, counts)
    return np.where(passed > 0.5, per_event, mu * per_event)


def step_weights(logits: Array, loss: str) -> Array:
    """What the derivative of a loss by the logits is, in units of that of the cross-entropy.

    That of the cross-entropy is ``p - t``, that of the squared error ``2 p (1 - p) (p - t)``; its
    mean curvature is larger than that of the cross-entropy by the same factor.

    Parameters
    ----------
    logits : ndarray of float64
        Logits of a network, as it was trained.
    loss : {"cross_entropy", "square"}
        Loss of the training.

    Returns
    -------
    ndarray of float64, shape of logits
        Factors, which are ones for the cross-entropy.
    """
    if loss == "cross_entropy":
        return np.ones(np.shape(logits))
    return np.asarray(2.0 * expit(logits) * expit(-np.asarray(logits)))


def event_losses(logits: Array, columns: TrainingColumns, mu: float) -> Array:
    """Cross-entropy of every event in float64, by Eq. 5 of the paper.

    For one working point it is the binary cross-entropy; for several working points it is that of
    the bins between them (see :class:`hepsilon.networks.losses.BinCrossentropy`).

    Parameters
    ----------
    logits : ndarray of float, shape (n_objects,) or (n_objects, working points)
        Output of a network for each object.
    columns : TrainingColumns
        Events of these objects, with responses.
    mu : float
        Weight of the objects that did not pass, relative to the others.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        Mean over the objects of each event, without its weight.
    """
    if logits.ndim == 1 or logits.shape[1] == 1:
        logit = logits.ravel()
        terms = np.logaddexp(0.0, logit) - columns.passed * logit
    else:
        all_logits = np.concatenate([np.zeros((len(logits), 1)), logits], axis=1)
        own = all_logits[np.arange(len(logits)), columns.passed.astype(np.int64)]
        terms = logsumexp(all_logits, axis=1) - own
    counts = np.diff(columns.offsets)
    shares = object_loss_weights(np.ones(len(counts)), counts, columns.passed, mu)
    losses: Array = np.add.reduceat(shares * terms, columns.offsets[:-1])
    return losses


def cross_entropy(logits: Array, columns: TrainingColumns, mu: float) -> float:
    """Mean cross-entropy per unit of event weight in float64, by Eq. 5 of the paper.

    Parameters
    ----------
    logits : ndarray of float, shape (n_objects,) or (n_objects, working points)
        Output of a network for each object.
    columns : TrainingColumns
        Events of these objects, with responses and weights.
    mu : float
        Weight of the objects that did not pass, relative to the others.

    Returns
    -------
    float
        Weighted mean of :func:`event_losses`.
    """
    losses = event_losses(logits, columns, mu)
    return float(np.sum(columns.weights * losses) / np.sum(columns.weights))


def bootstrap_counts(keys: Array, seed: int, member: int) -> Array:
    """Poisson(1) count of each event, a pure function of its key, the seed and the member.

    Parameters
    ----------
    keys : ndarray of uint64, shape (n_events,)
        Key of each event.
    seed : int
        Seed of the training.
    member : int
        Number of the member of the ensemble.

    Returns
    -------
    ndarray of uint8, shape (n_events,)
        Number of times that the member sees each event.
    """
    zeros, seed = np.zeros(len(keys), np.uint64), check_seed(seed)
    key = event_key(keys, zeros + np.uint64(seed), zeros + np.uint64(member), MEMBER_SALT)
    counts: Array = poisson_of(key)
    return counts
