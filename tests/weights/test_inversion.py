"""Weights 1/E of selected events."""

from __future__ import annotations

from typing import Any

import awkward as ak
import hist
import numpy as np
import pytest
from coffea.analysis_tools import Weights
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hepsilon import InputError
from hepsilon.weights import FLOOR, inversion_weight
from tests.helpers import strategies as sts

PROBABILITIES = st.integers(0, 12).flatmap(lambda size: sts.column(size, sts.PROBABILITY))
FLOORS = st.floats(1e-6, 1.0)


def test_the_inversion_weight_is_one_over_the_efficiency() -> None:
    inverse = inversion_weight(ak.Array([0.5, 1.0, 0.25]))
    assert inverse.weight.tolist() == [2.0, 1.0, 4.0]
    assert inverse.variance.tolist() == [2.0, 0.0, 12.0]
    assert inverse.clipped.tolist() == [False, False, False]
    assert (inverse.n_clipped, inverse.clipped_share) == (0, 0.0)


def test_efficiencies_below_the_floor_are_raised_to_it_and_counted() -> None:
    inverse = inversion_weight(np.array([0.5, 0.1, 0.05, 0.0]), floor=0.1)
    assert inverse.weight.tolist() == [2.0, 10.0, 10.0, 10.0]
    assert inverse.variance.tolist() == pytest.approx([2.0, 90.0, 90.0, 90.0])
    assert inverse.clipped.tolist() == [False, False, True, True]
    assert inverse.n_clipped == 2
    assert inverse.clipped_share == 20.0 / 32.0


def test_the_default_floor_is_a_thousandth() -> None:
    inverse = inversion_weight(np.array([0.0, FLOOR, 0.5 * FLOOR]))
    assert FLOOR == 1e-3
    assert inverse.weight.tolist() == pytest.approx([1000.0] * 3)
    assert inverse.n_clipped == 2


@given(eps=PROBABILITIES, floor=FLOORS)
def test_weight_and_variance_of_the_inversion(eps: Any, floor: float) -> None:
    inverse = inversion_weight(eps, floor)
    bounded = np.maximum(eps, floor)
    assert len(inverse) == len(eps)
    np.testing.assert_allclose(inverse.weight, 1.0 / bounded, rtol=1e-15)
    np.testing.assert_allclose(inverse.variance, (1.0 - bounded) / bounded**2, rtol=1e-14)
    np.testing.assert_array_equal(inverse.clipped, eps < floor)
    assert inverse.n_clipped == np.count_nonzero(eps < floor)


@given(eps=PROBABILITIES, floor=FLOORS)
def test_the_clipped_share_is_that_of_the_sum_of_weights(eps: Any, floor: float) -> None:
    inverse = inversion_weight(eps, floor)
    expected = inverse.weight[eps < floor].sum() / max(inverse.weight.sum(), 1e-300)
    assert inverse.clipped_share == pytest.approx(expected)
    assert 0.0 <= inverse.clipped_share <= 1.0 + 1e-12


@given(eps=PROBABILITIES.filter(len), floor=FLOORS)
def test_the_effective_sample_size_lies_between_one_and_the_number_of_events(
    eps: Any, floor: float
) -> None:
    size = inversion_weight(eps, floor).effective_sample_size
    assert 1.0 - 1e-12 <= size <= len(eps) * (1.0 + 1e-12)


def test_the_effective_sample_size_counts_equal_weights() -> None:
    assert inversion_weight(np.full(7, 0.3)).effective_sample_size == pytest.approx(7.0)
    assert inversion_weight(np.array([1.0, 0.5])).effective_sample_size == pytest.approx(9.0 / 5.0)


def test_no_selected_events_have_no_inversion_weights() -> None:
    inverse = inversion_weight(ak.Array(np.empty(0)))
    assert len(inverse) == inverse.n_clipped == 0
    assert inverse.clipped_share == inverse.effective_sample_size == 0.0


@given(eps=PROBABILITIES, cut=sts.BOUND)
def test_inversion_weights_do_not_depend_on_the_chunks(eps: Any, cut: int) -> None:
    whole = inversion_weight(eps)
    for name in ("weight", "variance", "clipped"):
        parts = [getattr(inversion_weight(part), name) for part in (eps[:cut], eps[cut:])]
        np.testing.assert_array_equal(np.concatenate(parts), getattr(whole, name))


def test_numpy_takes_inversion_weights_as_an_array() -> None:
    inverse = inversion_weight(np.array([0.5, 0.25]))
    np.testing.assert_array_equal(np.asarray(inverse), [2.0, 4.0])
    assert np.asarray(inverse).dtype == np.float64
    assert np.asarray(inverse, np.float32).dtype == np.float32
    copied = np.array(inverse)
    copied[:] = 0.0
    assert inverse.weight.tolist() == [2.0, 4.0]


def test_coffea_takes_inversion_weights() -> None:
    weights = Weights(3, storeIndividual=True)
    weights.add("generator", np.array([1.0, 3.0, -1.0]))
    weights.add("efficiency", np.asarray(inversion_weight(ak.Array([0.5, 0.25, 0.0]))))
    assert weights.weight().tolist() == pytest.approx([2.0, 12.0, -1000.0])


def test_a_histogram_takes_inversion_weights() -> None:
    histogram = hist.Hist.new.Reg(2, 0.0, 1.0).Weight()
    histogram.fill([0.1, 0.7, 0.8], weight=inversion_weight(np.array([0.5, 0.25, 0.2])))
    assert histogram.values().tolist() == pytest.approx([2.0, 9.0])
    assert histogram.variances().tolist() == pytest.approx([4.0, 41.0])


@pytest.mark.parametrize("bad", [np.nan, -1e-9, 1.0 + 1e-9, np.inf])
def test_inversion_of_values_that_are_no_probabilities_is_refused(bad: float) -> None:
    expected = r"efficiency: 2 of 3 values are NaN or outside \[0, 1\]"
    with pytest.raises(InputError, match=expected):
        inversion_weight(np.array([bad, 0.5, bad]))


@pytest.mark.parametrize("floor", [0.0, -0.1, 1.0 + 1e-9, np.nan, np.inf])
def test_a_floor_outside_its_range_is_refused(floor: float) -> None:
    with pytest.raises(InputError, match=r"expected a floor in \(0, 1\], received"):
        inversion_weight(np.array([0.5]), floor)


@pytest.mark.parametrize(
    "bad", [ak.Array([0.5, None]), ak.Array([[0.5], [0.1, 0.2]]), ak.Array(["a", "b"])]
)
def test_inversion_of_anything_but_one_number_per_event_is_refused(bad: ak.Array) -> None:
    with pytest.raises(InputError, match="efficiency: expected one number for each of 2 events"):
        inversion_weight(bad)


def test_the_sum_of_inversion_weights_is_unbiased_with_the_variance_of_horvitz_thompson() -> None:
    # 4000 selections of 400 events, seed 21. Sums of so many events are Gaussian: the mean's pull
    # and the chi-squared of the sums together have a false-alarm rate of 2e-6. The estimated
    # variance is unbiased too; the pull of its mean is taken from its own spread (1e-6).
    rng = np.random.default_rng(21)
    eps = rng.uniform(0.1, 1.0, 400)
    variance = np.sum((1.0 - eps) / eps)
    sums, estimates = np.empty(4000), np.empty(4000)
    for trial in range(4000):
        inverse = inversion_weight(eps[rng.uniform(size=eps.size) < eps])
        sums[trial], estimates[trial] = inverse.weight.sum(), inverse.variance.sum()
    pull = (sums - eps.size) / np.sqrt(variance)
    assert abs(pull.mean()) * np.sqrt(pull.size) < stats.norm.isf(0.5e-6)
    assert stats.chi2.sf(np.sum(pull**2), pull.size) > 0.5e-6
    assert stats.chi2.cdf(np.sum(pull**2), pull.size) > 0.5e-6
    assert stats.ttest_1samp(estimates, variance).pvalue > 1e-6
