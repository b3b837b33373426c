"""Which backend is taken, what is refused, and what a process imports for it."""

from __future__ import annotations

import os
import pickle
import re
import shlex
import shutil
import sys

import awkward as ak
import numpy as np
import pytest

from hepsilon import ArtifactError, ConfigError, load
from hepsilon.efficiencies import network as inference
from hepsilon.efficiencies.artifact import read_blob
from hepsilon.efficiencies.engines import choice as backends
from hepsilon.efficiencies.engines import devices
from hepsilon.efficiencies.engines import onnx as runtimes
from hepsilon.efficiencies.engines.choice import ONNX, chosen
from tests.helpers.processes import python
from tests.helpers.toys import random_jets, rows

MLP = {"architecture": "mlp", "width": 4, "blocks": 1, "members": 2}


@pytest.fixture(scope="module")
def bare(untrained):
    """An artifact without a graph."""
    return untrained(**MLP)


@pytest.fixture(scope="module")
def full(exported):
    """An artifact with a graph."""
    return exported("mlp")


@pytest.fixture
def installed(monkeypatch):
    """Only these packages, GPUs and bfloat16 in hardware, whatever the machine has.

    GPUs are the runtimes that can use one; a driver is there if any are named, be it none.
    """

    def only(*packages, bfloat16=False, gpu=None):
        for module in (backends, runtimes):
            monkeypatch.setattr(module, "is_installed", lambda name: name in packages)
        monkeypatch.setattr(backends, "bfloat16_in_hardware", lambda: bfloat16)
        for module in (backends, devices):
            monkeypatch.setattr(module, "has_nvidia_gpu", lambda: gpu is not None)
            monkeypatch.setattr(module, "gpus", lambda runtime: int(runtime in (gpu or ())))
        monkeypatch.setattr(devices, "_TOLD", set())

    return only


# "auto"


def test_auto_is_onnxruntime_where_it_can_be(full, bare, installed):
    installed("onnxruntime", "openvino", "tensorflow")
    assert chosen(full.card, "auto", None, "float32") == "onnxruntime"
    assert chosen(full.card, "auto", "cpu", "float32") == "onnxruntime"
    assert chosen(bare.card, "auto", None, "float32") == "tensorflow"
    installed("openvino", "tensorflow")
    assert chosen(full.card, "auto", None, "float32") == "tensorflow"


def test_auto_on_a_gpu_is_onnxruntime_or_keras_whichever_can_use_it(full, bare, installed):
    installed("onnxruntime", "tensorflow", gpu=("tensorflow",))
    for device in (None, "gpu:0", "cuda"):
        assert chosen(full.card, "auto", device, "float32") == "tensorflow"
    assert chosen(full.card, "auto", "cpu", "float32") == "onnxruntime"
    installed("onnxruntime", "tensorflow", gpu=("onnxruntime", "tensorflow"))
    assert chosen(full.card, "auto", None, "float32") == "onnxruntime"
    assert chosen(full.card, "auto", "gpu:0", "tf32") == "onnxruntime"
    assert chosen(full.card, "auto", None, "bfloat16") == "tensorflow"
    assert chosen(bare.card, "auto", None, "float32") == "tensorflow"


def test_a_driver_without_a_usable_gpu_is_the_cpu_with_one_warning(full, installed, caplog):
    """As in a container for CPUs on a node with GPUs, with and without TensorFlow."""
    for packages in (("onnxruntime",), ("onnxruntime", "tensorflow")):
        installed(*packages, gpu=())
        caplog.clear()
        for _ in range(3):
            assert chosen(full.card, "auto", None, "float32") == "onnxruntime"
        (record,) = caplog.records
        assert "driver of a GPU is loaded, but onnxruntime" in record.getMessage()
        assert "computing on the CPU" in record.getMessage()


def test_without_a_driver_no_runtime_is_asked(full, installed, monkeypatch):
    installed("onnxruntime", "tensorflow")
    monkeypatch.setattr(backends, "gpus", lambda runtime: pytest.fail(f"{runtime} was started"))
    assert chosen(full.card, "auto", None, "float32") == "onnxruntime"


def test_a_gpu_that_is_named_must_be_there(full, installed):
    installed("onnxruntime", "tensorflow", gpu=())
    with pytest.raises(ConfigError, match=r"'gpu:0': neither onnxruntime nor tensorflow can use"):
        chosen(full.card, "auto", "gpu:0", "float32")


def test_auto_in_bfloat16_is_openvino_where_the_cpu_has_it(full, bare, installed):
    installed("onnxruntime", "openvino", bfloat16=True)
    assert chosen(full.card, "auto", None, "bfloat16") == "openvino"
    assert chosen(bare.card, "auto", None, "bfloat16") == "tensorflow"
    installed("onnxruntime", "openvino")
    assert chosen(full.card, "auto", None, "bfloat16") == "tensorflow"


def test_what_is_asked_for_is_taken(full, installed):
    installed(gpu=())
    for backend in (*backends.BACKENDS[1:], "triton+grpc://host:8001/jets"):
        assert chosen(full.card, backend, None, "float32") == backend


def test_auto_computes_with_what_it_chose(full, bare):
    """Not only in words."""
    assert isinstance(full._engine(), runtimes.OnnxEngine)
    assert not isinstance(bare._engine(), runtimes.OnnxEngine)


# refused


@pytest.mark.parametrize("backend", ["theano", "", "onnx", "triton", "TensorFlow"])
def test_unknown_backend_is_refused_with_those_that_exist(full, backend):
    with pytest.raises(ConfigError, match=rf"onnxruntime.*triton\+grpc.*{backend!r}"):
        load(full.path, backend=backend)


@pytest.mark.parametrize("precision", ["float16", "bf16", ""])
def test_unknown_precision_is_refused_with_those_that_exist(full, precision):
    with pytest.raises(ConfigError, match=rf"float32.*bfloat16.*{precision!r}"):
        load(full.path, precision=precision)


@pytest.mark.parametrize("backend", ["onnxruntime", "triton+http://host:8000/jets"])
def test_backends_of_float32_only_refuse_bfloat16(full, backend):
    with pytest.raises(ConfigError, match="float32 only"):
        load(full.path, backend=backend, precision="bfloat16")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "tensorflow"])
def test_what_is_not_installed_is_refused(full, installed, monkeypatch, backend):
    installed()
    monkeypatch.setattr(inference, "_ENGINES", {})
    with pytest.raises(ConfigError, match=rf"'{backend}' is not installed"):
        load(full.path, backend=backend)(random_jets([1]))


def test_keras_on_another_backend_is_refused(full, monkeypatch):
    """The test process runs on TensorFlow."""
    monkeypatch.setattr(backends, "is_installed", lambda name: True)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with pytest.raises(ConfigError, match=r"'jax'.*already started on 'tensorflow'.*KERAS_BACKEND"):
        load(full.path, backend="jax")(random_jets([1]))
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_artifact_without_a_graph_says_how_to_add_it(bare, tmp_path, run, backend):
    pytest.importorskip(backend)
    jets = random_jets([2, 0, 3])
    path = shutil.copy(bare.path, tmp_path / "network.hepsilon")
    handle = load(path, backend=backend)
    with pytest.raises(ArtifactError, match=r"has no model\.onnx") as caught:
        handle(jets)
    (command,) = re.findall(r"hepsilon (export .*)", str(caught.value))
    code, _, error = run(*shlex.split(command))
    assert code == 0, error
    there = rows(load(path, backend="tensorflow").replicas(jets))
    assert [file.name for file in tmp_path.iterdir()] == ["network.hepsilon"]
    found = rows(load(path, backend=backend).replicas(jets))
    np.testing.assert_allclose(found, there, rtol=0, atol=1e-5)


# handles


@pytest.mark.parametrize(
    "options",
    [
        {"backend": "onnxruntime", "device": "cpu"},
        {"backend": "openvino"},
        {"backend": "triton+grpc://host:8001/jets"},
        {"backend": "tensorflow", "device": "gpu:1"},
        {},
    ],
)
def test_handles_pickle_with_their_options(full, options):
    handle = load(full.path, **options)
    again = pickle.loads(pickle.dumps(handle))
    assert again == handle
    for name, value in options.items():
        assert getattr(again, name) == value


def test_precision_survives_pickling(full):
    """Without being measured again."""
    handle = inference.NetworkEfficiency.load(full.path, precision="bfloat16")
    again = pickle.loads(pickle.dumps(handle))
    assert (again.precision, again.card.bfloat16) == ("bfloat16", None)


def test_backends_do_not_share_an_engine(full):
    pytest.importorskip("onnxruntime")
    handles = [load(full.path, backend=b) for b in ("onnxruntime", "auto")]
    assert handles[0]._engine() is not handles[1]._engine()
    assert handles[0]._engine() is pickle.loads(pickle.dumps(handles[0]))._engine()


# fresh processes


HEAVY = "'tensorflow', 'keras', 'jax', 'torch', 'onnx', 'matplotlib'"
"""What an evaluation by ONNX Runtime has no use for."""


def test_import_starts_no_backend():
    names = f"{HEAVY}, 'onnxruntime', 'openvino', 'tritonclient', 'coffea'"
    code = f"import sys, hepsilon; print([m for m in ({names}) if m in sys.modules])"
    assert python(code, warnings="error").strip() == "[]"


RECORDS = """
import pickle, sys
import awkward as ak, numpy as np
from coffea.nanoevents import NanoEventsFactory
from hepsilon.processors import TaskSchema

path, records, out, heavy, used = sys.argv[1:]
with open(path, "rb") as file:
    efficiency = pickle.load(file)
events = NanoEventsFactory.from_root({records: "Events"}, schemaclass=TaskSchema).events()
eps = efficiency(events.Jet, out_of_domain="ignore")
found = [name for name in heavy.split() if name in sys.modules]
assert not found, found
assert used in sys.modules
np.save(out, ak.to_numpy(ak.flatten(eps)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_workers_import_no_keras(full, toy_file, toy_jets, tmp_path, backend):
    """After a call on the records of a coffea processor."""
    pytest.importorskip(backend)
    handle, out = tmp_path / "handle.pkl", tmp_path / "eps.npy"
    handle.write_bytes(pickle.dumps(load(full.path, backend=backend)))
    heavy = re.sub("[',]", "", HEAVY).replace(" matplotlib", "")  # coffea's own
    arguments = str(handle), str(toy_file), str(out), heavy, backend
    python(RECORDS, *arguments, warnings="error", KERAS_BACKEND="torch")
    there = rows(load(full.path, backend=backend)(toy_jets, out_of_domain="ignore"))
    np.testing.assert_allclose(np.load(out), there, rtol=0, atol=1e-6)


FIRST_THREADS = """
import faulthandler, sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
from hepsilon.efficiencies.engines import onnx as runtimes

faulthandler.dump_traceback_later(60, exit=True)
sys.setswitchinterval(1e-6)
threads, x = 8, np.ones((100, 4), np.float32)
together = Barrier(threads)

def evaluate(graph):
    session = runtimes.openvino(graph)
    together.wait()
    return session({"x": x}, 1)[0]

with open(sys.argv[1], "rb") as file, ThreadPoolExecutor(threads) as pool:
    first, *others = pool.map(evaluate, [file.read()] * threads)
assert all((first == other).all() for other in others)
"""


@pytest.mark.parametrize("attempt", range(2))
def test_first_tensors_of_openvino_come_from_several_threads(full, tmp_path, attempt):
    """Without care they mostly wait for each other for ever; hence a second attempt."""
    pytest.importorskip("openvino")
    graph = tmp_path / "network.onnx"
    graph.write_bytes(read_blob(full.path, full.card, ONNX, full.hash))
    python(FIRST_THREADS, str(graph), warnings="error")


KERAS = """
import os, sys
import hepsilon
from tests.helpers.toys import random_jets

path, backend, other = sys.argv[1:]
try:
    hepsilon.load(path, backend="torch")(random_jets([1]))
except hepsilon.ConfigError as error:
    assert "'torch' is not installed" in str(error), error
assert "keras" not in sys.modules
eps = hepsilon.load(path, backend=backend)(random_jets([3, 0, 2]))
import keras
assert keras.backend.backend() == backend
try:
    hepsilon.load(path, backend=other)(random_jets([1]))
except hepsilon.ConfigError as error:
    print(error)
print(eps.tolist())
"""


@pytest.mark.slow
@pytest.mark.skipif(runtimes.is_installed("torch"), reason="asks for torch where there is none")
def test_backend_wins_over_the_environment_until_keras_has_started(full):
    """And one that is not installed leaves the process as it was."""
    pytest.importorskip("jax")
    environment = {"KERAS_BACKEND": "tensorflow", "JAX_PLATFORMS": "cpu"}
    message, eps = python(
        KERAS, full.path, "jax", "tensorflow", warnings="error", **environment
    ).splitlines()
    assert "already started on 'jax'" in message
    there = load(full.path, backend="onnxruntime")(random_jets([3, 0, 2]))
    for found, expected in zip(ak.Array(eval(eps)), there, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("variable", "content", "expected"),
    [
        (None, None, "tensorflow"),
        (None, '{"backend": "jax"}', "jax"),
        ("torch", '{"backend": "jax"}', "torch"),
        ("", '{"backend": "jax"}', "jax"),
        (None, "not JSON", "tensorflow"),
        (None, "[]", "tensorflow"),
        (None, '{"epsilon": 1e-07}', "tensorflow"),
    ],
)
def test_backend_of_keras_is_known_before_its_import(
    variable, content, expected, tmp_path, monkeypatch
):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if variable is not None:
        monkeypatch.setenv("KERAS_BACKEND", variable)
    if content is not None:
        (tmp_path / "keras.json").write_text(content)
    assert backends.keras_backend() == expected
