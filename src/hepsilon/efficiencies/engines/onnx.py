"""Networks without Keras: the ONNX graph of an artifact in ONNX Runtime or OpenVINO.

Both start fast and import no TensorFlow. Events are evaluated by their exact
multiplicity (see :class:`hepsilon.networks.graphs.Neighbours`): nothing is padded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np

from hepsilon._system.extras import is_installed
from hepsilon._system.resources import threaded, usable_cpus
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.errors import ArtifactError, ConfigError
from hepsilon.networks.graphs import Neighbours, neighbour_batches, row_batches

__all__ = ["OnnxEngine", "bfloat16_in_hardware", "onnxruntime", "openvino"]

Session = Callable[[dict[str, Array]], Array]
EXTRAS = {"onnxruntime": "onnx", "openvino": "openvino"}
"""Extra of hepsilon that installs a package, by the package."""
_FIRST_TENSOR = Lock()


def _require(package: str) -> None:
    if not is_installed(package):
        raise ConfigError(
            f"the backend {package!r} is not installed; pip install 'hepsilon[{EXTRAS[package]}]'"
        )


class OnnxEngine:
    """Forward pass of all networks of an ensemble in one ONNX graph.

    Parameters
    ----------
    session : callable
        Function of the inputs by name that evaluates the graph; it is called from several threads.
    outputs : int
        Number of columns of its result, ``n_members * n_working_points``.
    has_edges : bool
        Whether the networks look at pairs, and take ``senders`` besides ``x``.
    """

    def __init__(self, session: Session, outputs: int, has_edges: bool) -> None:
        self._session, self._outputs, self._has_edges = session, outputs, has_edges

    def _batches(self, offsets: Offsets, nodes: Nodes) -> Iterator[Neighbours]:
        return neighbour_batches(offsets, nodes) if self._has_edges else row_batches(nodes)

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
        out = np.full((len(nodes), self._outputs), np.nan)

        def run(batch: Neighbours) -> None:
            inputs = {"x": batch.x}
            if self._has_edges:
                inputs["senders"] = batch.senders
            found = self._session(inputs)
            if found.shape != (len(batch.index), self._outputs):
                raise ArtifactError(
                    f"the graph gives the shape {found.shape}, expected "
                    f"{(len(batch.index), self._outputs)}: it is not that of these networks"
                )
            out[batch.index] = found

        for _ in threaded(run, self._batches(offsets, nodes), usable_cpus()):
            pass
        return out


def onnxruntime(graph: bytes, gpu: int | None = None) -> Session:
    """Start ONNX Runtime with a graph.

    Parameters
    ----------
    graph : bytes
        Graph in ONNX's format.
    gpu : int, optional
        Number of a GPU, for the CUDA provider; None for the CPU.

    Returns
    -------
    callable
        Function of the inputs by name that gives the logits.

    Raises
    ------
    ConfigError
        If ONNX Runtime is not installed, or has no provider for the GPU.
    """
    _require("onnxruntime")
    import onnxruntime as ort

    provider = "CPUExecutionProvider" if gpu is None else "CUDAExecutionProvider"
    if provider not in ort.get_available_providers():
        raise ConfigError(
            f"this ONNX Runtime has no {provider}, only {ort.get_available_providers()}; "
            "pip install onnxruntime-gpu"
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # the engine's threads evaluate a batch each
    settings = {} if gpu is None else {"device_id": gpu}
    session = ort.InferenceSession(graph, options, providers=[(provider, settings)])

    def run(inputs: dict[str, Array]) -> Array:
        return np.asarray(session.run(None, inputs)[0])

    return run


def bfloat16_in_hardware() -> bool:
    """Whether OpenVINO is installed and multiplies in bfloat16 on this CPU."""
    if not is_installed("openvino"):
        return False
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _make_element_types(ov: ModuleType) -> None:
    """Let OpenVINO make its table of NumPy types, in one thread.

    It makes it when a tensor is first seen as an array, and two threads that both come first wait
    for each other for ever: one for the table, holding the GIL, the other for the GIL.
    """
    with _FIRST_TENSOR:
        _ = ov.Tensor(np.zeros(1, np.float32)).data


def openvino(graph: bytes, precision: str = "float32") -> Session:
    """Start OpenVINO with a graph on the CPU, one stream for each worker thread.

    Parameters
    ----------
    graph : bytes
        Graph in ONNX's format.
    precision : {"float32", "bfloat16"}, default "float32"
        Precision of the matrix products.

    Returns
    -------
    callable
        Function of the inputs by name that gives the logits.

    Raises
    ------
    ConfigError
        If OpenVINO is not installed, or the CPU does not multiply in bfloat16.
    """
    _require("openvino")
    import openvino as ov

    _make_element_types(ov)
    if precision == "bfloat16" and not bfloat16_in_hardware():
        raise ConfigError(
            'precision="bfloat16" with OpenVINO needs a CPU with AMX or AVX512-BF16; this one '
            'would silently compute in float32. Use precision="float32"'
        )
    workers = usable_cpus()
    core = ov.Core()
    options = {
        "NUM_STREAMS": workers,
        "INFERENCE_NUM_THREADS": workers,
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
    }
    compiled = core.compile_model(core.read_model(graph), "CPU", options)
    idle: SimpleQueue[Any] = SimpleQueue()
    for _ in range(workers):
        idle.put(compiled.create_infer_request())

    def run(inputs: dict[str, Array]) -> Array:
        request = idle.get()
        try:
            return np.array(request.infer(inputs)[0])
        finally:
            idle.put(request)

    return run
