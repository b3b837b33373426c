"""Inference of event-level networks, side by side with ONNX Runtime on the same MLP; replicas.

    pip install onnx onnxruntime
    python benchmarks/inversion_speed.py --out benchmarks/results/inversion_speed.json

Rounds alternate between all; medians are reported. Networks are untrained: speed does not depend
on the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.table import Table

from hepsilon.config import ModelConfig
from hepsilon.demo_tracks import track_task
from hepsilon.features import Feature, FeatureSpec
from hepsilon.kernels import event_key, fill_replicas
from hepsilon.models import build_model, resolve
from hepsilon.models.engine import Engine, start_backend
from hepsilon.report import write_text

MOMENTA = ("px", "py", "pz")
NETWORKS = {
    "paper": (ModelConfig(architecture="mlp", preset="paper"), MOMENTA),
    "mlp": (ModelConfig(architecture="mlp"), MOMENTA),
    "product": (ModelConfig(architecture="product"), (*MOMENTA, "charge")),
    "gnn": (ModelConfig(architecture="gnn"), (*MOMENTA, "charge")),
}


def build(model: ModelConfig, names: tuple[str, ...]) -> Any:
    """An untrained network of two tracks."""
    categorical = {"charge": (1, -1)} if "charge" in names else {}
    task = track_task().model_copy(update={"features": names, "categorical": categorical})
    features = [Feature(name=n, kind="numeric", mean=0.01, std=0.5) for n in MOMENTA]
    if categorical:
        features.append(Feature(name="charge", kind="categorical", categories=(1, -1)))
    return build_model(resolve(model, task), FeatureSpec(features=tuple(features)), seed=1)


def columns(names: tuple[str, ...], n_events: int, model: ModelConfig) -> tuple[Any, Any]:
    """Offsets and rows of random tracks."""
    tracks = np.random.default_rng(1).normal(0.0, 0.5, (n_events, 2, len(names)))
    if "charge" in names:
        tracks[:, :, -1] = (1, -1)
    nodes = tracks.astype(np.float32)
    if model.architecture == "gnn":
        return 2 * np.arange(n_events + 1), nodes.reshape(2 * n_events, -1)
    return np.arange(n_events + 1), nodes.reshape(n_events, -1)


def session(network: Any) -> Any:
    """ONNX Runtime on the paper's network: standardisation, then dense layers with tanh."""
    weights = network.get_weights()
    pairs = list(zip(weights[::2], weights[1::2], strict=True))
    scale, shift = np.float32(1 / 0.5), np.float32(-0.01 / 0.5)
    tensors = [numpy_helper.from_array(np.array(v), n) for n, v in (("s", scale), ("t", shift))]
    nodes = [helper.make_node("Mul", ["x", "s"], ["a"]), helper.make_node("Add", ["a", "t"], ["h"])]
    current = "h"
    for i, (kernel, bias) in enumerate(pairs):
        tensors += [numpy_helper.from_array(w, f"{n}{i}") for n, w in (("w", kernel), ("b", bias))]
        nodes.append(helper.make_node("Gemm", [current, f"w{i}", f"b{i}"], [f"g{i}"]))
        current = f"g{i}"
        if i < len(pairs) - 1:
            nodes.append(helper.make_node("Tanh", [current], [f"h{i}"]))
            current = f"h{i}"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 6])]
    outputs = [helper.make_tensor_value_info(current, TensorProto.FLOAT, [None, 1])]
    graph = helper.make_graph(nodes, "mlp", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    content = model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_session(running: Any, rows: Any, batch: int) -> Any:
    """All rows in batches."""
    parts = [rows[i : i + batch] for i in range(0, len(rows), batch)]
    return np.concatenate([running.run(None, {"x": part})[0][:, 0] for part in parts])


def replicas(n_events: int) -> Callable[[], Any]:
    """Filling 100 bootstrap replicas of 50 bins."""
    rng = np.random.default_rng(2)
    ones = np.ones(n_events, np.uint64)
    key = event_key(ones, ones, np.arange(n_events, dtype=np.uint64), 3)
    entry_bin, weight = rng.integers(0, 50, n_events), rng.uniform(1.0, 9.0, n_events)
    return lambda: fill_replicas(entry_bin, key, weight, 50, 100)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/inversion_speed.json"))
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    start_backend()
    calls: dict[str, Callable[[], Any]] = {}
    for name, (config, names) in NETWORKS.items():
        engine, rows = Engine(build(config, names)), columns(names, args.events, config)
        calls[name] = lambda engine=engine, rows=rows: engine.logits(*rows)
    rows = columns(MOMENTA, args.events, NETWORKS["paper"][0])[1]
    running = session(build(*NETWORKS["paper"]))
    for batch in (4096, 16384, args.events):
        calls[f"onnxruntime {batch}"] = lambda batch=batch: run_session(running, rows, batch)
    calls["100 replicas of 50 bins"] = replicas(args.events)
    difference = float(np.abs(calls["paper"]() - calls["onnxruntime 16384"]()).max())
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(args.rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number:  # the first round compiles
                seconds[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(s)) for name, s in seconds.items()}
    fastest = min(s for name, s in medians.items() if name.startswith("onnx"))
    results = {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "n_events": args.events,
        "seconds": medians,
        "events_per_s": {name: args.events / s for name, s in medians.items()},
        "paper_over_onnxruntime": medians["paper"] / fastest,
        "largest_difference_of_logits": difference,
    }
    table = Table("", "events/s")
    for name, rate in results["events_per_s"].items():
        table.add_row(name, f"{rate:,.0f}")
    Console().print(table, f"paper / onnxruntime {results['paper_over_onnxruntime']:.2f}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(args.out, json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
