"""The baseline: the paper's network as one would write it in Keras, for coffea's ``tf_wrapper``.

Events are padded to a fixed number of objects, all pairs of places are concatenated and masked;
standard Keras layers and operations only. With the weights of the same network of hepsilon it
gives the same numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from coffea.ml_tools import tf_wrapper

from hepsilon.data.features import FeatureSpec
from hepsilon.networks.architecture import Architecture

__all__ = ["PaddedWrapper", "copy_weights", "operations", "padded_columns", "padded_model"]


def _encode(x: Any, spec: FeatureSpec) -> Any:
    from keras import ops

    columns = []
    for i, feature in enumerate(spec.features):
        value = x[..., i : i + 1]
        if feature.kind == "categorical":
            columns += [ops.cast(ops.equal(value, float(c)), "float32") for c in feature.categories]
        else:
            columns.append((value - feature.mean) / feature.std)
    return ops.concatenate(columns, axis=-1)


def padded_model(architecture: Architecture, spec: FeatureSpec, objects: int) -> Any:
    """Keras model from features and mask (events, objects, features + 1) to logits (.., 1)."""
    import keras
    from keras import ops

    def dense(units: int, activation: str, name: str) -> Any:
        return keras.layers.Dense(units, activation=activation, name=name)

    inputs = keras.Input((objects, len(spec.features) + 1))
    x, real = inputs[..., :-1], inputs[..., -1]
    hidden = encoded = _encode(x, spec)
    pair_mask = ops.expand_dims(real, 1) * (1.0 - np.eye(objects, dtype=np.float32))
    for number, width in enumerate(architecture.blocks):
        name, half, d = f"block_{number}", width // 2, hidden.shape[-1]
        m1, m2, relu = (2 * d + half) // 2, (d + half) // 2, architecture.activation
        first = ops.repeat(ops.expand_dims(hidden, 2), objects, axis=2)
        second = ops.repeat(ops.expand_dims(hidden, 1), objects, axis=1)
        pair = dense(m1, relu, f"{name}.pair_first")(ops.concatenate([first, second], axis=-1))
        pair = dense(m1, relu, f"{name}.pair_0")(pair)
        pair = dense(half, "tanh", f"{name}.pair_1")(pair)
        total = ops.sum(pair * ops.expand_dims(pair_mask, -1), axis=2)
        summed = dense(half, "tanh", f"{name}.summed_1")(
            dense(half, relu, f"{name}.summed_0")(total)
        )
        single = dense(half, "tanh", f"{name}.object_1")(
            dense(m2, relu, f"{name}.object_0")(hidden)
        )
        both = ops.concatenate([summed, single], axis=-1)
        both = both / ops.sqrt(ops.maximum(ops.sum(both * both, axis=-1, keepdims=True), 1e-12))
        hidden = ops.concatenate([encoded, both], axis=-1)
    for i, width in enumerate(architecture.head):
        hidden = dense(width, architecture.activation, f"head_{i}")(hidden)
    return keras.Model(inputs, dense(1, "linear", "logit")(hidden))


def operations(padded: Any) -> float:
    """Floating point operations of all matrix products for one event."""
    import keras

    layers = [layer for layer in padded.layers if isinstance(layer, keras.layers.Dense)]
    rows = [np.prod(layer.output.shape[1:-1]) for layer in layers]
    return float(sum(2 * r * np.prod(la.kernel.shape) for r, la in zip(rows, layers, strict=True)))


def copy_weights(network: Any, padded: Any) -> None:
    """Give the padded model the weights of a network of hepsilon."""
    weights = {v.path.replace("/", "."): np.asarray(v) for v in network.weights}
    for layer in padded.layers:
        if layer.weights:
            layer.set_weights([weights[f"{layer.name}.kernel"], weights[f"{layer.name}.bias"]])


def padded_columns(offsets: Any, nodes: Any, objects: int) -> Any:
    """Features and mask of every place (events, objects, features + 1), float32."""
    counts = np.diff(offsets)
    rows = np.repeat(np.arange(len(counts)), counts)
    places = np.arange(len(nodes)) - np.repeat(offsets[:-1], counts)
    out = np.zeros((len(counts), objects, nodes.shape[1] + 1), np.float32)
    out[rows, places, :-1], out[rows, places, -1] = nodes, 1.0
    return out


class PaddedWrapper(tf_wrapper):
    """Coffea's wrapper around the saved padded model, as its documentation shows it."""

    def __init__(self, path: Path, objects: int) -> None:
        super().__init__(str(path))
        self.objects = objects

    def prepare_awkward(self, jets: Any) -> Any:
        """Features and mask as one regular array."""
        fields = [ak.values_astype(jets[f], np.float32) for f in ak.fields(jets)]
        fields.append(ak.ones_like(fields[0]))
        padded = [ak.fill_none(ak.pad_none(f, self.objects, clip=True), 0.0) for f in fields]
        return (ak.concatenate([f[..., np.newaxis] for f in padded], axis=2),), {}
