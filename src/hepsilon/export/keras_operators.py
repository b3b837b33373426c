"""Operations of ``keras.ops`` as nodes of ONNX, by the name of their class."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hepsilon.errors import ConfigError

if TYPE_CHECKING:
    from hepsilon.export.keras_trace import Tracer

__all__ = ["WRITERS"]

Writer = Callable[..., "str | list[str]"]
"""Function of the tracer, the operation, its output (a KerasTensor) and its arguments: names."""

_UNARY = {
    **{"Abs": "Abs", "Absolute": "Abs", "Arccos": "Acos", "Arccosh": "Acosh", "Arcsin": "Asin"},
    **{"Arcsinh": "Asinh", "Arctan": "Atan", "Arctanh": "Atanh", "Ceil": "Ceil", "Cos": "Cos"},
    **{"Cosh": "Cosh", "Erf": "Erf", "Exp": "Exp", "Floor": "Floor", "Log": "Log"},
    **{"LogicalNot": "Not", "Negative": "Neg", "Reciprocal": "Reciprocal", "Relu": "Relu"},
    **{"Round": "Round", "Sigmoid": "Sigmoid", "Sign": "Sign", "Sin": "Sin", "Sinh": "Sinh"},
    **{"Softplus": "Softplus", "Softsign": "Softsign", "Sqrt": "Sqrt", "Tan": "Tan"},
    **{"Tanh": "Tanh", "StopGradient": "Identity", "Copy": "Identity"},
}
_BINARY = {
    **{"Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "Divide": "Div", "TrueDivide": "Div"},
    **{"Power": "Pow", "Maximum": "Max", "Minimum": "Min"},
    **{"LogicalAnd": "And", "LogicalOr": "Or"},
}
_COMPARE = {
    **{"Equal": "Equal", "Greater": "Greater", "GreaterEqual": "GreaterOrEqual"},
    **{"Less": "Less", "LessEqual": "LessOrEqual"},
}
_REDUCE = {"Mean": "ReduceMean", "Max": "ReduceMax", "Min": "ReduceMin", "Prod": "ReduceProd"}
_REDUCE |= {"Amax": "ReduceMax", "Amin": "ReduceMin", "Sum": "ReduceSum"}


def _unary(operator: str) -> Writer:
    return lambda t, op, out, x: t.add(operator, t.name(x, out.dtype))


def _binary(operator: str) -> Writer:
    return lambda t, op, out, a, b: t.add(operator, t.name(a, out.dtype), t.name(b, out.dtype))


def _compare(operator: str) -> Writer:
    def write(t: Tracer, op: Any, out: Any, a: Any, b: Any) -> str:
        dtype = t.common_dtype(a, b)
        return t.add(operator, t.name(a, dtype), t.name(b, dtype))

    return write


def _not_equal(t: Tracer, op: Any, out: Any, a: Any, b: Any) -> str:
    dtype = t.common_dtype(a, b)
    return t.add("Not", t.add("Equal", t.name(a, dtype), t.name(b, dtype)))


def _axes(axis: Any, rank: int) -> list[int]:
    if axis is None:
        return list(range(rank))
    axes = axis if isinstance(axis, list | tuple) else [axis]
    return [int(a) % rank for a in axes]


def _reduce(operator: str) -> Writer:
    def write(t: Tracer, op: Any, out: Any, x: Any, **_: Any) -> str:
        axes, keep = _axes(op.axis, len(x.shape)), int(op.keepdims)
        return t.reduce(operator, t.name(x, out.dtype), axes, keep)

    return write


def _variance(t: Tracer, op: Any, out: Any, x: Any) -> str:
    name, axes = t.name(x, out.dtype), _axes(op.axis, len(x.shape))
    delta = t.add("Sub", name, t.reduce("ReduceMean", name, axes, 1))
    return t.reduce("ReduceMean", t.add("Mul", delta, delta), axes, int(op.keepdims))


def _moments(t: Tracer, op: Any, out: Any, x: Any) -> list[str]:
    name, axes, keep = t.name(x), _axes(op.axes, len(x.shape)), int(op.keepdims)
    mean = t.reduce("ReduceMean", name, axes, 1)
    delta = t.add("Sub", name, mean)
    variance = t.reduce("ReduceMean", t.add("Mul", delta, delta), axes, keep)
    return [mean if keep else t.reduce("ReduceMean", name, axes, 0), variance]


def _layer_norm(t: Tracer, op: Any, out: Any, x: Any, gamma: Any = None, beta: Any = None) -> str:
    """Over the last axis, with weights of its width."""
    if op.rms_scaling or _axes(op.axis, len(x.shape)) != [len(x.shape) - 1]:
        raise ConfigError("it normalises layers over other axes than the last one, or by rms")
    name = t.name(x)
    delta = t.add("Sub", name, t.reduce("ReduceMean", name, [len(x.shape) - 1], 1))
    variance = t.reduce("ReduceMean", t.add("Mul", delta, delta), [len(x.shape) - 1], 1)
    floor = t.constant(1e-7 if op.epsilon is None else op.epsilon, out.dtype)
    name = t.add("Div", delta, t.add("Sqrt", t.add("Add", variance, floor)))
    name = name if gamma is None else t.add("Mul", name, t.name(gamma, out.dtype))
    return name if beta is None else t.add("Add", name, t.name(beta, out.dtype))


def _log_sum_exp(t: Tracer, op: Any, out: Any, x: Any) -> str:
    axes = _axes(op.axis, len(x.shape))
    return t.add("ReduceLogSumExp", t.name(x), axes=axes, keepdims=int(op.keepdims))


def _arctan2(t: Tracer, op: Any, out: Any, y: Any, x: Any) -> str:
    """Angle of a point; zero at the origin."""
    a, b = t.name(y, out.dtype), t.name(x, out.dtype)
    zero, pi = t.constant(0.0, out.dtype), t.constant(math.pi, out.dtype)
    on_axis = t.add("Equal", b, zero)
    origin = t.add("And", on_axis, t.add("Equal", a, zero))
    # abs: the quotient with a negative zero would have the wrong sign
    slope = t.add("Div", a, t.add("Where", on_axis, t.add("Abs", b), b))
    angle = t.add("Atan", t.add("Where", origin, zero, slope))
    turn = t.add("Where", t.add("Less", a, zero), t.add("Neg", pi), pi)
    return t.add("Add", angle, t.add("Where", t.add("Less", b, zero), turn, zero))


def _scaled_after(operator: str, scale: float) -> Writer:
    def write(t: Tracer, op: Any, out: Any, x: Any) -> str:
        return t.add("Mul", t.add(operator, t.name(x, out.dtype)), t.constant(scale, out.dtype))

    return write


def _silu(t: Tracer, op: Any, out: Any, x: Any) -> str:
    return t.add("Mul", t.name(x), t.add("Sigmoid", t.name(x)))


def _log_sigmoid(t: Tracer, op: Any, out: Any, x: Any) -> str:
    return t.add("Neg", t.add("Softplus", t.add("Neg", t.name(x))))


def _gelu(t: Tracer, op: Any, out: Any, x: Any) -> str:
    name = t.name(x)

    def number(value: float) -> str:
        return t.constant(value, out.dtype)

    if op.approximate:
        cube = t.add("Mul", t.add("Mul", name, name), t.add("Mul", name, number(0.044715)))
        inner = t.add("Mul", t.add("Add", name, cube), number(math.sqrt(2.0 / math.pi)))
        bend = t.add("Tanh", inner)
    else:
        bend = t.add("Erf", t.add("Mul", name, number(math.sqrt(0.5))))
    half = t.add("Mul", name, number(0.5))
    return t.add("Mul", half, t.add("Add", bend, number(1.0)))


def _clipped(low: float, high: float) -> Writer:
    def write(t: Tracer, op: Any, out: Any, x: Any) -> str:
        return t.add("Clip", t.name(x), t.constant(low, out.dtype), t.constant(high, out.dtype))

    return write


def _clip(t: Tracer, op: Any, out: Any, x: Any) -> str:
    low, high = t.name(op.x_min, out.dtype), t.name(op.x_max, out.dtype)
    return t.add("Min", t.add("Max", t.name(x, out.dtype), low), high)


def _hard_sigmoid(t: Tracer, op: Any, out: Any, x: Any) -> str:
    return t.add("HardSigmoid", t.name(x), alpha=1.0 / 6.0, beta=0.5)


def _hard_silu(t: Tracer, op: Any, out: Any, x: Any) -> str:
    return t.add("Mul", t.name(x), _hard_sigmoid(t, op, out, x))


def _relu(t: Tracer, op: Any, out: Any, x: Any) -> str:
    """The layer's form, with a slope, a bound and a threshold."""
    if op.threshold:
        raise ConfigError("its ReLU has a threshold")
    slope = float(op.negative_slope)
    name = t.add("LeakyRelu", t.name(x), alpha=slope) if slope else t.add("Relu", t.name(x))
    if op.max_value is None:
        return name
    return t.add("Min", name, t.constant(op.max_value, out.dtype))


def _with(operator: str, **attributes: str) -> Writer:
    """Node whose attributes are those of the operation, by their names there."""

    def write(t: Tracer, op: Any, out: Any, x: Any) -> str:
        found = {name: getattr(op, of_keras) for name, of_keras in attributes.items()}
        return t.add(operator, t.name(x, out.dtype), **found)

    return write


def _matmul(t: Tracer, op: Any, out: Any, a: Any, b: Any) -> str:
    return t.add("MatMul", t.name(a, out.dtype), t.name(b, out.dtype))


def _einsum(t: Tracer, op: Any, out: Any, *parts: Any) -> str:
    names = [t.name(part, out.dtype) for part in parts]
    return t.add("Einsum", *names, equation=op.subscripts)


def _where(t: Tracer, op: Any, out: Any, condition: Any, a: Any, b: Any) -> str:
    choices = t.name(a, out.dtype), t.name(b, out.dtype)
    return t.add("Where", t.name(condition, "bool"), *choices)


def _cast(t: Tracer, op: Any, out: Any, x: Any) -> str:
    return t.name(x, out.dtype)


def _concatenate(t: Tracer, op: Any, out: Any, parts: Any) -> str:
    names = [t.name(part, out.dtype) for part in parts]
    return t.add("Concat", *names, axis=op.axis % len(out.shape))


def _stack(t: Tracer, op: Any, out: Any, parts: Any) -> str:
    axis = op.axis % len(out.shape)
    names = [t.expanded(t.name(part, out.dtype), axis) for part in parts]
    return t.add("Concat", *names, axis=axis)


def _expand_dims(t: Tracer, op: Any, out: Any, x: Any) -> str:
    axes = op.axis if isinstance(op.axis, list | tuple) else [op.axis]
    return t.expanded(t.name(x), *(axis % len(out.shape) for axis in axes))


def _squeeze(t: Tracer, op: Any, out: Any, x: Any) -> str:
    axes = op.axis
    if axes is None:
        axes = [i for i, size in enumerate(x.shape) if size == 1]
    return t.squeezed(t.name(x), *_axes(axes, len(x.shape)))


def _take(t: Tracer, op: Any, out: Any, x: Any, indices: Any) -> str:
    if op.axis is None:
        raise ConfigError("it takes elements of a flattened tensor")
    index = t.name(indices) if t.is_symbolic(indices) else t.constant(indices, np.int64)
    return t.add("Gather", t.name(x), index, axis=op.axis % len(x.shape))


def _reshape(t: Tracer, op: Any, out: Any, x: Any) -> str:
    sizes: list[int] = []
    for place, size in enumerate(op.newshape):
        same = place < len(x.shape) and x.shape[place] is None
        sizes.append((0 if same else -1) if size is None else int(size))  # 0: that of the input
    if sizes.count(-1) > 1:
        raise ConfigError("it reshapes a tensor to several sizes that are not known")
    return t.add("Reshape", t.name(x), t.constant(sizes, np.int64))


def _transpose(t: Tracer, op: Any, out: Any, x: Any) -> str:
    rank = len(x.shape)
    order = [a % rank for a in op.axes] if op.axes is not None else list(range(rank))[::-1]
    return t.add("Transpose", t.name(x), perm=order)


def _item(t: Tracer, op: Any, out: Any, x: Any, key: Any) -> str:
    """Slices, numbers, an ellipsis and new axes, as of NumPy."""
    keys = list(key) if isinstance(key, tuple | list) else [key]
    given = sum(k is not None and k is not Ellipsis for k in keys)
    if Ellipsis not in keys:
        keys.append(Ellipsis)
    place = keys.index(Ellipsis)
    keys[place : place + 1] = [slice(None)] * (len(x.shape) - given)
    name, axis, dropped, new = t.name(x), 0, [], []
    for position, k in enumerate(keys):
        if k is None:
            new.append(position - sum(isinstance(each, int) for each in keys[:position]))
            continue
        if isinstance(k, slice):
            name = t.sliced(name, axis, k)
        elif isinstance(k, int):
            name = t.sliced(name, axis, slice(k, k + 1 if k != -1 else None))
            dropped.append(axis)
        else:
            raise ConfigError(f"it takes items with {k!r}")
        axis += 1
    name = t.squeezed(name, *dropped) if dropped else name
    return t.expanded(name, *new) if new else name


def _like(value: float) -> Writer:
    def write(t: Tracer, op: Any, out: Any, x: Any, *_: Any, **__: Any) -> str:
        shape = t.add("Shape", t.name(x))
        return t.add("Expand", t.constant(value, out.dtype), shape)

    return write


def _row_numbers(t: Tracer, op: Any, out: Any, x: Any) -> str:
    """Of :class:`hepsilon.networks.layers.RowNumbers`."""
    rows = t.squeezed(t.add("Shape", t.name(x), start=0, end=1), 0)
    zero, one = (t.constant(i, np.int64) for i in (0, 1))
    return t.cast(t.add("Range", zero, rows, one), out.dtype)


WRITERS: dict[str, Writer] = {
    **{name: _unary(operator) for name, operator in _UNARY.items()},
    **{name: _binary(operator) for name, operator in _BINARY.items()},
    **{name: _compare(operator) for name, operator in _COMPARE.items()},
    **{name: _reduce(operator) for name, operator in _REDUCE.items()},
    "Arctan2": _arctan2,
    "Cast": _cast,
    "Clip": _clip,
    "Concatenate": _concatenate,
    "ConvertToTensor": _cast,
    "Einsum": _einsum,
    "Elu": _with("Elu", alpha="alpha"),
    "ExpandDims": _expand_dims,
    "Expm1": lambda t, op, out, x: t.add("Sub", t.add("Exp", t.name(x)), t.constant(1.0, x.dtype)),
    "Gelu": _gelu,
    "GetItem": _item,
    "HardSigmoid": _hard_sigmoid,
    "HardSilu": _hard_silu,
    "HardTanh": _clipped(-1.0, 1.0),
    "LayerNorm": _layer_norm,
    "LeakyRelu": _with("LeakyRelu", alpha="negative_slope"),
    "Log10": _scaled_after("Log", 1.0 / math.log(10.0)),
    "Log1p": lambda t, op, out, x: t.add("Log", t.add("Add", t.name(x), t.constant(1.0, x.dtype))),
    "Log2": _scaled_after("Log", 1.0 / math.log(2.0)),
    "LogSigmoid": _log_sigmoid,
    "LogSoftmax": _with("LogSoftmax", axis="axis"),
    "Logsumexp": _log_sum_exp,
    "Matmul": _matmul,
    "Moments": _moments,
    "NotEqual": _not_equal,
    "OnesLike": _like(1.0),
    "ReLU": _relu,
    "Relu6": _clipped(0.0, 6.0),
    "Reshape": _reshape,
    "RowNumbers": _row_numbers,
    "Rsqrt": lambda t, op, out, x: t.add("Reciprocal", t.add("Sqrt", t.name(x))),
    "Selu": _unary("Selu"),
    "Silu": _silu,
    "Softmax": _with("Softmax", axis="axis"),
    "Square": lambda t, op, out, x: t.add("Mul", t.name(x), t.name(x)),
    "Squeeze": _squeeze,
    "Stack": _stack,
    "Take": _take,
    "Transpose": _transpose,
    "Var": _variance,
    "Where": _where,
    "ZerosLike": _like(0.0),
}
"""Writer of each operation by the name of its class."""
