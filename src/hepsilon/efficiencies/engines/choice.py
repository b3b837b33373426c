"""Choice of the engine for the networks of an artifact: Keras, ONNX Runtime, OpenVINO, Triton."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any, Protocol

import numpy as np

from hepsilon._system.extras import how_to_install, is_installed
from hepsilon._system.forks import fork_lost
from hepsilon._system.resources import has_nvidia_gpu
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.efficiencies.artifact import read_arrays, read_blob
from hepsilon.efficiencies.cards import NetworkCard
from hepsilon.efficiencies.engines.devices import gpu_number, gpus, on_gpu, tell_no_gpu
from hepsilon.efficiencies.engines.graph_check import checked_graph
from hepsilon.efficiencies.engines.keras import KERAS, Engine, keras_backend, start_backend
from hepsilon.efficiencies.engines.onnx import (
    OnnxEngine,
    Session,
    bfloat16_in_hardware,
    onnxruntime,
    openvino,
)
from hepsilon.errors import ArtifactError, ConfigError
from hepsilon.networks.build import build_model, weight_names

__all__ = [
    "BACKENDS",
    "KERAS",
    "ONNX",
    "PRECISIONS",
    "Evaluator",
    "check",
    "chosen",
    "keras_backend",
    "make_engine",
    "read_weights",
]

BACKENDS = ("auto", "onnxruntime", "openvino", *KERAS)
PRECISIONS = ("float32", "tf32", "bfloat16")
ONNX = "model.onnx"


class Evaluator(Protocol):
    """Anything that gives the logits of all networks of an artifact, and what the last layers see.

    The features are those of the networks whose mean is the efficiency (see
    :mod:`hepsilon.networks.last_layer`).
    """

    def logits(self, offsets: Offsets, nodes: Nodes, /) -> Array:
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

    def with_features(
        self, offsets: Offsets, nodes: Nodes, networks: int, kernel: Array | None = None, /
    ) -> tuple[Array, Array] | None:
        """Logits of every object, and what the last layers of the first networks see.

        Parameters
        ----------
        offsets : ndarray of int64, shape (n_events + 1,)
            Event i has the objects ``offsets[i]:offsets[i + 1]``.
        nodes : ndarray of float32, shape (n_objects, n_features)
            Raw features.
        networks : int
            Number of networks whose last layers are asked for.
        kernel : ndarray of float32, shape (n_networks * n_inputs, n_columns), optional
            What the features are multiplied with.

        Returns
        -------
        logits : ndarray of float64, shape (n_objects, n_members * n_working_points)
            Logits as from :meth:`logits`.
        features : ndarray of float32, shape (n_objects, n_networks * n_inputs)
            Derivatives of the logits, or their product with the kernel, (n_objects, n_columns).
            None in place of both where they are not known.
        """


def check(backend: str, precision: str) -> None:
    """Refuse names that do not exist, and precisions that a backend does not have.

    Parameters
    ----------
    backend : str
        Name of a backend (see :func:`hepsilon.load`).
    precision : str
        Precision of the matrix products.

    Raises
    ------
    ConfigError
        With the names that exist.
    """
    if backend not in BACKENDS and not backend.startswith("triton+"):
        raise ConfigError(
            f"expected a backend of {BACKENDS} or triton+grpc://HOST:PORT/MODEL, "
            f"received {backend!r}"
        )
    if precision not in PRECISIONS:
        raise ConfigError(f"expected a precision of {PRECISIONS}, received {precision!r}")
    missing = [name for name in _WITHOUT.get(precision, ()) if backend.startswith(name)]
    if missing:
        only = " only" * (precision == "bfloat16")
        raise ConfigError(f"the backend {backend!r} computes in float32{only}, not in {precision}")


_WITHOUT = {
    "bfloat16": ("onnxruntime", "triton+"),
    "tf32": ("openvino", "tensorflow", "torch", "triton+"),  # or set it for the whole process
}
"""Beginnings of the names of backends that do not have a precision."""


def chosen(card: NetworkCard, backend: str, device: str | None, precision: str) -> str:
    """The backend that ``"auto"`` stands for.

    On a GPU ONNX Runtime where its package knows GPUs, else Keras; for bfloat16 OpenVINO where the
    CPU multiplies in it, else Keras; for float32 ONNX Runtime where it is installed and the
    artifact has a graph for it: it starts fastest and was as fast as any in every measurement (see
    docs/measurements.md). Where no runtime can use a GPU, the CPU computes.

    Parameters
    ----------
    card : NetworkCard
        Card of the artifact.
    backend : str
        Name of a backend; any but ``"auto"`` is returned unchanged.
    device : str or None
        Device, such as ``"gpu:0"``; None for a GPU where there is one.
    precision : str
        Precision of the matrix products.

    Returns
    -------
    str
        Name of a backend other than ``"auto"``.

    Raises
    ------
    ConfigError
        If a GPU is named that no runtime can use.
    """
    if backend != "auto":
        return backend
    has_graph = ONNX in card.blobs
    if gpu_number(device) is not None or (device is None and has_nvidia_gpu()):
        runtime = _on_gpu(has_graph, device, precision)
        if runtime is not None:
            return runtime
    if precision == "bfloat16":
        return "openvino" if has_graph and bfloat16_in_hardware() else keras_backend()
    return "onnxruntime" if has_graph and is_installed("onnxruntime") else keras_backend()


def _on_gpu(has_graph: bool, device: str | None, precision: str) -> str | None:
    """First runtime that can use a GPU; None, and one warning, where none was named and none can.

    TensorFlow has TF32 for the whole process only, and ONNX Runtime no bfloat16.
    """
    runtimes = ["onnxruntime"] * (has_graph and precision != "bfloat16")
    if precision != "tf32" or keras_backend() == "jax":
        runtimes.append(keras_backend())
    for runtime in runtimes:
        if is_installed(runtime) and gpus(runtime):
            return runtime
    if device is None:
        tell_no_gpu(runtimes)
        return None
    raise ConfigError(
        f"device={device!r}: neither {' nor '.join(runtimes)} can use a GPU in this process; "
        "pip install onnxruntime-gpu, or Keras' backend with CUDA, and check CUDA_VISIBLE_DEVICES"
    )


def make_engine(
    path: str,
    card: NetworkCard,
    expected_hash: str,
    *,
    backend: str = "auto",
    device: str | None = None,
    precision: str = "float32",
) -> Evaluator:
    """Read the networks of an artifact and make them ready.

    Parameters
    ----------
    path : str
        The artifact.
    card : NetworkCard
        Card of the artifact.
    expected_hash : str
        SHA-256 of the file when its card was read.
    backend : str, default "auto"
        Name of a backend (see :func:`hepsilon.load`).
    device : str, optional
        Device, such as ``"gpu:0"``; None for a GPU where there is one.
    precision : str, default "float32"
        Precision of the matrix products.

    Returns
    -------
    Evaluator
        Engine of all networks of the artifact.

    Raises
    ------
    ArtifactError
        If the file changed, is damaged, or has no graph for the backend.
    ConfigError
        If the backend is not installed, Keras runs on another one, or this process was forked after
        the backend had started.
    """
    backend = chosen(card, backend, device, precision)
    if fork_lost(backend):
        raise ConfigError(
            f"{backend} has started in the parent of this process, which was forked from it "
            "without its threads: it would wait for them for ever. Start processes by 'spawn' or "
            "'forkserver' (loky and Dask do), or use the backend 'onnxruntime'"
        )
    architecture = card.architecture
    outputs = architecture.working_points * len(card.networks)
    has_edges = architecture.has_edges
    if backend.startswith("triton+"):
        from hepsilon.efficiencies.engines.triton import TritonEngine

        return TritonEngine(backend, outputs=outputs, has_edges=has_edges, features=card.hidden)
    if backend in KERAS:
        return _keras_engine(path, card, expected_hash, backend, device, precision)
    if ONNX not in card.blobs:
        quoted = shlex.quote(path)
        raise ArtifactError(
            f"{path} has no {ONNX} for the backend {backend!r}; add it where the extra 'train' is "
            f"installed: hepsilon export {quoted} --format hepsilon --out {quoted}"
        )
    read_arrays(path, card, expected_hash)  # refuses a file with content that nobody knows
    graph = checked_graph(read_blob(path, card, ONNX, expected_hash), path)
    if backend == "openvino":
        return OnnxEngine(openvino(graph, precision), outputs, has_edges, card.hidden)
    session, gpu = _onnxruntime(graph, device, precision)
    return OnnxEngine(session, outputs, has_edges, card.hidden, gpu=gpu)


def _onnxruntime(graph: bytes, device: str | None, precision: str) -> tuple[Session, bool]:
    """Session of ONNX Runtime, and whether it computes on a GPU."""
    if on_gpu(device, "onnxruntime"):
        try:
            return onnxruntime(graph, gpu_number(device) or 0, tf32=precision == "tf32"), True
        except ConfigError as error:
            if device is not None:
                raise
            tell_no_gpu(["onnxruntime"], str(error))
    _check_tf32(precision, False)
    return onnxruntime(graph), False


def _check_tf32(precision: str, gpu: bool) -> None:
    if precision == "tf32" and not gpu:
        raise ConfigError(
            'precision="tf32" is one of NVIDIA GPUs, and this computes on the CPU; use float32'
        )


def _keras_engine(
    path: str,
    card: NetworkCard,
    expected_hash: str,
    backend: str,
    device: str | None,
    precision: str,
) -> Engine:
    for package in (backend, "keras"):
        if not is_installed(package):
            remedy = how_to_install(package)
            raise ConfigError(f"the backend {backend!r} is not installed; {remedy}")
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = backend
    if keras_backend() != backend:
        raise ConfigError(
            f"the backend {backend!r} needs Keras to run on it, but Keras has already started on "
            f"{keras_backend()!r} in this process; set KERAS_BACKEND={backend} before it starts"
        )
    start_backend()
    check_stored(path, card, expected_hash)
    _check_tf32(precision, on_gpu(device, backend))
    architecture = card.architecture
    of_model = "float32" if precision == "tf32" else precision
    try:
        model = build_model(architecture, card.features, seed=None, precision=of_model)
    except ConfigError as error:  # of an architecture that this process does not know
        raise ArtifactError(f"{path}: {error}") from None
    members = read_weights(path, card, expected_hash, model)
    return Engine(model, members, device, precision, has_edges=architecture.has_edges)


def check_stored(path: str, card: NetworkCard, expected_hash: str) -> None:
    """Refuse an artifact whose card describes far larger networks than it holds.

    Parameters
    ----------
    path : str
        The artifact.
    card : NetworkCard
        Card of the artifact.
    expected_hash : str
        SHA-256 of the file when its card was read.

    Raises
    ------
    ArtifactError
        With the numbers of weights.
    """
    arrays = read_arrays(path, card, expected_hash)
    card.check_stored(min(sum(a.size for a in arrays[name].values()) for name in card.networks))


def read_weights(path: str, card: NetworkCard, expected_hash: str, model: Any) -> list[list[Array]]:
    """Weights of every member in the order of the model's variables.

    Parameters
    ----------
    path : str
        The artifact.
    card : NetworkCard
        Card of the artifact.
    expected_hash : str
        SHA-256 of the file when its card was read.
    model : keras.Model
        Model that the card describes.

    Returns
    -------
    list of list of ndarray
        For each network its weights.

    Raises
    ------
    ArtifactError
        If they do not fit the model that the card describes.
    """
    arrays = read_arrays(path, card, expected_hash)
    paths = weight_names(model, card.architecture)
    shapes = [tuple(variable.shape) for variable in model.weights]
    members = []
    for name in card.networks:
        saved = arrays[name]
        if set(paths) != set(saved):
            unexpected = sorted(set(paths) ^ set(saved))
            raise ArtifactError(f"{path}: weights do not fit the card: {unexpected}")
        weights = [saved[p] for p in paths]
        for variable, shape, array in zip(paths, shapes, weights, strict=True):
            if array.shape != shape:
                raise ArtifactError(
                    f"{path}: {variable} has the shape {array.shape}, expected {shape}"
                )
            if array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ArtifactError(f"{path}: {variable} has weights that are no finite numbers")
        members.append(weights)
    return members
