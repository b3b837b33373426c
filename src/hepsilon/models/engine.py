"""Evaluation of a network on any number of events, compiled once per graph capacity."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepsilon.graphs import Graph, packed_graphs, packed_rows

if TYPE_CHECKING:
    import keras

__all__ = ["Engine", "start_backend"]

Array = npt.NDArray[Any]
Call = Callable[[dict[str, Array]], Any]


def start_backend() -> None:
    """Import Keras with its backend; on TensorFlow let GPU memory grow instead of taking it all."""
    # without an NVIDIA driver TensorFlow reports its absence as errors: not worth alarming anybody
    quiet = "2" if Path("/proc/driver/nvidia").exists() else "3"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", quiet)
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            try:
                tf.config.experimental.set_memory_growth(gpu, True)
            except RuntimeError:  # the user's own code has started the GPU, with its settings
                break


def _tensorflow(model: keras.Model) -> Call:
    import tensorflow as tf

    signature = {
        "x": tf.TensorSpec((None, model.input["x"].shape[1]), tf.float32),
        "receivers": tf.TensorSpec((None,), tf.int32),
        "senders": tf.TensorSpec((None,), tf.int32),
    }
    function = tf.function(
        lambda inputs: model(inputs, training=False),
        input_signature=[signature],
        jit_compile=True,
    )
    return lambda inputs: function({k: tf.constant(v) for k, v in inputs.items()})


def _jax(model: keras.Model) -> Call:
    import jax

    @jax.jit  # type: ignore[untyped-decorator, unused-ignore]
    def function(trainable: Any, non_trainable: Any, inputs: Any) -> Any:
        return model.stateless_call(trainable, non_trainable, inputs, training=False)[0]

    def call(inputs: dict[str, Array]) -> Any:
        state = [[v.value for v in group] for group in _groups(model)]
        return function(*state, inputs)

    return call


def _groups(model: keras.Model) -> tuple[list[Any], list[Any]]:
    return model.trainable_variables, model.non_trainable_variables


def _torch(model: keras.Model) -> Call:
    import torch

    def call(inputs: dict[str, Array]) -> Any:
        with torch.no_grad():
            return model(inputs, training=False)

    return call


_COMPILERS: dict[str, Callable[[keras.Model], Call]] = {
    "tensorflow": _tensorflow,
    "jax": _jax,
    "torch": _torch,
}


class Engine:
    """Forward pass of one network.

    Events are packed into graphs of a few fixed capacities, so the number of compilations is
    bounded and memory does not grow with the number of events.

    Parameters
    ----------
    model : network from :func:`hepsilon.models.build_model`.
    device : Keras device such as ``"cpu"`` or ``"gpu:0"``; None for the backend's choice.
    """

    def __init__(self, model: keras.Model, device: str | None = None) -> None:
        import keras

        from hepsilon.models.layers import GNBlock

        self._call = _COMPILERS[keras.backend.backend()](model)
        self._device = device
        self._outputs = int(model.output.shape[-1])
        self._has_edges = any(isinstance(layer, GNBlock) for layer in model.layers)

    def logits(self, offsets: Array, nodes: Array) -> Array:
        """Logit of every object, float64 (``n_objects``), in the order of ``nodes``.

        Of several working points one logit for each (``n_objects, working_points``).

        Parameters
        ----------
        offsets : int64 (``n_events + 1``).
        nodes : raw features, float32 (``n_objects, n_features``).
        """
        out = np.full((len(nodes), self._outputs), np.nan)
        graphs = packed_graphs(offsets, nodes) if self._has_edges else packed_rows(nodes)
        for graph in graphs:
            real = graph.index >= 0
            out[graph.index[real]] = self._run(graph)[real]
        return out if self._outputs > 1 else out[:, 0]

    def _run(self, graph: Graph) -> Array:
        import keras

        if self._device is None:
            logits = self._call(graph.inputs)
        else:
            with keras.device(self._device):
                logits = self._call(graph.inputs)
        return np.asarray(keras.ops.convert_to_numpy(logits), np.float64)
