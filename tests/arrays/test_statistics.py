"""Effective sample sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon.arrays.statistics import effective_sample_size
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
