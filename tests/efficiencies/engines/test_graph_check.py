"""Graphs that strangers can write: no loops, no other files, no other operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import ArtifactError
from hepsilon.efficiencies.artifact_edits import blobs_of
from hepsilon.efficiencies.engines.graph_check import OPERATORS, checked_graph

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper


def value(name: str, kind: int = 1) -> Any:
    return helper.make_tensor_value_info(name, kind, [None, 2])


def model(*nodes: Any, initializers: Any = (), **options: Any) -> Any:
    """A model whose nodes stand between x and logits."""
    graph = helper.make_graph(list(nodes), "g", [value("x")], [value("logits")], initializers)
    return helper.make_model(graph, **options)


def refused(made: Any, message: str) -> None:
    with pytest.raises(ArtifactError, match=rf"file: the ONNX graph is refused: .*{message}"):
        checked_graph(made.SerializeToString(), "file")


RELU = helper.make_node("Relu", ["x"], ["logits"])
ONES = numpy_helper.from_array(np.ones((1, 2), np.float32), "ones")


def test_plain_functions_are_allowed() -> None:
    made = model(helper.make_node("Add", ["x", "ones"], ["logits"]), initializers=[ONES])
    assert checked_graph(made.SerializeToString(), "file") == made.SerializeToString()


@pytest.mark.parametrize(
    "name", ["gnn", pytest.param("product", marks=pytest.mark.slow), "points", "event gnn", "mlp"]
)
def test_own_graphs_are_allowed(exported: Any, name: str) -> None:
    (graph,) = blobs_of(exported(name)).values()
    assert checked_graph(graph, "file") == graph
    assert {node.op_type for node in onnx.load_from_string(graph).graph.node} <= OPERATORS


def test_loops_are_refused() -> None:
    body = helper.make_graph([RELU], "body", [value("x")], [value("logits")])
    for operator in ("Loop", "Scan", "If"):
        refused(model(helper.make_node(operator, ["x"], ["logits"], body=body)), "graphs inside")
    hidden = helper.make_node("Add", ["x", "x"], ["logits"], body=body)
    refused(model(hidden), "graphs inside")
    refused(model(helper.make_node("Loop", ["x"], ["logits"])), "'Loop'")


@pytest.mark.parametrize("operator", ["RandomNormal", "StringNormalizer", "Optional", "relu", ""])
def test_other_operators_are_refused(operator: str) -> None:
    refused(model(RELU, helper.make_node(operator, ["x"], ["y"])), "operator")


def test_operators_of_other_sets_are_refused() -> None:
    refused(model(helper.make_node("Relu", ["x"], ["logits"], domain="com.x")), "'com.x'")
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.x", 1)]
    refused(model(RELU, opset_imports=sets), "'com.x'")


def test_functions_are_refused() -> None:
    sets = [helper.make_opsetid("", 17)]
    function = helper.make_function("", "Relu", ["x"], ["logits"], [RELU], sets)
    refused(model(RELU, functions=[function]), "functions")


@pytest.mark.parametrize("inside", [False, True])
def test_data_in_other_files_is_refused(inside: bool, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(8))
    tensor = onnx.TensorProto(name="ones", data_type=1, dims=[1, 2], data_location=1)
    tensor.external_data.add(key="location", value="secret")
    add = helper.make_node("Add", ["x", "ones"], ["logits"])
    if inside:
        refused(model(helper.make_node("ConstantOfShape", ["x"], ["logits"], value=tensor)), "file")
    else:
        refused(model(add, initializers=[tensor]), "another file")


def test_a_graph_of_nothing_is_refused() -> None:
    refused(model(), "0 nodes")
    with pytest.raises(ArtifactError, match="0 nodes"):
        checked_graph(b"", "file")


@given(data=st.data())
def test_damaged_graphs_are_allowed_or_refused(data: st.DataObject) -> None:
    """Nothing else happens to bytes that were changed, cut or made up."""
    made = model(helper.make_node("Add", ["x", "ones"], ["logits"]), initializers=[ONES])
    content = bytearray(made.SerializeToString())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(content[: data.draw(st.integers(0, len(content)))])
    for given_bytes in (bytes(content), cut, data.draw(st.binary(max_size=60))):
        try:
            checked_graph(given_bytes, "file")
        except ArtifactError:
            continue
