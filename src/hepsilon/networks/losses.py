"""Training losses, in ``keras.ops`` only."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["BinCrossentropy", "SquaredError", "tag_loss"]


class BinCrossentropy(keras.losses.Loss):  # type: ignore[misc]
    """Cross-entropy of the bins between working points.

    The target is the number of working points that an object passes; the prediction the logits of
    bins 1, 2, ... relative to that of bin 0. For one working point it is the binary one.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits = ops.concatenate([ops.zeros_like(y_pred[:, :1]), y_pred], axis=1)
        bins = ops.cast(y_true[:, 0], "int32")
        return ops.sparse_categorical_crossentropy(bins, logits, from_logits=True)


class SquaredError(keras.losses.Loss):  # type: ignore[misc]
    """Squared difference of the response and the probability of a logit.

    Its smallest value is where that of the cross-entropy is, and no entry adds more than one.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.square(y_true - ops.sigmoid(y_pred)), axis=-1)


def tag_loss(working_points: int, kind: str = "cross_entropy") -> keras.losses.Loss:
    """Make the loss of a network, summed over the batch.

    Parameters
    ----------
    working_points : int
        Number of outputs.
    kind : {"cross_entropy", "square"}, default "cross_entropy"
        Cross-entropy on logits, binary for one working point, or the squared error of a single
        probability.

    Returns
    -------
    keras.losses.Loss
        Loss of a batch.
    """
    if kind == "square":
        return SquaredError(reduction="sum")
    if working_points == 1:
        return keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum")
    return BinCrossentropy(reduction="sum")
