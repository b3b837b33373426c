from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.training.loss import cross_entropy, object_loss_weights
from tests.helpers.toys import offsets_of

FLOAT32 = 2e-6
"""Relative round-off of a few operations in float32."""
RNG = np.random.default_rng(1)
N = 200
LOGITS = {points: RNG.normal(0.0, 2.0, (N, points)).astype(np.float32) for points in (1, 2, 3, 5)}
BINS = {points: RNG.integers(0, points + 1, N) for points in LOGITS}
POINTS = pytest.mark.parametrize("points", LOGITS)


@pytest.fixture(scope="module")
def losses():
    start_backend()
    from hepsilon.networks import losses as loss

    return loss


def by_hand(bins, logits):
    """Cross-entropy of each object: minus the logarithm of the probability of its own bin."""
    everything = np.concatenate([np.zeros((len(logits), 1)), logits.astype(np.float64)], axis=1)
    own = np.array([row[number] for row, number in zip(everything, bins, strict=True)])
    return logsumexp(everything, axis=1) - own


def target(bins):
    """As batches have it: float32, one column."""
    return np.asarray(bins, np.float32)[:, None]


def of_objects(losses, bins, logits):
    import keras

    loss = losses.BinCrossentropy(reduction=None)
    return keras.ops.convert_to_numpy(loss(target(bins), logits))


@POINTS
def test_loss_is_the_cross_entropy_of_the_bins(losses, points):
    found = of_objects(losses, BINS[points], LOGITS[points])
    assert found.shape == (N,)
    expected = by_hand(BINS[points], LOGITS[points])
    np.testing.assert_allclose(found, expected, rtol=FLOAT32, atol=FLOAT32)


def test_one_working_point_is_the_binary_cross_entropy(losses):
    import keras

    binary = keras.losses.BinaryCrossentropy(from_logits=True, reduction=None)
    expected = keras.ops.convert_to_numpy(binary(target(BINS[1]), LOGITS[1]))
    found = of_objects(losses, BINS[1], LOGITS[1])
    np.testing.assert_allclose(found, expected, rtol=FLOAT32, atol=FLOAT32)
    x, y = LOGITS[1][:, 0].astype(np.float64), BINS[1]
    np.testing.assert_allclose(found, np.logaddexp(0.0, x) - y * x, rtol=1e-5, atol=FLOAT32)


@POINTS
@pytest.mark.parametrize("shape", [(N,), (N, 1)])
def test_training_sums_with_the_weights_of_the_objects(losses, points, shape):
    """Weights may be negative; those of padding are zero."""
    weights = RNG.normal(0.5, 1.0, N).astype(np.float32)
    weights[-50:] = 0.0
    loss = losses.tag_loss(points)
    found = loss(target(BINS[points]), LOGITS[points], sample_weight=weights.reshape(shape))
    terms = weights * by_hand(BINS[points], LOGITS[points])
    assert float(found) == pytest.approx(terms.sum(), abs=1e-5 * np.abs(terms).sum())


@pytest.mark.parametrize("mu", [1.0, 0.3, 4.0])
@POINTS
def test_loss_of_the_history_is_that_of_the_training(losses, points, mu):
    """Keras in float32 and NumPy in float64: the same for events with weights."""
    counts = [1, 3, 0, 6] * 20
    columns = TrainingColumns(
        offsets_of(counts),
        np.zeros((N, 1), np.float32),
        BINS[points].astype(np.float32),
        np.linspace(-0.5, 2.0, len(counts)),
        np.arange(len(counts), dtype=np.uint64),
    )
    columns = columns.take(np.flatnonzero(counts))
    n = np.diff(columns.offsets)
    weights = object_loss_weights(columns.weights, n, columns.passed, mu).astype(np.float32)
    loss = losses.tag_loss(points)(target(BINS[points]), LOGITS[points], sample_weight=weights)
    logits = LOGITS[points] if points > 1 else LOGITS[1][:, 0]
    expected = cross_entropy(logits.astype(np.float64), columns, mu)
    assert float(loss) / columns.weights.sum() == pytest.approx(expected, rel=2e-5)


@POINTS
def test_loss_of_extreme_logits_is_finite(losses, points):
    """The largest is the logit by which the wrong bin is ahead."""
    logits = np.zeros((4, points), np.float32)
    logits[:, 0] = [1e4, -1e4, 1e4, -1e4]
    bins = np.array([0, 0, 1, 1])
    found = of_objects(losses, bins, logits)
    zero = np.log(points)  # all other bins are alike
    np.testing.assert_allclose(found, [1e4, zero, 0.0, 1e4 + zero], rtol=1e-6, atol=1e-6)


def test_gradient_is_probability_minus_response(losses):
    tf = pytest.importorskip("tensorflow")
    logits = tf.Variable(np.concatenate([LOGITS[3], np.full((2, 3), 1e4, np.float32)]))
    bins = np.concatenate([BINS[3], [0, 2]])
    with tf.GradientTape() as tape:
        loss = losses.tag_loss(3)(target(bins), logits)
    gradient = tape.gradient(loss, logits).numpy()
    everything = np.concatenate([np.zeros((N + 2, 1)), logits.numpy()], axis=1)
    expected = softmax(everything, axis=1) - (bins[:, None] == np.arange(4))
    np.testing.assert_allclose(gradient, expected[:, 1:], atol=1e-6)


def test_one_working_point_keeps_the_loss_of_keras(losses):
    import keras

    assert isinstance(losses.tag_loss(1), keras.losses.BinaryCrossentropy)
    assert isinstance(losses.tag_loss(2), losses.BinCrossentropy)


def test_squared_error_is_that_of_the_probability(losses) -> None:
    logits = np.array([[-2.0], [0.0], [3.0]], np.float32)
    passed = np.array([[0.0], [1.0], [1.0]], np.float32)
    weights = np.array([1.0, -2.0, 0.5], np.float32)
    expected = np.sum(weights * (passed - 1.0 / (1.0 + np.exp(-logits)))[:, 0] ** 2)
    found = float(losses.tag_loss(1, "square")(passed, logits, weights))
    assert found == pytest.approx(expected, rel=1e-6)
