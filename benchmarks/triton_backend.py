"""Triton's backend for ONNX, in Python: ``benchmarks/triton_server.py`` puts it into the server.

Requests that the server joined become one batch of the network, as in Triton's own backend.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """What the server calls: one for every model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network of a version."""
        config = json.loads(args["model_config"])
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]
        file = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = onnxruntime.InferenceSession(
            str(file), providers=onnxruntime.get_available_providers()
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests that the server joined."""
        batch, sizes = {}, []
        for name in self.inputs:
            parts = [triton.get_input_tensor_by_name(each, name).as_numpy() for each in requests]
            batch[name], sizes = np.concatenate(parts), [len(part) for part in parts]
        found = self.session.run(self.outputs, batch)
        pieces = [np.split(values, np.cumsum(sizes)[:-1]) for values in found]
        return [
            triton.InferenceResponse(
                [
                    triton.Tensor(name, np.ascontiguousarray(part))
                    for name, part in zip(self.outputs, parts, strict=True)
                ]
            )
            for parts in zip(*pieces, strict=True)
        ]
