"""Serve an exported model repository with a real Triton server, without a container.

``pip install nvidia-pytriton onnxruntime``, in an environment of its own since nvidia-pytriton
wants older packages, brings the program ``tritonserver``, but not its backend for ONNX. So this
script gives it one in Python (``triton_backend.py``), and serves the folder of ``hepsilon export
gnn.hepsilon --format triton --out repository`` as a farm does, with its ``config.pbtxt`` as it is:

    python benchmarks/triton_server.py repository

A client finds the model at ``triton+http://localhost:8000/gnn`` and, as its gRPC is not encrypted,
at ``triton+grpc://localhost:8001/gnn?tls=0``. Other arguments go to the server, such as ``--
--grpc-use-ssl=1 --grpc-server-cert=server.pem --grpc-server-key=server.key``.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

BACKEND = Path(__file__).with_name("triton_backend.py")


def backends(package: Path, folder: Path) -> None:
    """Fill a folder with Triton's backend for Python, and one for ONNX that runs in it."""
    shutil.copytree(package / "tritonserver" / "backends" / "python", folder / "python")
    version = ".".join(platform.python_version_tuple()[:2])
    stub = package / "tritonserver" / "python_backend_stubs" / version
    shutil.copy(stub / "triton_python_backend_stub", folder / "python")
    (folder / "onnxruntime").mkdir()
    shutil.copy(BACKEND, folder / "onnxruntime" / "model.py")


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repository", type=Path, help="the folder that holds those of the models")
    parser.add_argument("--address", default="127.0.0.1", help="0.0.0.0 for the whole network")
    parser.add_argument("--port", type=int, default=8000, help="HTTP; gRPC is the next one")
    parser.add_argument("options", nargs="*", help="more arguments of tritonserver, after --")
    arguments = parser.parse_args()

    import pytriton

    package = Path(pytriton.__file__).parent
    libraries = package.parent / "nvidia_pytriton.libs", sysconfig.get_config_var("LIBDIR")
    environment = os.environ | {
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        # the interpreter in the server is not that of this environment
        "PYTHONPATH": str(package.parent),
    }
    with tempfile.TemporaryDirectory() as folder:
        backends(package, Path(folder))
        command = [package / "tritonserver" / "bin" / "tritonserver"]
        command += [f"--model-repository={arguments.repository}", f"--backend-directory={folder}"]
        for number, protocol in enumerate(("http", "grpc")):
            command += [f"--{protocol}-address={arguments.address}"]
            command += [f"--{protocol}-port={arguments.port + number}"]
        with subprocess.Popen(
            [*command, "--allow-metrics=0", *arguments.options], env=environment
        ) as server:
            # a batch system's way to stop, and the keyboard's, end the server first
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: server.terminate())
            return server.wait()


if __name__ == "__main__":
    sys.exit(main())
