"""Networks in forms that other programs read: ONNX, and a folder for a Triton server.

The graph of an artifact holds all its networks. Inputs: ``x`` (objects, features), raw float32
features of events of equal multiplicity n, and for graph networks ``senders`` (objects, n - 1),
int32 rows of the other objects of each object's event, or its own row where there is no other.
Output: logits (objects, members * working points); a probability follows by
:func:`hepsilon.inference.to_probability`.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from copy import deepcopy
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepsilon.artifact import read_arrays, read_blob, write_artifact
from hepsilon.backends import ONNX, keras_backend, read_weights
from hepsilon.cards import NetworkCard, ParityCard
from hepsilon.errors import ArtifactError, ConfigError
from hepsilon.files import atomic_path
from hepsilon.inference import NetworkEfficiency
from hepsilon.models import build_model
from hepsilon.models.engine import start_backend
from hepsilon.runtimes import is_installed

if TYPE_CHECKING:
    import keras

__all__ = [
    "FORMATS",
    "SAMPLE",
    "add_graph",
    "blobs_of",
    "can_export",
    "export",
    "rewritten",
    "sample_of",
    "values_on",
]

Array = npt.NDArray[Any]

SAMPLE = "sample"
"""Array group with the validation events that an artifact keeps."""
FORMATS = ("onnx", "hepsilon", "triton")
OPSET = 17
PARITY = 1e-5
"""Largest difference of an efficiency at which a graph counts as the same network."""

TRITON_CONFIG = """\
name: "{name}"
backend: "onnxruntime"
max_batch_size: 0
input [
{inputs}
]
output [ {{ name: "logits" data_type: TYPE_FP32 dims: [ -1, {outputs} ] }} ]
"""


def can_export() -> bool:
    """Whether this process can make ONNX graphs and check them."""
    packages = "tensorflow", "tf2onnx", "onnxruntime"
    return keras_backend() == "tensorflow" and all(map(is_installed, packages))


def _ensemble(efficiency: NetworkEfficiency) -> keras.Model:
    """All networks side by side, on neighbours."""
    import keras

    card = efficiency.card
    models = []
    for i in range(len(card.networks)):
        options: dict[str, Any] = {"neighbours": True, "name": f"member_{i}"}
        models.append(build_model(card.architecture, card.features, None, **options))
    weights = read_weights(efficiency.path, card, efficiency.hash, models[0])
    for model, member in zip(models, weights, strict=True):
        model.set_weights(member)
    if len(models) == 1:
        return models[0]
    inputs = models[0].input
    logits = keras.layers.Concatenate(name="members")([model(inputs) for model in models])
    return keras.Model(inputs, logits)


def make_graph(efficiency: NetworkEfficiency) -> bytes:
    """The networks of an artifact as one ONNX graph.

    Raises
    ------
    ConfigError : if what the conversion needs is not installed.
    """
    if not can_export():
        raise ConfigError(
            "the export to ONNX needs TensorFlow as Keras' backend and pip install 'hepsilon[onnx]'"
        )
    start_backend()
    import onnx
    import tensorflow as tf

    model = _ensemble(efficiency)
    shapes = {"x": (None, model.input["x"].shape[1]), "senders": (None, None)}
    dtypes = {"x": tf.float32, "senders": tf.int32}
    signature = {name: tf.TensorSpec(shapes[name], dtypes[name], name) for name in model.input}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf2onnx was written for older versions of NumPy
        logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # errors come as exceptions too
        file = Path(folder) / ONNX
        model.export(
            file, format="onnx", verbose=False, opset_version=OPSET, input_signature=[signature]
        )
        graph = onnx.load(str(file))
    return bytes(_canonical(graph).SerializeToString(deterministic=True))


def _ordered(graph: Any) -> list[Any]:
    """Nodes by what they depend on: the converter's order differs from call to call."""
    producers = {name: node for node in graph.node for name in node.output}
    ordered: dict[str, Any] = {}
    waiting = [graph.output[0].name]
    while waiting:
        node = producers[waiting[-1]]
        missing = [n for n in node.input if n in producers and producers[n].name not in ordered]
        if missing:
            waiting.append(missing[0])
        else:
            ordered[node.name] = node
            waiting.pop()
    return list(ordered.values())


def _canonical(model: Any) -> Any:
    """The same graph in an order, and with names, that are a function of what it computes."""
    graph = model.graph
    nodes = list(map(deepcopy, _ordered(graph)))
    names = {"": "", "x": "x", "senders": "senders", graph.output[0].name: "logits"}
    for i, node in enumerate(nodes):
        for name in [*node.input, *node.output]:
            names.setdefault(name, f"t{len(names)}")
        node.name = f"{node.op_type}{i}"
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    rank = {name: i for i, name in enumerate(names)}
    used = [deepcopy(tensor) for tensor in graph.initializer if tensor.name in names]
    used.sort(key=lambda tensor: rank[tensor.name])
    for tensor in [*used, *graph.output]:
        tensor.name = names[tensor.name]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(used)
    for value in [*graph.input, *graph.output]:
        dimensions = value.type.tensor_type.shape.dim
        dimensions[0].dim_param = "objects"
        if value.name == "senders":
            dimensions[1].dim_param = "partners"
    graph.name, graph.doc_string = "efficiency", ""
    return model


def sample_of(efficiency: NetworkEfficiency) -> dict[str, Array]:
    """Validation events kept in the artifact: offsets, nodes, weights (see Columns).

    Raises
    ------
    ArtifactError : if it has none, as those of earlier releases.
    """
    arrays = read_arrays(efficiency.path, efficiency.card, efficiency.hash)
    if SAMPLE not in arrays:
        raise ArtifactError(
            f"{efficiency.path} holds no sample to compare on; train it again with this release"
        )
    return arrays[SAMPLE]


def rewritten(
    efficiency: NetworkEfficiency, out: str | Path, blobs: dict[str, bytes], **update: Any
) -> NetworkEfficiency:
    """The artifact with other blobs and more in its card."""
    card: NetworkCard = efficiency.card.model_copy(update={"blobs": tuple(blobs), **update})
    write_artifact(out, card, read_arrays(efficiency.path, efficiency.card, efficiency.hash), blobs)
    return NetworkEfficiency.load(
        out,
        backend=efficiency.backend,
        device=efficiency.device,
        precision=efficiency.precision,
    )


def blobs_of(efficiency: NetworkEfficiency) -> dict[str, bytes]:
    """Content of the artifact besides its arrays."""
    card = efficiency.card
    return {n: read_blob(efficiency.path, card, n, efficiency.hash) for n in card.blobs}


def add_graph(efficiency: NetworkEfficiency, out: str | Path) -> NetworkEfficiency:
    """Write the artifact with an ONNX graph of its networks, once that gives the same numbers.

    Parameters
    ----------
    efficiency : networks, on any backend.
    out : the artifact to write; may be the same file.

    Raises
    ------
    ConfigError : if what the conversion needs is not installed.
    ArtifactError : if the graph differs by more than 1e-5 in an efficiency.
    """
    graph, sample = make_graph(efficiency), sample_of(efficiency)
    with tempfile.TemporaryDirectory() as folder:
        candidate = rewritten(efficiency, Path(folder) / "candidate", {ONNX: graph})
        found = values_on(_on_cpu(candidate, "onnxruntime"), sample)
    expected = values_on(_on_cpu(efficiency, "tensorflow"), sample)
    largest = float(np.abs(found - expected).max())
    if not largest <= PARITY:
        raise ArtifactError(
            f"the ONNX graph of {efficiency.path} differs from Keras by {largest:.1g} in an "
            f"efficiency; expected at most {PARITY:.0e}. It was not written"
        )
    parity = ParityCard(
        runtime="onnxruntime",
        version=version("onnxruntime"),
        opset=OPSET,
        n_objects=len(sample["nodes"]),
        largest_difference=largest,
    )
    return rewritten(efficiency, out, {ONNX: graph}, onnx=parity)


def _on_cpu(efficiency: NetworkEfficiency, backend: str) -> NetworkEfficiency:
    """In float32: a GPU may round more, and ONNX Runtime needs a provider for it."""
    return replace(efficiency, backend=backend, device="cpu", precision="float32")


def values_on(efficiency: NetworkEfficiency, sample: dict[str, Array]) -> Array:
    """Efficiencies of all networks on a sample (entries, ..., members)."""
    return efficiency.of_members(sample["offsets"], sample["nodes"])


def export(path: str | Path, format_: str, out: str | Path) -> Path:
    """Write the networks of an artifact in another form.

    Parameters
    ----------
    path : the artifact.
    format_ : ``"onnx"``, a graph; ``"hepsilon"``, the artifact with that graph in it; or
        ``"triton"``, a model repository: a folder that holds the folder of the model.
    out : file or folder to write. The name of the model in a repository is the artifact's.

    Raises
    ------
    ArtifactError : if the artifact is damaged, holds no network, or the graph differs from it.
    ConfigError : for an unknown format, or if what the conversion needs is not installed.
    """
    if format_ not in FORMATS:
        raise ConfigError(f"expected a format of {FORMATS}, received {format_!r}")
    efficiency, out = NetworkEfficiency.load(path), Path(out)
    if format_ == "hepsilon":
        add_graph(efficiency, out)
        return out
    if ONNX not in efficiency.card.blobs:
        with tempfile.TemporaryDirectory() as folder:
            full = add_graph(efficiency, Path(folder) / Path(path).name)
            graph = blobs_of(full)[ONNX]
    else:
        graph = blobs_of(efficiency)[ONNX]
    if format_ == "onnx":
        _write(out, graph)
        return out
    name = Path(path).stem
    _write(out / name / "1" / ONNX, graph)
    _write(out / name / "config.pbtxt", _triton_config(name, efficiency.card).encode())
    return out


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _triton_config(name: str, card: NetworkCard) -> str:
    columns = len(card.features.features) * (card.architecture.objects or 1)
    inputs = [f'{{ name: "x" data_type: TYPE_FP32 dims: [ -1, {columns} ] }}']
    if card.architecture.blocks:
        inputs.append('{ name: "senders" data_type: TYPE_INT32 dims: [ -1, -1 ] }')
    return TRITON_CONFIG.format(
        name=name,
        inputs=",\n".join(f"  {line}" for line in inputs),
        outputs=card.architecture.working_points * len(card.networks),
    )
