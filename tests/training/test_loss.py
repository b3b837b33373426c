from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit, logit
from scipy.stats import chisquare, poisson

from hepsilon import InputError
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.network import to_probability
from hepsilon.training.loss import (
    bootstrap_counts,
    cross_entropy,
    object_loss_weights,
    step_weights,
)


def columns(counts, passed, weights) -> TrainingColumns:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return TrainingColumns(
        offsets,
        np.zeros((offsets[-1], 1), np.float32),
        np.asarray(passed, np.float32),
        np.asarray(weights, np.float64),
        np.arange(len(counts), dtype=np.uint64),
    )


def equation_5(eps, passed, mu) -> float:
    """The paper's Eq. 5 for one event."""
    return np.mean(-passed * np.log(eps) - mu * (1 - passed) * np.log(1 - eps))


EVENTS = [
    (np.array([0.8, 0.3]), np.array([1, 0])),
    (np.array([0.1, 0.2, 0.6]), np.array([0, 1, 0])),
]


@pytest.mark.parametrize("mu", [1.0, 0.25, 4.0])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (2.0, 0.5), (3.0, -1.0)])
def test_cross_entropy_is_equation_5_averaged_with_event_weights(mu, weights):
    eps, passed = (np.concatenate(part) for part in zip(*EVENTS, strict=True))
    found = cross_entropy(logit(eps), columns([2, 3], passed, weights), mu)
    by_hand = [equation_5(*event, mu) for event in EVENTS]
    assert found == pytest.approx(np.dot(weights, by_hand) / np.sum(weights), rel=1e-12)


def test_cross_entropy_is_finite_for_extreme_logits():
    found = cross_entropy(np.array([800.0, -800.0]), columns([2], [0, 1], [1.0]), 1.0)
    assert found == pytest.approx(800.0)


def test_events_count_alike_however_many_objects_they_have():
    passed = np.array([1, 0, 1, 0, 1])
    weights = object_loss_weights(np.array([1.0, 1.0]), np.array([1, 4]), passed, mu=1.0)
    np.testing.assert_allclose(weights, [1.0, 0.25, 0.25, 0.25, 0.25])


def test_mu_weights_only_what_did_not_pass():
    weights = object_loss_weights(np.array([3.0]), np.array([2]), np.array([1, 0]), mu=0.2)
    np.testing.assert_allclose(weights, [1.5, 0.3])


@given(p=st.floats(1e-4, 1 - 1e-4), mu=st.floats(0.01, 100.0))
def test_correction_for_mu_undoes_its_bias(p, mu):
    """Eq. 5 is least at eps' = p / (p + mu (1 - p)); what is returned is p."""
    optimum = p / (p + mu * (1 - p))
    loss = [equation_5(expit(logit(optimum) + s), p, mu) for s in (-0.01, 0.0, 0.01)]
    assert loss[1] <= min(loss[0], loss[2])
    assert to_probability(np.array([logit(optimum)]), mu)[0] == pytest.approx(p, rel=1e-9)


def many_events(n=20_000) -> TrainingColumns:
    return columns(np.ones(n, int), np.zeros(n), np.linspace(-1.0, 2.0, n))


def test_bootstrap_is_a_pure_function_of_event_seed_and_member():
    keys = many_events(100).keys
    counts = bootstrap_counts(keys, 1, 0)
    np.testing.assert_array_equal(counts, bootstrap_counts(keys[::-1], 1, 0)[::-1])
    np.testing.assert_array_equal(counts[10:20], bootstrap_counts(keys[10:20], 1, 0))
    for seed, member in ((2, 0), (1, 1), (0, 1)):
        assert not np.array_equal(counts, bootstrap_counts(keys, seed, member))


def test_bootstrap_counts_are_poisson_distributed():
    """Chi2 test with a false-alarm rate of 1e-3 (and the same numbers in every run)."""
    counts = bootstrap_counts(many_events().keys, 7, 3).astype(int)
    observed = np.bincount(np.minimum(counts, 5), minlength=6)
    expected = poisson.pmf(range(6), 1.0)
    expected[5] = poisson.sf(4, 1.0)
    assert chisquare(observed, len(counts) * expected).pvalue > 1e-3


def test_bootstrap_counts_of_members_are_independent():
    """Correlation of 20,000 pairs: 3.3 standard deviations, false-alarm rate 1e-3."""
    a, b = (bootstrap_counts(many_events().keys, 7, m) for m in (0, 1))
    assert abs(np.corrcoef(a, b)[0, 1]) < 3.3 / np.sqrt(len(a))


@pytest.mark.parametrize("mu", [0.01, 1.0, 100.0])
def test_probability_stays_inside_zero_and_one(mu):
    eps = to_probability(np.array([-2000.0, -40.0, 0.0, 40.0, 2000.0]), mu)
    assert eps.dtype == np.float64
    assert np.all((eps > 0.0) & (eps < 1.0))
    assert np.all(np.diff(eps) >= 0.0)


# several working points


def bin_logits(p):
    """Logits of the bins above the first one, relative to it."""
    return np.log(np.asarray(p)[..., 1:] / np.asarray(p)[..., :1])


BIN_PROBABILITIES = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.15, 0.05]])
MU = pytest.mark.parametrize("mu", [1.0, 0.25, 4.0])


@MU
def test_cross_entropy_of_bins_by_hand(mu):
    """Two events with one and two objects: -w/n mu^(bin = 0) ln p of the object's bin."""
    p = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.15, 0.05], [0.25] * 4])
    found = cross_entropy(bin_logits(p), columns([1, 2], [2, 0, 3], [2.0, -0.5]), mu)
    first, second = -np.log(0.3), -(mu * np.log(0.7) + np.log(0.25)) / 2
    assert found == pytest.approx((2.0 * first - 0.5 * second) / 1.5, rel=1e-12)


@MU
def test_one_column_of_logits_is_the_binary_cross_entropy(mu):
    x = np.linspace(-5.0, 5.0, 6)
    events = columns([1, 2, 3], [1, 0, 1, 0, 0, 1], [1.0, 2.0, -0.5])
    expected = cross_entropy(x, events, mu)
    assert cross_entropy(x[:, None], events, mu) == pytest.approx(expected, rel=1e-12)


def test_cross_entropy_of_bins_is_finite_for_extreme_logits():
    logits = np.array([[800.0, -800.0], [-800.0, -800.0]])
    found = cross_entropy(logits, columns([1, 1], [2, 1], [1.0, 1.0]), 1.0)
    assert found == pytest.approx((1600.0 + 800.0) / 2)


def test_efficiencies_are_the_sums_of_the_bins_above():
    eps = to_probability(bin_logits(BIN_PROBABILITIES), 1.0)
    np.testing.assert_allclose(eps, [[0.9, 0.7, 0.4], [0.3, 0.2, 0.05]], rtol=1e-13)
    assert eps.dtype == np.float64


@given(
    logits=hnp.arrays(np.float64, (7, 1), elements=st.floats(-700.0, 700.0)),
    mu=st.floats(0.01, 100.0),
)
def test_one_column_is_the_binary_probability(logits, mu):
    binary = to_probability(logits[:, 0], mu)
    np.testing.assert_allclose(to_probability(logits, mu)[:, 0], binary, rtol=1e-12)


@given(
    logits=hnp.arrays(
        np.float64,
        st.tuples(st.integers(0, 5), st.integers(2, 5)),
        elements=st.floats(-3e38, 3e38) | st.floats(-50.0, 50.0),
    ),
    mu=st.floats(0.01, 100.0),
)
def test_efficiencies_never_rise_from_one_working_point_to_the_next(logits, mu):
    eps = to_probability(logits, mu)
    assert eps.shape == logits.shape
    assert np.all((eps > 0.0) & (eps < 1.0))
    assert np.all(np.diff(eps, axis=1) <= 0.0)


@given(logits=hnp.arrays(np.float64, (4, 3), elements=st.floats(-8.0, 8.0)))
def test_efficiencies_fall_strictly_where_no_bin_is_negligible(logits):
    assert np.all(np.diff(to_probability(logits, 1.0), axis=1) < 0.0)


@MU
@pytest.mark.parametrize("counts", [(4, 2, 1, 1), (1, 3, 2, 10), (5, 1), (30, 1, 1)])
def test_optimum_of_the_weighted_loss_gives_the_shares_of_the_bins(mu, counts):
    """Eq. 5 for several bins: what is least at q_0 ~ mu p_0 comes back as p."""
    p = np.array(counts) / np.sum(counts)
    weighted = p * np.where(np.arange(len(p)) == 0, mu, 1.0)
    optimum = bin_logits(weighted)  # the softmax does not know the norm
    size = sum(counts)
    sample = columns([1] * size, np.repeat(np.arange(len(p)), counts), [1.0] * size)

    def loss(x):
        return cross_entropy(np.tile(x, (size, 1)), sample, mu)

    least = loss(optimum)
    for step in np.concatenate([np.eye(len(optimum)), -np.eye(len(optimum))]) * 1e-3:
        assert loss(optimum + step) > least
    expected = np.cumsum(p[::-1])[-2::-1]
    np.testing.assert_allclose(to_probability(optimum[None], mu)[0], expected, rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_are_counted(bad):
    with pytest.raises(InputError, match="2 outputs are NaN or infinite"):
        to_probability(np.array([[0.0, bad], [1.0, 2.0], [bad, 0.0]]), 1.0)


@given(st.floats(-8.0, 8.0), st.sampled_from([0.0, 1.0]))
def test_step_of_the_squared_error_is_that_of_the_entropy_times_its_factor(z, passed) -> None:
    def loss(logits: float) -> float:
        return (passed - expit(logits)) ** 2

    slope = (loss(z + 1e-5) - loss(z - 1e-5)) / 2e-5
    factor = float(step_weights(np.float64(z), "square"))
    assert slope == pytest.approx(factor * (expit(z) - passed), abs=1e-8)
    assert step_weights(np.float64(z), "cross_entropy") == 1.0
