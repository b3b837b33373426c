from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import chisquare, poisson

from hepsilon.dataset import Columns
from hepsilon.inference import to_probability
from hepsilon.training.loss import bootstrap_weights, cross_entropy, object_loss_weights


def columns(counts, passed, weights) -> Columns:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Columns(
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
    weights = object_loss_weights(columns([1, 4], [1, 0, 1, 0, 1], [1.0, 1.0]), mu=1.0)
    np.testing.assert_allclose(weights, [1.0, 0.25, 0.25, 0.25, 0.25])


def test_mu_weights_only_what_did_not_pass():
    weights = object_loss_weights(columns([2], [1, 0], [3.0]), mu=0.2)
    np.testing.assert_allclose(weights, [1.5, 0.3])


@given(p=st.floats(1e-4, 1 - 1e-4), mu=st.floats(0.01, 100.0))
def test_correction_for_mu_undoes_its_bias(p, mu):
    """Eq. 5 is least at eps' = p / (p + mu (1 - p)); what is returned is p."""
    optimum = p / (p + mu * (1 - p))
    loss = [equation_5(expit(logit(optimum) + s), p, mu) for s in (-0.01, 0.0, 0.01)]
    assert loss[1] <= min(loss[0], loss[2])
    assert to_probability(np.array([logit(optimum)]), mu)[0] == pytest.approx(p, rel=1e-9)


def many_events(n=20_000) -> Columns:
    return columns(np.ones(n, int), np.zeros(n), np.linspace(-1.0, 2.0, n))


def test_bootstrap_is_a_pure_function_of_event_seed_and_member():
    events = many_events(100)
    backwards = events.take(np.arange(100)[::-1])
    weights = bootstrap_weights(events, 1, 0).weights
    np.testing.assert_array_equal(weights, bootstrap_weights(backwards, 1, 0).weights[::-1])
    for seed, member in ((2, 0), (1, 1), (0, 1)):
        assert not np.array_equal(weights, bootstrap_weights(events, seed, member).weights)


def test_bootstrap_counts_are_poisson_distributed():
    """Chi2 test with a false-alarm rate of 1e-3 (and the same numbers in every run)."""
    events = many_events()
    counts = np.rint(bootstrap_weights(events, 7, 3).weights / events.weights).astype(int)
    observed = np.bincount(np.minimum(counts, 5), minlength=6)
    expected = poisson.pmf(range(6), 1.0)
    expected[5] = poisson.sf(4, 1.0)
    assert chisquare(observed, len(counts) * expected).pvalue > 1e-3


def test_bootstrap_counts_of_members_are_independent():
    """Correlation of 20,000 pairs: 3.3 standard deviations, false-alarm rate 1e-3."""
    events = many_events()
    a, b = (bootstrap_weights(events, 7, m).weights / events.weights for m in (0, 1))
    assert abs(np.corrcoef(a, b)[0, 1]) < 3.3 / np.sqrt(len(a))


def test_bootstrap_leaves_everything_but_the_weights():
    events = many_events(50)
    sample = bootstrap_weights(events, 1, 0)
    assert sample.nodes is events.nodes
    assert sample.passed is events.passed
    np.testing.assert_array_equal(events.weights, np.linspace(-1.0, 2.0, 50))


@pytest.mark.parametrize("mu", [0.01, 1.0, 100.0])
def test_probability_stays_inside_zero_and_one(mu):
    eps = to_probability(np.array([-2000.0, -40.0, 0.0, 40.0, 2000.0]), mu)
    assert eps.dtype == np.float64
    assert np.all((eps > 0.0) & (eps < 1.0))
    assert np.all(np.diff(eps) >= 0.0)
