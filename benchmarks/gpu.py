"""What a GPU gives: parity with the CPU, speed of inference and training, memory, two workers.

    KERAS_BACKEND=jax python benchmarks/gpu.py --seconds 120 --out benchmarks/results/gpu.json

Needs Keras with JAX (the default here), TensorFlow or torch, and hepsilon on the path; ONNX Runtime
and its package for GPUs take part where they are installed. Parts run one after the other (but for
two workers that share a GPU), the most important ones first, each in a process of its own, so that
none inherits memory, settings or compiled code of another. A part may take --seconds, of which the
start of the backend and compiling take the first half minute or more on a GPU; all parts together
take up to ten times that. Every number is written to --out when it is known: a part that fails or
takes too long, or a run that ends early, leaves those that it had. Networks have random weights:
neither speed nor rounding knows whether they were trained.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from hepsilon._system.files import write_text
from hepsilon.config import ModelConfig, Passed, Task, TrainingConfig
from hepsilon.data.features import FeatureSpec, fit_features
from hepsilon.data.training_columns import TrainingColumns

os.environ.setdefault("KERAS_BACKEND", "jax")
Numbers = Iterator[dict[str, Any]]
"""Numbers of a part, by name, as they come."""
TASK = Task(
    collection="Jet",
    features=("pt", "eta", "phi", "hadronFlavour"),
    categorical={"hadronFlavour": (5, 4, 0)},
    passed=Passed(field="tag", above=(0.5,)),
)
NETWORKS = {"mlp": ModelConfig(architecture="mlp"), "gnn": ModelConfig(architecture="gnn")}
EVENTS = 300, 3_000, 30_000, 300_000
PACKAGES = (
    *("jax", "jaxlib", "keras", "numpy", "onnxruntime", "onnxruntime-gpu", "tensorflow", "torch"),
)


def columns(n_events: int, seed: int = 1) -> TrainingColumns:
    """Two to six random jets in each event, tagged at random."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(2, 7, n_events))])
    n = int(offsets[-1])
    momenta = 20.0 + rng.exponential(60.0, n), rng.uniform(-2.4, 2.4, n), rng.uniform(-3.1, 3.1, n)
    nodes = np.stack([*momenta, rng.choice([5, 4, 0], n)], axis=1).astype(np.float32)
    passed = (rng.uniform(size=n) < 0.3).astype(np.float32)
    keys = rng.integers(0, 1 << 63, n_events).astype(np.uint64)
    return TrainingColumns(offsets, nodes, passed, np.ones(n_events), keys)


def spec() -> FeatureSpec:
    """Features as a training sees them."""
    sample = columns(5_000)
    return fit_features(TASK, sample.nodes, np.ones(sample.n_events), sample.offsets)


def engine(name: str, device: str | None, precision: str = "float32") -> Any:
    """Engine of a network with random weights, equal in every process."""
    from hepsilon.efficiencies.engines.keras import Engine, start_backend
    from hepsilon.networks import build_model, resolve

    start_backend()
    architecture = resolve(NETWORKS[name], TASK)
    model = build_model(architecture, spec(), seed=1)
    return Engine(model, None, device, precision, has_edges=architecture.has_edges)


def probabilities(found: Any, data: TrainingColumns) -> Any:
    """Efficiencies of all jets."""
    return 1.0 / (1.0 + np.exp(-found.logits(data.offsets, data.nodes)))


def rate(call: Callable[[], Any], objects: int, seconds: float = 0.7) -> float:
    """Objects per second, of the fastest call within some time."""
    call()  # compiles
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return objects / best


def devices(gpu: str) -> Numbers:
    """What each runtime says of GPUs."""
    from hepsilon._system.resources import has_nvidia_gpu, usable_cpus
    from hepsilon.efficiencies.engines.devices import gpus

    runtimes = "jax", "onnxruntime", "tensorflow", "torch"
    yield {"driver": has_nvidia_gpu(), "cpus": usable_cpus()}
    yield {"gpus": {runtime: gpus(runtime) for runtime in runtimes}}


def parity(gpu: str) -> Numbers:
    """Largest and rms difference of an efficiency, GPU against CPU."""
    data = columns(20_000)
    for name in NETWORKS:
        exact = probabilities(engine(name, "cpu"), data)
        lower = ["tf32"] * (gpu != "cpu" and os.environ["KERAS_BACKEND"] == "jax")
        for precision in ("float32", *lower):
            change = probabilities(engine(name, gpu, precision), data) - exact
            differences = {
                "jets": len(exact),
                "largest": float(np.abs(change).max()),
                "rms": float(np.sqrt(np.mean(change**2))),
                "total": float(abs(change.sum() / exact.sum())),
            }
            yield {f"{name} {precision}": differences}


def inference(gpu: str) -> Numbers:
    """Jets per second by size of a call, on this device."""
    for name in NETWORKS:
        evaluator = engine(name, gpu)
        for n_events in EVENTS if gpu != "cpu" else EVENTS[:-1]:
            data = columns(n_events)
            call = lambda e=evaluator, d=data: e.logits(d.offsets, d.nodes)  # noqa: E731
            yield {f"{name} {n_events} events": rate(call, len(data.nodes))}


def onnx(gpu: str) -> Numbers:
    """Jets per second of ONNX Runtime, and its largest difference to Keras on the CPU."""
    from hepsilon.efficiencies.engines.onnx import OnnxEngine, onnxruntime
    from hepsilon.export.keras_trace import Tracer
    from hepsilon.networks import build_model, resolve

    for name, config in NETWORKS.items():
        reference = engine(name, "cpu")
        architecture = resolve(config, TASK)
        model, tracer = build_model(architecture, spec(), seed=1, neighbours=True), Tracer()
        tracer.let(model.input)
        tracer.add("Identity", tracer.name(model.output), output="logits")
        inputs: dict[str, Any] = {"x": (np.float32, ("objects", 4))}
        if architecture.has_edges:
            inputs["senders"] = np.int32, ("objects", "partners")
        graph = tracer.model(inputs, {"logits": (np.float32, ("objects", 1))})
        number = None if gpu == "cpu" else 0
        evaluator = OnnxEngine(
            onnxruntime(graph, number), 1, architecture.has_edges, gpu=number is not None
        )
        data = columns(3_000)
        change = probabilities(evaluator, data) - probabilities(reference, data)
        yield {f"{name} largest difference": float(np.abs(change).max())}
        for n_events in EVENTS[:-1]:
            data = columns(n_events)
            call = lambda e=evaluator, d=data: e.logits(d.offsets, d.nodes)  # noqa: E731
            yield {f"{name} {n_events} events": rate(call, len(data.nodes), 0.4)}


def training(gpu: str) -> Numbers:
    """Seconds of a step of each network, batches of 4096 events, without the first epoch."""
    from hepsilon.efficiencies.engines.keras import start_backend
    from hepsilon.networks import resolve
    from hepsilon.training import recipe
    from hepsilon.training.ensemble import fit_member

    start_backend()
    train, validation = columns(40_960), columns(2_000, 2)
    for name, config in NETWORKS.items():
        options = recipe(config, TrainingConfig(epochs=3, batch_events=4096), 40_960)
        epochs: list[Any] = []
        fit_member(
            resolve(config, TASK), spec(), options, train, validation, on_epoch=epochs.append
        )
        seconds = min(epoch.seconds for epoch in epochs[1:])
        yield {name: {"seconds per step": seconds / 10, "loss": epochs[-1].loss}}


def memory(gpu: str) -> Numbers:
    """Memory after 100 and after 1,000 calls of changing size, MB."""
    evaluator, rng = engine("gnn", gpu), np.random.default_rng(5)
    for call in range(1, 1001):
        data = columns(int(rng.integers(1, 2_000)), seed=call)
        evaluator.logits(data.offsets, data.nodes)
        if call in (100, 550, 1000):
            yield {f"after {call} calls": {"process": _resident(), "device": _on_device()}}


def _resident() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024


def _on_device() -> float | None:
    if os.environ["KERAS_BACKEND"] == "torch":
        import torch

        return torch.cuda.memory_reserved() / 2**20
    if os.environ["KERAS_BACKEND"] != "jax":
        return None
    import jax

    stats = jax.devices()[0].memory_stats() or {}
    return stats["bytes_in_use"] / 2**20 if "bytes_in_use" in stats else None


def worker(gpu: str) -> Numbers:
    """Rate and result of one process that may share its GPU with others."""
    data, evaluator = columns(30_000), engine("gnn", gpu)
    logits = evaluator.logits(data.offsets, data.nodes)
    yield {"result": hashlib.sha256(logits.tobytes()).hexdigest()[:16]}
    yield {"jets/s": rate(lambda: evaluator.logits(data.offsets, data.nodes), len(data.nodes), 4.0)}


MARK = "numbers: "
"""Start of a line with numbers: packages print lines of their own."""
PARTS = {
    part.__name__: part for part in (devices, parity, inference, onnx, training, memory, worker)
}


ROUNDS = (
    ("devices", "gpu", 1),
    ("parity", "gpu", 1),
    ("inference", "gpu", 1),
    ("training", "gpu", 1),
    ("worker", "gpu", 1),
    ("worker", "gpu", 2),
    ("memory", "gpu", 1),
    ("inference", "cpu", 1),
    ("training", "cpu", 1),
    ("onnx", "cpu", 1),
)
"""Part, device and number of processes at once, in their order."""


class Run:
    """A part in a process of its own, which is ended after some seconds.

    Parameters
    ----------
    part : str
        Name of the part.
    device : str
        Device; no GPU is in sight for ``"cpu"``.
    seconds : float
        Longest time.
    """

    def __init__(self, part: str, device: str, seconds: float) -> None:
        hidden = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"} if device == "cpu" else {}
        call = [sys.executable, __file__, "--part", part, "--device", device]
        self.seconds, self._errors = seconds, tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            call, env=os.environ | hidden, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        self._late = threading.Event()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.start()

    def _end(self) -> None:
        self._late.set()
        self._process.kill()

    def numbers(self) -> Numbers:
        """Numbers as they come, and why there are no more when it failed or took too long."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(MARK) and line.endswith("\n"):
                yield json.loads(line.removeprefix(MARK))
        failed = self._process.wait()
        self._timer.cancel()
        if self._late.is_set():
            yield {"failed": f"not finished within {self.seconds:.0f} s"}
        elif failed:
            self._errors.seek(0)
            yield {"failed": self._errors.read()[-1500:]}
        self._errors.close()


def versions() -> dict[str, str]:
    """Packages that take part."""
    found = {"python": platform.python_version(), "backend": os.environ["KERAS_BACKEND"]}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Run all parts one after the other, the most important ones first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON file; the terminal without it")
    parser.add_argument("--device", default="gpu:0", help="cpu to try the script (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="longest time of a part (%(default)s)"
    )
    parser.add_argument("--part", choices=PARTS, help="run one part in this process")
    arguments = parser.parse_args()
    if arguments.part is not None:
        for numbers in PARTS[arguments.part](arguments.device):
            sys.stdout.write(f"\n{MARK}{json.dumps(numbers)}\n")
            sys.stdout.flush()
        return
    result: dict[str, Any] = {"versions": versions()}
    for part, kind, at_once in ROUNDS:
        device = arguments.device if kind == "gpu" else kind
        name = f"{part} on {device}" + " (two at once)" * (at_once == 2)
        if name in result:  # all on the CPU
            continue
        begun = time.monotonic()
        result[name] = found = [{} for _ in range(at_once)]
        runs = [Run(part, device, arguments.seconds) for _ in range(at_once)]
        for run, own in zip(runs, found, strict=True):
            for numbers in run.numbers():
                own.update(numbers)
                write(result, arguments.out)
        result[f"seconds of {name}"] = time.monotonic() - begun
        write(result, arguments.out)
    if arguments.out is None:
        sys.stdout.write(json.dumps(result, indent=1) + "\n")


def write(result: dict[str, Any], out: Path | None) -> None:
    """Write what is known so far."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
