"""Graphs of ONNX from files: what networks are made of, and nothing else.

The runtimes would read weights from other files and run loops without an end. A graph is looked at
before a runtime sees it; what is needed of its format (protobuf) is read here, as the package onnx
is not needed to evaluate a graph.
"""

from __future__ import annotations

from collections.abc import Iterator

from hepsilon.errors import ArtifactError

__all__ = ["OPERATORS", "checked_graph"]

_NAMES = """
Abs Add And Asinh Atan Cast Concat ConstantOfShape Cos Div Equal Exp Gather Greater Less Log MatMul
Max Min Mul Neg Not Or Pow Range Reciprocal ReduceMax ReduceMin ReduceSum Relu Reshape Round Shape
Sigmoid Sign Sin Sinh Slice Softplus Sqrt Squeeze Sub Tanh Unsqueeze
Acos Acosh Asin Atanh Ceil Clip Cosh Einsum Elu Erf Expand Flatten Floor Gelu Gemm
GreaterOrEqual HardSigmoid HardSwish
GatherElements Identity LayerNormalization LeakyRelu LessOrEqual LogSoftmax Mean Mish PRelu ReduceL2
ReduceLogSumExp ReduceMean ReduceProd ReduceSumSquare Selu Softmax Softsign Split Sum Tan Tile TopK
Transpose Where
"""
OPERATORS = frozenset(_NAMES.split())
"""Operators of the graphs that hepsilon makes, and others that architectures may need: functions of
tensors, without loops, random numbers or text."""
TREES = frozenset(("TreeEnsembleRegressor",))
"""Operators of machine learning: the trees of a refined network."""
MOST_NODES = 200_000
STANDARD = frozenset(("", "ai.onnx"))
DECLARED = STANDARD | {"ai.onnx.ml"}
"""Sets of operators that graphs declare; all but the trees are of the standard."""
# numbers of the fields in onnx.proto
MODEL_OPSET, MODEL_GRAPH, MODEL_TRAINING, MODEL_FUNCTIONS = 8, 7, 20, 25
OPSET_DOMAIN = 1
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_SPARSE = 1, 5, 15
NODE_OPERATOR, NODE_ATTRIBUTE, NODE_DOMAIN = 4, 5, 7
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = 5, 6, 10, 11
TENSOR_EXTERNAL, TENSOR_LOCATION = 13, 14


class _GraphError(Exception):
    """What is wrong with a graph."""


def checked_graph(graph: bytes, place: str) -> bytes:
    """Refuse a graph with other operators, other graphs inside, or data in other files.

    Parameters
    ----------
    graph : bytes
        Graph in ONNX's format.
    place : str
        Name of the file, for the error.

    Returns
    -------
    bytes
        The graph.

    Raises
    ------
    ArtifactError
        With what is not allowed.
    """
    try:
        _check_model(memoryview(graph))
    except _GraphError as error:
        raise ArtifactError(f"{place}: the ONNX graph is refused: {error}") from None
    return graph


def _check_model(model: memoryview) -> None:
    nodes = 0
    for number, content in _fields(model):
        if number in (MODEL_TRAINING, MODEL_FUNCTIONS):
            raise _GraphError("it has functions, or a part for training")
        if number == MODEL_OPSET:
            _check_domain(content, OPSET_DOMAIN, DECLARED)
        if number == MODEL_GRAPH:
            for part, each in _inside(content):
                if part == GRAPH_NODE:
                    _check_node(each)
                    nodes += 1
                elif part == GRAPH_INITIALIZER:
                    _check_tensor(each)
                elif part == GRAPH_SPARSE:
                    raise _GraphError("it has sparse tensors")
    if not 0 < nodes <= MOST_NODES:
        raise _GraphError(f"it has {nodes} nodes; expected 1 to {MOST_NODES}")


def _check_domain(message: memoryview | int, field: int, known: frozenset[str]) -> None:
    names = {_text(content) for number, content in _inside(message) if number == field}
    if names - known:
        raise _GraphError(f"it has operators of {sorted(names)}")


def _text(content: memoryview | int) -> str:
    if not isinstance(content, memoryview):
        raise _GraphError("it is damaged")
    return bytes(content[:100]).decode(errors="replace")


def _check_node(node: memoryview | int) -> None:
    operators = []
    for number, content in _inside(node):
        if number == NODE_OPERATOR:
            operators.append(_text(content))
        if number == NODE_ATTRIBUTE:
            for part, each in _inside(content):
                if part in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS):
                    raise _GraphError("it has graphs inside, as loops have")
                if part in (ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS):
                    _check_tensor(each)
    known = len(operators) == 1 and operators[0] in TREES
    _check_domain(node, NODE_DOMAIN, DECLARED if known else STANDARD)
    if len(operators) != 1 or operators[0] not in OPERATORS | TREES:
        raise _GraphError(f"it has the operator {operators}, which is not allowed")


def _check_tensor(tensor: memoryview | int) -> None:
    if any(n in (TENSOR_EXTERNAL, TENSOR_LOCATION) and c != 0 for n, c in _inside(tensor)):
        raise _GraphError("it has data in another file")


def _inside(message: memoryview | int) -> Iterator[tuple[int, memoryview | int]]:
    if not isinstance(message, memoryview):
        raise _GraphError("it is damaged")
    return _fields(message)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Numbers and contents of the fields of a message; numbers of a fixed size are left out."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind, number = key & 7, key >> 3
        if kind == 0:
            value, place = _varint(message, place)
            yield number, value
        elif kind == 2:
            size, place = _varint(message, place)
            if place + size > len(message):
                raise _GraphError("it is cut off")
            yield number, message[place : place + size]
            place += size
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise _GraphError("it is damaged")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise _GraphError("it is cut off")
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if not byte & 0x80:
            return value, place
    raise _GraphError("it is damaged")
