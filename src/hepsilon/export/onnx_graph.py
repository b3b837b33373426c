"""Writer of ONNX graphs: nodes and constants with names that depend only on what they compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hepsilon.arrays.types import Array

__all__ = ["MACHINE_LEARNING", "OPSET", "OPSETS", "OnnxGraph"]

OPSET = 17
"""Set of operators of the standard."""
MACHINE_LEARNING = "ai.onnx.ml"
"""Domain of the operators for trees."""
OPSETS = {"": OPSET, MACHINE_LEARNING: 3}
"""Sets of operators by their domain."""
IR_VERSION = 8
"""Version of the file format: the one of the operators' release, which older runtimes read."""


class OnnxGraph:
    """A graph that grows node by node.

    Equal nodes of equal inputs are one node, and equal constants are one constant: networks of an
    ensemble then share what they have in common. Names are numbers in the order of the calls, so
    that equal calls give equal bytes.

    Parameters
    ----------
    prefix : str, default ""
        Beginning of all names, for nodes that are added to a graph that exists.
    """

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._prefix = prefix
        self._known: dict[Any, list[str]] = {}

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node with one output.

        Parameters
        ----------
        operator : str
            Name of the operator.
        *inputs : str
            Names of the inputs.
        output : str, default ""
            Name of the output; by default one of its own.
        **attributes : object
            Attributes of the node, and its ``domain``.

        Returns
        -------
        str
            Name of the output.
        """
        return self.several(operator, 1, *inputs, output=output, **attributes)[0]

    def several(
        self, operator: str, outputs: int, *inputs: str, output: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs.

        Parameters
        ----------
        operator : str
            Name of the operator.
        outputs : int
            Number of outputs.
        *inputs : str
            Names of the inputs.
        output : str, default ""
            Name of a single output.
        **attributes : object
            Attributes of the node, and its ``domain``.

        Returns
        -------
        list of str
            Names of the outputs.
        """
        import onnx

        key = operator, inputs, output, repr(sorted(attributes.items()))
        if key not in self._known:
            name = f"{self._prefix}{len(self.nodes)}"
            names = [output] if output else [f"{name}.{i}" for i in range(outputs)]
            self._known[key] = names
            node = onnx.helper.make_node(operator, inputs, names, name=name, **attributes)
            self.nodes.append(node)
        return self._known[key]

    def constant(self, value: Any, dtype: Any) -> str:
        """Add a constant.

        Parameters
        ----------
        value : array_like
            Its value.
        dtype : dtype
            Its type.

        Returns
        -------
        str
            Its name.
        """
        import onnx

        array: Array = np.ascontiguousarray(value, dtype).reshape(np.shape(value))
        key = "constant", array.dtype.str, array.shape, array.tobytes()
        if key not in self._known:
            name = f"{self._prefix}c{len(self.constants)}"
            self._known[key] = [name]
            self.constants.append(onnx.numpy_helper.from_array(array, name))
        return self._known[key][0]

    def cast(self, name: str, dtype: Any) -> str:
        """Add a node that changes the type of a tensor.

        Parameters
        ----------
        name : str
            Name of the tensor.
        dtype : dtype
            Type of the result.

        Returns
        -------
        str
            Name of the result.
        """
        import onnx

        return self.add("Cast", name, to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def model(
        self,
        inputs: Mapping[str, tuple[Any, Sequence[int | str]]],
        outputs: Mapping[str, tuple[Any, Sequence[int | str]]],
    ) -> bytes:
        """Content of the file with the graph.

        Parameters
        ----------
        inputs, outputs : mapping of str to (dtype, sequence of int or str)
            Type and shape of each tensor by its name; sizes with a name may be any.

        Returns
        -------
        bytes
            Graph in ONNX's format; equal graphs give equal bytes.
        """
        import onnx

        first, last = ([_declared(n, *k) for n, k in part.items()] for part in (inputs, outputs))
        made = onnx.helper.make_graph(self.nodes, "efficiency", first, last, self.constants)
        domains = {node.domain for node in self.nodes} | {""}
        model = onnx.helper.make_model(
            made,
            producer_name="hepsilon",
            ir_version=IR_VERSION,
            opset_imports=[onnx.helper.make_opsetid(d, OPSETS[d]) for d in sorted(domains)],
        )
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))


def _declared(name: str, dtype: Any, shape: Sequence[int | str]) -> Any:
    import onnx

    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return onnx.helper.make_tensor_value_info(name, kind, shape)
