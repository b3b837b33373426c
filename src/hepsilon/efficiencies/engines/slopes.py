"""Derivatives of a network's logits by its raw inputs, by the backend's automatic ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hepsilon.arrays.types import Array

if TYPE_CHECKING:
    import keras

__all__ = ["Slopes", "slopes_of"]

Slopes = Callable[[Sequence[Any], dict[str, Array], Array], list[Any]]
"""Gives for every output the derivatives (rows, inputs) from weights, inputs and the factor of each
row in the sum that is derived."""


def _logits(model: keras.Model, weights: Sequence[Any], inputs: dict[str, Any]) -> Any:
    found = model.stateless_call(list(weights), [], inputs, training=False)[0]
    return found[0] if isinstance(found, list) else found


def _tensorflow(model: keras.Model) -> Slopes:
    import tensorflow as tf

    outputs = int(model.output.shape[-1])

    def run(weights: Any, x: Any, edges: dict[str, Any], factors: Any) -> Any:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            logits = _logits(model, weights, {"x": x, **edges})
            sums = [tf.reduce_sum(logits[:, i] * factors) for i in range(outputs)]
        return [tape.gradient(each, x) for each in sums]

    compiled = tf.function(run, reduce_retracing=True)

    def call(weights: Sequence[Any], inputs: dict[str, Array], factors: Array) -> Any:
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        return compiled(list(weights), tensors.pop("x"), tensors, tf.constant(factors))

    return call


def _jax(model: keras.Model) -> Slopes:
    import jax
    import jax.numpy as jnp

    def run(weights: Any, inputs: dict[str, Any], factors: Any) -> Any:
        edges = {name: value for name, value in inputs.items() if name != "x"}
        logits, back = jax.vjp(lambda x: _logits(model, weights, {"x": x, **edges}), inputs["x"])
        kept = jnp.eye(logits.shape[-1], dtype=logits.dtype)
        return [back(factors[:, None] * row)[0] for row in kept]

    compiled: Slopes = jax.jit(run)
    return compiled


def _torch(model: keras.Model) -> Slopes:
    import torch
    from keras.ops import convert_to_tensor  # on the device of Keras, which torch does not know

    def call(weights: Sequence[Any], inputs: dict[str, Array], factors: Array) -> Any:
        tensors = {name: convert_to_tensor(value) for name, value in inputs.items()}
        x = tensors["x"].requires_grad_()
        logits = _logits(model, weights, tensors)
        sums = (logits * convert_to_tensor(factors)[:, None]).sum(dim=0)
        return [torch.autograd.grad(each, x, retain_graph=True)[0] for each in sums]

    return call


_BACKENDS: dict[str, Callable[[keras.Model], Slopes]] = {
    "tensorflow": _tensorflow,
    "jax": _jax,
    "torch": _torch,
}


def slopes_of(model: keras.Model) -> Slopes:
    """Function that gives the derivatives of a network's logits.

    Parameters
    ----------
    model : keras.Model
        Network from :func:`hepsilon.networks.build.build_model`.

    Returns
    -------
    callable
        See :data:`Slopes`.
    """
    import keras

    return _BACKENDS[keras.backend.backend()](model)
