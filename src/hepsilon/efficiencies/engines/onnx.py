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
from hepsilon._system.forks import guarded_fork
from hepsilon._system.resources import threaded, usable_cpus
from hepsilon.arrays.batches import ROWS_AT_ONCE, filled
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.efficiencies.engines.products import multiplied
from hepsilon.errors import ArtifactError, ConfigError
from hepsilon.networks.graphs import (
    MAX_PAIRS,
    MAX_ROWS,
    Neighbours,
    neighbour_batches,
    row_batches,
)

__all__ = ["OnnxEngine", "Session", "bfloat16_in_hardware", "onnxruntime", "openvino"]

Session = Callable[[dict[str, Array], int], list[Array]]
"""Function of the inputs by name and the number of outputs that are wanted: the first ones."""
EXTRAS = {"onnxruntime": "onnx", "openvino": "openvino"}
"""Extra of hepsilon that installs a package, by the package."""
_FIRST_TENSOR = Lock()
guarded_fork(_FIRST_TENSOR)
GPU_ROWS, GPU_PAIRS = 1 << 16, 1 << 18
"""Rows and pairs of a batch on a GPU."""
FEATURE_ROWS = 1 << 12
"""Rows of a batch whose features are asked for, which stay in the cache until they are used."""


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
    features : int, default 0
        Number of columns of the second result, what the last layers see; 0 for a graph without.
    gpu : bool, default False
        Whether the session computes on a GPU, which small batches leave idle.
    """

    def __init__(
        self,
        session: Session,
        outputs: int,
        has_edges: bool,
        features: int = 0,
        *,
        gpu: bool = False,
    ) -> None:
        self._session, self._outputs, self._has_edges = session, outputs, has_edges
        self._features, self._gpu = features, gpu

    def _batches(self, offsets: Offsets, nodes: Nodes, features: bool) -> Iterator[Neighbours]:
        if self._has_edges:
            return neighbour_batches(offsets, nodes, GPU_PAIRS if self._gpu else MAX_PAIRS)
        most = FEATURE_ROWS if features else MAX_ROWS
        return row_batches(nodes, GPU_ROWS if self._gpu else most)

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
        self._fill([out], offsets, nodes)
        return out

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
            Number of networks; the graph has the features of as many.
        kernel : ndarray of float32, shape (n_networks * n_inputs, n_columns), optional
            What the features are multiplied with, batch by batch.

        Returns
        -------
        logits : ndarray of float64, shape (n_objects, n_members * n_working_points)
            Logits as from :meth:`logits`.
        features : ndarray of float32, shape (n_objects, n_networks * n_inputs)
            Derivatives of the logits (see :mod:`hepsilon.networks.last_layer`), or their product
            with the kernel. None in place of both for a graph without them.
        """
        if not self._features:
            return None
        out = np.full((len(nodes), self._outputs), np.nan)
        columns = self._features if kernel is None else kernel.shape[1]
        features = np.zeros((len(nodes), columns), np.float32)
        self._fill([out, features], offsets, nodes, kernel)
        return out, features

    def _fill(
        self, arrays: list[Array], offsets: Offsets, nodes: Nodes, kernel: Array | None = None
    ) -> None:
        """Put the first outputs of the graph into arrays, the second one times the kernel."""
        widths = self._outputs, self._features

        def run(batch: Neighbours) -> None:
            inputs = {"x": batch.x}
            if self._has_edges:
                inputs["senders"] = batch.senders
            given = _filled(inputs, ROWS_AT_ONCE)
            results = self._session(given, len(arrays))
            for found, width in zip(results, widths[: len(arrays)], strict=True):
                expected = len(given["x"]), width
                if found.shape != expected:
                    raise ArtifactError(
                        f"the graph gives the shape {found.shape}, expected {expected}: it is not "
                        "that of these networks"
                    )
            rows: Any = batch.index
            if not self._has_edges:  # one row after the other
                rows = slice(batch.index[0], batch.index[-1] + 1)
            for array, found, factor in zip(arrays, results, (None, kernel), strict=False):
                array[rows] = multiplied(found[: len(batch.index)], factor)

        # on a GPU the second thread prepares and copies a batch while the first one's runs
        workers = 2 if self._gpu else usable_cpus()
        for _ in threaded(run, self._batches(offsets, nodes, len(arrays) > 1), workers):
            pass


def onnxruntime(graph: bytes, gpu: int | None = None, *, tf32: bool = False) -> Session:
    """Start ONNX Runtime with a graph.

    Parameters
    ----------
    graph : bytes
        Graph in ONNX's format.
    gpu : int, optional
        Number of a GPU, for the CUDA provider; None for the CPU.
    tf32 : bool, default False
        Whether a GPU may compute products of float32 in TF32.

    Returns
    -------
    callable
        Function of the inputs by name and the number of outputs, the logits first.

    Raises
    ------
    ConfigError
        If ONNX Runtime is not installed, or does not compute on the GPU.
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
    settings = {} if gpu is None else {"device_id": gpu, "use_tf32": int(tf32)}
    session = ort.InferenceSession(graph, options, providers=[(provider, settings)])
    if provider not in session.get_providers():  # it falls back to the CPU without an error
        raise ConfigError(
            f"ONNX Runtime could not start its {provider} on GPU {gpu}, and computes with "
            f"{session.get_providers()}; check that CUDA and cuDNN are those of onnxruntime-gpu"
        )

    names = [output.name for output in session.get_outputs()]

    def run(inputs: dict[str, Array], outputs: int) -> list[Array]:
        return list(map(np.asarray, session.run(names[:outputs], inputs)))

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


def _filled(inputs: dict[str, Array], step: int) -> dict[str, Array]:
    """Inputs with more rows, which stand for objects without partners, up to a multiple."""
    size, given = len(inputs["x"]), {name: filled(rows, step) for name, rows in inputs.items()}
    if "senders" in given:  # none: their own rows
        given["senders"][size:] = np.arange(size, len(given["x"]))[:, None]
    return given


def _few_shapes(size: int) -> int:
    """Step of the numbers of rows that OpenVINO gets, of so many rows.

    It compiles for every new shape, and keeps that for ever. There are four numbers in each power
    of two, so that at most a fifth of the work is wasted.
    """
    return max(16, 1 << max(size.bit_length() - 3, 0))


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
        Function of the inputs by name and the number of outputs, the logits first.

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

    def run(inputs: dict[str, Array], outputs: int) -> list[Array]:
        request, size = idle.get(), len(inputs["x"])
        try:
            found = request.infer(_filled(inputs, _few_shapes(size)))
            return [np.array(found[i][:size]) for i in range(outputs)]
        finally:
            idle.put(request)

    return run
