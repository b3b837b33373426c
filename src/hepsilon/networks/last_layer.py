"""What the last layers of a network see: the derivative of its logit by their weights."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hepsilon.networks.event_layers import Gate
from hepsilon.networks.feature_layers import Rates
from hepsilon.networks.layers import at_senders, sum_over_partners
from hepsilon.networks.track_layers import EventProduct, ProductEfficiency, slope, slope_of_event

__all__ = ["features_of", "with_features"]


def with_features(model: keras.Model) -> keras.Model | None:
    """Give a network the inputs of its last layers as a second output.

    The logit of a network that ends in a linear layer changes by ``features @ change`` where the
    kernel of that layer changes. A product of factors has a last layer in each; its logit changes
    by as much to first order.

    Parameters
    ----------
    model : keras.Model
        Network from :func:`hepsilon.networks.build.build_model`.

    Returns
    -------
    keras.Model or None
        Network with the outputs logits and features, (rows, n) both, which shares all layers; None
        where the last layer is of a kind that is not known.
    """
    features = features_of(model.output)
    if features is None:
        return None
    return keras.Model(model.input, [model.output, features], name=model.name)


def features_of(logit: Any) -> Any | None:
    """Derivatives of a logit by the weights of the last layers that it comes from.

    Parameters
    ----------
    logit : KerasTensor, shape (rows, outputs)
        Output of a network.

    Returns
    -------
    KerasTensor or None, shape (rows, n_features)
        Equal for all outputs of a layer; without the constant, by which the bias is multiplied.
    """
    layer = logit._keras_history.operation
    if isinstance(layer, keras.layers.Dense):
        return layer.input if layer.activation is keras.activations.linear else None
    if isinstance(layer, ProductEfficiency | Gate | Rates):
        return layer.output[1]
    if isinstance(layer, EventProduct):
        nodes, *edges = layer.input  # Keras leaves out receivers that are None
        receivers, senders = edges if len(edges) == 2 else (None, *edges)
        hidden = features_of(nodes)
        if hidden is None or nodes.shape[-1] != 1:
            return None
        return EventFeatures(name=f"{layer.name}_features")((nodes, hidden, receivers, senders))
    if isinstance(layer, keras.layers.Add):
        parts = [features_of(part) for part in layer.input]
        known = all(part is not None for part in parts)
        return keras.layers.Concatenate(name=f"{layer.name}_features")(parts) if known else None
    return None


class EventFeatures(keras.layers.Layer):  # type: ignore[misc]
    """Derivatives of the logits of :class:`EventProduct` by the weights of its nodes' last layer.

    It maps the logits of the nodes (nodes, 1), the inputs of their last layer (nodes, n), receivers
    and senders to (nodes, n + 1); the last column is that of the bias.
    """

    def call(self, inputs: tuple[Any, Any, Any, Any]) -> Any:
        logit, hidden, receivers, senders = inputs
        edges = receivers, senders
        columns = ops.concatenate([hidden, ops.ones_like(logit)], axis=-1)
        own = ops.concatenate([ops.log_sigmoid(logit + 2.0), slope(logit) * columns], axis=-1)
        total = own + sum_over_partners(at_senders(own, edges), edges, own)
        return slope_of_event(total[:, :1]) * total[:, 1:]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """One row per node (given here since the number of segments is known at run time only)."""
        return (input_shape[0][0], input_shape[1][1] + 1)
