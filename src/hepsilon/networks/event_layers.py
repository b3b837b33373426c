"""Layers for events with a fixed number of tracks: one row of all that may matter."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import keras
import numpy as np
from keras import ops

from hepsilon.data.separations import Separations
from hepsilon.networks.layers import Initializers, closeness, run, separation

__all__ = ["EventEncoder", "Gate", "InOrder"]


class InOrder(keras.layers.Layer):  # type: ignore[misc]
    """Tracks of an event by falling charge, and those of one charge by falling pt.

    What follows then does not depend on the order of the tracks in the file. It maps raw features
    (events, tracks, features) to the like.

    Parameters
    ----------
    names : tuple of str
        Features, in the order of the columns; px and py or pt, and charge where there is one.
    **kwargs
        Options of a Keras layer, such as ``name``.
    """

    def __init__(self, names: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = names

    def call(self, x: Any) -> Any:
        column = {name: x[..., i] for i, name in enumerate(self.names)}
        charge = column.get("charge")
        pt = column["pt"] if "pt" in column else ops.sqrt(column["px"] ** 2 + column["py"] ** 2)
        before = _comes_first(pt)
        if charge is not None:
            first, second = ops.expand_dims(charge, 2), ops.expand_dims(charge, 1)
            tied = ops.logical_and(ops.equal(first, second), before)
            before = ops.logical_or(first > second, tied)
        place = ops.sum(ops.cast(before, x.dtype), axis=1)  # number of tracks before each one
        numbers = ops.arange(x.shape[1], dtype=x.dtype)
        chosen = ops.cast(ops.equal(ops.expand_dims(place, -1), numbers), x.dtype)
        rows = ops.expand_dims(chosen, -1) * ops.expand_dims(x, 2)
        return ops.sum(rows, axis=1)


def _comes_first(values: Any) -> Any:
    """True at (event, i, j) where track i comes before track j; equal ones as they are."""
    first, second = ops.expand_dims(values, 2), ops.expand_dims(values, 1)
    earlier = ops.convert_to_tensor(np.triu(np.ones((values.shape[1],) * 2, bool), 1))
    return ops.logical_or(first > second, ops.logical_and(ops.equal(first, second), earlier))


class EventEncoder(keras.layers.Layer):  # type: ignore[misc]
    """All that may matter in an event, in one row: its tracks, their pairs and their momenta.

    Tracks enter as :class:`hepsilon.networks.track_layers.TrackEncoder` encodes them, with 1 / pt;
    pairs by the differences of their angles and how close they are; and the event by the logarithms
    of the largest, the smallest and the sum of pt. It maps the outputs of the encoder, each
    (events, tracks, ...), to (events, columns).

    Parameters
    ----------
    separations : Separations or None
        Lengths on which close pairs are told apart; None for those of no sample.
    **kwargs
        Options of a Keras layer, such as ``name``.
    """

    def __init__(self, separations: Separations | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.separations = separations or Separations()

    def call(self, inputs: tuple[Any, Any, Any]) -> Any:
        plain, waves, angles = inputs
        log_pt = plain[..., 0]
        pt = ops.exp(log_pt)
        rows = ops.concatenate([plain, waves, ops.expand_dims(1.0 / pt, -1)], axis=-1)
        columns = [ops.reshape(rows, (-1, rows.shape[1] * rows.shape[2]))]
        columns += [
            f(values, axis=1, keepdims=True)
            for f, values in ((ops.max, log_pt), (ops.min, log_pt), (_log_of_sum, pt))
        ]
        if log_pt.shape[1] > 1:
            columns += self._pairs(angles)
        return ops.concatenate(columns, axis=-1)

    def _pairs(self, angles: Any) -> list[Any]:
        """Columns (events, pairs) of all pairs."""
        first, second = np.array(list(combinations(range(angles.shape[1]), 2))).T
        delta = ops.take(angles, first, axis=1) - ops.take(angles, second, axis=1)
        d_eta, d_phi, delta_r = separation(delta[..., 0], delta[..., 1])
        differences = [d_eta, ops.abs(d_phi), ops.cos(d_phi), delta_r]
        return [*differences, *closeness(delta_r, self.separations)]


def _log_of_sum(values: Any, axis: int, keepdims: bool) -> Any:
    return ops.log(ops.sum(values, axis=axis, keepdims=keepdims))


class Gate(keras.layers.Layer):  # type: ignore[misc]
    """Network whose output is multiplied by one factor, which starts at zero.

    What it is added to is learned first; it takes what is left. It gives the output (rows, 1) and
    its derivatives by the kernel of the last layer (rows, n).

    Parameters
    ----------
    widths : tuple of int
        Hidden widths.
    activation : str
        Activation of the hidden layers.
    init : Initializers
        Maker of the layers.
    **kwargs
        Options of a Keras layer, such as ``name``.
    """

    def __init__(
        self, widths: tuple[int, ...], activation: str, init: Initializers, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.hidden = init.mlp([*widths, 1], activation, "linear", "general")

    def build(self, input_shape: Any) -> None:
        inputs = [input_shape[-1], *(layer.units for layer in self.hidden)]
        for layer, size in zip(self.hidden, inputs, strict=False):
            layer.build((None, size))
        self.factor = self.add_weight(shape=(1,), initializer="zeros", name="factor")

    def call(self, x: Any) -> tuple[Any, Any]:
        hidden = run(self.hidden[:-1], x)
        return tuple(ops.multiply(self.factor, x) for x in (self.hidden[-1](hidden), hidden))
