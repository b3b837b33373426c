"""Ranges that are proposed from a sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hepsilon.histograms import Observable, regular
from hepsilon.histograms.ranges import fits, proposed, proposed_edges

FREE = (None, None)
VALUES = hnp.arrays(
    np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6, allow_subnormal=False)
)


def observable(**changes: Any) -> Observable:
    return Observable("x", np.asarray, "event", regular(30, 0.0, 1.0), "x", **changes)


@given(values=VALUES)
def test_at_most_one_in_a_hundred_is_outside(values: npt.NDArray[Any]) -> None:
    low, high = proposed(values, FREE)
    assert low < high
    outside = np.count_nonzero((values < low) | (values >= high))
    assert outside <= 0.01 * len(values) + 2  # quantiles of a few values are between two of them


@given(values=VALUES)
def test_the_order_of_the_sample_does_not_matter(values: npt.NDArray[Any]) -> None:
    assert proposed(values[::-1], FREE) == proposed(values, FREE)


def test_heavy_tails_are_cut_and_short_ones_are_kept() -> None:
    uniform = (np.arange(100_000) + 0.5) / 100_000
    momenta = 20.0 - 40.0 * np.log(uniform)
    assert proposed(momenta, FREE) == (20.0, 240.0)  # ln(200) * 40 + 20 = 232
    assert proposed(np.append(momenta, [1e5] * 100), FREE) == (20.0, 250.0)
    assert proposed(np.append(momenta, [-999.0] * 100), FREE)[0] == 20.0
    assert proposed(4.7 * (2.0 * uniform - 1.0), FREE) == (-4.7, 4.7)
    assert proposed(2.0 + 3.0 * uniform, FREE) == (2.0, 5.0)


def test_azimuths_have_the_whole_circle() -> None:
    assert proposed(np.array([0.1, 0.2]), (-np.pi, np.pi)) == (-np.pi, np.pi)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e5])
def test_a_constant_is_inside(value: float) -> None:
    low, high = proposed(np.full(5, value), FREE)
    assert low < value < high


def test_whole_numbers_have_a_bin_each() -> None:
    charges = np.array([-1.0, 1.0, 1.0, -1.0])
    assert proposed_edges(observable(), charges).tolist() == [-1.5, -0.5, 0.5, 1.5]
    assert len(proposed_edges(observable(), charges, 7)) == 8
    assert len(proposed_edges(observable(), np.array([211.0, -211.0]))) == 31


def test_edges_fit_where_little_is_outside_and_much_is_filled() -> None:
    values = np.linspace(0.0, 0.99, 1000)
    assert fits(regular(10, 0.0, 1.0), values)
    assert fits(regular(10, 0.0, 1.9), values)
    assert not fits(regular(10, 0.0, 2.1), values)
    assert fits(regular(10, 0.0, 1.0), np.append(values, [5.0] * 10))
    assert not fits(regular(10, 0.0, 1.0), np.append(values, [5.0] * 11))
