"""Layers and architectures for events of charged tracks, against plain NumPy in float64."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_expit, logit

from hepsilon import ConfigError, Task
from hepsilon.config import ModelConfig
from hepsilon.data.features import FeatureSpec, event_matrix, fit_features
from hepsilon.networks.architecture import Architecture, resolve
from hepsilon.networks.build import build_model
from tests.helpers.reference import (
    ACTIVATIONS,
    Weights,
    dense,
    mlp,
    randomise,
    reference_logits,
    weights_of,
)
from tests.helpers.toys import TASK as JETS
from tests.helpers.toys import offsets_of
from tests.helpers.track_toys import PAIRS, TRACKS, random_tracks, task_with

keras = pytest.importorskip("keras")

from keras import ops  # noqa: E402

from hepsilon.efficiencies.engines.keras import Engine  # noqa: E402
from hepsilon.networks.graphs import gather  # noqa: E402
from hepsilon.networks.layers import Initializers  # noqa: E402
from hepsilon.networks.track_layers import (  # noqa: E402
    EventProduct,
    ProductEfficiency,
    TrackEncoder,
    log_odds,
    pair_differences,
)

SPHERICAL = task_with(features=("pt", "eta", "phi", "charge", "mass"))
"""The other notation, with a feature that is no momentum."""
NEUTRAL = task_with(features=("px", "py", "pz"), categorical={}, order_by=None)
HARMONICS, POLAR, BENDINGS = 3, 2, 2


def numpy_of(tensor: Any) -> Any:
    return np.asarray(ops.convert_to_numpy(tensor), np.float64)


def nodes_of(task: Task, counts: list[int], seed: int = 0) -> Any:
    """Raw features of random tracks; masses differ, so that they can be standardised."""
    tracks = random_tracks(counts, seed)
    tracks = ak.with_field(tracks, 0.1 + 0.01 * abs(tracks.px), "mass")
    free = task_with(task, objects=None)
    return event_matrix(tracks, free, task.features)[1]


def spec_of(task: Task) -> FeatureSpec:
    nodes = nodes_of(task, [2] * 50, seed=9)
    return fit_features(task, nodes, np.ones(len(nodes)))


# log-odds


@given(p=st.floats(1e-37, 0.999))
def test_log_odds_are_those_of_the_probability(p: float) -> None:
    found = float(log_odds(np.float32(np.log(p))))
    assert found == pytest.approx(logit(p), rel=2e-5, abs=2e-6)


@pytest.mark.parametrize("log_p", [0.0, -1e-45, -1e-30, -1e-9, -1e-6, -1e-3, -100.0, -1e30])
def test_log_odds_and_their_gradient_are_finite_up_to_probability_one(log_p: float) -> None:
    tf = pytest.importorskip("tensorflow")
    x = tf.Variable(log_p, dtype=tf.float32)
    with tf.GradientTape() as tape:
        out = log_odds(x)
    assert np.isfinite(out.numpy())
    assert np.isfinite(tape.gradient(out, x).numpy())


def test_log_odds_are_monotone_and_bounded_near_one() -> None:
    log_p = -np.geomspace(1e-12, 50.0, 300, dtype=np.float32)
    found = numpy_of(log_odds(log_p))
    assert (np.diff(found) <= 0.0).all()
    assert found[0] == pytest.approx(-np.log(1e-6), rel=1e-3)


# encoder


def reference_encoder(
    x: Any, spec: FeatureSpec, kappa: Any, charge_input: bool = True
) -> tuple[Any, Any, Any]:
    """Encoded tracks (rows of ``x``): without azimuth, waves of the azimuths, angles."""
    feature = {f.name: f for f in spec.features}
    column = {name: np.asarray(x, np.float64)[:, i] for i, name in enumerate(spec.names)}
    if "px" in column:
        pt = np.hypot(column["px"], column["py"])
        phi, eta = np.arctan2(column["py"], column["px"]), np.arcsinh(column["pz"] / pt)
        scale = np.sqrt(feature["px"].std ** 2 + feature["py"].std ** 2)
    else:
        pt, eta, phi = column["pt"], column["eta"], column["phi"]
        scale = np.sqrt(feature["pt"].mean ** 2 + feature["pt"].std ** 2)
    theta = 2.0 * np.arctan(np.exp(-eta))
    plain = [np.log(pt / scale), eta]
    plain += [np.cos(k * theta) for k in range(1, POLAR + 1)]
    plain += [np.sin(k * theta) for k in range(1, POLAR + 1)]
    if "charge" in column and charge_input:
        plain += [column["charge"] == 1.0, column["charge"] == -1.0]
    if "mass" in column:
        plain.append((column["mass"] - feature["mass"].mean) / feature["mass"].std)
    azimuths = [phi - k * column["charge"] / pt for k in kappa] if "charge" in column else [phi]
    waves = []
    for azimuth in azimuths:
        waves += [np.cos(k * azimuth) for k in range(1, HARMONICS + 1)]
        waves += [np.sin(k * azimuth) for k in range(1, HARMONICS + 1)]
    return np.stack(plain, -1), np.stack(waves, -1), np.stack([eta, *azimuths], -1)


def encoder_of(task: Task, kappa: Any = (0.03, -0.2)) -> TrackEncoder:
    encoder = TrackEncoder(spec_of(task), HARMONICS, POLAR, BENDINGS)
    encoder.build((None, len(task.features)))
    if "charge" in task.features:
        encoder.kappa.assign(kappa)
    return encoder


@pytest.mark.parametrize("task", [PAIRS, SPHERICAL, NEUTRAL], ids=["px", "pt", "neutral"])
@pytest.mark.parametrize("shape", [(12,), (6, 2)], ids=["nodes", "rows"])
def test_encoder_equals_plain_numpy(task: Task, shape: tuple[int, ...]) -> None:
    x = nodes_of(task, [2] * 6)
    kappa = (0.03, -0.2) if "charge" in task.features else ()
    found = encoder_of(task)(x.reshape(*shape, -1))
    for tensor, expected in zip(found, reference_encoder(x, spec_of(task), kappa), strict=True):
        array = numpy_of(tensor)
        assert array.shape[:-1] == shape
        np.testing.assert_allclose(array.reshape(12, -1), expected, atol=1e-5)


def test_both_notations_have_the_same_angles() -> None:
    angles = [numpy_of(encoder_of(t)(nodes_of(t, [2] * 6))[2]) for t in (PAIRS, SPHERICAL)]
    difference = angles[0] - angles[1]
    difference[:, 1:] -= 2.0 * np.pi * np.round(difference[:, 1:] / (2.0 * np.pi))
    np.testing.assert_allclose(difference, 0.0, atol=1e-5)


def test_bending_turns_opposite_charges_in_opposite_directions() -> None:
    """By kappa / pt; it starts from none."""
    x = np.array([[0.5, 0.0, 0.1, 1.0], [0.5, 0.0, 0.1, -1.0]], np.float32)
    turned = numpy_of(encoder_of(PAIRS, (0.1, 0.0))(x)[2])
    np.testing.assert_allclose(turned[:, 1], [-0.2, 0.2], rtol=1e-6)
    np.testing.assert_allclose(turned[:, 2], 0.0, atol=1e-7)
    fresh = TrackEncoder(spec_of(PAIRS), HARMONICS, POLAR, BENDINGS)
    np.testing.assert_array_equal(numpy_of(fresh(x)[2])[:, 1:], 0.0)


def test_without_bendings_there_is_one_azimuth() -> None:
    encoder = TrackEncoder(spec_of(PAIRS), HARMONICS, POLAR, 0)
    _, waves, angles = encoder(nodes_of(PAIRS, [2]))
    assert waves.shape[-1] == 2 * HARMONICS
    assert angles.shape[-1] == 2


def test_momenta_of_which_one_component_is_a_feature_too_are_known() -> None:
    task = task_with(features=("pt", "eta", "phi", "px"), categorical={})
    encoder = TrackEncoder(spec_of(task), HARMONICS, POLAR, BENDINGS)
    angles = numpy_of(encoder(nodes_of(task, [2]))[2])
    np.testing.assert_allclose(angles, nodes_of(task, [2])[:, 1:3], rtol=1e-6)


@pytest.mark.parametrize("features", [("px", "py", "charge"), ("pt", "eta"), ("mass", "pz")])
def test_tracks_without_a_momentum_are_refused(features: tuple[str, ...]) -> None:
    task = task_with(features=features, categorical={})
    with pytest.raises(ConfigError, match="needs the features px, py, pz or pt, eta, phi"):
        TrackEncoder(spec_of(task), HARMONICS, POLAR, BENDINGS)


@given(phi=st.floats(-3.1, 3.1), d_phi=st.floats(-3.1, 3.1), d_eta=st.floats(-2.0, 2.0))
@settings(max_examples=15)
def test_pair_differences_are_symmetric_and_wrapped(phi: float, d_phi: float, d_eta: float) -> None:
    a = np.array([0.3, phi, phi], np.float32)
    b = np.array([0.3 + d_eta, phi + d_phi, phi + d_phi + 2.0 * np.pi], np.float32)
    there, back = numpy_of(pair_differences(a, b)), numpy_of(pair_differences(b, a))
    np.testing.assert_allclose(there, back, atol=1e-6)
    wrapped = [abs(d_phi)] * 2
    expected = [abs(d_eta), *wrapped, *np.cos(wrapped), *np.hypot(d_eta, wrapped)]
    np.testing.assert_allclose(there, expected, atol=5e-6)


# product

WIDTHS = 8, 12, 3
"""Columns of a track without azimuth, of the waves, and angles."""


def product_of(tracks: int, seed: int | None = 1) -> tuple[ProductEfficiency, Weights]:
    """The layer for so many tracks with random weights and biases."""
    layer = ProductEfficiency((5, 4), "silu", Initializers(1), name="product")
    layer.build([*((None, tracks, width) for width in WIDTHS), (None, tracks, 1)])
    if seed is not None:
        randomise(layer, seed)
    names = [v.path.removeprefix("product/").replace("/", ".") for v in layer.weights]
    return layer, {n: numpy_of(v) for n, v in zip(names, layer.weights, strict=True)}


def of_pair(first: list[Any], second: list[Any], pair: Any, w: Weights, name: str) -> float:
    """Logit of a network of pairs, the mean of both orders in its last hidden layer."""
    both = np.zeros(w[f"{name}_1.bias"].shape)
    for a, b in ((first, second), (second, first)):
        both += 0.5 * mlp(
            np.concatenate([*a, *b, pair]), w, [f"{name}_0", f"{name}_1"], "silu", "silu"
        )
    return float(dense(both, w, f"{name}_2", "")[0])


def reference_product(encoded: tuple[Any, Any, Any, Any], w: Weights) -> float:
    """Efficiency of one event: a loop over its tracks and over their pairs."""
    plain, waves, angles, charge = encoded
    efficiency = 1.0
    for i in range(len(plain)):
        track = np.concatenate([plain[i], waves[i]])
        logit = mlp(track, w, ["track_0", "track_1", "track_2"], "silu", "")[0]
        if "more_track_factor" in w:
            more = np.concatenate([track, charge[i] * waves[i], charge[i]])
            names = ["more_track_0", "more_track_1", "more_track_2"]
            logit += w["more_track_factor"][0] * mlp(more, w, names, "silu", "")[0]
        efficiency *= expit(logit + 2.0)
    for i, j in combinations(range(len(plain)), 2):
        d_eta, *d_phi = np.abs(angles[i] - angles[j])
        d_phi = np.minimum(np.mod(d_phi, 2 * np.pi), 2 * np.pi - np.mod(d_phi, 2 * np.pi))
        sum_pt = np.log(np.exp(plain[i][0]) + np.exp(plain[j][0]))
        pair = [d_eta, *d_phi, *np.cos(d_phi), *np.hypot(d_eta, d_phi), sum_pt]
        logit = of_pair([plain[i]], [plain[j]], pair, w, "pair")
        if "more_pair_factor" in w:
            places = [[plain[k], waves[k], charge[k]] for k in (i, j)]
            logit += w["more_pair_factor"][0] * of_pair(*places, pair, w, "more_pair")
        efficiency *= expit(logit + 2.0)
    return float(efficiency)


def random_events(events: int, tracks: int, seed: int = 0) -> tuple[Any, ...]:
    """What the encoder could have made of that many events, and the charges."""
    rng = np.random.default_rng(seed)
    shapes = [(events, tracks, width) for width in WIDTHS]
    encoded = [rng.uniform(-2.0, 2.0, shape).astype(np.float32) for shape in shapes]
    return *encoded, rng.choice([-1.0, 1.0], (events, tracks, 1)).astype(np.float32)


@pytest.mark.parametrize("tracks", [1, 2, 3, 4])
def test_product_equals_plain_numpy(tracks: int) -> None:
    layer, weights = product_of(tracks)
    inputs = random_events(7, tracks)
    found = expit(numpy_of(layer(inputs)[0]))
    events = zip(*(x.astype(np.float64) for x in inputs), strict=True)
    expected = [reference_product(event, weights) for event in events]
    assert found.shape == (7, 1)
    np.testing.assert_allclose(found[:, 0], expected, atol=2e-6)
    assert np.ptp(expected) > 0.01


@pytest.mark.parametrize("tracks", [2, 4])
def test_product_does_not_depend_on_the_order_of_the_tracks(tracks: int) -> None:
    layer, _ = product_of(tracks)
    inputs = random_events(5, tracks)
    order = np.random.default_rng(3).permutation(tracks)
    assert order.tolist() != list(range(tracks))
    permuted = tuple(x[:, order] for x in inputs)
    np.testing.assert_allclose(numpy_of(layer(permuted)[0]), numpy_of(layer(inputs)[0]), atol=1e-5)


def test_every_track_matters() -> None:
    layer, _ = product_of(4)
    inputs = random_events(1, 4)
    before = numpy_of(layer(inputs)[0])
    for i in range(4):
        changed = inputs[0].copy()
        changed[:, i] += 0.5
        assert np.abs(numpy_of(layer((changed, *inputs[1:]))[0]) - before).min() > 1e-4


def test_a_single_track_has_no_weights_of_pairs() -> None:
    """Keras warns of weights that do not matter."""
    assert {name.rsplit("_", 1)[0] for name in product_of(1)[1]} == {"track", "more_track"}
    both = {"track", "pair", "more_track", "more_pair"}
    assert {name.rsplit("_", 1)[0] for name in product_of(2)[1]} == both


def test_without_charges_tracks_have_no_second_network() -> None:
    layer = ProductEfficiency((5, 4), "silu", Initializers(1), name="product")
    inputs = random_events(3, 2)[:3]
    found = numpy_of(layer((*inputs, None))[0])
    assert found.shape == (3, 1)
    assert set(layer.factors) == {"more_pair"}


def test_a_fresh_product_is_that_of_the_plain_factors() -> None:
    """What sees more is multiplied by zero at first: another charge or place changes nothing."""
    layer, _ = product_of(2, seed=None)
    inputs = random_events(5, 2)
    flipped = (*inputs[:3], -inputs[3])
    np.testing.assert_array_equal(numpy_of(layer(flipped)[0]), numpy_of(layer(inputs)[0]))
    for factor in layer.factors.values():
        factor.assign([0.5])
    assert np.abs(numpy_of(layer(flipped)[0]) - numpy_of(layer(inputs)[0])).min() > 1e-4


EXTREME = {
    "collinear": [[0.3, 0.4, 0.1, 1.0], [0.6, 0.8, 0.2, -1.0]],
    "identical": [[0.3, 0.4, 0.1, 1.0], [0.3, 0.4, 0.1, 1.0]],
    "back to back": [[0.3, 0.4, 0.1, 1.0], [-0.3, -0.4, -0.1, -1.0]],
    "along the beam": [[0.0, 0.0, 0.5, 1.0], [0.0, 0.0, -0.5, -1.0]],
    "hard": [[1e4, 0.0, 1e5, 1.0], [0.0, -1e4, 0.0, -1.0]],
}


@pytest.mark.parametrize("event", EXTREME)
def test_gradients_of_the_product_are_finite(event: str) -> None:
    tf = pytest.importorskip("tensorflow")
    encoder = TrackEncoder(spec_of(PAIRS), HARMONICS, POLAR, BENDINGS)
    layer = ProductEfficiency((5, 4), "silu", Initializers(1), name="product")
    x = tf.constant([EXTREME[event]], tf.float32)
    layer((*encoder(x), x[..., 3:]))
    randomise(layer, 1)
    variables = [v.value for v in (*encoder.trainable_variables, *layer.trainable_variables)]
    with tf.GradientTape() as tape:
        out, _ = layer((*encoder(x), x[..., 3:]))
    assert np.isfinite(out.numpy()).all()
    gradients = tape.gradient(out, variables)
    assert len(gradients) == 27
    for gradient in gradients:
        assert np.isfinite(gradient.numpy()).all()


# graph readout


def test_every_node_carries_the_product_over_its_event() -> None:
    counts = [1, 2, 5, 3]
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(sum(counts), 1)).astype(np.float32)
    graph = gather(offsets_of(counts), logits, np.arange(4), (64, 128))
    found = numpy_of(EventProduct()((graph.x, graph.receivers, graph.senders)))
    assert found.shape == (64, 1)
    for event, own in enumerate(np.split(logits[:, 0].astype(np.float64), np.cumsum(counts)[:-1])):
        rows = np.flatnonzero(np.isin(graph.index, np.flatnonzero(_event_of(counts) == event)))
        assert len(rows) == counts[event]
        expected = np.exp(np.sum(log_expit(own + 2.0)))
        np.testing.assert_allclose(expit(found[rows, 0]), expected, rtol=1e-5)


def _event_of(counts: list[int]) -> Any:
    return np.repeat(np.arange(len(counts)), counts)


def test_graph_network_of_events_is_that_of_objects_and_a_product() -> None:
    """From raw features to the logits, compiled, against plain NumPy."""
    preset = resolve(ModelConfig(architecture="gnn", preset="paper"), TRACKS)
    architecture = preset.model_copy(update={"blocks": (8,), "head": (6,)})
    spec, counts = spec_of(TRACKS), [2, 1, 4, 3]
    model = build_model(architecture, spec, seed=1)
    randomise(model, 2)
    nodes, offsets = nodes_of(TRACKS, counts), offsets_of(counts)
    found = expit(Engine(model).logits(offsets, nodes)[:, 0])
    for event, rows in enumerate(np.split(nodes, offsets[1:-1])):
        own = reference_logits(weights_of(model), architecture, spec, rows)
        expected = np.exp(np.sum(log_expit(own + 2.0)))
        part = found[offsets[event] : offsets[event + 1]]
        np.testing.assert_allclose(part, expected, atol=1e-5)
    assert np.ptp(found) > 0.01


def test_padding_does_not_reach_an_event() -> None:
    logits = np.array([[0.3], [-0.4]], np.float32)
    found = [
        numpy_of(EventProduct()((g.x, g.receivers, g.senders)))[:2]
        for g in (gather(np.array([0, 2]), logits, np.array([0]), (n, 2 * n)) for n in (64, 256))
    ]
    np.testing.assert_array_equal(*found)


# architectures


def test_fast_product_is_the_one_documented() -> None:
    architecture = resolve(ModelConfig(architecture="product"), PAIRS)
    assert architecture.product
    assert (architecture.level, architecture.objects) == ("event", 2)
    assert (architecture.blocks, architecture.head) == ((), (32, 32))
    options = architecture.harmonics, architecture.polar, architecture.bendings
    assert options == (12, 8, 1)
    assert (architecture.general, architecture.waves) == ((64, 64, 64), 3)


@pytest.mark.parametrize(("preset", "columns"), [("fast", 36), ("paper", 10)])
def test_mlp_of_events_sees_all_objects_in_one_row(preset: str, columns: int) -> None:
    """In the paper the features; else 13 for each track, 7 for their pair and 3 for the event."""
    config = ModelConfig(architecture="mlp", preset=preset)
    architecture = resolve(config, PAIRS)
    assert (architecture.level, architecture.objects) == ("event", 2)
    model = build_model(architecture, spec_of(PAIRS), seed=1)
    assert model.input["x"].shape == (None, 8)
    assert weights_of(model)["head_0.kernel"].shape[0] == columns  # the charge is one of two


def test_paper_mlp_of_tracks_is_the_one_of_jets() -> None:
    """Five layers of 100 with tanh, on standardised inputs."""
    config = ModelConfig(architecture="mlp", preset="paper")
    events, jets = (resolve(config, task) for task in (NEUTRAL, JETS))
    assert events == jets.model_copy(update={"level": "event", "objects": 2})


@pytest.mark.parametrize("task", [TRACKS, task_with(SPHERICAL, objects=None)], ids=["px", "pt"])
def test_fast_gnn_of_tracks_knows_their_geometry(task: Task) -> None:
    architecture = resolve(ModelConfig(architecture="gnn"), task)
    assert (architecture.level, architecture.objects) == ("event", None)
    assert architecture.pair_features
    options = architecture.harmonics, architecture.polar, architecture.bendings
    assert options == (12, 8, 1)


@pytest.mark.parametrize("wanted", [True, False])
def test_pair_features_of_tracks_are_chosen_by_the_configuration(wanted: bool) -> None:
    """Also without eta and phi among the features: the network computes them."""
    assert (
        resolve(ModelConfig(architecture="gnn", pair_features=wanted), TRACKS).pair_features
        is wanted
    )


def test_gnn_without_a_momentum_takes_the_features_as_they_are() -> None:
    task = task_with(features=("px", "charge"), objects=None)
    architecture = resolve(ModelConfig(architecture="gnn"), task)
    assert (architecture.harmonics, architecture.pair_features) == (0, False)


def test_paper_gnn_of_events_is_the_one_of_jets() -> None:
    config = ModelConfig(architecture="gnn", preset="paper")
    events, jets = (resolve(config, task) for task in (TRACKS, JETS))
    assert events == jets.model_copy(update={"level": "event"})


@pytest.mark.parametrize(
    ("config", "task", "message"),
    [
        ({"architecture": "product"}, JETS, 'product architecture is for level = "event" only'),
        ({"architecture": "product", "preset": "paper"}, PAIRS, "no 'paper' preset of 'product'"),
        ({"architecture": "product"}, TRACKS, "'product' needs the number of objects"),
        ({"architecture": "mlp"}, TRACKS, "'mlp' needs the number of objects.*gnn takes any"),
        ({"architecture": "product", "pair_features": True}, PAIRS, "gnn architecture"),
        ({"architecture": "gnn", "pair_features": True, "preset": "paper"}, TRACKS, "eta and phi"),
    ],
)
def test_impossible_architectures_are_refused(
    config: dict[str, Any], task: Task, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(ModelConfig(**config), task)


def test_product_without_a_momentum_is_refused() -> None:
    task = task_with(features=("px", "charge"))
    architecture = resolve(ModelConfig(architecture="product"), task)
    with pytest.raises(ConfigError, match="px, py, pz or pt, eta, phi"):
        build_model(architecture, spec_of(task), seed=1)


SMALL = {
    "product": (ModelConfig(architecture="product", width=4), PAIRS),
    "mlp": (ModelConfig(architecture="mlp", width=4), PAIRS),
    "gnn": (ModelConfig(architecture="gnn", width=8, blocks=1), TRACKS),
}


@pytest.mark.parametrize("name", SMALL)
def test_initial_weights_are_a_function_of_the_seed(name: str) -> None:
    config, task = SMALL[name]
    architecture = resolve(config, task)
    models = [build_model(architecture, spec_of(task), seed) for seed in (1, 1, 2)]
    first, again, other = map(weights_of, models)
    for key, weight in first.items():
        np.testing.assert_array_equal(weight, again[key])
        if key.endswith("kernel"):
            assert not np.array_equal(weight, other[key])


@pytest.mark.parametrize("name", SMALL)
def test_architecture_is_enough_to_build_the_network_again(name: str) -> None:
    """As an artifact does: from the JSON of architecture and features, without a seed."""
    config, task = SMALL[name]
    architecture, spec = resolve(config, task), spec_of(task)
    model = build_model(architecture, spec, seed=1)
    again = build_model(
        Architecture.model_validate_json(architecture.model_dump_json()),
        FeatureSpec.model_validate_json(spec.model_dump_json()),
        seed=None,
    )
    assert [v.path for v in again.weights] == [v.path for v in model.weights]
    assert [v.shape for v in again.weights] == [v.shape for v in model.weights]
    assert all(not v.any() for v in weights_of(again).values())


def test_the_network_of_a_product_is_encoder_and_product() -> None:
    """From raw features to the logit, compiled, against plain NumPy."""
    preset = resolve(ModelConfig(architecture="product"), PAIRS)
    small = {"head": (5, 4), "harmonics": HARMONICS, "polar": POLAR, "bendings": BENDINGS}
    small |= {"general": ()}
    architecture, spec = preset.model_copy(update=small), spec_of(PAIRS)
    model = build_model(architecture, spec, seed=1)
    randomise(model, 4)
    weights = weights_of(model)
    product = {n.removeprefix("product."): w for n, w in weights.items() if "product" in n}
    nodes = nodes_of(PAIRS, [2] * 6)
    found = Engine(model).logits(np.arange(7), nodes.reshape(6, -1))[:, 0]
    encoded = reference_encoder(nodes, spec, weights["features.kappa"], charge_input=False)
    encoded = (*encoded, nodes[:, 3:])
    events = [tuple(x[2 * i : 2 * i + 2] for x in encoded) for i in range(6)]
    expected = [reference_product(event, product) for event in events]
    np.testing.assert_allclose(expit(found), expected, atol=1e-5)
    assert np.ptp(expected) > 0.01


def test_activations_of_the_reference_are_those_of_the_presets() -> None:
    presets = [resolve(config, task) for config, task in SMALL.values()]
    assert {preset.activation for preset in presets} <= set(ACTIVATIONS)
