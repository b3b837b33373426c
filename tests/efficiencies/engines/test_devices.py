"""Which GPU is used: the runtime is asked; here on fake ones, as CI has none."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hepsilon import ConfigError, load
from hepsilon.efficiencies import network as inference
from hepsilon.efficiencies.artifact import read_blob
from hepsilon.efficiencies.engines import choice, devices
from hepsilon.efficiencies.engines import keras as engines
from hepsilon.efficiencies.engines import onnx as runtimes
from hepsilon.efficiencies.engines.choice import ONNX
from hepsilon.efficiencies.engines.devices import device_of_keras, gpu_number, gpus, on_gpu
from hepsilon.networks import build_model
from tests.helpers.processes import python
from tests.helpers.toys import random_jets


@pytest.mark.parametrize(
    ("device", "number"),
    [(None, None), ("cpu", None), ("cpu:0", None), ("gpu", 0), ("gpu:2", 2), ("cuda:1", 1)],
)
def test_devices_name_a_gpu(device: str | None, number: int | None) -> None:
    assert gpu_number(device) == number


@pytest.mark.parametrize("device", ["GPU:0", "gpu:-1", "tpu", "", "gpu:a", "gpu:0,1"])
def test_other_names_are_refused(device: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a device such as 'cpu', 'gpu' or 'gpu:1'"):
        gpu_number(device)


@pytest.mark.parametrize(
    ("device", "name"),
    [(None, None), ("cpu", "cpu:0"), ("gpu", "gpu:0"), ("gpu:2", "gpu:2"), ("cuda:1", "gpu:1")],
)
def test_every_backend_of_keras_knows_the_name_of_a_device(
    device: str | None, name: str | None
) -> None:
    assert device_of_keras(device) == name


def test_an_engine_gives_keras_that_name(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow knows no device ``cuda:1``."""
    import keras

    network, asked = exported("mlp"), []
    monkeypatch.setattr(engines, "on_gpu", lambda device, runtime: True)
    monkeypatch.setattr(keras, "device", lambda name: asked.append(name) or nullcontext())
    model = build_model(network.card.architecture, network.card.features, seed=1)
    engines.Engine(model, [model.get_weights()], "cuda:1")
    assert asked == ["gpu:1"]


def fake_tensorflow(number: int) -> Any:
    config = SimpleNamespace(list_physical_devices=lambda kind: [kind] * number)
    return SimpleNamespace(config=config)


def fake_jax(number: int) -> Any:
    def of_platform(platform: str) -> list[str]:
        if not number:
            raise RuntimeError("Unknown backend: 'gpu' requested")
        return [platform] * number

    return SimpleNamespace(devices=of_platform)


def fake_torch(number: int) -> Any:
    cuda = SimpleNamespace(is_available=lambda: number > 0, device_count=lambda: number)
    return SimpleNamespace(cuda=cuda)


def fake_onnxruntime(number: int) -> Any:
    known = ["CUDAExecutionProvider"] * bool(number) + ["CPUExecutionProvider"]
    return SimpleNamespace(get_available_providers=lambda: known)


FAKES = {
    "tensorflow": fake_tensorflow,
    "jax": fake_jax,
    "torch": fake_torch,
    "onnxruntime": fake_onnxruntime,
}


@pytest.mark.parametrize("runtime", FAKES)
@pytest.mark.parametrize("number", [0, 1])
def test_every_runtime_is_asked_in_its_own_way(
    runtime: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, runtime, FAKES[runtime](number))
    monkeypatch.setattr(devices, "is_installed", lambda name: name == runtime)
    assert gpus(runtime) == number
    assert gpus("a runtime that does not exist") == 0
    monkeypatch.setattr(devices, "is_installed", lambda name: False)
    assert gpus(runtime) == 0


@pytest.mark.parametrize("driver", [True, False])
@pytest.mark.parametrize("number", [0, 2])
def test_a_gpu_is_used_where_driver_and_runtime_have_one(
    driver: bool, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "has_nvidia_gpu", lambda: driver)
    monkeypatch.setattr(devices, "gpus", lambda runtime: number)
    assert on_gpu(None, "jax") == (driver and number > 0)
    assert not on_gpu("cpu", "jax")
    if number:
        assert on_gpu("gpu:1", "jax")
    with pytest.raises(ConfigError, match=rf"'gpu:2': jax can use {number} GPUs.*CUDA_VISIBLE"):
        on_gpu("gpu:2", "jax")


class FakeRuntime:
    """ONNX Runtime that knows CUDA, whose session may fall back to the CPU without a word."""

    def __init__(self, real: Any, works: bool) -> None:
        self.SessionOptions, self._real, self.works = real.SessionOptions, real, works
        self.__spec__ = real.__spec__
        self.asked: list[tuple[str, dict[str, Any]]] = []

    @staticmethod
    def get_available_providers() -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def InferenceSession(self, graph: bytes, options: Any, providers: Any) -> Any:  # noqa: N802
        self.asked += providers
        session = self._real.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        on_gpu = self.works and providers[0][0].startswith("CUDA")
        found = self.get_available_providers() if on_gpu else ["CPUExecutionProvider"]
        return SimpleNamespace(
            get_providers=lambda: found, get_outputs=session.get_outputs, run=session.run
        )


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A node with a GPU's driver, and such a runtime."""
    real = pytest.importorskip("onnxruntime")

    def make(works: bool) -> FakeRuntime:
        fake = FakeRuntime(real, works)
        monkeypatch.setitem(sys.modules, "onnxruntime", fake)
        for module in (choice, devices):
            monkeypatch.setattr(module, "has_nvidia_gpu", lambda: True)
        monkeypatch.setattr(devices, "_TOLD", set())
        monkeypatch.setattr(inference, "_ENGINES", {})
        return fake

    return make


def test_onnxruntime_takes_the_gpu_in_large_batches_without_tf32(node: Any, exported: Any) -> None:
    network, fake = exported("mlp"), node(works=True)
    engine = load(network.path)._engine()
    assert engine._gpu
    assert fake.asked == [("CUDAExecutionProvider", {"device_id": 0, "use_tf32": 0})]
    x = np.zeros((40_000, 4), np.float32)
    assert [len(b.x) for b in engine._batches(np.array([0]), x, False)] == [40_000]
    load(network.path, device="gpu:3")._engine()
    assert fake.asked[-1] == ("CUDAExecutionProvider", {"device_id": 3, "use_tf32": 0})
    inference.NetworkEfficiency.load(network.path, precision="tf32")._engine()
    assert fake.asked[-1][1]["use_tf32"] == 1


def test_a_session_that_fell_back_is_the_cpu_with_one_warning(
    node: Any, exported: Any, caplog: pytest.LogCaptureFixture
) -> None:
    node(works=False)
    network = exported("mlp")
    engine = load(network.path)._engine()
    assert not engine._gpu
    (record,) = caplog.records
    assert "could not start its CUDAExecutionProvider" in record.getMessage()
    with pytest.raises(ConfigError, match="could not start its CUDAExecutionProvider on GPU 1"):
        load(network.path, device="gpu:1")(random_jets([1]))


def test_tf32_is_for_gpus(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(inference, "_ENGINES", {})
    network = exported("mlp")
    handle = inference.NetworkEfficiency.load(network.path, precision="tf32", backend="onnxruntime")
    with pytest.raises(ConfigError, match="one of NVIDIA GPUs, and this computes on the CPU"):
        handle(random_jets([1]))
    for backend in ("tensorflow", "openvino", "triton+http://farm/jets"):
        with pytest.raises(ConfigError, match="computes in float32, not in tf32"):
            load(network.path, precision="tf32", backend=backend)


def test_a_graph_from_a_file_needs_a_provider_that_is_there(exported: Any) -> None:
    network = exported("mlp")
    graph = read_blob(network.path, network.card, ONNX, network.hash)
    ort = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this ONNX Runtime knows GPUs")
    with pytest.raises(ConfigError, match="has no CUDAExecutionProvider"):
        runtimes.onnxruntime(graph, 0)


SETTINGS = """
import os
from hepsilon.efficiencies.engines.keras import start_backend
start_backend()
import jax, keras
assert keras.backend.backend() == "jax"
assert jax.config.jax_default_matmul_precision == "highest"
print(os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"])
"""


@pytest.mark.slow
def test_jax_starts_without_tf32_and_without_taking_the_memory() -> None:
    pytest.importorskip("jax")
    assert python(SETTINGS, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu").strip() == "false"


def test_tensorflow_computes_without_tf32() -> None:
    tf = pytest.importorskip("tensorflow")
    from hepsilon.efficiencies.engines.keras import start_backend

    tf.config.experimental.enable_tensor_float_32_execution(True)
    start_backend()
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_torch_computes_without_tf32_and_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a fake one: ``make backends`` has the real one."""
    said: list[Any] = []
    cudnn = SimpleNamespace(allow_tf32=True)
    fake = SimpleNamespace(
        set_float32_matmul_precision=said.append,
        set_num_threads=said.append,
        backends=SimpleNamespace(cudnn=cudnn),
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    engines._SETTINGS["torch"]()
    assert said == ["highest", 1]
    assert not cudnn.allow_tf32


@pytest.mark.parametrize("runtime", ["tensorflow", "jax", "torch"])
def test_keras_falls_back_to_the_cpu_with_one_warning(
    runtime: str, exported: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a GPU node whose packages are those for CPUs, whichever backend Keras has."""
    card = exported("mlp").card
    monkeypatch.setitem(sys.modules, runtime, FAKES[runtime](0))
    monkeypatch.setattr(devices, "_TOLD", set())
    for module in (choice, devices):
        monkeypatch.setattr(module, "has_nvidia_gpu", lambda: True)
        monkeypatch.setattr(module, "is_installed", lambda name: name == runtime)
    monkeypatch.setattr(choice, "keras_backend", lambda: runtime)
    for _ in range(2):
        assert choice.chosen(card, "auto", None, "float32") == runtime
    (record,) = caplog.records
    assert f"{runtime} cannot use one: computing on the CPU" in record.getMessage()
    with pytest.raises(ConfigError, match=r"nor .*can use a GPU in this process"):
        choice.chosen(card, "auto", "gpu:0", "float32")
    monkeypatch.setitem(sys.modules, runtime, FAKES[runtime](1))
    assert choice.chosen(card, "auto", "gpu:0", "float32") == runtime
    assert len(caplog.records) == 1
