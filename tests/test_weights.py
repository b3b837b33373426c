from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
import strategies as sts
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import InputError, truth_tag_weight
from hepsilon.columns import unflatten

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
