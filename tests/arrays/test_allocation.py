"""Choice of the events that are worth a simulation of the detector."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon.arrays.allocation import allocate
from hepsilon.errors import InputError

EFFICIENCIES = st.lists(st.floats(1e-6, 1.0 - 1e-6), min_size=1, max_size=60)


@given(EFFICIENCIES, st.data())
def test_every_candidate_is_chosen_at_most_once(eps, data):
    n_events = data.draw(st.integers(0, len(eps)))
    chosen = allocate(np.array(eps), n_events, np.random.default_rng(data.draw(st.integers(0, 99))))
    assert len(chosen) == n_events
    assert np.all(np.diff(chosen) > 0)
    assert np.all((chosen >= 0) & (chosen < len(eps)))


def test_probabilities_are_those_of_neyman():
    """Each share has a standard deviation of at most 0.5/sqrt(4000); false alarm below 1e-6."""
    eps = np.array([0.001, 0.05, 0.2, 0.5, 0.8])
    rng = np.random.default_rng(1)
    counts = np.bincount(
        np.concatenate([allocate(eps, 2, rng) for _ in range(4000)]), minlength=len(eps)
    )
    score = np.sqrt((1.0 - eps) / eps)
    expected = np.concatenate([[1.0], score[1:] / score[1:].sum()])
    assert counts[0] == 4000
    assert counts / 4000 == pytest.approx(expected, abs=5.0 * 0.5 / np.sqrt(4000))


def test_a_region_without_data_gets_no_events():
    eps, density = np.full(10, 0.3), np.array([1.0] * 5 + [0.0] * 5)
    assert allocate(eps, 5, np.random.default_rng(1), density=density).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match="0 to 5 events of 5 candidates, not 6"):
        allocate(eps, 6, np.random.default_rng(1), density=density)


def test_the_variance_of_the_sum_of_inverses_is_the_smallest():
    """Against a sample of equal size that follows the data: the expected variances themselves."""
    rng = np.random.default_rng(2)
    eps = rng.uniform(0.005, 0.9, 200_000)
    regions = np.minimum((eps * 20).astype(int), 17)
    value = np.bincount(regions, weights=(1.0 - eps) / eps)

    def variance(chosen):
        n_data, n = np.bincount(regions), np.bincount(regions[chosen], minlength=18)
        return float(np.sum(n_data * value / n))

    plain = variance(rng.choice(len(eps), 20_000, replace=False))
    assert variance(allocate(eps, 20_000, rng)) < 0.8 * plain


@pytest.mark.parametrize(
    ("eps", "density", "message"),
    [
        ([0.5, 1.0], None, "in (0, 1)"),
        ([0.5, np.nan], None, "in (0, 1)"),
        ([[0.5]], None, "in (0, 1)"),
        ([0.5, 0.5], [1.0], "2 numbers that are not negative"),
        ([0.5, 0.5], [1.0, -1.0], "not negative"),
        ([0.5, 0.5], [1.0, np.inf], "NaN or infinite"),
    ],
)
def test_bad_input_is_refused(eps, density, message):
    density = None if density is None else np.array(density)
    with pytest.raises(InputError) as caught:
        allocate(np.array(eps), 1, np.random.default_rng(1), density=density)
    assert message in str(caught.value)
