"""Where the training of a network starts: at the rate of the sample, not at one half."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logit

from hepsilon.arrays.types import Array
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.networks.architecture import Architecture
from hepsilon.training.loss import object_loss_weights

if TYPE_CHECKING:
    import keras

__all__ = ["start_at", "starting_logits"]

FACTOR_OFFSET = 2.0
"""Logit that :func:`hepsilon.networks.track_layers.log_factor` adds to that of every factor."""


def starting_logits(
    columns: TrainingColumns,
    architecture: Architecture,
    mu: float,
    counts_of: Callable[[Array], Array] | None = None,
) -> Array:
    """Compute the logits of a network that knows no more than the rate of each response.

    A sample has half an entry more in each bin, so that an empty one is no infinity.

    Parameters
    ----------
    columns : TrainingColumns
        Training events.
    architecture : Architecture
        Working points, and whether there is one response for all objects of an event.
    mu : float
        Weight of the objects that did not pass (paper Eq. 5).
    counts_of : callable, optional
        Gives the number of times that the network sees each event, from their keys.

    Returns
    -------
    ndarray of float64, shape (working_points,)
        Biases of the last layer.
    """
    sums, squares = np.zeros(architecture.working_points + 1), 0.0
    for block in columns.blocks():
        counts = np.diff(block.offsets)
        seen = np.abs(block.weights) * (1.0 if counts_of is None else counts_of(block.keys))
        weights = object_loss_weights(seen, counts, block.passed, mu)
        bins = block.passed.astype(np.int64)
        sums += np.bincount(bins, weights=weights, minlength=len(sums))
        squares += float(np.sum(weights**2))
    sums += 0.5 * squares / np.sum(sums)  # one entry of the effective number
    logits = np.log(sums[1:] / sums[0])
    if architecture.of_events and architecture.objects is None:
        mean = len(columns.nodes) / columns.n_events  # the product of so many equal factors
        shares = np.exp(-np.logaddexp(0.0, -logits) / mean)
        return np.asarray(logit(shares) - FACTOR_OFFSET)
    return np.asarray(logits)


def start_at(model: keras.Model, logits: Array) -> None:
    """Set the biases of the last layer of a network, where it has one.

    A product of factors starts with all of them near one.

    Parameters
    ----------
    model : keras.Model
        Network with initial weights.
    logits : ndarray of float, shape (working_points,)
        Biases.
    """
    for layer in model.layers:
        if layer.name == "logit":
            layer.bias.assign(logits)
