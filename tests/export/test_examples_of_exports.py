"""The C++ of ``examples/exports``: compiled where that is possible, else mirrored in Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepsilon.arrays.types import Array
from hepsilon.export import formats
from tests.export.test_onnx_forms import nominal
from tests.helpers.toys import random_nodes

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
EXAMPLES = Path(__file__).parents[2] / "examples" / "exports"
COUNTS = [2, 0, 1, 5, 3]
TYPES = {"float": np.float32, "std::int32_t": np.int32, "std::int64_t": np.int64}


@pytest.fixture(scope="module", params=["gnn", "mlp"])
def network(request: Any, exported: Any) -> Any:
    return exported(request.param)


@pytest.fixture
def file(network: Any, tmp_path: Path) -> Path:
    out = tmp_path / "alone.onnx"
    return formats.export(network.path, "onnx", out, named=True, probabilities=True)


class Mirror:
    """The class of the header, call by call; names and types are read from it."""

    def __init__(self, path: Path) -> None:
        self.session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.has_counts = any(node.name == "counts" for node in self.session.get_inputs())
        code = (EXAMPLES / "efficiency.hpp").read_text()
        (names,) = re.findall(r"names\{(.*?)\};", code)
        self.names = re.findall(r'"(\w+)"', names) + re.findall(r'push_back\("(\w+)"\)', code)
        (self.output,) = re.findall(r'output = "(\w+)"', code)
        made = re.findall(r"CreateTensor<([\w:]+)>\(memory, (\w+)", code)
        of_variable = {variable: TYPES[kind] for kind, variable in made}
        self.types = [of_variable["column"]] * 3 + [of_variable["flavour"], of_variable["counts"]]

    def __call__(self, *columns: Array) -> Array:
        given = [np.asarray(c).astype(kind) for c, kind in zip(columns, self.types, strict=True)]
        inputs = dict(zip(self.names, given, strict=True))
        if not self.has_counts:
            del inputs["counts"]
        (found,) = self.session.run([self.output], inputs)
        return np.asarray(found).ravel()


def columns_of(nodes: Array) -> list[Array]:
    return list(nodes.T)


def test_the_calls_of_the_cpp_class_give_the_efficiencies(network: Any, file: Path) -> None:
    offsets, nodes = random_nodes(COUNTS, 5)
    found = Mirror(file)(*columns_of(nodes), np.array(COUNTS))
    np.testing.assert_allclose(found, nominal(network, offsets, nodes)[:, 0], rtol=0, atol=2e-6)


def test_the_calls_of_rdataframe_event_by_event(network: Any, file: Path) -> None:
    """As the macro makes them: one event at a time, empty ones too."""
    offsets, nodes = random_nodes(COUNTS, 5)
    mirror = Mirror(file)
    parts = [
        mirror(*columns_of(event), np.array([len(event)]))
        for event in np.split(nodes, offsets[1:-1])
    ]
    expected = nominal(network, offsets, nodes)[:, 0]
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=0, atol=2e-6)


def test_the_program_gives_the_efficiencies(network: Any, file: Path, tmp_path: Path) -> None:
    """Where the headers and the library of ONNX Runtime are: set HEPSILON_ONNXRUNTIME."""
    folder = os.environ.get("HEPSILON_ONNXRUNTIME")
    if folder is None or shutil.which("g++") is None:
        pytest.skip("needs g++, and HEPSILON_ONNXRUNTIME with ONNX Runtime's include and lib")
    program = tmp_path / "evaluate"
    call = ["g++", "-std=c++17", "-I", f"{folder}/include", str(EXAMPLES / "evaluate.cc")]
    call += ["-L", f"{folder}/lib", f"-Wl,-rpath,{folder}/lib", "-lonnxruntime"]
    subprocess.run([*call, "-o", str(program)], check=True)
    offsets, nodes = random_nodes(COUNTS, 5)
    events = np.split(nodes, offsets[1:-1])
    text = "".join(" ".join(map(repr, e.ravel().tolist())) + "\n" for e in events)
    done = subprocess.run([program, file], input=text, capture_output=True, text=True, check=True)
    expected = nominal(network, offsets, nodes)[:, 0]
    np.testing.assert_allclose(np.array(done.stdout.split(), float), expected, atol=2e-6)
