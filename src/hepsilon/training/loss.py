"""The weighted binary cross-entropy of the paper's Eq. 5."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from hepsilon.arrays.checks import check_seed
from hepsilon.arrays.keys import MEMBER_SALT, event_key, poisson_of
from hepsilon.arrays.types import Array
from hepsilon.data.dataset import TrainingColumns

__all__ = ["bootstrap_counts", "cross_entropy", "object_loss_weights"]


def object_loss_weights(weights: Array, counts: Array, passed: Array, mu: float) -> Array:
    """Weight of each object in the loss, paper Eq. 5.

    ``w_event / n_objects``, times ``mu`` for an object that did not pass.

    Parameters
    ----------
    weights, counts : ndarray
        Weight and number of objects of each event.
    passed : ndarray
        Response of each object.
    mu : float
        See :class:`hepsilon.config.learning.TrainingConfig`.
    """
    per_event = np.repeat(weights / counts, counts)
    return np.where(passed > 0.5, per_event, mu * per_event)


def cross_entropy(logits: Array, columns: TrainingColumns, mu: float) -> float:
    """Mean cross-entropy per unit of event weight (paper Eq. 5), in float64.

    Binary for one working point (``logits`` of objects, or one column); for several that of the
    bins between them (see :class:`hepsilon.networks.losses.BinCrossentropy`).
    """
    if logits.ndim == 1 or logits.shape[1] == 1:
        logit = logits.ravel()
        terms = np.logaddexp(0.0, logit) - columns.passed * logit
    else:
        all_logits = np.concatenate([np.zeros((len(logits), 1)), logits], axis=1)
        own = all_logits[np.arange(len(logits)), columns.passed.astype(np.int64)]
        terms = logsumexp(all_logits, axis=1) - own
    counts = np.diff(columns.offsets)
    weights = object_loss_weights(columns.weights, counts, columns.passed, mu)
    return float(np.sum(weights * terms) / np.sum(columns.weights))


def bootstrap_counts(keys: Array, seed: int, member: int) -> Array:
    """Poisson(1) count of each event, a pure function of its key, seed and member (uint8)."""
    zeros, seed = np.zeros(len(keys), np.uint64), check_seed(seed)
    key = event_key(keys, zeros + np.uint64(seed), zeros + np.uint64(member), MEMBER_SALT)
    counts: Array = poisson_of(key)
    return counts
