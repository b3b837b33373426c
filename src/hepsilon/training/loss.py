"""The weighted binary cross-entropy of the paper's Eq. 5."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from hepsilon.dataset import Columns
from hepsilon.kernels import event_key, key_uniform

__all__ = ["bootstrap_weights", "cross_entropy", "object_loss_weights"]

Array = npt.NDArray[Any]


def object_loss_weights(columns: Columns, mu: float) -> Array:
    """Weight of each object in the loss, paper Eq. 5.

    ``w_event / n_objects``, times ``mu`` for an object that did not pass.
    """
    counts = np.diff(columns.offsets)
    per_event = np.repeat(columns.weights / counts, counts)
    return np.where(columns.passed > 0.5, per_event, mu * per_event)


def cross_entropy(logits: Array, columns: Columns, mu: float) -> float:
    """Mean cross-entropy per unit of event weight (paper Eq. 5), in float64.

    Binary for one working point (``logits`` of objects); for several that of the bins between
    them (see :class:`hepsilon.models.loss.BinCrossentropy`).
    """
    if logits.ndim == 1:
        terms = np.logaddexp(0.0, logits) - columns.passed * logits
    else:
        all_logits = np.concatenate([np.zeros((len(logits), 1)), logits], axis=1)
        own = all_logits[np.arange(len(logits)), columns.passed.astype(np.int64)]
        terms = logsumexp(all_logits, axis=1) - own
    return float(np.sum(object_loss_weights(columns, mu) * terms) / np.sum(columns.weights))


def bootstrap_weights(columns: Columns, seed: int, member: int) -> Columns:
    """Columns with event weights times Poisson(1), a pure function of event, seed and member."""
    zeros = np.zeros(columns.n_events, np.uint64)
    key = event_key(columns.keys, zeros + np.uint64(seed), zeros + np.uint64(member), 2)
    cumulative = np.cumsum(np.exp(-1.0) / np.cumprod([1.0, *range(1, 20)]))
    counts = np.searchsorted(cumulative, key_uniform(key), side="right")
    return replace(columns, weights=columns.weights * counts)
