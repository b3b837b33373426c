from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.reference import randomise
from tests.helpers.toys import SPEC, random_nodes

keras = pytest.importorskip("keras")

from keras import ops  # noqa: E402

from hepsilon.networks.feature_layers import FeatureEncoder  # noqa: E402
from hepsilon.networks.graphs import gather  # noqa: E402
from hepsilon.networks.layers import (  # noqa: E402
    FirstPairLayer,
    GNBlock,
    Initializers,
    PairFeatures,
)


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@given(
    width=st.integers(1, 20),
    units=st.integers(1, 12),
    n_pair=st.integers(0, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=15)
def test_factorised_first_pair_layer_equals_dense_on_the_concatenation(width, units, n_pair, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(9, width)).astype(np.float32)
    receivers, senders = rng.integers(0, 9, (2, 30)).astype(np.int32)
    pair = rng.normal(size=(30, n_pair)).astype(np.float32) if n_pair else None
    layer = FirstPairLayer(units, "tanh", Initializers(seed))
    layer.build([(None, width), (None,), (None,), (None, n_pair) if n_pair else None])
    layer.bias.assign(rng.normal(size=units))
    found = ops.convert_to_numpy(layer([x, receivers, senders, pair]))
    plain = keras.layers.Dense(units, "tanh")
    together = np.concatenate([x[receivers], x[senders], *([pair] if n_pair else [])], axis=1)
    plain.build(together.shape)
    plain.set_weights(layer.get_weights())
    assert relative(found, ops.convert_to_numpy(plain(together))) < 1e-5


def test_first_pair_layer_starts_like_the_plain_layer():
    """Glorot limits of the whole kernel, not of its halves."""
    layer = FirstPairLayer(100, "relu", Initializers(1))
    layer.build([(None, 200), (None,), (None,), None])
    limit = np.sqrt(6.0 / (400 + 100))
    largest = np.abs(ops.convert_to_numpy(layer.kernel.value)).max()
    assert 0.99 * limit < largest <= limit


def block_and_graph(counts, seed=4):
    """A GN block, and encoded jets as a padded graph; without a seed all weights are zero."""
    block = GNBlock(8, "relu", Initializers(seed))
    block.build([(None, 6), (None,), (None,), None])
    if seed is not None:
        randomise(block, seed)
    offsets, nodes = random_nodes(counts)
    graph = gather(offsets, nodes, np.arange(len(counts)), (64, 128))
    x = FeatureEncoder(SPEC, periodic_angles=False)(graph.x)
    return block, x, graph


def test_output_of_a_block_has_unit_length():
    block, x, graph = block_and_graph([0, 1, 2, 5])
    out = ops.convert_to_numpy(block([x, graph.receivers, graph.senders, None]))
    assert out.shape == (64, 8)
    np.testing.assert_allclose(np.linalg.norm(out[graph.index >= 0], axis=1), 1.0, rtol=1e-6)


def test_block_normalises_the_zero_vector_to_zero_with_a_finite_gradient():
    tf = pytest.importorskip("tensorflow")
    block, x, graph = block_and_graph([0, 1, 2], seed=None)
    with tf.GradientTape() as tape:
        out = block([x, graph.receivers, graph.senders, None])
        loss = tf.reduce_sum(out)
    assert not ops.convert_to_numpy(out).any()
    for gradient in tape.gradient(loss, [v.value for v in block.trainable_variables]):
        assert np.isfinite(gradient.numpy()).all()


def test_object_without_partners_gets_an_empty_sum():
    """Its first half is MLP3 of zero, whatever the object is."""
    block, x, graph = block_and_graph([1, 1])
    first, second = ops.convert_to_numpy(block([x, graph.receivers, graph.senders, None]))[:2]
    assert np.abs(first[4:] - second[4:]).max() > 1e-3
    ratio = first[:4] / second[:4]  # the same vector but for the norm
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


@pytest.mark.parametrize(("periodic", "width"), [(False, 6), (True, 7)])
def test_encoder_standardises_and_makes_categories_one_hot(periodic, width):
    jet = np.array([[250.0, -1.0, 0.9, 4.0]], np.float32)
    (out,) = ops.convert_to_numpy(FeatureEncoder(SPEC, periodic)(jet))
    angle = [np.cos(0.9), np.sin(0.9)] if periodic else [0.9 / 1.8]
    np.testing.assert_allclose(out, [1.0, -1.0, *angle, 0.0, 1.0, 0.0], rtol=1e-5)
    assert len(out) == width


def test_unknown_category_is_none_of_the_known_ones():
    jet = np.array([[250.0, -1.0, 0.9, 7.0]], np.float32)
    (out,) = ops.convert_to_numpy(FeatureEncoder(SPEC, False)(jet))
    np.testing.assert_array_equal(out[3:], 0.0)


@given(phi=st.floats(-3.14, 3.14), d_phi=st.floats(-3.14, 3.14), d_eta=st.floats(-3.0, 3.0))
@settings(max_examples=25)
def test_pair_features_wrap_and_are_invariant_under_full_turns(phi, d_phi, d_eta):
    x = np.array([[0.2, phi], [0.2 + d_eta, phi + d_phi], [0.2 + d_eta, phi + d_phi + 2 * np.pi]])
    senders, receivers = np.array([0, 0], np.int32), np.array([1, 2], np.int32)
    layer = PairFeatures(0, 1, None)
    once, turned = ops.convert_to_numpy(layer((x.astype(np.float32), receivers, senders)))
    np.testing.assert_allclose(once, [d_eta, d_phi, np.hypot(d_eta, d_phi)], atol=3e-6)
    np.testing.assert_allclose(turned, once, atol=3e-6)


def test_pair_features_of_identical_directions_have_a_finite_gradient():
    tf = pytest.importorskip("tensorflow")
    x = tf.Variable([[0.3, 1.0], [0.3, 1.0]])
    with tf.GradientTape() as tape:
        out = PairFeatures(0, 1, None)((x, tf.constant([0, 1]), tf.constant([1, 0])))
        loss = tf.reduce_sum(out)
    gradient = tf.convert_to_tensor(tape.gradient(loss, x)).numpy()
    assert np.isfinite(gradient).all()
