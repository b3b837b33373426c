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

import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from hepsilon._system.extras import needs
from hepsilon.efficiencies.artifact_edits import rewritten, sample_of, values_on
from hepsilon.efficiencies.cards import ParityCard
from hepsilon.efficiencies.engines.choice import ONNX, keras_backend, read_weights
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.errors import ArtifactError
from hepsilon.export.onnx_graph import OPSET
from hepsilon.networks.build import build_model

__all__ = ["add_graph", "make_graph"]

PARITY = 1e-5
"""Largest difference of an efficiency at which a graph counts as the same network."""


def make_graph(efficiency: NetworkEfficiency) -> bytes:
    """Write the networks of an artifact as one ONNX graph, on any backend of Keras.

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
        If what it needs is not installed, or the networks have an operation without a form in ONNX.
    """
    needs("the export to ONNX", "keras", "onnx", "onnxruntime", extra="train")
    start_backend()
    from hepsilon.export.keras_trace import Tracer
    from hepsilon.networks.last_layer import with_features

    card, tracer = efficiency.card, Tracer()
    models = [
        build_model(card.architecture, card.features, None, neighbours=True) for _ in card.networks
    ]
    weights = read_weights(efficiency.path, card, efficiency.hash, models[0])
    logits: list[str] = []
    features: list[str] = []
    for i, (model, member) in enumerate(zip(models, weights, strict=True)):
        model.set_weights(member)
        tracer.let(model.input)
        if card.last_layer is None or i >= card.averaged:
            logits.append(tracer.name(model.output))
            continue
        both = with_features(model)
        if both is None:
            raise ArtifactError(f"{efficiency.path}: what its last layers see is not known")
        for names, tensor in zip((logits, features), both.output, strict=True):
            names.append(tracer.name(tensor))
    columns = int(models[0].input["x"].shape[1])
    points = card.architecture.working_points
    found = {"logits": (logits, points * len(models)), "features": (features, card.hidden)}
    outputs: dict[str, tuple[Any, Any]] = {}
    for name, (parts, width) in found.items():
        if parts:
            tracer.add("Concat", *parts, output=name, axis=1)
            outputs[name] = np.float32, ("objects", width)
    inputs: dict[str, tuple[Any, Any]] = {"x": (np.float32, ("objects", columns))}
    if card.architecture.has_edges:
        inputs["senders"] = np.int32, ("objects", "partners")
    return tracer.model(inputs, outputs)


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
    expected = values_on(_on_cpu(efficiency, keras_backend()), sample)
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
