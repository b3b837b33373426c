from __future__ import annotations

from typing import Any

import awkward as ak
import hist
import numpy as np
import pytest
import strategies as sts
from coffea.analysis_tools import Weights
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hepsilon import InputError, truth_tag_weight
from hepsilon.columns import unflatten
from hepsilon.weights import FLOOR, inversion_weight

EPS = ak.Array([[0.7, 0.2, 0.9], [], [0.5], [0.25, 0.5]])


@pytest.mark.parametrize(
    ("n_tags", "expected"),
    [
        (0, [0.3 * 0.8, 1.0, 0.5, 0.75 * 0.5]),
        (1, [0.7 * 0.8 + 0.3 * 0.2, 0.0, 0.5, 0.25 * 0.5 + 0.75 * 0.5]),
        (2, [0.7 * 0.2, 0.0, 0.0, 0.25 * 0.5]),
        (3, [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_leading_two_jets_follow_equation_3(n_tags: int, expected: list[float]) -> None:
    assert truth_tag_weight(EPS, n_tags=n_tags).tolist() == pytest.approx(expected)


def test_two_tags_of_the_leading_two_jets_are_the_default() -> None:
    weight = truth_tag_weight(EPS)
    np.testing.assert_array_equal(weight, truth_tag_weight(EPS, 2, False, slice(0, 2)))


def test_none_counts_all_jets() -> None:
    two_of_three = 0.7 * 0.2 * 0.1 + 0.7 * 0.8 * 0.9 + 0.3 * 0.2 * 0.9
    weight = truth_tag_weight(EPS, n_tags=2, jets=None)
    assert weight.tolist() == pytest.approx([two_of_three, 0.0, 0.0, 0.125])


def test_at_least_counts_more_tags_too() -> None:
    three_of_three = 0.7 * 0.2 * 0.9
    two = truth_tag_weight(EPS, n_tags=2, jets=None)
    at_least_two = truth_tag_weight(EPS, n_tags=2, at_least=True, jets=None)
    assert (at_least_two - two).tolist() == pytest.approx([three_of_three, 0.0, 0.0, 0.0])


def test_a_slice_chooses_jets_by_their_rank() -> None:
    weight = truth_tag_weight(EPS, n_tags=1, jets=slice(1, None))
    assert weight.tolist() == pytest.approx([0.2 * 0.1 + 0.8 * 0.9, 0.0, 0.0, 0.5])


def test_a_mask_chooses_jets() -> None:
    mask = ak.Array([[False, True, True], [], [False], [True, True]])
    weight = truth_tag_weight(EPS, n_tags=1, jets=mask)
    assert weight.tolist() == pytest.approx([0.2 * 0.1 + 0.8 * 0.9, 0.0, 0.0, 0.5])


def test_booleans_give_direct_tagging() -> None:
    tagged = ak.Array([[True, False], [True, True], [], [True]])
    assert truth_tag_weight(tagged, n_tags=2).tolist() == [0.0, 1.0, 0.0, 0.0]
    assert truth_tag_weight(tagged, n_tags=1, at_least=True).tolist() == [1.0, 1.0, 0.0, 1.0]


@given(columns=sts.flat_columns(sts.PROBABILITY))
def test_exclusive_numbers_of_tags_sum_to_one(columns: tuple[Any, ...]) -> None:
    eps = unflatten(columns[1], columns[0])
    total = sum(truth_tag_weight(eps, n_tags=n, jets=None) for n in range(7))
    np.testing.assert_allclose(total, np.ones(len(eps)), rtol=1e-14)


@given(columns=sts.flat_columns(sts.PROBABILITY), n_tags=st.integers(0, 7))
def test_at_least_is_the_sum_of_the_exclusive_numbers(
    columns: tuple[Any, ...], n_tags: int
) -> None:
    eps = unflatten(columns[1], columns[0])
    parts = [truth_tag_weight(eps, n_tags=n, jets=None) for n in range(n_tags, 8)]
    inclusive = truth_tag_weight(eps, n_tags=n_tags, at_least=True, jets=None)
    np.testing.assert_allclose(inclusive, np.sum(parts, axis=0), rtol=1e-13)


@given(columns=sts.flat_columns(sts.PROBABILITY))
def test_at_least_zero_tags_is_certain(columns: tuple[Any, ...]) -> None:
    weight = truth_tag_weight(unflatten(columns[1], columns[0]), n_tags=0, at_least=True)
    np.testing.assert_allclose(weight, 1.0, rtol=1e-15)


@given(columns=sts.flat_columns(sts.PROBABILITY), n_tags=st.integers(0, 3), cut=sts.BOUND)
def test_weights_do_not_depend_on_the_chunks(
    columns: tuple[Any, ...], n_tags: int, cut: int
) -> None:
    eps = unflatten(columns[1], columns[0])
    parts = [truth_tag_weight(part, n_tags=n_tags) for part in (eps[:cut], eps[cut:])]
    np.testing.assert_array_equal(np.concatenate(parts), truth_tag_weight(eps, n_tags=n_tags))


def test_weights_are_fresh_float64() -> None:
    # coffea's Weights.add overwrites what it is given
    weight = truth_tag_weight(ak.values_astype(EPS, np.float32))
    assert weight.dtype == np.float64
    assert weight.flags.writeable
    before = ak.copy(EPS)
    truth_tag_weight(EPS)[:] = 7.0
    assert ak.array_equal(EPS, before)


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.0 + 1e-9, np.inf])
def test_values_that_are_no_probabilities_are_counted(bad: float) -> None:
    eps = ak.Array([[0.5, bad], [], [bad]])
    with pytest.raises(InputError, match=r"eps: 2 of 3 values are NaN or outside \[0, 1\]"):
        truth_tag_weight(eps)


def test_missing_events_are_refused() -> None:
    with pytest.raises(InputError, match="option-typed"):
        truth_tag_weight(EPS.mask[ak.num(EPS) > 1])


def test_missing_jets_are_refused() -> None:
    with pytest.raises(InputError, match="1 of 2 objects are missing"):
        truth_tag_weight(ak.Array([[0.5, None]]))


def test_efficiencies_per_event_are_refused() -> None:
    with pytest.raises(InputError, match="expected a jagged array"):
        truth_tag_weight(ak.Array([0.5, 0.5]), jets=None)


def test_a_negative_number_of_tags_is_refused() -> None:
    with pytest.raises(ValueError, match="received -1"):
        truth_tag_weight(EPS, n_tags=-1)


# inversion


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
