"""Inference: every backend beside coffea's wrapper, the roof of the machine, and one network."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from padded import PaddedWrapper, copy_weights, padded_model
from shared import FLOP_PER_EVENT, records_of, toy_columns

import hepsilon
from hepsilon.config import Config, ModelConfig, TrainingConfig
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.engines.choice import read_weights
from hepsilon.efficiencies.engines.onnx import bfloat16_in_hardware
from hepsilon.networks.build import build_model
from hepsilon.simulation import track_task

EVENTS = 20_000
BACKENDS = ["tensorflow", "onnxruntime", "openvino"]


@pytest.fixture(scope="module")
def columns() -> Any:
    """Toy events."""
    return toy_columns(EVENTS)


@pytest.fixture(scope="module")
def wrappers(artifact: Any, tmp_path_factory: Any) -> dict[int, PaddedWrapper]:
    """Coffea's tf_wrapper around the same network, padded to 6 and to 15 jets."""
    efficiency: Any = hepsilon.load(artifact("paper GNN"), backend="tensorflow")
    card = efficiency.card
    network = build_model(card.architecture, card.features, None)
    network.set_weights(read_weights(efficiency.path, card, efficiency.hash, network)[0])
    folder, made = tmp_path_factory.mktemp("padded"), {}
    for objects in (6, 15):
        model = padded_model(card.architecture, card.features, objects)
        copy_weights(network, model)
        model.save(folder / f"{objects}.keras")
        made[objects] = PaddedWrapper(folder / f"{objects}.keras", objects)
    return made


def product_seconds(rows: int, inner: int, columns: int) -> float:
    """Seconds of one product of matrices by NumPy, on all cores."""
    rng = np.random.default_rng(1)
    a, b = (rng.normal(size=s).astype(np.float32) for s in ((rows, inner), (inner, columns)))
    start = time.perf_counter()
    a @ b
    return time.perf_counter() - start


GNN_SHAPE = (12_288, 328, 328)
MLP_SHAPE = (65_536, 100, 100)
"""Most frequent products of the papers' networks."""


@pytest.mark.parametrize("backend", BACKENDS)
def test_paper_network_beside_coffea(
    backend: str, artifact: Any, wrappers: Any, columns: Any, compare: Any
) -> None:
    """20,000 events; the wrapper takes 2,000 of them (6 jets) and 300 (15 jets)."""
    efficiency: Any = hepsilon.load(artifact("paper GNN"), backend=backend)
    jets = records_of(columns)
    few = {"coffea, padded to 6": (6, 2000), "coffea, padded to 15": (15, 300)}
    others = {name: partial(wrappers[n], jets[:k]) for name, (n, k) in few.items()}
    roofs: list[float] = []
    others["product"] = lambda: roofs.append(min(product_seconds(*GNN_SHAPE) for _ in range(5)))
    found = compare(
        partial(efficiency, jets, out_of_domain="ignore"),
        others,
        events=EVENTS,
        other_events={name: k for name, (_, k) in few.items()} | {"product": 1},
    )
    gflops = 2.0 * np.prod(GNN_SHAPE) / np.median(roofs) / 1e9
    wrapped = ak.to_numpy(others["coffea, padded to 6"]())[..., 0]
    counts = ak.num(jets[:2000]).to_numpy()
    expected = 1.0 / (1.0 + np.exp(-wrapped[np.arange(6) < counts[:, None]].astype(float)))
    own = ak.to_numpy(ak.flatten(efficiency(jets[:2000], out_of_domain="ignore")))
    difference = float(np.abs(own - expected).max())
    compare.note(
        roof_gflops=gflops,
        share_of_roof=found["events_per_s"] * FLOP_PER_EVENT / 1e9 / gflops,
        largest_difference=difference,
    )
    assert difference < 1e-6


@pytest.mark.parametrize("backend", ["tensorflow", "openvino"])
def test_paper_network_in_bfloat16(backend: str, artifact: Any, columns: Any, compare: Any) -> None:
    """Where no unit of the CPU multiplies in bfloat16 this is no faster."""
    if backend == "openvino" and not bfloat16_in_hardware():
        pytest.skip("this CPU does not multiply in bfloat16")
    path, jets = artifact("paper GNN"), records_of(columns)[:4000]
    options: Any = {"precision": "bfloat16", "precision_bound": 1.0}
    low: Any = hepsilon.load(path, backend=backend, **options)
    exact: Any = hepsilon.load(path, backend="auto")
    run = {"out_of_domain": "ignore"}
    compare(partial(low, jets, **run), {"float32": partial(exact, jets, **run)}, events=4000)
    compare.note(**low.card.bfloat16.model_dump())


@pytest.mark.parametrize("network", ["default GNN", "default MLP"])
def test_default_networks(network: str, artifact: Any, columns: Any, compare: Any) -> None:
    """What "auto" picks beside the backends by name."""
    jets = records_of(columns)
    calls = {
        b: partial(hepsilon.load(artifact(network), backend=b), jets, out_of_domain="ignore")
        for b in ["auto", *BACKENDS]
    }
    compare(calls.pop("auto"), calls, events=EVENTS)


def test_ensemble_of_five(artifact: Any, columns: Any, compare: Any) -> None:
    """Beside one of its size."""
    jets = records_of(columns)
    one, five = (hepsilon.load(artifact("default GNN", m)) for m in (1, 5))
    run = {"out_of_domain": "ignore"}
    compare(partial(five, jets, **run), {"one network": partial(one, jets, **run)}, events=EVENTS)


def track_columns(n_events: int, features: tuple[str, ...]) -> TrainingColumns:
    """Random pairs of tracks, selected at random."""
    rng = np.random.default_rng(1)
    nodes = rng.normal(0.0, 0.5, (2 * n_events, len(features))).astype(np.float32)
    if "charge" in features:
        nodes[:, -1] = np.tile([1.0, -1.0], n_events)
    passed = np.repeat((rng.uniform(size=n_events) < 0.4).astype(np.float32), 2)
    keys = np.sort(rng.integers(0, 1 << 63, n_events).astype(np.uint64))
    return TrainingColumns(2 * np.arange(n_events + 1), nodes, passed, np.ones(n_events), keys)


@pytest.mark.parametrize("network", ["paper MLP", "default MLP", "product", "GNN"])
def test_networks_of_events(network: str, tmp_path: Any, compare: Any) -> None:
    """Efficiency inversion; the paper's MLP, 6 -> 5 x 100 tanh, beside products of its widths."""
    n_events = 100_000 if network == "GNN" else 1_000_000
    features = ("px", "py", "pz") if "MLP" in network else ("px", "py", "pz", "charge")
    categorical = {"charge": (1, -1)} if "charge" in features else {}
    task = track_task().model_copy(
        update={"features": features, "categorical": categorical, "fiducial": None}
    )
    options: Any = {"architecture": network.rsplit(maxsplit=1)[-1].lower()}
    if "paper" in network:
        options["preset"] = "paper"
    config = Config(task=task, model=ModelConfig(**options), training=TrainingConfig(epochs=1))
    path, sample = tmp_path / "network.hepsilon", track_columns(n_events, features)
    hepsilon.train(config, track_columns(4000, features), path)
    calls: dict[str, Any] = {}
    for backend in ["auto", *BACKENDS]:
        efficiency: Any = hepsilon.load(path, backend=backend)
        calls[backend] = partial(efficiency.of_members, sample.offsets, sample.nodes)
    if network == "paper MLP":
        roofs: list[float] = []
        calls["product"] = lambda: roofs.append(min(product_seconds(*MLP_SHAPE) for _ in range(5)))
    found = compare(calls.pop("auto"), calls, events=n_events, other_events={"product": 1})
    if network == "paper MLP":
        gflops = 2.0 * np.prod(MLP_SHAPE) / np.median(roofs) / 1e9
        flop = 2.0 * (6 * 100 + 4 * 100 * 100 + 100)
        compare.note(roof_gflops=gflops, share_of_roof=found["events_per_s"] * flop / 1e9 / gflops)


@pytest.mark.parametrize("jets", [2, 4, 6, 8, 10, 12, 15])
@pytest.mark.parametrize("network", ["default GNN", "paper GNN"])
def test_cost_of_multiplicity(network: str, jets: int, artifact: Any, compare: Any) -> None:
    """Events of equal multiplicity."""
    n_events = max(200, (40_000 if network == "default GNN" else 8000) // (jets * jets))
    nodes = toy_columns(n_events * 8).nodes[: n_events * jets]
    efficiency: Any = hepsilon.load(artifact(network))
    offsets = jets * np.arange(n_events + 1)
    compare(partial(efficiency.of_members, offsets, nodes), events=n_events, rounds=3)


START = """
    import sys, time
    start = time.perf_counter()
    import numpy as np, awkward as ak
    import hepsilon
    efficiency = hepsilon.load(sys.argv[1], backend=sys.argv[2])
    jets = ak.Array([[{"pt": 50.0, "eta": 0.1, "phi": 0.2, "hadronFlavour": 5}] * 3] * 100)
    efficiency(jets, out_of_domain="ignore")
    print(time.perf_counter() - start)
"""


@pytest.mark.parametrize("network", ["default GNN", "paper GNN"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_first_result_of_a_cold_worker(
    backend: str, network: str, artifact: Any, benchmark: Any
) -> None:
    """A new process imports hepsilon, loads the artifact and evaluates 100 events."""
    command = [sys.executable, "-c", textwrap.dedent(START), str(artifact(network)), backend]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    seconds: list[float] = []

    def start() -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        seconds.append(float(done.stdout.split()[-1]))

    benchmark.pedantic(start, rounds=3, warmup_rounds=1)
    benchmark.extra_info["seconds"] = float(np.median(seconds[1:]))


MEMORY = """
    import re, sys
    from pathlib import Path
    import numpy as np
    sys.path.insert(0, sys.argv[3])
    from shared import toy_columns
    import hepsilon
    efficiency = hepsilon.load(sys.argv[1], backend=sys.argv[2])
    small, large = toy_columns(20_000), toy_columns(1_000_000)
    efficiency.of_members(small.offsets, small.nodes)
    status = Path("/proc/self/status")  # the rusage of a child begins with its parent's
    peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) / 1024
    before = peak()
    efficiency.of_members(large.offsets, large.nodes)
    print(before, peak())
"""


@pytest.mark.parametrize("backend", ["tensorflow", "onnxruntime"])
def test_memory_of_a_million_events(backend: str, artifact: Any, benchmark: Any) -> None:
    """One call on a chunk of 10^6 events (default GNN); what it adds to the peak [MB]."""
    arguments = [str(artifact("default GNN")), backend, str(Path(__file__).parent)]
    command = [sys.executable, "-c", textwrap.dedent(MEMORY), *arguments]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done: Any = benchmark.pedantic(
        partial(subprocess.run, command, capture_output=True, text=True, check=True),
        kwargs={"env": environment},
        rounds=1,
    )
    before, after = map(float, done.stdout.split()[-2:])
    benchmark.extra_info.update(before_mb=before, added_mb=after - before)
