"""Effective sample sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import beta

from hepsilon.arrays.statistics import (
    area_under_curve,
    effective_sample_size,
    observed_efficiency,
)
from hepsilon.weights.inversion import inversion_weight


def test_by_hand():
    totals, squares = np.array([4.0, -3.0, 0.0, 5.0]), np.array([2.0, 9.0, 0.0, 0.0])
    assert effective_sample_size(totals, squares).tolist() == [8.0, 1.0, 0.0, 0.0]


def test_numbers_give_a_number():
    assert float(effective_sample_size(6.0, 12.0)) == 3.0


@given(st.integers(1, 50), st.floats(0.1, 10.0))
def test_equal_weights_count_themselves(n, weight):
    found = effective_sample_size(n * weight, n * weight**2)
    assert float(found) == pytest.approx(n)


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=20))
def test_weights_of_an_inversion(eps):
    weights = inversion_weight(np.array(eps))
    expected = weights.weight.sum() ** 2 / np.square(weights.weight).sum()
    assert weights.effective_sample_size == pytest.approx(expected)
    assert 1.0 - 1e-9 <= weights.effective_sample_size <= len(eps) + 1e-9


# observed efficiencies

ALPHA = 1.0 - 0.682689492137086
"""Chance to be outside of a 68 % interval."""


def test_efficiency_of_weighted_entries_by_hand():
    """Sums 6 of 8 with squares of 16: four effective entries, of which three passed."""
    found = observed_efficiency([6.0], [8.0], [16.0])
    assert (found.value, found.n_effective) == (0.75, 4.0)
    assert found.low == pytest.approx(beta.ppf(ALPHA / 2.0, 3.0, 2.0))
    assert found.high == pytest.approx(beta.ppf(1.0 - ALPHA / 2.0, 4.0, 1.0))
    assert not found.unphysical.any()


def test_intervals_hold_at_zero_and_one():
    """Of n entries: 1 - (alpha / 2)^(1 / n) above zero, or below one."""
    found = observed_efficiency([0.0, 5.0], [5.0, 5.0], [5.0, 5.0])
    width = 1.0 - (ALPHA / 2.0) ** 0.2
    np.testing.assert_allclose(found.value, [0.0, 1.0])
    np.testing.assert_allclose(found.low, [0.0, 1.0 - width])
    np.testing.assert_allclose(found.high, [width, 1.0])


def test_what_negative_weights_do_is_said():
    passed, total = np.array([3.0, -1.0, 1.0, 0.0, 0.0]), np.array([2.0, 2.0, -1.0, 0.0, 0.0])
    found = observed_efficiency(passed, total, [10.0, 10.0, 10.0, 2.0, 0.0])
    np.testing.assert_allclose(found.value, [1.5, -0.5, np.nan, np.nan, np.nan])
    assert found.unphysical.tolist() == [True, True, True, True, False]
    assert (found.low >= 0.0).all()
    assert (found.high <= 1.0).all()
    assert (found.low[2:].tolist(), found.high[2:].tolist()) == ([0.0] * 3, [1.0] * 3)


@given(
    hnp.arrays(np.float64, 6, elements=st.sampled_from([-1.0, 0.5, 1.0, 2.0, 7.0])),
    hnp.arrays(np.bool_, 6),
    st.sampled_from([1e-4, 0.001, 225892.0]),
)
def test_unit_of_the_weights_does_not_matter(weights, passed, unit):
    found, expected = (
        observed_efficiency(np.sum(w * passed), np.sum(w), np.sum(w**2))
        for w in (unit * weights, weights)
    )
    for name in ("value", "low", "high", "n_effective"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-6, atol=1e-12
        )


def test_area_by_hand():
    score = np.array([1.0, 2.0, 2.0, 3.0])
    signal, background = np.array([0.0, 1.0, 0.0, 2.0]), np.array([1.0, 0.0, 1.0, 0.0])
    assert area_under_curve(score, signal, background) == pytest.approx((1.5 + 2 * 2) / 6)
    assert area_under_curve(score, np.zeros(4), background) == 0.5
