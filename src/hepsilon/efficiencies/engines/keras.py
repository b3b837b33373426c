"""Evaluation of networks by Keras on any number of events, compiled once per graph capacity."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepsilon._system.extras import is_installed
from hepsilon._system.forks import note_threads
from hepsilon._system.quiet import quiet_start
from hepsilon._system.resources import has_nvidia_gpu, threaded, usable_cpus
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.efficiencies.engines.devices import device_of_keras, on_gpu
from hepsilon.efficiencies.engines.products import multiplied
from hepsilon.efficiencies.engines.slopes import Slopes, slopes_of
from hepsilon.networks.graphs import MAX_NODES, MAX_ROWS, Graph, packed_graphs, packed_rows

if TYPE_CHECKING:
    import keras

__all__ = ["GPU_NODES", "KERAS", "Engine", "keras_backend", "start_backend"]

KERAS = ("tensorflow", "jax", "torch")
"""Backends of Keras, in the order in which one is taken that nobody has chosen."""
Weights = Sequence[Any]
Call = Callable[[Weights, dict[str, Array]], list[Any]]
Functions = tuple[Call, Call]
"""One for full graphs of large calls, and one for all others."""
GPU_NODES = 1 << 16
"""Nodes of a batch on a GPU, which small batches leave idle."""
MANY_GRAPHS = 64
"""Full graphs in a call from which TensorFlow compiles with XLA on a CPU: it takes 1 to 2 s, and
saves 1 to 30 ms for each of 1024 nodes, most of wide networks (benchmarks/compiled.py)."""


def keras_backend() -> str:
    """The backend that Keras has, or will have when it is imported: one that is installed."""
    if "keras" in sys.modules:
        import keras

        return str(keras.backend.backend())
    if asked := os.environ.get("KERAS_BACKEND"):
        return asked
    folder = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        wanted = str(json.loads((folder / "keras.json").read_text())["backend"])
    except (OSError, ValueError, TypeError, KeyError):
        wanted = KERAS[0]
    if is_installed(wanted):
        return wanted
    return next((name for name in KERAS if is_installed(name)), wanted)


def start_backend() -> None:
    """Import Keras with its backend, within the CPUs and GPU memory that this process may use.

    Products of float32 are computed in float32 on GPUs, too, and not in TF32.
    """
    # without an NVIDIA driver TensorFlow reports its absence as errors: not worth alarming anybody
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if has_nvidia_gpu() else "3")
    # several processes share a GPU: JAX would take three quarters of its memory at once
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if not os.environ.get("KERAS_BACKEND"):
        os.environ["KERAS_BACKEND"] = keras_backend()
    with quiet_start():
        import keras

        _SETTINGS.get(keras.backend.backend(), lambda: None)()
    note_threads(keras.backend.backend())


def _set_tensorflow() -> None:
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(usable_cpus())
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:  # the user's own code has started TensorFlow, with its settings
        pass


def _set_jax() -> None:
    import jax

    config: Any = jax.config
    if config.jax_default_matmul_precision is None:
        config.update("jax_default_matmul_precision", "highest")


def _set_torch() -> None:
    import torch

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    # batches have threads of their own, of which each would start as many as there are CPUs
    torch.set_num_threads(1)


_SETTINGS: dict[str, Callable[[], None]] = {
    "tensorflow": _set_tensorflow,
    "jax": _set_jax,
    "torch": _set_torch,
}


def _products(precision: str) -> Any:
    """Context in which the products of a call are computed in this precision, on a GPU."""
    if precision != "tf32":
        return contextlib.nullcontext()
    import jax

    return jax.default_matmul_precision("tensorfloat32")


def _forward(model: keras.Model, weights: Weights, inputs: dict[str, Any]) -> list[Any]:
    outputs = model.stateless_call(list(weights), [], inputs, training=False)[0]
    return outputs if isinstance(outputs, list) else [outputs]


def _tensorflow(model: keras.Model, jit: bool) -> Call:
    import tensorflow as tf

    signature = {
        "x": tf.TensorSpec((None, model.input["x"].shape[1]), tf.float32),
        "receivers": tf.TensorSpec((None,), tf.int32),
        "senders": tf.TensorSpec((None,), tf.int32),
    }
    weights = [tf.TensorSpec(v.shape, tf.float32) for v in model.trainable_variables]
    function = tf.function(
        partial(_forward, model),  # closures of several models count as one that is retraced
        input_signature=[weights, signature],
        jit_compile=jit,
    )
    return lambda weights, inputs: function(weights, {k: tf.constant(v) for k, v in inputs.items()})


def _jax(model: keras.Model, jit: bool) -> Call:
    import jax

    function: Call = jax.jit(partial(_forward, model))
    return function


def _torch(model: keras.Model, jit: bool) -> Call:
    import torch

    def call(weights: Weights, inputs: dict[str, Array]) -> Any:
        with torch.no_grad():
            return _forward(model, weights, inputs)

    return call


_COMPILERS: dict[str, Callable[[keras.Model, bool], Call]] = {
    "tensorflow": _tensorflow,
    "jax": _jax,
    "torch": _torch,
}


class Engine:
    """Forward pass of networks of one architecture: an ensemble is compiled once.

    Events are packed into graphs of a few fixed capacities, so the number of compilations is
    bounded and memory does not grow with the number of events. Several threads evaluate a graph
    each: what the compiler leaves serial then keeps no core waiting.

    Parameters
    ----------
    model : keras.Model
        Network from :func:`hepsilon.networks.build_model`.
    members : sequence of sequence of ndarray, optional
        Weights of each network of the ensemble, in the order of ``model.trainable_variables``; None
        for the weights that the model has at each call.
    device : str, optional
        Keras device such as ``"cpu"`` or ``"gpu:0"``; None for the backend's choice.
    precision : {"float32", "tf32", "bfloat16"}, default "float32"
        Precision of the matrix products: for bfloat16 the one that the model was built with, TF32
        is for JAX on a GPU.
    has_edges : bool, optional
        Whether the network looks at partners; by default whether it has a GN block.
    """

    def __init__(
        self,
        model: keras.Model,
        members: Sequence[Sequence[Array]] | None = None,
        device: str | None = None,
        precision: str = "float32",
        has_edges: bool | None = None,
    ) -> None:
        import keras

        from hepsilon.networks.layers import GNBlock

        self._model, self._precision = model, precision
        self._gpu = on_gpu(device, keras.backend.backend())
        self._device = device_of_keras(device)
        # on a CPU, products in bfloat16 reach the units for them outside of XLA only
        self._jit = self._gpu or precision != "bfloat16"
        self._call = self._functions(model)
        self._members: list[Weights] | None = None
        self._both: tuple[Functions, int] | None = None
        self._slopes: Slopes | None = None
        if members is not None:
            self.set_members(members)
        self._outputs = int(model.output.shape[-1])
        blocks = any(isinstance(layer, GNBlock) for layer in model.layers)
        self._has_edges = blocks if has_edges is None else has_edges

    def set_members(self, members: Sequence[Sequence[Array]]) -> None:
        """Evaluate other networks of the same architecture, without compiling anything anew.

        Parameters
        ----------
        members : sequence of sequence of ndarray
            Weights of each network.
        """
        self._members = self._tensors(members)

    def _tensors(self, members: Sequence[Sequence[Array]]) -> list[Weights]:
        import keras

        with self._placed():
            return [
                [keras.ops.convert_to_tensor(w, "float32") for w in weights] for weights in members
            ]

    def _placed(self) -> Any:
        import keras

        return contextlib.nullcontext() if self._device is None else keras.device(self._device)

    def _graphs(self, offsets: Offsets, nodes: Nodes) -> Iterator[Graph]:
        if self._has_edges:
            return packed_graphs(offsets, nodes, GPU_NODES if self._gpu else MAX_NODES)
        return packed_rows(nodes, GPU_NODES if self._gpu else MAX_ROWS)

    def logits(self, offsets: Offsets, nodes: Nodes) -> Array:
        """Logits of every object.

        Parameters
        ----------
        offsets : ndarray of int64, shape (n_events + 1,)
            Event i has the objects ``offsets[i]:offsets[i + 1]``.
        nodes : ndarray of float32, shape (n_objects, n_features)
            Raw features.

        Returns
        -------
        ndarray of float64, shape (n_objects, n_members * n_working_points)
            Logits in the order of ``nodes``; all working points of the first network come first.
        """
        return self._outputs_of(offsets, nodes, self._call, [])

    def with_features(
        self, offsets: Offsets, nodes: Nodes, networks: int, kernel: Array | None = None
    ) -> tuple[Array, Array] | None:
        """Logits of every object, and what the last layers of the first networks see.

        Parameters
        ----------
        offsets : ndarray of int64, shape (n_events + 1,)
            Event i has the objects ``offsets[i]:offsets[i + 1]``.
        nodes : ndarray of float32, shape (n_objects, n_features)
            Raw features.
        networks : int
            Number of networks, of which the last layers are asked for.
        kernel : ndarray of float32, shape (n_networks * n_inputs, n_columns), optional
            What the features are multiplied with.

        Returns
        -------
        logits : ndarray of float64, shape (n_objects, n_members * n_working_points)
            Logits as from :meth:`logits`.
        features : ndarray of float32, shape (n_objects, n_networks * n_inputs)
            Derivatives of the logits (see :mod:`hepsilon.networks.last_layer`), or their product
            with the kernel. None in place of both for a network whose last layer is of a kind that
            is not known.
        """
        from hepsilon.networks.last_layer import with_features

        if self._both is None:
            model = with_features(self._model)
            if model is None:
                return None
            self._both = self._functions(model), int(model.output[1].shape[-1])
        functions, width = self._both
        features = np.zeros((len(nodes), networks, width), np.float32)
        logits = self._outputs_of(offsets, nodes, functions, list(np.moveaxis(features, 1, 0)))
        return logits, multiplied(features.reshape(len(nodes), networks * width), kernel)

    def slopes(self, offsets: Offsets, nodes: Nodes, factors: Array) -> Array:
        """Derivatives of the logits of every object by its raw features.

        Parameters
        ----------
        offsets : ndarray of int64, shape (n_events + 1,)
            Event i has the objects ``offsets[i]:offsets[i + 1]``.
        nodes : ndarray of float32, shape (n_objects, n_features)
            Raw features.
        factors : ndarray of float32, shape (n_objects,)
            Factor of each object's logits in the sum that is derived: of networks that look at
            partners the derivatives are those of this sum.

        Returns
        -------
        ndarray of float64, shape (n_objects, n_members * n_working_points, n_features)
            Derivatives; all working points of the first network come first.
        """
        import keras

        if self._slopes is None:
            self._slopes = slopes_of(self._model)
        members = self._members
        if members is None:
            members = self._tensors([self._model.get_weights()])
        found = np.full((len(nodes), self._outputs * len(members), nodes.shape[1]), np.nan)
        for graph in self._graphs(offsets, nodes):
            real = graph.index >= 0
            rows = graph.index[real]
            own = np.where(real, factors[graph.index], 0.0).astype(np.float32)
            for member, weights in enumerate(members):
                with self._placed():
                    slopes = self._slopes(weights, graph.inputs, own)
                for column, slope in enumerate(slopes, member * self._outputs):
                    found[rows, column] = keras.ops.convert_to_numpy(slope)[real]
        return found

    def _functions(self, model: keras.Model) -> Functions:
        """A model as functions of the weights, which come in the order of this engine's model."""
        import keras

        place = {id(variable): i for i, variable in enumerate(self._model.trainable_variables)}
        order = [place[id(variable)] for variable in model.trainable_variables]
        compiler = _COMPILERS[keras.backend.backend()]

        def function(jit: bool) -> Call:
            call = compiler(model, jit)
            return lambda weights, inputs: call([weights[i] for i in order], inputs)

        full = function(self._jit)
        optional = compiler is _tensorflow and self._jit and not self._gpu
        return full, function(False) if optional else full

    def _outputs_of(
        self, offsets: Offsets, nodes: Nodes, functions: Functions, features: list[Array]
    ) -> Array:
        """Logits of all members; features of the first ones are put into their arrays."""
        members = self._members
        if members is None:
            members = self._tensors([self._model.get_weights()])
        out = np.full((len(nodes), self._outputs * len(members)), np.nan)
        largest = MAX_NODES if self._has_edges else MAX_ROWS
        many = len(nodes) >= MANY_GRAPHS * largest

        def run(graph: Graph) -> None:
            real = graph.index >= 0
            full, other = functions
            call = full if many and len(graph.x) == largest else other
            found = self._run(graph, members, call)
            logits = np.concatenate([np.asarray(x, np.float64) for x, *_ in found], axis=1)
            out[graph.index[real]] = logits[real]
            for array, (_, *more) in zip(features, found, strict=False):
                array[graph.index[real]] = more[0][real]

        # on a GPU the second thread prepares and copies a graph while the first one's runs
        workers = 2 if self._gpu else usable_cpus()
        for _ in threaded(run, self._graphs(offsets, nodes), workers):
            pass
        return out

    def _run(self, graph: Graph, members: Sequence[Weights], call: Call) -> list[list[Array]]:
        """Outputs of each member."""
        import keras

        with self._placed(), _products(self._precision):
            outputs = [call(weights, graph.inputs) for weights in members]
        return [[keras.ops.convert_to_numpy(x) for x in each] for each in outputs]
