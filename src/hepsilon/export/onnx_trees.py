"""Trees of a refined network as a part of its ONNX graph.

The inputs of the trees are computed in the graph by the same steps and in the same precision as in
:mod:`hepsilon.efficiencies.tree_inputs`. Of partners that are equally close the graph takes the
first one, and not the one with the larger features.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hepsilon._system.extras import needs
from hepsilon.data.missing import MISSING
from hepsilon.efficiencies.artifact import read_arrays
from hepsilon.efficiencies.artifact_edits import sample_of, values_on
from hepsilon.efficiencies.engines.onnx import OnnxEngine, onnxruntime
from hepsilon.efficiencies.logits import by_network, probabilities_of
from hepsilon.efficiencies.network import REFINEMENT, NetworkEfficiency
from hepsilon.efficiencies.tree_inputs import FAR
from hepsilon.efficiencies.trees import Trees
from hepsilon.errors import ArtifactError, ConfigError
from hepsilon.export.onnx_graph import MACHINE_LEARNING, OPSETS, OnnxGraph

__all__ = ["with_trees"]

PARITY = 1e-5
"""Largest difference of an efficiency at which a graph counts as the same efficiency."""


def with_trees(efficiency: NetworkEfficiency, graph: bytes) -> bytes:
    """Add the trees of a refined network to the graph of its networks.

    Parameters
    ----------
    efficiency : NetworkEfficiency
        Network or ensemble.
    graph : bytes
        Its graph, without trees.

    Returns
    -------
    bytes
        Graph with the inputs and the output of the other one; unchanged without trees.

    Raises
    ------
    ConfigError
        If the inputs of the trees have no form in ONNX, or onnx is not installed.
    ArtifactError
        If the graph differs by more than 1e-5 in an efficiency.
    """
    refinement = efficiency.card.refinement
    if refinement is None or not refinement.kept:
        return graph
    names = efficiency.task.features
    if efficiency.task.of_events or (refinement.partners and {"px", "py", "pz"} <= set(names)):
        raise ConfigError(
            f"{efficiency.path} is refined with trees whose inputs have no form in ONNX: those of "
            "events, and angles from px, py, pz. Train it without refine = true to export it, or "
            "apply it with hepsilon.load, which needs no Keras"
        )
    needs("the export of trees to ONNX", "onnx", extra="train")
    import onnx

    arrays = read_arrays(efficiency.path, efficiency.card, efficiency.hash)[REFINEMENT]
    trees = Trees.from_arrays(arrays, len(refinement.inputs), refinement.outputs, efficiency.path)
    model = onnx.load_model_from_string(graph)
    _append(model, efficiency, trees)
    onnx.checker.check_model(model)
    full = bytes(model.SerializeToString(deterministic=True))
    _check(efficiency, full)
    return full


def _append(model: Any, efficiency: NetworkEfficiency, trees: Trees) -> None:
    """Put the trees behind the last node."""
    import onnx

    refinement, architecture = efficiency.card.refinement, efficiency.card.architecture
    assert refinement is not None
    for node in model.graph.node:
        node.output[:] = ["networks" if name == "logits" else name for name in node.output]
        node.input[:] = ["networks" if name == "logits" else name for name in node.input]
    nodes = OnnxGraph("trees")
    inputs = _inputs(nodes, list(efficiency.task.features), refinement.partners)
    added = nodes.add(
        "TreeEnsembleRegressor",
        inputs,
        domain=MACHINE_LEARNING,
        **_ensemble(trees, refinement.outputs),
    )
    copies = architecture.working_points * len(efficiency.card.networks) // refinement.outputs
    if copies > 1:
        added = nodes.add("Concat", *[added] * copies, axis=1)
    nodes.add("Add", "networks", added, output="logits")
    model.graph.node.extend(nodes.nodes)
    model.graph.initializer.extend(nodes.constants)
    model.opset_import.append(onnx.helper.make_opsetid(MACHINE_LEARNING, OPSETS[MACHINE_LEARNING]))


def _inputs(nodes: OnnxGraph, names: list[str], partners: bool) -> str:
    """Inputs of the trees from ``x`` and ``senders``, as :func:`tree_inputs` makes them."""
    from onnx import TensorProto

    if not partners:
        return "x"
    first, last = (nodes.constant([i], np.int64) for i in (0, -1))
    one, axis = nodes.constant(1, np.int64), nodes.constant([1], np.int64)
    n_rows, n_partners = (
        nodes.add("Shape", name, start=i, end=i + 1) for name, i in (("x", 0), ("senders", 1))
    )
    zero = nodes.constant(0, np.int64)
    rows = nodes.add("Range", zero, nodes.add("Squeeze", n_rows), one)
    rows = nodes.add("Cast", nodes.add("Unsqueeze", rows, axis), to=TensorProto.INT32)
    alone = nodes.add("Equal", "senders", rows)  # its own row stands for no partner
    real = nodes.add("Cast", nodes.add("Not", alone), to=TensorProto.INT64)
    others = nodes.add("ReduceSum", real, axis, keepdims=1)
    lonely = nodes.add("Equal", others, zero)
    count = nodes.add("Cast", nodes.add("Add", others, one), to=TensorProto.FLOAT)
    columns = ["x", count]
    if {"eta", "phi"} <= set(names):
        distances = nodes.add(
            "Where", alone, nodes.constant(FAR, np.float32), _distances(nodes, names)
        )
        beyond = nodes.add(
            "Expand", nodes.constant([[FAR]], np.float32), nodes.add("Concat", n_rows, axis, axis=0)
        )
        padded = nodes.add("Concat", distances, beyond, axis=1)
        two = nodes.constant([2], np.int64)
        nearest, index = nodes.several("TopK", 2, padded, two, axis=1, largest=0, sorted=1)
        place = nodes.add("Slice", index, first, axis, axis)
        place = nodes.add("Min", place, nodes.add("Add", n_partners, last))
        row = nodes.add("GatherElements", "senders", place, axis=1)
        features = nodes.add("Gather", "x", nodes.add("Squeeze", row, axis), axis=0)
        missing = nodes.constant(MISSING, np.float32)
        columns += [nearest, nodes.add("Where", lonely, missing, features)]
    return nodes.add("Concat", *columns, axis=1)


def _distances(nodes: OnnxGraph, names: list[str]) -> str:
    """Delta R of every object to all its partners (objects, partners), in float64 till the end."""
    from onnx import TensorProto

    axis, turn = nodes.constant([1], np.int64), nodes.constant(2.0 * np.pi, np.float64)
    half, squares = nodes.constant(0.5, np.float64), []
    for name in ("eta", "phi"):
        number = nodes.constant(names.index(name), np.int64)
        column = nodes.add("Gather", "x", number, axis=1)
        column = nodes.add("Cast", column, to=TensorProto.DOUBLE)
        own, other = nodes.add("Unsqueeze", column, axis), nodes.add("Gather", column, "senders")
        delta = nodes.add("Sub", own, other)
        if name == "phi":
            turns = nodes.add("Floor", nodes.add("Add", nodes.add("Div", delta, turn), half))
            delta = nodes.add("Sub", delta, nodes.add("Mul", turn, turns))
        squares.append(nodes.add("Mul", delta, delta))
    return nodes.add("Cast", nodes.add("Sqrt", nodes.add("Add", *squares)), to=TensorProto.FLOAT)


def _ensemble(trees: Trees, n_outputs: int) -> dict[str, Any]:
    """Attributes of ``TreeEnsembleRegressor``; nodes are numbered within their tree."""
    table: dict[str, list[Any]] = {
        key: []
        for key in (
            *("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_modes"),
            *("nodes_values", "nodes_truenodeids", "nodes_falsenodeids"),
            *("target_treeids", "target_nodeids", "target_ids", "target_weights"),
        )
    }
    for tree, (root, output) in enumerate(zip(trees.roots, trees.outputs, strict=True)):
        waiting, found = [int(root)], []
        while waiting:
            node = waiting.pop()
            found.append(node)
            if trees.feature[node] >= 0:
                waiting += [int(trees.right[node]), int(trees.left[node])]
        number = {node: i for i, node in enumerate(found)}
        for node in found:
            leaf = trees.feature[node] < 0
            table["nodes_treeids"].append(tree)
            table["nodes_nodeids"].append(number[node])
            table["nodes_featureids"].append(0 if leaf else int(trees.feature[node]))
            table["nodes_modes"].append("LEAF" if leaf else "BRANCH_LEQ")
            table["nodes_values"].append(float(trees.threshold[node]))
            table["nodes_truenodeids"].append(0 if leaf else number[int(trees.left[node])])
            table["nodes_falsenodeids"].append(0 if leaf else number[int(trees.right[node])])
            if leaf:
                table["target_treeids"].append(tree)
                table["target_nodeids"].append(number[node])
                table["target_ids"].append(int(output))
                table["target_weights"].append(float(trees.value[node]))
    return {**table, "n_targets": n_outputs}


def _check(efficiency: NetworkEfficiency, graph: bytes) -> None:
    """Compare the graph with the efficiency on the events that the artifact keeps."""
    card, sample = efficiency.card, sample_of(efficiency)
    points = card.architecture.working_points
    outputs = points * len(card.networks)
    engine = OnnxEngine(onnxruntime(graph), outputs, bool(card.architecture.blocks))
    logits = engine.logits(sample["offsets"], sample["nodes"])
    expected = values_on(efficiency, sample)
    found = probabilities_of(by_network(logits, points), card.training.mu)
    largest = float(np.abs(found.reshape(expected.shape) - expected).max())
    if not largest <= PARITY:
        raise ArtifactError(
            f"the ONNX graph of {efficiency.path} with its trees differs by {largest:.1g} in an "
            f"efficiency; expected at most {PARITY:.0e}. It was not written"
        )
