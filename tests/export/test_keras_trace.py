"""Operations and layers of Keras as ONNX: those that architectures of one's own may use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hepsilon import ConfigError
from hepsilon.arrays.types import Array
from hepsilon.efficiencies.engines.graph_check import checked_graph

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def keras() -> Any:
    from hepsilon.efficiencies.engines.keras import start_backend

    start_backend()
    return pytest.importorskip("keras")


X = np.random.default_rng(5).normal(0.0, 2.0, (7, 6)).astype(np.float32)


def graph_of(keras: Any, output: Any, x: Any) -> bytes:
    from hepsilon.export.keras_trace import Tracer

    tracer = Tracer({"x": x})
    tracer.add("Identity", tracer.name(output, "float32"), output="y")
    rank = ["objects", *("abc"[: len(output.shape) - 1])]
    inputs = {"x": (np.float32, ("objects", 6))}
    return tracer.model(inputs, {"y": (np.float32, rank)})


def compare(
    keras: Any, function: Callable[[Any], Any], given: Array = X, atol: float = 2e-6
) -> None:
    """Keras and ONNX Runtime give the same, and the graph is one that artifacts may hold."""
    x = keras.Input((6,), name="x")
    output = function(x)
    graph = checked_graph(graph_of(keras, output, x), "test")
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(["y"], {"x": given})
    model = keras.Model(x, output)
    expected = np.asarray(keras.ops.convert_to_numpy(model(given)), np.float32)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=atol)


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "abs": lambda o, x: o.abs(x),
    "arccos": lambda o, x: o.arccos(x / 10.0),
    "arccosh": lambda o, x: o.arccosh(o.abs(x) + 1.5),
    "arcsin": lambda o, x: o.arcsin(x / 10.0),
    "arcsinh": lambda o, x: o.arcsinh(x),
    "arctan": lambda o, x: o.arctan(x),
    "arctan2": lambda o, x: o.arctan2(x[:, :3], x[:, 3:]),
    "arctanh": lambda o, x: o.arctanh(x / 10.0),
    "axes": lambda o, x: o.expand_dims(o.squeeze(x[:, None, :], 1), (1, 3)),
    "cast": lambda o, x: o.cast(o.cast(x, "int32"), "float32"),
    "ceil": lambda o, x: o.ceil(x),
    "clip": lambda o, x: o.clip(x, -1.0, 0.5),
    "compare": lambda o, x: o.cast(
        o.logical_or(x > 0.5, o.logical_and(x <= 0, x >= -1)), "float32"
    ),
    "concatenate": lambda o, x: o.concatenate([x, 2.0 * x], axis=-1),
    "constants": lambda o, x: 1.0 - (2.0 / (o.abs(x) + 1.0)) ** 3,
    "cosh": lambda o, x: o.cosh(x),
    "einsum": lambda o, x: o.einsum("ij,ij->i", x, x),
    "erf": lambda o, x: o.erf(x),
    "expm1": lambda o, x: o.expm1(x),
    "floor": lambda o, x: o.floor(x),
    "items": lambda o, x: x[..., 1:-1:2] + x[:, -2:],
    "last": lambda o, x: x[:, -1],
    "log1p": lambda o, x: o.log1p(o.abs(x)),
    "log2 and log10": lambda o, x: o.log2(o.abs(x) + 1.0) + o.log10(o.abs(x) + 1.0),
    "log_softmax": lambda o, x: o.log_softmax(x),
    "logsumexp": lambda o, x: o.logsumexp(x, axis=-1),
    "maximum": lambda o, x: o.maximum(x, -x) + o.minimum(x, 0.0),
    "mean": lambda o, x: o.mean(x, axis=1, keepdims=True),
    "moments": lambda o, x: o.stack(o.moments(x, axes=[1]), axis=1),
    "not": lambda o, x: o.cast(o.logical_not(o.not_equal(o.sign(x), 1.0)), "float32"),
    "ones": lambda o, x: o.ones_like(x) + o.zeros_like(x),
    "prod": lambda o, x: o.prod(x, axis=-1),
    "reciprocal": lambda o, x: o.reciprocal(o.abs(x) + 1.0),
    "reshape": lambda o, x: o.reshape(x, (-1, 2, 3)),
    "reverse": lambda o, x: x[:, ::-1],
    "round": lambda o, x: o.round(x),
    "rsqrt": lambda o, x: o.rsqrt(o.abs(x) + 1.0),
    "sin, tan, sinh": lambda o, x: o.sin(x) + o.tan(x / 4.0) + o.sinh(x / 4.0),
    "softmax": lambda o, x: o.softmax(x),
    "square": lambda o, x: o.square(x),
    "stack": lambda o, x: o.stack([x, x + 1.0], axis=-1),
    "take": lambda o, x: o.take(x, [0, 2, 5], axis=1),
    "transpose": lambda o, x: o.transpose(o.reshape(x, (-1, 2, 3)), (0, 2, 1)),
    "var": lambda o, x: o.var(x, axis=1),
    "where": lambda o, x: o.where(x > 0.0, x, 0.1),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name: str, keras: Any) -> None:
    compare(keras, lambda x: OPERATIONS[name](keras.ops, x), atol=5e-6)


ACTIVATIONS = (
    *("elu", "gelu", "hard_sigmoid", "hard_tanh", "leaky_relu", "log_sigmoid"),
    *("log_softmax", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus"),
    *("softsign", "tanh", "linear"),
)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation: str, keras: Any) -> None:
    compare(keras, keras.layers.Dense(5, activation=activation), atol=5e-6)


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_in_both_forms(approximate: bool, keras: Any) -> None:
    compare(keras, lambda x: keras.ops.gelu(x, approximate=approximate))


@pytest.mark.parametrize(
    "point", [(0.0, 0.0), (0.0, -0.0), (1.0, 0.0), (-1.0, -0.0), (1.0, -2.0), (-1.0, -2.0)]
)
def test_angles_of_points_on_the_axes(point: tuple[float, float], keras: Any) -> None:
    """The origin has none: zero, or pi to some."""
    given = np.tile(np.array([*point, 0, 0, 0, 0], np.float32), (2, 1))
    if point == (0.0, -0.0):
        given = np.abs(given)
    compare(keras, lambda x: keras.ops.arctan2(x[:, 0], x[:, 1]), given)


LAYERS: dict[str, Callable[[Any, Any], Any]] = {
    "nested": lambda k, x: k.Sequential([k.layers.Dense(4, "silu"), k.layers.Dense(2)])(x),
    "normalised": lambda k, x: k.layers.LayerNormalization()(x),
    "reshaped": lambda k, x: k.layers.Flatten()(k.layers.Reshape((3, 2))(x)),
    "leaky": lambda k, x: k.layers.LeakyReLU(0.1)(x),
    "bounded": lambda k, x: k.layers.ReLU(max_value=1.5)(x),
    "joined": lambda k, x: k.layers.Multiply()([k.layers.Dense(6)(x), k.layers.Add()([x, x])]),
    "dropout": lambda k, x: k.layers.Dropout(0.5)(x),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, keras: Any) -> None:
    compare(keras, lambda x: LAYERS[name](keras, x), atol=5e-6)


def test_weights_beside_tensors_in_any_order(keras: Any) -> None:
    class Scaled(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def build(self, shape: Any) -> None:
            self.w = self.add_weight(shape=(6,), initializer="ones", name="w")

        def call(self, x: Any) -> Any:
            scaled = self.w * x - x / (self.w + 1.0)
            return (self.w - scaled) + keras.ops.matmul(x, self.w[:, None])

    compare(keras, Scaled())


def test_an_operation_without_a_form_is_named(keras: Any) -> None:
    x = keras.Input((6,), name="x")
    with pytest.raises(ConfigError, match="the operation Sort, which has no form in ONNX here"):
        graph_of(keras, keras.ops.sort(x), x)


def test_a_layer_that_asks_for_the_number_of_rows_is_named(keras: Any) -> None:
    class Rows(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return x / keras.ops.arange(keras.ops.shape(x)[0])[:, None]

        def compute_output_spec(self, x: Any) -> Any:
            return keras.KerasTensor(x.shape)

    x = keras.Input((6,), name="x")
    with pytest.raises(ConfigError, match=r"the layer 'counted' cannot be traced.*number of rows"):
        graph_of(keras, Rows(name="counted")(x), x)


def test_equal_parts_are_written_once(keras: Any) -> None:
    from hepsilon.export.onnx_graph import OnnxGraph

    graph = OnnxGraph()
    first = graph.add("Add", "x", graph.constant(1.0, np.float32))
    assert graph.add("Add", "x", graph.constant(1.0, np.float32)) == first
    assert graph.add("Add", "x", graph.constant(1.0, np.float64)) != first
    assert (len(graph.nodes), len(graph.constants)) == (2, 2)
