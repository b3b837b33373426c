"""Networks in forms that other programs read: ONNX, and a folder for a Triton server.

The graph of an artifact holds all its networks. Inputs: ``x`` (objects, features), raw float32
features of events of equal multiplicity n, and for graph networks ``senders`` (objects, n - 1),
int32 rows of the other objects of each object's event, or its own row where there is no other.
Outputs: ``logits`` (objects, members * working points), a probability follows by
:func:`hepsilon.efficiencies.network.to_probability`; and where the artifact has the covariance of
the last layers ``features`` (objects, members * inputs), what these see (see
:mod:`hepsilon.efficiencies.last_layer`).
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

from hepsilon._system.extras import is_installed
from hepsilon.efficiencies.artifact_edits import rewritten, sample_of, values_on
from hepsilon.efficiencies.cards import ParityCard
from hepsilon.efficiencies.engines.choice import ONNX, keras_backend, read_weights
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.errors import ArtifactError, ConfigError
from hepsilon.networks.build import build_model

if TYPE_CHECKING:
    import keras

__all__ = ["add_graph", "can_export"]

OPSET = 17
PARITY = 1e-5
"""Largest difference of an efficiency at which a graph counts as the same network."""


def can_export() -> bool:
    """Whether this process can make ONNX graphs and check them."""
    packages = "keras", "tensorflow", "tf2onnx", "onnxruntime"
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
    averaged: list[Any] = []
    if card.last_layer is not None:
        from hepsilon.networks.last_layer import with_features

        averaged = [with_features(model) for model in models[: card.averaged]]
    if len(models) == 1:
        return (averaged or models)[0]
    inputs = models[0].input
    both = [model(inputs) for model in averaged]
    logits = [*(x for x, _ in both), *(model(inputs) for model in models[len(both) :])]
    outputs = [keras.layers.Concatenate(name="members")(logits)]
    if len(both) == 1:
        outputs.append(both[0][1])
    elif both:
        outputs.append(keras.layers.Concatenate(name="features")([x for _, x in both]))
    return keras.Model(inputs, outputs if both else outputs[0])


def make_graph(efficiency: NetworkEfficiency) -> bytes:
    """Convert the networks of an artifact to one ONNX graph.

    Parameters
    ----------
    efficiency : NetworkEfficiency
        Networks, on any backend.

    Returns
    -------
    bytes
        Content of the ``.onnx`` file; equal networks give equal bytes.

    Raises
    ------
    ConfigError
        If what the conversion needs is not installed.
    """
    if not can_export():
        raise ConfigError(
            "the export to ONNX needs TensorFlow as Keras' backend, and the extra 'train': "
            "pip install 'hepsilon[train]'"
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
    waiting = [output.name for output in graph.output]
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
    """Put a graph into an order, and give it names, that depend only on what it computes.

    A converter numbers nodes and tensors by the state of its process, so that equal networks give
    unequal files. Here every tensor is named by its place in the order in which it is first needed
    on the way back from the outputs, and constants follow their users. Equal networks then give
    equal bytes, which hashes and comparisons of artifacts rely on.
    """
    graph = model.graph
    nodes = list(map(deepcopy, _ordered(graph)))
    names = {"": "", "x": "x", "senders": "senders"}
    names |= dict(zip((o.name for o in graph.output), ("logits", "features"), strict=False))
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


def add_graph(efficiency: NetworkEfficiency, out: str | Path) -> NetworkEfficiency:
    """Write the artifact with an ONNX graph of its networks, once that gives equal numbers.

    Parameters
    ----------
    efficiency : NetworkEfficiency
        Networks, on any backend.
    out : str or Path
        The artifact to write; may be the file of ``efficiency``.

    Returns
    -------
    NetworkEfficiency
        Handle to the written artifact.

    Raises
    ------
    ConfigError
        If what the conversion needs is not installed.
    ArtifactError
        If the graph differs by more than 1e-5 in an efficiency.
    """
    graph, sample = make_graph(efficiency), sample_of(efficiency)
    with tempfile.TemporaryDirectory() as folder:
        candidate = rewritten(efficiency, Path(folder) / "candidate", {ONNX: graph})
        values = values_on(_on_cpu(candidate, "onnxruntime"), sample)
    expected = values_on(_on_cpu(efficiency, "tensorflow"), sample)
    largest = float(np.abs(values - expected).max())
    if not largest <= PARITY:
        raise ArtifactError(
            f"the ONNX graph of {efficiency.path} differs from Keras by {largest:.1g} in an "
            f"efficiency; expected at most {PARITY:.0e}. It was not written"
        )
    parity = ParityCard(
        graph=candidate.card.content[ONNX],
        weights=candidate.card.weights_hash,
        runtime="onnxruntime",
        version=version("onnxruntime"),
        opset=OPSET,
        n_objects=len(sample["nodes"]),
        largest_difference=largest,
    )
    return rewritten(efficiency, out, {ONNX: graph}, onnx=parity)


def _on_cpu(efficiency: NetworkEfficiency, backend: str) -> NetworkEfficiency:
    """Networks on the CPU in float32, for comparisons.

    A GPU may round more, and ONNX Runtime needs a provider for it.
    """
    return replace(efficiency, backend=backend, device="cpu", precision="float32")
