"""Serve an ONNX network as a Triton server does, without a container: for trials and tests.

A farm serves the folder that ``hepsilon export --format triton`` writes, with Triton's own ONNX
Runtime. This script runs the same server by ``pip install nvidia-pytriton onnxruntime``, with ONNX
Runtime in Python behind it: in an environment of its own, since nvidia-pytriton wants older
packages. With ``network.onnx`` served as ``jets``

    python benchmarks/triton_server.py network.onnx --name jets

a client finds it at ``triton+http://localhost:8000/jets`` and, as its gRPC is not encrypted, at
``triton+grpc://localhost:8001/jets?tls=0``.
"""

from __future__ import annotations

import argparse
import os
import signal
from typing import Any

import numpy as np
import onnxruntime
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

DTYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32}


def tensors(arguments: Any) -> list[Tensor]:
    """Inputs or outputs of a session as Triton declares them: sizes with a name may be any."""
    return [
        Tensor(
            name=argument.name,
            dtype=DTYPES[argument.type],
            shape=tuple(size if isinstance(size, int) else -1 for size in argument.shape),
        )
        for argument in arguments
    ]


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", help="the .onnx file")
    parser.add_argument("--name", default="network", help="name of the model")
    parser.add_argument("--address", default="127.0.0.1", help="0.0.0.0 for the whole network")
    parser.add_argument("--port", type=int, default=8000, help="HTTP; gRPC and metrics follow")
    parser.add_argument("--threads", type=int, default=0, help="of ONNX Runtime; 0: all cores")
    arguments = parser.parse_args()

    # tensors over sockets: pytriton's shared memory fails under some patch releases of Python
    os.environ.setdefault("PYTRITON_NO_TENSORSTORE", "1")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(
        arguments.network, options, providers=onnxruntime.get_available_providers()
    )
    outputs = [output.name for output in session.get_outputs()]

    def infer(requests: Any) -> list[dict[str, Any]]:
        answers = [session.run(outputs, dict(request.items())) for request in requests]
        return [dict(zip(outputs, answer, strict=True)) for answer in answers]

    config = TritonConfig(
        http_address=arguments.address,
        http_port=arguments.port,
        grpc_address=arguments.address,
        grpc_port=arguments.port + 1,
        metrics_port=arguments.port + 2,
    )
    # a batch system's way to stop: else the server that was started is left behind
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Triton(config=config) as server:
        server.bind(
            model_name=arguments.name,
            infer_func=infer,
            inputs=tensors(session.get_inputs()),
            outputs=tensors(session.get_outputs()),
            # requests must stay apart: senders are rows of one request
            config=ModelConfig(batching=False),
        )
        server.serve()


if __name__ == "__main__":
    main()
