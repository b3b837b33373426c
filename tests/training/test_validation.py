from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.network import logits_of, to_probability
from hepsilon.training.loss import cross_entropy, event_losses
from hepsilon.training.validation import EventLosses

LOGITS = st.floats(-12.0, 12.0)


@given(
    logits=hnp.arrays(np.float64, st.tuples(st.integers(0, 9), st.integers(1, 4)), elements=LOGITS)
)
@pytest.mark.parametrize("mu", [1.0, 0.25, 4.0])
def test_logits_of_efficiencies_are_those_that_give_them(logits, mu):
    eps = to_probability(logits[:, 0] if logits.shape[1] == 1 else logits, mu)
    np.testing.assert_allclose(logits_of(eps, mu), logits, rtol=1e-6, atol=1e-6)


def test_loss_of_events_is_their_mean_cross_entropy():
    """By hand: two objects at even odds, and one at a probability of 0.9 that passed."""
    columns = TrainingColumns(
        np.array([0, 2, 3]),
        np.zeros((3, 1), np.float32),
        np.array([1.0, 0.0, 1.0], np.float32),
        np.array([2.0, -1.0]),
        np.arange(2, dtype=np.uint64),
    )
    logits = np.array([0.0, 0.0, np.log(9.0)])
    losses = event_losses(logits, columns, 3.0)
    expected = [np.log(2.0) * (1.0 + 3.0) / 2.0, -np.log(0.9)]
    np.testing.assert_allclose(losses, expected)
    mean = (2.0 * expected[0] - expected[1]) / 1.0
    assert cross_entropy(logits, columns, 3.0) == pytest.approx(mean)
    assert EventLosses(losses, columns.weights).mean == pytest.approx(mean)


def test_error_is_that_of_the_mean_of_so_many_events():
    """Of equal weights the standard error; the unit of the weights does not matter."""
    losses = np.random.default_rng(1).exponential(size=1000)
    for weight in (1.0, 1e-3):
        found = EventLosses(losses, np.full(1000, weight))
        assert found.mean == pytest.approx(losses.mean())
        assert found.error == pytest.approx(losses.std() / np.sqrt(1000))


def test_error_of_a_difference_is_that_of_the_difference_event_by_event():
    rng = np.random.default_rng(2)
    common, shift = rng.exponential(size=500), rng.normal(0.1, 0.01, 500)
    weights = np.ones(500)
    first, second = EventLosses(common + shift, weights), EventLosses(common, weights)
    difference = first - second
    assert difference.mean == pytest.approx(first.mean - second.mean)
    assert difference.error == pytest.approx(shift.std() / np.sqrt(500))
    assert difference.error < 0.05 * first.error


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_joined_losses_have_all_events(sizes):
    parts = [EventLosses(np.arange(float(n)), np.full(n, n + 1.0)) for n in sizes]
    found = EventLosses.joined(parts)
    assert found.losses.tolist() == [float(i) for n in sizes for i in range(n)]
    assert len(found.weights) == sum(sizes)
