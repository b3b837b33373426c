"""All backends give the same efficiencies, for every architecture that a task can have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit

from hepsilon import ConfigError
from hepsilon.efficiencies.engines import onnx as runtimes
from hepsilon.efficiencies.engines.choice import make_engine
from hepsilon.efficiencies.engines.onnx import OnnxEngine
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.networks import graphs
from tests.helpers import contracts
from tests.helpers.network_toys import NETWORKS
from tests.helpers.toys import offsets_of, random_jets, random_nodes
from tests.helpers.track_toys import random_tracks

ROUND_OFF = 1e-5
"""Largest difference of an efficiency between backends, as documented."""
COUNTS = [0, 1, 2, 5, 15, 60, 1, 0, 2]
ONNX = ["onnxruntime", "openvino"]


def on(efficiency: NetworkEfficiency, backend: str) -> NetworkEfficiency:
    if backend in ONNX:
        pytest.importorskip(backend)
    return replace(efficiency, backend=backend, device="cpu")


def records_for(efficiency: NetworkEfficiency, counts: list[int]) -> ak.Array:
    """So many objects, or of a task with a fixed number of them so many events."""
    task = efficiency.task
    if task.level == "object":
        return random_jets(counts, seed=5)
    if task.objects is not None:
        counts = [task.objects] * len(counts)
    # an event without tracks has no efficiency of its tracks
    return random_tracks([n for n in counts if n], seed=5)


def replicas_of(efficiency: NetworkEfficiency, records: ak.Array) -> Any:
    """Efficiencies and draws of the last layers, flat (entries, ..., 1 + replicas)."""
    columns = [efficiency(records, out_of_domain="ignore")[..., None], efficiency.replicas(records)]
    if efficiency.task.level == "object":
        columns = [ak.flatten(column, axis=1) for column in columns]
    return np.concatenate([ak.to_numpy(column) for column in columns], axis=-1)


@pytest.fixture(scope="module", params=NETWORKS)
def network(request, exported) -> NetworkEfficiency:
    return exported(request.param)


@pytest.fixture(scope="module")
def by_keras(network) -> dict[str, Any]:
    """Records, and what TensorFlow says of them."""
    records = records_for(network, COUNTS)
    return {"records": records, "eps": replicas_of(on(network, "tensorflow"), records)}


@pytest.mark.parametrize("backend", ONNX)
def test_backend_gives_the_efficiencies_of_keras(network, by_keras, backend):
    found = replicas_of(on(network, backend), by_keras["records"])
    assert found.shape == by_keras["eps"].shape
    assert found.shape[-1] == 1 + 20
    assert found.dtype == np.float64
    assert np.ptp(logit(found), axis=0).min() > 0.1  # the entries are not all alike
    np.testing.assert_allclose(found, by_keras["eps"], rtol=0, atol=ROUND_OFF)
    # one over the efficiency of an event is a weight: small ones agree as well; those of a float64
    # or two below one have logits above 35
    logits = (np.minimum(logit(eps), 30.0) for eps in (found, by_keras["eps"]))
    np.testing.assert_allclose(*logits, rtol=2e-5, atol=5e-5)


@pytest.mark.parametrize("backend", ONNX)
def test_no_events_and_one_event(network, by_keras, backend):
    network, records = on(network, backend), by_keras["records"]
    empty = replicas_of(network, records[:0])
    assert empty.shape == (0, *by_keras["eps"].shape[1:])
    last = replicas_of(network, records[-1:])
    np.testing.assert_allclose(last, by_keras["eps"][-len(last) :], rtol=0, atol=ROUND_OFF)


# ONNX Runtime in more detail


@pytest.fixture(scope="module")
def points(exported) -> NetworkEfficiency:
    return on(exported("points"), "onnxruntime")


@given(counts=contracts.COUNTS, cuts=contracts.CUTS)
@settings(max_examples=25)
def test_chunks_change_nothing(points, counts, cuts):
    """Round-off of float32 is 1e-7: rows are filled up so that all are treated alike."""
    contracts.assert_chunks_add_up(points.replicas, counts, cuts, 1e-12)


@given(n=st.integers(1, 9), data=st.data())
@settings(max_examples=15)
def test_permuted_objects_give_permuted_efficiencies(points, n, data):
    """Of the second of three events; the others stay where they are."""
    offsets, nodes = random_nodes([2, n, n], seed=6)
    order = np.arange(2 + 2 * n)
    order[2 : 2 + n] = 2 + np.array(data.draw(st.permutations(range(n))))
    there = points.of_members(offsets, nodes)[order]
    found = points.of_members(offsets, nodes[order])
    np.testing.assert_allclose(found, there, rtol=0, atol=ROUND_OFF)


@pytest.mark.parametrize("backend", ONNX)
def test_objects_of_other_events_never_matter(exported, backend):
    network = on(exported("gnn"), backend)
    offsets, nodes = random_nodes([3, 3, 4, 2])
    before = network.of_members(offsets, nodes)
    nodes[3:6] = random_nodes([3], seed=9)[1]
    changed = np.abs(network.of_members(offsets, nodes) - before).max(axis=1)
    assert np.flatnonzero(changed > 1e-6).tolist() == [3, 4, 5]


@pytest.mark.parametrize("backend", ONNX)
@pytest.mark.parametrize("name", ["points", "mlp"])
def test_memory_layout_does_not_matter_and_input_is_not_mutated(exported, backend, name):
    network = on(exported(name), backend)
    offsets, nodes = random_nodes([3, 0, 2, 1])
    there = network.of_members(offsets, nodes)
    other = np.asfortranarray(nodes)
    other.flags.writeable = offsets.flags.writeable = False
    np.testing.assert_array_equal(network.of_members(offsets, other), there)
    np.testing.assert_array_equal(other, nodes)


def test_rows_beyond_one_batch_keep_their_order(exported, monkeypatch):
    network = on(exported("mlp"), "onnxruntime")
    offsets, nodes = random_nodes([40])
    there = network.of_members(offsets, nodes)
    monkeypatch.setattr(graphs, "row_batches", lambda x: original(x, 7))
    np.testing.assert_allclose(network.of_members(offsets, nodes), there, rtol=0, atol=ROUND_OFF)


original = graphs.row_batches


@pytest.mark.parametrize("backend", [*ONNX, "tensorflow"])
@pytest.mark.parametrize("name", ["points", "mlp"])
def test_number_of_threads_changes_nothing(exported, monkeypatch, backend, name):
    network = on(exported(name), backend)
    counts = np.random.default_rng(1).poisson(4.0, 3000)
    offsets, nodes = random_nodes(counts.tolist())
    found = []
    for workers in (1, 2, 5):
        for module in ("hepsilon.efficiencies.engines.onnx", "hepsilon.efficiencies.engines.keras"):
            monkeypatch.setattr(f"{module}.usable_cpus", lambda n=workers: n)
        engine = make_engine(
            network.path, network.card, network.hash, backend=backend, device="cpu"
        )
        found.append(engine.logits(offsets, nodes))
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_failure_in_a_thread_reaches_the_caller():
    def session(inputs, outputs):
        raise RuntimeError("out of memory")

    engine = OnnxEngine(session, outputs=1, has_edges=True)
    with pytest.raises(RuntimeError, match="out of memory"):
        engine.logits(*random_nodes([1, 2, 3] * 50))


def test_network_is_asked_for_equal_multiplicities_in_rows_of_four():
    """No partner is padded; rows are, so that no object's number depends on the others."""
    shapes = []

    def session(inputs, outputs):
        shapes.append((len(inputs["x"]), inputs["senders"].shape))
        return [inputs["x"][:, :1]]

    counts = [3, 0, 1, 3, 2, 1]
    offsets, nodes = random_nodes(counts)
    logits = OnnxEngine(session, outputs=1, has_edges=True).logits(offsets, nodes)
    assert sorted(shapes) == [(4, (4, 1)), (4, (4, 1)), (8, (8, 2))]
    np.testing.assert_array_equal(logits[:, 0], nodes[:, 0])


@pytest.mark.parametrize("has_edges", [True, False])
@pytest.mark.parametrize("counts", [[], [0], [0, 0, 0]])
def test_no_objects_ask_nothing(has_edges, counts):
    engine = OnnxEngine(lambda inputs, outputs: pytest.fail("asked"), 6, has_edges)
    out = engine.logits(offsets_of(counts), np.zeros((0, 4), np.float32))
    assert out.shape == (0, 6)
    assert out.dtype == np.float64


# what is missing


@pytest.mark.parametrize(
    ("make", "package", "extra"),
    [
        (runtimes.onnxruntime, "onnxruntime", "onnx"),
        (runtimes.openvino, "openvino", "openvino"),
    ],
)
def test_what_is_not_installed_is_named_with_its_remedy(monkeypatch, make, package, extra):
    monkeypatch.setattr(runtimes, "is_installed", lambda name: name != package)
    with pytest.raises(ConfigError, match=rf"'{package}' is not installed.*hepsilon\[{extra}\]"):
        make(b"")


def test_gpu_needs_its_provider(monkeypatch):
    ort = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigError, match=r"no CUDAExecutionProvider.*onnxruntime-gpu"):
        runtimes.onnxruntime(b"", gpu=0)


def test_bfloat16_that_would_silently_be_float32_is_refused(monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr(runtimes, "bfloat16_in_hardware", lambda: False)
    with pytest.raises(ConfigError, match=r"AMX or AVX512-BF16.*float32"):
        runtimes.openvino(b"", "bfloat16")


def test_bfloat16_is_not_in_hardware_without_openvino(monkeypatch):
    monkeypatch.setattr(runtimes, "is_installed", lambda name: False)
    assert not runtimes.bfloat16_in_hardware()


@pytest.mark.skipif(not runtimes.bfloat16_in_hardware(), reason="needs AMX or AVX512-BF16")
def test_openvino_computes_in_bfloat16(exported):
    network = replace(exported("gnn"), backend="openvino")
    offsets, nodes = random_nodes([2, 5, 15])
    exact = network.of_members(offsets, nodes)
    change = np.abs(replace(network, precision="bfloat16").of_members(offsets, nodes) - exact).max()
    assert 1e-6 < change < 0.05
