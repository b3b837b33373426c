"""Layers of the networks, in ``keras.ops`` and ``keras.layers`` only."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from hepsilon.data.separations import Separations
from hepsilon.networks.fusion import fused

__all__ = [
    "FirstPairLayer",
    "GNBlock",
    "Initializers",
    "PairFeatures",
    "RowNumbers",
    "at_senders",
    "closeness",
    "run",
    "separation",
    "sum_over_partners",
]

TWO_PI = 2.0 * math.pi


def matmul(x: Any, kernel: Any, precision: str) -> Any:
    """Matrix product in the given precision, which its result has, too.

    Parameters
    ----------
    x : tensor, shape (..., n)
        Rows.
    kernel : tensor, shape (n, units)
        Matrix.
    precision : {"float32", "bfloat16"}
        Type that both are cast to.

    Returns
    -------
    tensor of ``precision``, shape (..., units)
        Product.
    """
    return ops.matmul(ops.cast(x, precision), ops.cast(kernel, precision))


class Dense(keras.layers.Dense):  # type: ignore[misc]
    """Dense layer with its matrix product alone in a lower precision.

    Parameters
    ----------
    units : int
        Width of the output.
    precision : {"float32", "bfloat16"}
        Precision of the matrix product.
    **kwargs
        Options of a Keras layer, such as ``name``.
    """

    def __init__(self, units: int, precision: str, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.precision = precision
        self._finish = fused(self._activated, precision)

    def _activated(self, product: Any, bias: Any) -> Any:
        return self.activation(ops.cast(product, bias.dtype) + bias)

    def call(self, x: Any, training: bool | None = None) -> Any:
        product = matmul(x, self.kernel, self.precision)
        return self._finish(product, ops.expand_dims(self.bias, 0))


class Initializers:
    """Maker of layers whose initial kernels are a function of one seed.

    Keras' global seed is left alone.

    Parameters
    ----------
    seed : int or None
        Seed of all kernels; None for zeros.
    precision : {"float32", "bfloat16"}, default "float32"
        Precision of the matrix products.
    """

    def __init__(self, seed: int | None, precision: str = "float32") -> None:
        self._rng = None if seed is None else np.random.default_rng(seed)
        self.precision = precision

    def next(self) -> keras.initializers.Initializer:
        """The initializer of the next kernel."""
        if self._rng is None:
            return keras.initializers.Zeros()
        return keras.initializers.GlorotUniform(seed=int(self._rng.integers(2**31)))

    def dense(self, units: int, activation: str | None, name: str) -> keras.layers.Dense:
        """A dense layer with the next kernel.

        Parameters
        ----------
        units : int
            Width of the output.
        activation : str or None
            Name of the activation; None for a linear layer.
        name : str
            Name of the layer.

        Returns
        -------
        keras.layers.Dense
            Layer, not yet built.
        """
        options = {"activation": activation, "kernel_initializer": self.next(), "name": name}
        if self.precision == "float32":
            return keras.layers.Dense(units, **options)
        return Dense(units, self.precision, **options)

    def mlp(
        self, widths: list[int], activation: str, last: str, name: str
    ) -> list[keras.layers.Dense]:
        """Dense layers with ``activation``, the final one with ``last``.

        Parameters
        ----------
        widths : list of int
            Widths of the outputs, in order.
        activation : str
            Activation of all layers but the final one.
        last : str
            Activation of the final layer.
        name : str
            Start of the layers' names, before their number.

        Returns
        -------
        list of keras.layers.Dense
            Layers, not yet built.
        """
        activations = [activation] * (len(widths) - 1) + [last]
        layers = zip(widths, activations, strict=True)
        return [self.dense(width, a, f"{name}_{i}") for i, (width, a) in enumerate(layers)]


def run(layers: list[keras.layers.Dense], x: Any) -> Any:
    """Apply layers one after the other.

    Parameters
    ----------
    layers : list of keras.layers.Dense
        Layers, in order.
    x : tensor, shape (..., n)
        Input of the first one.

    Returns
    -------
    tensor, shape (..., units)
        Output of the last one.
    """
    for layer in layers:
        x = layer(x)
    return x


def at_receivers(values: Any, edges: tuple[Any, Any]) -> Any:
    """Rows of the nodes that pairs update, one for each pair (see :mod:`hepsilon.networks`).

    Parameters
    ----------
    values : tensor, shape (nodes, n)
        Rows of the nodes.
    edges : tuple of (tensor or None, tensor)
        Receivers and senders: positions of nodes; without receivers, senders have one row per node.

    Returns
    -------
    tensor, shape (edges, n), or (nodes, 1, n) without receivers
        Rows of the pairs.
    """
    receivers, _ = edges
    return ops.expand_dims(values, 1) if receivers is None else ops.take(values, receivers, axis=0)


def at_senders(values: Any, edges: tuple[Any, Any]) -> Any:
    """Rows of the partners, one for each pair.

    Parameters
    ----------
    values : tensor, shape (nodes, n)
        Rows of the nodes.
    edges : tuple of (tensor or None, tensor)
        Receivers and senders: positions of nodes.

    Returns
    -------
    tensor, shape (edges, n), or (nodes, partners, n) without receivers
        Rows of the pairs.
    """
    return ops.take(values, edges[1], axis=0)


def sum_over_partners(messages: Any, edges: tuple[Any, Any], nodes: Any) -> Any:
    """Sum of the messages of all pairs that update a node; ``nodes`` gives their number.

    Parameters
    ----------
    messages : tensor, shape (edges, n), or (nodes, partners, n) without receivers
        Rows of the pairs.
    edges : tuple of (tensor or None, tensor)
        Receivers and senders: positions of nodes.
    nodes : tensor, shape (nodes, ...)
        Any tensor with one row per node.

    Returns
    -------
    tensor, shape (nodes, n)
        Sum of each node; a sender that is the node itself is padding and does not count.
    """
    receivers, senders = edges
    if receivers is None:
        own = ops.expand_dims(RowNumbers()(nodes), 1)
        real = ops.cast(ops.not_equal(senders, own), messages.dtype)
        return ops.sum(messages * ops.expand_dims(real, 2), axis=1)
    return ops.segment_sum(messages, receivers, num_segments=ops.shape(nodes)[0])


class RowNumbers(keras.Operation):  # type: ignore[misc]
    """Numbers of the rows of a tensor, int32: an operation, so that graphs can be written of it."""

    def compute_output_spec(self, x: Any) -> Any:
        """One number for each row."""
        return keras.KerasTensor((x.shape[0],), "int32")

    def call(self, x: Any) -> Any:
        return ops.arange(ops.shape(x)[0], dtype="int32")


def separation(d_eta: Any, d_phi: Any) -> tuple[Any, Any, Any]:
    """Differences of a pair in eta and in phi, wrapped into [-pi, pi], and its delta R.

    Parameters
    ----------
    d_eta : tensor
        Difference in eta.
    d_phi : tensor
        Difference in phi, of any size [rad].

    Returns
    -------
    tuple of (tensor, tensor, tensor)
        Difference in eta, in phi [rad], and delta R; each of the shape of the arguments.
    """
    d_phi = d_phi - TWO_PI * ops.round(d_phi / TWO_PI)
    # the tiny constant keeps the gradient of the root finite for padding (delta R = 0)
    return d_eta, d_phi, ops.sqrt(d_eta * d_eta + d_phi * d_phi + 1e-12)


def closeness(delta_r: Any, separations: Separations) -> list[Any]:
    """How close a pair is, by exponentials that fall from one on several lengths.

    Parameters
    ----------
    delta_r : tensor
        Distance of the pair.
    separations : Separations
        Distance at which they are one, and the lengths.

    Returns
    -------
    list of tensor
        ``exp(-(delta R - low) / scale)`` for each scale, at most e.
    """
    beyond = delta_r - separations.low
    return [ops.exp(-ops.maximum(beyond / scale, -1.0)) for scale in separations.scales]


class PairFeatures(keras.layers.Layer):  # type: ignore[misc]
    """Differences of a pair: d_eta, d_phi wrapped into [-pi, pi], delta R, and how close it is.

    They are invariant under common rotations in phi, and close-by objects depend on them. The
    output has the shape (edges, 3 + number of lengths).

    Parameters
    ----------
    eta : int
        Column of eta in the nodes.
    phi : int
        Column of phi in the nodes.
    separations : Separations or None
        Lengths of the closeness (see :func:`closeness`); None for the differences alone.
    **kwargs
        Options of a Keras layer, such as ``name``.
    """

    def __init__(self, eta: int, phi: int, separations: Separations | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.eta, self.phi, self.separations = eta, phi, separations

    def call(self, inputs: tuple[Any, Any, Any]) -> Any:
        x, receivers, senders = inputs
        edges = receivers, senders
        angles = ops.stack([x[:, self.eta], x[:, self.phi]], axis=1)
        delta = at_receivers(angles, edges) - at_senders(angles, edges)
        columns = [*separation(delta[..., :1], delta[..., 1:])]
        if self.separations is not None:
            columns += closeness(columns[2], self.separations)
        return ops.concatenate(columns, axis=-1)


class FirstPairLayer(keras.layers.Layer):  # type: ignore[misc]
    """Dense layer on the concatenated pair (x_i, x_j, pair features), computed factorised.

    ``W [x_i, x_j, p] = W_a x_i + W_b x_j + W_c p``: the first two products run once per object
    instead of once per pair. One kernel, initialised as that of the plain layer.

    Parameters
    ----------
    units : int
        Width of the output.
    activation : str
        Activation of the sum.
    initializers : Initializers
        Maker of the initial kernel, with the precision.
    **kwargs
        Options of a Keras layer, such as ``name``.
    """

    def __init__(
        self, units: int, activation: str, initializers: Initializers, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.initializer = initializers.next()
        self.precision = initializers.precision
        self.activation = keras.activations.get(activation)
        self._join = fused(self._joined, self.precision)

    def build(self, input_shape: list[Any]) -> None:
        self.n_object = int(input_shape[0][-1])
        n_pair = 0 if input_shape[3] is None else int(input_shape[3][-1])
        rows = 2 * self.n_object + n_pair
        self.kernel = self.add_weight(
            shape=(rows, self.units), initializer=self.initializer, name="kernel"
        )
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, inputs: list[Any]) -> Any:
        x, receivers, senders, pair = inputs
        edges, d = (receivers, senders), self.n_object
        both = ops.concatenate([self.kernel[:d], self.kernel[d : 2 * d]], axis=1)
        per_object = matmul(x, both, self.precision)
        per_pair = None if pair is None else matmul(pair, self.kernel[2 * d :], self.precision)
        return self._join(per_object, per_pair, ops.expand_dims(self.bias, 0), edges)

    def _joined(self, per_object: Any, per_pair: Any, bias: Any, edges: tuple[Any, Any]) -> Any:
        per_object = ops.cast(per_object, bias.dtype)
        out = at_receivers(per_object[:, : self.units] + bias, edges)
        out = out + at_senders(per_object[:, self.units :], edges)
        if per_pair is not None:
            out = out + ops.cast(per_pair, bias.dtype)
        return self.activation(out)


class GNBlock(keras.layers.Layer):  # type: ignore[misc]
    """One GN block of the paper's Appendix B and C, on flat edge lists.

    With ``h = d_out / 2``, ``m1 = (2 d_in + h) / 2``, ``m2 = (d_in + h) / 2``: the pair MLP
    ``2 d_in -> m1 -> m1 -> h`` runs on all ordered pairs and is summed over the partners, then
    ``h -> h -> h``; the object MLP is ``d_in -> m2 -> h``. Both halves are concatenated and
    normalised to unit length; the skip connection is the caller's.

    Parameters
    ----------
    d_out : int
        Width of the output, an even number.
    activation : str
        Activation of the hidden layers; the last layer of each MLP has tanh.
    initializers : Initializers
        Maker of the layers of the MLPs.
    **kwargs
        Options of a Keras layer, such as ``name``.
    """

    def __init__(
        self, d_out: int, activation: str, initializers: Initializers, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.d_out, self.activation = d_out, activation
        self.initializers = initializers

    def build(self, input_shape: list[Any]) -> None:
        d_in = int(input_shape[0][-1])
        half = self.d_out // 2
        m1, m2 = (2 * d_in + half) // 2, (d_in + half) // 2
        init = self.initializers
        self.pair_first = FirstPairLayer(m1, self.activation, init, name="pair_first")
        self.pair_first.build(input_shape)
        self.pair_rest = init.mlp([m1, half], self.activation, "tanh", "pair")
        self.summed = init.mlp([half, half], self.activation, "tanh", "summed")
        self.single = init.mlp([m2, half], self.activation, "tanh", "object")
        for layers, width in ((self.pair_rest, m1), (self.summed, half), (self.single, d_in)):
            inputs = [width, *(layer.units for layer in layers)]
            for layer, size in zip(layers, inputs, strict=False):
                layer.build((None, size))

    def compute_output_shape(self, input_shape: list[Any]) -> tuple[int | None, int]:
        """One row per node (given here since the number of segments is known at run time only)."""
        return input_shape[0][0], self.d_out

    def call(self, inputs: list[Any]) -> Any:
        x, receivers, senders, _ = inputs
        messages = run(self.pair_rest, self.pair_first(inputs))
        summed = sum_over_partners(messages, (receivers, senders), x)
        out = ops.concatenate([run(self.summed, summed), run(self.single, x)], axis=1)
        square = ops.sum(out * out, axis=1, keepdims=True)
        return out * ops.rsqrt(ops.maximum(square, 1e-12))
