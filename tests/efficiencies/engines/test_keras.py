from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy.special import expit

from hepsilon.config import ModelConfig
from hepsilon.efficiencies.engines import keras as keras_engine
from hepsilon.efficiencies.engines.keras import Engine, start_backend
from hepsilon.networks.architecture import Architecture, resolve
from hepsilon.networks.build import build_model
from tests.helpers.reference import Counting, randomise, reference_logits, weights_of
from tests.helpers.toys import SPEC, TASK, offsets_of, random_nodes

SMALL = Architecture(
    blocks=(8,), head=(6,), activation="silu", pair_features=True, periodic_angles=True
)
COUNTS = [0, 1, 2, 5, 15]
ROUND_OFF = 1e-5
"""Largest difference of an efficiency to float64, stated for any network of the presets."""


def prepare(architecture: Architecture, seed: int = 1):
    start_backend()
    model = build_model(architecture, SPEC, seed)
    randomise(model, seed)
    return model


@pytest.fixture(scope="module")
def small_model():
    return prepare(SMALL)


@pytest.fixture(scope="module")
def engine(small_model) -> Engine:
    return Engine(small_model)


def expected(model, architecture, offsets, nodes):
    events = np.split(nodes, offsets[1:-1])
    return np.concatenate(
        [reference_logits(weights_of(model), architecture, SPEC, jets) for jets in events]
    )


@pytest.mark.parametrize("preset", [pytest.param("paper", marks=pytest.mark.slow), "fast"])
def test_gnn_equals_plain_numpy_in_float64(preset):
    """Appendix B and C, for events with 0, 1, 2, 5 and 15 jets."""
    architecture = resolve(ModelConfig(architecture="gnn", preset=preset), TASK)
    model = prepare(architecture)
    offsets, nodes = random_nodes(COUNTS)
    found = Engine(model).logits(offsets, nodes)[:, 0]
    reference = expected(model, architecture, offsets, nodes)
    assert np.ptp(expit(reference)) > 0.1  # the jets are not all alike
    assert np.abs(expit(found) - expit(reference)).max() < ROUND_OFF


def test_mlp_equals_plain_numpy_in_float64():
    architecture = resolve(ModelConfig(architecture="mlp", preset="paper"), TASK)
    model = prepare(architecture)
    offsets, nodes = random_nodes(COUNTS)
    found = Engine(model).logits(offsets, nodes)[:, 0]
    reference = expected(model, architecture, offsets, nodes)
    assert np.abs(expit(found) - expit(reference)).max() < ROUND_OFF


def test_small_gnn_equals_plain_numpy_for_every_multiplicity(engine, small_model):
    counts = [*range(16), *range(15, -1, -1)]
    offsets, nodes = random_nodes(counts, seed=3)
    reference = expected(small_model, SMALL, offsets, nodes)
    np.testing.assert_allclose(engine.logits(offsets, nodes)[:, 0], reference, atol=2e-5)


@pytest.mark.parametrize("counts", [[], [0], [0, 0, 0]])
def test_no_objects_give_no_logits(engine, counts):
    offsets, nodes = offsets_of(counts), np.zeros((0, 4), np.float32)
    out = engine.logits(offsets, nodes)
    assert out.shape == (0, 1)
    assert out.dtype == np.float64


def test_permuting_the_objects_of_an_event_permutes_the_logits(engine):
    offsets, nodes = random_nodes([7])
    order = np.random.default_rng(2).permutation(7)
    there = engine.logits(offsets, nodes)[order]
    np.testing.assert_allclose(engine.logits(offsets, nodes[order]), there, atol=2e-5)


def test_partners_matter(engine):
    """The network is a function of the whole event."""
    offsets, nodes = random_nodes([3])
    alone = engine.logits(offsets_of([1]), nodes[:1])
    assert abs(engine.logits(offsets, nodes)[0] - alone[0]) > 1e-3


def test_objects_of_other_events_never_matter(engine):
    offsets, nodes = random_nodes([3, 4, 2])
    before = engine.logits(offsets, nodes)
    other = nodes.copy()
    other[3:7] = random_nodes([4], seed=9)[1]
    after = engine.logits(offsets, other)
    others = [np.delete(logits, slice(3, 7), 0) for logits in (after, before)]
    np.testing.assert_array_equal(*others)
    assert np.abs(after[3:7] - before[3:7]).min() > 0.0


def test_extreme_values_in_another_event_never_matter(engine):
    offsets, nodes = random_nodes([3, 1])
    before = engine.logits(offsets, nodes)[:3]
    nodes[3, 0] = 1e30
    np.testing.assert_array_equal(engine.logits(offsets, nodes)[:3], before)


def test_batching_changes_only_the_round_off(engine):
    """3,000 events need several graphs; each event alone needs the smallest one."""
    counts = np.random.default_rng(1).poisson(3.0, 3000)
    offsets, nodes = random_nodes(counts.tolist())
    together = engine.logits(offsets, nodes)
    for event in range(0, 3000, 300):
        part = slice(offsets[event], offsets[event + 1])
        alone = engine.logits(np.array([0, counts[event]]), nodes[part])
        np.testing.assert_allclose(together[part], alone, atol=1e-5)


def test_xla_takes_the_full_graphs_of_large_calls(small_model, monkeypatch):
    """TensorFlow; it changes only the round-off."""
    model = Counting(small_model)
    engine, rows = Engine(model), random_nodes([3] * 900)
    plain = engine.logits(*rows)
    assert model.traces == 1
    monkeypatch.setattr(keras_engine, "MANY_GRAPHS", 2)
    compiled = engine.logits(*rows)
    assert model.traces == 2
    np.testing.assert_allclose(compiled, plain, atol=1e-5)


def test_event_beyond_the_budget_of_a_graph_is_evaluated(engine):
    """120 objects have 14,280 ordered pairs, more than a graph usually holds."""
    offsets, nodes = random_nodes([2, 120, 2])
    out = engine.logits(offsets, nodes)
    assert np.isfinite(out).all()
    alone = engine.logits(offsets_of([2]), nodes[:2])
    np.testing.assert_allclose(out[:2], alone, atol=1e-5)


def test_input_is_not_mutated(engine):
    offsets, nodes = random_nodes(COUNTS)
    offsets.flags.writeable = nodes.flags.writeable = False
    copies = offsets.copy(), nodes.copy()
    engine.logits(offsets, nodes)
    np.testing.assert_array_equal(offsets, copies[0])
    np.testing.assert_array_equal(nodes, copies[1])


@pytest.mark.slow
def test_any_number_of_events_is_traced_once(small_model):
    model = Counting(small_model)
    engine = Engine(model)
    for n_events in (1, 7, 90, 400):
        engine.logits(*random_nodes([3] * n_events))
    assert model.traces == 1


@pytest.mark.slow
def test_many_networks_are_not_taken_for_one_that_is_retraced(small_model, caplog, monkeypatch):
    """TensorFlow warns from the fifth trace of a function on."""
    tensorflow = logging.getLogger("tensorflow")
    monkeypatch.setattr(tensorflow, "propagate", True)
    with caplog.at_level(logging.WARNING, "tensorflow"):
        for _ in range(8):
            Engine(small_model).logits(*random_nodes([3]))
    assert not caplog.messages


def test_shapes_are_few_for_any_number_of_events(engine, monkeypatch):
    """Every shape may be one XLA compilation."""
    shapes = set()

    def spy(graph, members, call):
        shapes.add((len(graph.x), len(graph.receivers)))
        return [[np.zeros((len(graph.x), 1))]]

    monkeypatch.setattr(engine, "_run", spy)
    rng = np.random.default_rng(1)
    for n_events in (*range(1, 60), 300, 1000, 5000, 20_000):
        engine.logits(*random_nodes(rng.poisson(3.0, n_events).tolist()))
    assert len(shapes) <= 4


# several working points

THREE = SMALL.model_copy(update={"working_points": 3})


@pytest.fixture(scope="module")
def engine_of_points() -> tuple[Engine, object]:
    model = prepare(THREE)
    return Engine(model), model


def test_several_working_points_equal_plain_numpy_in_float64(engine_of_points):
    engine, model = engine_of_points
    offsets, nodes = random_nodes(COUNTS)
    found, reference = engine.logits(offsets, nodes), expected(model, THREE, offsets, nodes)
    assert found.shape == (sum(COUNTS), 3)
    assert np.ptp(reference, axis=1).min() > 1e-3  # the outputs are not all alike
    np.testing.assert_allclose(found, reference, atol=2e-5)


@pytest.mark.parametrize("counts", [[], [0, 0]])
def test_no_objects_keep_the_number_of_outputs(engine_of_points, counts):
    out = engine_of_points[0].logits(offsets_of(counts), np.zeros((0, 4), np.float32))
    assert out.shape == (0, 3)
    assert out.dtype == np.float64


def test_mlp_gives_one_logit_for_each_working_point():
    model = prepare(SMALL.model_copy(update={"blocks": (), "working_points": 2}))
    offsets, nodes = random_nodes(COUNTS)
    out = Engine(model).logits(offsets, nodes)
    assert out.shape == (sum(COUNTS), 2)
    np.testing.assert_allclose(Engine(model).logits(offsets[:2], nodes[:0]), out[:0])


def test_device_may_be_chosen(small_model, engine):
    offsets, nodes = random_nodes([3])
    found = Engine(small_model, device="cpu").logits(offsets, nodes)
    np.testing.assert_allclose(found, engine.logits(offsets, nodes), atol=1e-6)


def test_other_members_are_traced_once(small_model):
    """An ensemble, and what its networks become in a training, is compiled once."""
    model = Counting(small_model)
    weights = small_model.get_weights()
    engine = Engine(model, [weights, [2.0 * w for w in weights]])
    offsets, nodes = random_nodes([3, 1])
    first = engine.logits(offsets, nodes)
    engine.set_members([[2.0 * w for w in weights]])
    np.testing.assert_array_equal(engine.logits(offsets, nodes)[:, 0], first[:, 1])
    assert model.traces == 1


def test_shapes_of_rows_are_few_too(monkeypatch):
    model = prepare(SMALL.model_copy(update={"blocks": ()}))
    engine, shapes = Engine(model), set()

    def spy(graph, members, call):
        shapes.add((len(graph.x), len(graph.receivers)))
        return [[np.zeros((len(graph.x), 1))]]

    monkeypatch.setattr(engine, "_run", spy)
    for size in (*range(1, 300, 7), 1000, 5000, 20_000, 70_000):
        engine.logits(offsets_of([size]), np.zeros((size, 4), np.float32))
    assert len(shapes) <= 5
