"""Keras networks as ONNX graphs: their operations are recorded, on any backend of Keras.

Keras records what a network does in terms of layers. Each layer's ``call`` is run once more on
symbolic tensors, which gives its operations; those are written as nodes
(:mod:`hepsilon.export.keras_operators`). No other framework or converter is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from hepsilon.errors import ConfigError
from hepsilon.export.keras_operators import WRITERS
from hepsilon.export.onnx_graph import OnnxGraph

__all__ = ["Tracer"]

OPERATORS = ("add", "sub", "mul", "truediv", "pow", "matmul", "lt", "le", "gt", "ge")


@contextmanager
def _of_symbolic_tensors() -> Iterator[None]:
    """Let weights leave their operators to symbolic tensors, as numbers do: ``weight * x``."""

    def deferring(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def operator(weight: Any, other: Any) -> Any:
            symbolic = isinstance(other, keras.KerasTensor)
            return NotImplemented if symbolic else original(weight, other)

        return operator

    names = [f"__{name}__" for name in OPERATORS]
    originals = {name: getattr(keras.Variable, name) for name in names}
    try:
        for name, original in originals.items():
            setattr(keras.Variable, name, deferring(original))
        yield
    finally:
        for name, original in originals.items():
            setattr(keras.Variable, name, original)


class Tracer(OnnxGraph):
    """Graph into which outputs of Keras networks are written.

    Parameters
    ----------
    inputs : mapping of str to KerasTensor
        Inputs of the network by the name that they have in the graph.

    Raises
    ------
    ConfigError
        From :meth:`name`, for an operation that has no form in ONNX here.
    """

    def __init__(self, inputs: dict[str, Any] | None = None) -> None:
        super().__init__()
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []  # so that no other tensor gets the number of one of these
        self.let(inputs or {})

    def let(self, tensors: dict[str, Any]) -> None:
        """Give names to tensors, such as the inputs of a network.

        Parameters
        ----------
        tensors : dict of str to KerasTensor
            Tensors by their names in the graph.
        """
        for name, tensor in tensors.items():
            self._names[id(tensor)] = name
            self._kept.append(tensor)

    @staticmethod
    def is_symbolic(value: Any) -> bool:
        """Whether a value is known when the graph runs, and not before.

        Parameters
        ----------
        value : object
            Argument of an operation.

        Returns
        -------
        bool
            False for constants.
        """
        return isinstance(value, keras.KerasTensor)

    def name(self, value: Any, dtype: str | None = None) -> str:
        """Name of a tensor in the graph, into which all that it depends on is written.

        Parameters
        ----------
        value : KerasTensor, tensor, array or number
            Tensor of the network, or a constant.
        dtype : str, optional
            Type that it must have; by default its own.

        Returns
        -------
        str
            Name of the tensor, of that type.
        """
        if not self.is_symbolic(value):
            array = ops.convert_to_numpy(value)
            return self.constant(array, dtype or array.dtype)
        if id(value) not in self._names:
            self.let({self._written(value): value})
        name = self._names[id(value)]
        return name if dtype in (None, value.dtype) else self.cast(name, dtype)

    def _written(self, tensor: Any) -> str:
        """Write the operation that gives a tensor; the tensor's name."""
        operation, number, place = tensor._keras_history
        if operation is None:
            raise ConfigError("a tensor of the network comes from outside of it")
        node = operation._inbound_nodes[number]
        self._kept.append(node)
        if isinstance(operation, keras.Layer):
            given = node.arguments
            try:
                with _of_symbolic_tensors():
                    found = operation.call(*given.args, **given.kwargs)
            except Exception as error:  # whatever that layer raises
                raise ConfigError(
                    f"the layer {operation.name!r} cannot be traced; it must consist of keras.ops "
                    f"that do not need the number of rows ({type(error).__name__}: "
                    f"{str(error)[:200]})"
                ) from None
            traced = tree.flatten(found)[place]
            self._kept.append(traced)
            return self.name(traced)
        kind = type(operation).__name__
        if kind not in WRITERS:
            raise ConfigError(f"keras.ops has the operation {kind}, which has no form in ONNX here")
        names = WRITERS[kind](
            self, operation, node.outputs[place], *node.arguments.args, **node.arguments.kwargs
        )
        return names if isinstance(names, str) else names[place]

    def common_dtype(self, *values: Any) -> str:
        """Type in which values are compared.

        Parameters
        ----------
        *values : KerasTensor, tensor, array or number
            Arguments of an operation.

        Returns
        -------
        str
            Name of the type.
        """
        kinds = (getattr(value, "dtype", type(value)) for value in values)
        kind = str(keras.backend.result_type(*(getattr(k, "name", k) for k in kinds)))
        return "int32" if kind == "bool" else kind

    def reduce(self, operator: str, name: str, axes: list[int], keepdims: int) -> str:
        """Node that reduces axes: those of a sum are an input, all others an attribute.

        Parameters
        ----------
        operator : str
            Name of the operator.
        name : str
            Name of the tensor.
        axes : list of int
            Axes that are reduced.
        keepdims : int
            Whether they stay, of size one.

        Returns
        -------
        str
            Name of the result.
        """
        if operator == "ReduceSum":
            return self.add(operator, name, self.constant(axes, np.int64), keepdims=keepdims)
        return self.add(operator, name, axes=axes, keepdims=keepdims)

    def expanded(self, name: str, *axes: int) -> str:
        """Tensor with new axes of size one.

        Parameters
        ----------
        name : str
            Name of the tensor.
        *axes : int
            Their places in the result.

        Returns
        -------
        str
            Name of the result.
        """
        return self.add("Unsqueeze", name, self.constant(axes, np.int64))

    def squeezed(self, name: str, *axes: int) -> str:
        """Tensor without axes of size one.

        Parameters
        ----------
        name : str
            Name of the tensor.
        *axes : int
            Axes that are left out.

        Returns
        -------
        str
            Name of the result.
        """
        return self.add("Squeeze", name, self.constant(axes, np.int64))

    def sliced(self, name: str, axis: int, part: slice) -> str:
        """Part of a tensor along one axis.

        Parameters
        ----------
        name : str
            Name of the tensor.
        axis : int
            The axis.
        part : slice
            Part of it, as of NumPy.

        Returns
        -------
        str
            Name of the result.
        """
        step = 1 if part.step is None else part.step
        ends = (0, np.iinfo(np.int64).max) if step > 0 else (-1, np.iinfo(np.int64).min)
        bounds = [
            own if own is not None else end
            for own, end in zip((part.start, part.stop), ends, strict=True)
        ]
        if (bounds, step) == (list(ends), 1):
            return name
        numbers = [[bounds[0]], [bounds[1]], [axis], [step]]
        return self.add("Slice", name, *(self.constant(n, np.int64) for n in numbers))
