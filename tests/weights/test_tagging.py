from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import (
    InputError,
    ScaleFactors,
    ScaleFactorWarning,
    at_least,
    direct_tag_weight,
    exactly,
    truth_tag_weight,
)
from hepsilon.arrays.columns import unflatten
from hepsilon.weights import joint_probability, probability
from hepsilon.weights.bins import TagBins
from hepsilon.weights.conditions import ANYTHING, Condition
from tests.helpers import strategies as sts
from tests.helpers import tag_reference as ref

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
    np.testing.assert_array_equal(
        weight, truth_tag_weight(EPS, 2, at_least=False, jets=slice(0, 2))
    )


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


# numbers of tags


@pytest.mark.parametrize("eps", [1e-4, 1e-6, 0.3, 1.0 - 1e-6])
def test_twelve_jets_lose_no_digits(eps: float) -> None:
    exact = [Fraction(0)] * 13
    for bins, weight in ref.outcomes(ref.exact_bins([[eps]] * 12)):
        exact[sum(bins)] += weight
    jets = ak.Array([[eps] * 12])
    for n in range(15):
        (exclusive,) = truth_tag_weight(jets, n, jets=None)
        (inclusive,) = truth_tag_weight(jets, n, at_least=True, jets=None)
        assert exclusive == pytest.approx(float(sum(exact[n : n + 1])), rel=1e-12, abs=0.0)
        assert inclusive == pytest.approx(float(sum(exact[n:])), rel=1e-12, abs=0.0)


@given(columns=sts.flat_columns(sts.PROBABILITY), n_tags=st.integers(0, 7))
def test_an_exclusive_number_is_the_difference_of_two_inclusive_ones(
    columns: tuple[Any, ...], n_tags: int
) -> None:
    eps = unflatten(columns[1], columns[0])
    one, next_one = (
        truth_tag_weight(eps, n, at_least=True, jets=None) for n in (n_tags, n_tags + 1)
    )
    exclusive = truth_tag_weight(eps, n_tags, jets=None)
    np.testing.assert_allclose(exclusive, one - next_one, rtol=0.0, atol=1e-14)


@given(columns=sts.flat_columns(sts.PROBABILITY), more=st.integers(1, 3))
def test_more_tags_than_jets_are_impossible(columns: tuple[Any, ...], more: int) -> None:
    offsets, eps = columns
    n_tags = int(np.diff(offsets).max(initial=0)) + more
    for or_more in (False, True):
        weight = truth_tag_weight(unflatten(eps, offsets), n_tags, at_least=or_more, jets=None)
        assert weight.tolist() == [0.0] * (len(offsets) - 1)


@pytest.mark.parametrize("events", [ak.Array([[0.5], [], []])[1:], EPS[:0]])
def test_events_without_jets_have_no_tags(events: ak.Array) -> None:
    for jets in (None, slice(0, 2), ak.ones_like(events, dtype=bool)):
        assert truth_tag_weight(events, 0, jets=jets).tolist() == [1.0] * len(events)
        assert truth_tag_weight(events, 1, jets=jets).tolist() == [0.0] * len(events)


@given(columns=sts.flat_columns(sts.PROBABILITY), data=st.data(), n_tags=st.integers(0, 4))
def test_chosen_jets_weigh_as_if_there_were_no_others(
    columns: tuple[Any, ...], data: st.DataObject, n_tags: int
) -> None:
    offsets, flat_eps = columns
    eps = unflatten(flat_eps, offsets)
    size = len(flat_eps)
    flags = data.draw(ref.flags_of(size))
    for jets in (unflatten(flags, offsets), slice(1, 3), slice(None, None, 2)):
        chosen = eps[jets] if isinstance(jets, ak.Array) else eps[:, jets]
        np.testing.assert_array_equal(
            truth_tag_weight(eps, n_tags, jets=jets), truth_tag_weight(chosen, n_tags, jets=None)
        )


@pytest.mark.parametrize("n_tags", [1.0, "2", None, [1]])
def test_numbers_of_tags_that_are_not_whole_are_refused(n_tags: Any) -> None:
    with pytest.raises(TypeError):
        truth_tag_weight(EPS, n_tags)


@pytest.mark.parametrize("jets", [2, [0, 1], np.array([[True]])])
def test_jets_that_are_neither_a_slice_nor_a_mask_are_refused(jets: Any) -> None:
    with pytest.raises(TypeError, match="jets: expected a slice, a jagged mask or None"):
        truth_tag_weight(EPS, jets=jets)


@pytest.mark.parametrize(
    "mask",
    [EPS[:, :1] > 0.5, EPS[:2] > 0.5, ak.mask(EPS > 0.5, EPS > 0.3)],
    ids=["fewer", "fewer events", "option"],
)
def test_masks_of_other_jets_are_refused(mask: ak.Array) -> None:
    with pytest.raises(InputError, match=r"^jets: "):
        truth_tag_weight(EPS, jets=mask)


# several working points

OFFSETS = np.array([0, 3, 3, 4])
POINTS = np.array([[0.8, 0.6, 0.3], [0.5, 0.25, 0.1], [0.9, 0.5, 0.0], [0.7, 0.7, 0.2]])
NAMES = ["L", "M", "T"]
MIXES = [
    at_least(2, "M") & at_least(1, "T"),
    exactly(2, "L") & at_least(1, "T"),
    exactly(2, "L") & exactly(1, "M") & exactly(0, "T"),
    at_least(1, "M") & at_least(2, "M"),
    exactly(1, "M") & at_least(1, "M"),
    exactly(1, "M") & exactly(2, "M"),
    at_least(1, -1) & exactly(2, 0),
]


@pytest.mark.parametrize("condition", MIXES, ids=str)
def test_mixes_of_requirements_are_sums_over_bins(condition: Condition) -> None:
    tightest = [
        replace(r, working_point="T") if r.working_point == -1 else r
        for r in condition.requirements
    ]
    expected = [
        ref.brute_force(ref.exact_bins(e), Condition(tuple(tightest)), NAMES)
        for e in ref.each_event(OFFSETS, POINTS)
    ]
    eps = ref.jagged(POINTS, OFFSETS)
    weight = truth_tag_weight(eps, condition, jets=None, working_points=NAMES)
    np.testing.assert_allclose(weight, expected, rtol=1e-13)
    named = {name: eps[..., i] for i, name in enumerate(NAMES)}
    np.testing.assert_array_equal(truth_tag_weight(named, condition, jets=None), weight)


@given(events=ref.jets_of_events(), data=st.data())
def test_any_condition_is_a_sum_over_bins(events: tuple[Any, ...], data: st.DataObject) -> None:
    offsets, eps = events
    condition = data.draw(ref.conditions(eps.shape[1]))
    expected = [ref.brute_force(ref.exact_bins(e), condition) for e in ref.each_event(offsets, eps)]
    jets = ref.jagged(eps, offsets)
    np.testing.assert_allclose(truth_tag_weight(jets, condition, jets=None), expected, rtol=1e-12)
    named = {f"WP{i}": jets[..., i] for i in range(eps.shape[1])}
    np.testing.assert_allclose(truth_tag_weight(named, condition, jets=None), expected, rtol=1e-12)


@given(events=ref.jets_of_events(), n_tags=st.integers(0, 3), data=st.data())
def test_one_requirement_needs_one_working_point(
    events: tuple[Any, ...], n_tags: int, data: st.DataObject
) -> None:
    offsets, eps = events
    point = data.draw(st.integers(0, eps.shape[1] - 1))
    for make in (exactly, at_least):
        alone = truth_tag_weight(ref.jagged(eps[:, point], offsets), make(n_tags), jets=None)
        weight = truth_tag_weight(ref.jagged(eps, offsets), make(n_tags, point), jets=None)
        np.testing.assert_allclose(weight, alone, rtol=1e-12)


def test_a_plain_number_counts_at_the_loosest_working_point() -> None:
    eps = ref.jagged(POINTS, OFFSETS)
    np.testing.assert_allclose(truth_tag_weight(eps, 2), truth_tag_weight(eps[..., 0], 2))
    np.testing.assert_array_equal(
        truth_tag_weight(eps, 1, at_least=True),
        truth_tag_weight(eps, at_least(1, "L"), working_points=NAMES),
    )


def test_missing_working_points_are_refused() -> None:
    eps = ref.jagged(POINTS, OFFSETS)
    for bad in ("XT", 3, -4):
        with pytest.raises(InputError, match="expected a working point of"):
            truth_tag_weight(eps, exactly(1, bad), working_points=NAMES)
    with pytest.raises(InputError, match="expected a working point of"):
        truth_tag_weight(eps, exactly(1, "M"))


def test_at_least_does_not_go_with_a_condition() -> None:
    with pytest.raises(ValueError, match="at_least goes with a number of tags"):
        truth_tag_weight(EPS, exactly(1), at_least=True)


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.5])
def test_several_efficiencies_that_are_none_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match=r"eps: 1 of 12 values are NaN or outside \[0, 1\]"):
        truth_tag_weight(ref.jagged(np.where(POINTS == 0.1, bad, POINTS), OFFSETS))


def test_working_points_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(InputError, match="4 of 4 jets have a higher efficiency at a tighter"):
        truth_tag_weight(ref.jagged(POINTS[:, ::-1], OFFSETS))


def test_chunks_without_jets_know_their_working_points() -> None:
    eps = ref.jagged(POINTS, OFFSETS)[1:2]
    assert truth_tag_weight(eps, at_least(1, 2)).tolist() == [0.0]
    assert truth_tag_weight(eps, exactly(0, "T"), working_points=NAMES).tolist() == [1.0]


# scale factors


@st.composite
def jets_and_factors(draw: st.DrawFn, inside: bool = False) -> tuple[Any, ...]:
    """Offsets, efficiencies, factors (of working points or bins), their kind, and a condition.

    Inside, no bin is impossible in simulation.
    """
    offsets, eps = draw(ref.jets_of_events(inside))
    size, n_points = eps.shape
    kind = draw(st.sampled_from(["working_point", "bin"]))
    factors = draw(ref.columns_of(size, n_points + (kind == "bin"), *ref.FACTORS))
    return offsets, eps, factors, kind, draw(ref.conditions(n_points))


def data_bins(eps: Any, factors: Any, kind: str) -> Any:
    """Weights of the bins in data, by definition."""
    if kind == "working_point":
        return ref.exact_bins(ref.scaled(eps, factors))
    return [
        [w * Fraction(float(f)) for w, f in zip(row, own, strict=True)]
        for row, own in zip(ref.exact_bins(eps), factors, strict=True)
    ]


@pytest.mark.filterwarnings("ignore::hepsilon.ScaleFactorWarning")
@given(events=jets_and_factors())
def test_scale_factors_enter_every_assignment(events: tuple[Any, ...]) -> None:
    offsets, eps, factors, kind, condition = events
    expected = [
        ref.brute_force(data_bins(e, f, kind), condition)
        for e, f in zip(ref.each_event(offsets, eps), ref.each_event(offsets, factors), strict=True)
    ]
    weight = truth_tag_weight(
        ref.jagged(eps, offsets),
        condition,
        jets=None,
        scale_factors=ScaleFactors(ref.jagged(factors, offsets), {}, kind),
    )
    np.testing.assert_allclose(weight, expected, rtol=1e-12)


def test_two_jets_with_scale_factors_by_hand() -> None:
    factors = ak.Array([[0.9, 1.1, 5.0], [], [0.8], [1.2, 1.0]])  # the third jet does not count
    weight = truth_tag_weight(EPS, 1, scale_factors=factors)
    expected = [0.63 * 0.78 + 0.37 * 0.22, 0.0, 0.4, 0.3 * 0.5 + 0.7 * 0.5]
    assert weight.tolist() == pytest.approx(expected)


def test_products_above_one_equal_certain_tags() -> None:
    factors = ak.Array([[2.0, 1.0, 1.0], [], [3.0], [1.0, 1.0]])
    with pytest.warns(ScaleFactorWarning, match=r"of 6 jets 2 have SF \* eps above 1") as record:
        weight = truth_tag_weight(EPS, 1, jets=None, scale_factors=factors)
    assert [w.filename for w in record] == [__file__]
    certain = ak.Array([[1.0, 0.2, 0.9], [], [1.0], [0.25, 0.5]])
    np.testing.assert_array_equal(weight, truth_tag_weight(certain, 1, jets=None))


def test_products_out_of_order_equal_those_of_the_looser_working_point() -> None:
    eps = ak.Array([[[0.5, 0.4], [0.6, 0.3]]])
    factors = ak.Array([[[0.5, 1.0], [1.0, 1.0]]])
    condition = exactly(1, 0) & exactly(1, 1)
    with pytest.warns(ScaleFactorWarning, match=r"of 2 jets 1 have SF \* eps above that of a loos"):
        weight = truth_tag_weight(eps, condition, scale_factors=factors)
    equal = ak.Array([[[0.25, 0.25], [0.6, 0.3]]])
    np.testing.assert_array_equal(weight, truth_tag_weight(equal, condition))


def test_scale_factors_of_simulated_jets_are_refused_in_truth_tagging() -> None:
    with pytest.raises(InputError, match="truth tagging needs them for every bin"):
        truth_tag_weight(EPS, scale_factors=ScaleFactors(ak.ones_like(EPS), {}, "jet"))


@pytest.mark.parametrize("bad", [-0.5, np.nan, np.inf])
def test_scale_factors_that_are_no_ratios_are_refused(bad: float) -> None:
    factors = ak.Array([[1.0, bad, 1.0], [], [1.0], [bad, 1.0]])
    with pytest.raises(InputError, match="scale factors: 2 of 6 values are negative"):
        truth_tag_weight(EPS, scale_factors=factors)
    with pytest.raises(InputError, match="scale factors: 2 of 6 values are negative"):
        direct_tag_weight(EPS > 0.5, factors, EPS)


# direct tagging with scale factors


def test_direct_tags_weigh_data_over_simulation() -> None:
    eps, factors = ak.Array([[0.7, 0.2], [], [0.5]]), ak.Array([[0.9, 1.1], [], [1.2]])
    tagged = ak.Array([[True, False], [], [False]])
    weight = direct_tag_weight(tagged, factors, eps)
    assert weight.tolist() == pytest.approx([0.9 * 0.78 / 0.8, 1.0, 0.4 / 0.5])
    leading = direct_tag_weight(tagged, factors, eps, jets=slice(1, None))
    assert leading.tolist() == pytest.approx([0.78 / 0.8, 1.0, 1.0])


def test_direct_tags_at_several_working_points() -> None:
    eps = ak.Array([[[0.8, 0.5], [0.8, 0.5], [0.8, 0.5]]])
    factors = ak.Array([[[0.9, 0.8], [0.9, 0.8], [0.9, 0.8]]])
    by_hand = [0.28 / 0.2, (0.72 - 0.4) / 0.3, 0.8]
    passed = ak.Array([[0, 1, 2]])
    for jet, expected in enumerate(by_hand):
        (weight,) = direct_tag_weight(passed, factors, eps, jets=slice(jet, jet + 1))
        assert weight == pytest.approx(expected)
    (weight,) = direct_tag_weight(passed, factors, eps)
    assert weight == pytest.approx(by_hand[0] * by_hand[1] * by_hand[2])


def test_direct_tags_with_factors_of_bins_or_jets_weigh_the_factors() -> None:
    eps, tagged = ak.Array([[0.7, 0.2], [], [0.5]]), ak.Array([[True, False], [], [False]])
    factors = ScaleFactors(ak.Array([[[0.9, 1.1], [0.8, 3.0]], [], [[0.5, 7.0]]]), {}, "bin")
    assert direct_tag_weight(tagged, factors, eps).tolist() == pytest.approx([0.88, 1.0, 0.5])
    factors = ScaleFactors(ak.Array([[0.9, 1.1], [], [0.5]]), {}, "jet")
    assert direct_tag_weight(tagged, factors).tolist() == pytest.approx([0.99, 1.0, 0.5])
    second = direct_tag_weight(tagged, factors, jets=slice(1, None))
    assert second.tolist() == pytest.approx([1.1, 1.0, 1.0])


def test_factors_of_other_jets_than_the_tagged_ones_are_refused() -> None:
    tagged, factors = ak.Array([[True, False]]), ScaleFactors(ak.Array([[0.9]]), {}, "jet")
    with pytest.raises(InputError, match=r"scale factors: expected 1 number\(s\) for each of 2"):
        direct_tag_weight(tagged, factors)


@pytest.mark.parametrize("kind", ["working_point", "bin"])
def test_direct_tags_need_the_efficiencies(kind: Any) -> None:
    with pytest.raises(InputError, match=f"scale factors of each {kind} need the efficiencies"):
        direct_tag_weight(EPS > 0.5, ScaleFactors(ak.ones_like(EPS), {}, kind))


@pytest.mark.parametrize(("eps", "tagged"), [(0.0, True), (1.0, False)])
def test_impossible_direct_tags_are_refused(eps: float, tagged: bool) -> None:
    tags, factors = ak.Array([[tagged, True]]), ak.Array([[1.0, 1.0]])
    with pytest.raises(InputError, match="1 of 2 directly tagged jets are in a bin of which"):
        direct_tag_weight(tags, factors, ak.Array([[eps, 0.5]]))


@pytest.mark.filterwarnings("ignore::hepsilon.ScaleFactorWarning")
@given(events=jets_and_factors(inside=True))
def test_direct_tagging_expects_what_truth_tagging_gives(events: tuple[Any, ...]) -> None:
    """Sum over all tags of P(simulation) P(data) / P(simulation) [condition]: truth tagging."""
    offsets, eps, factors, kind, condition = events
    weight = truth_tag_weight(
        ref.jagged(eps, offsets),
        condition,
        jets=None,
        scale_factors=ScaleFactors(ref.jagged(factors, offsets), {}, kind),
    )
    for own, e, f in zip(
        weight, ref.each_event(offsets, eps), ref.each_event(offsets, factors), strict=True
    ):
        tags, probabilities = zip(*ref.outcomes(ref.exact_bins(e)), strict=True)
        n = len(tags)
        all_offsets = np.arange(n + 1) * len(e)
        direct = direct_tag_weight(
            ref.jagged(np.array(tags, np.int64).reshape(-1), all_offsets),
            ScaleFactors(ref.jagged(np.tile(f, (n, 1)), all_offsets), {}, kind),
            ref.jagged(np.tile(e, (n, 1)), all_offsets),
        )
        accepted = [ref.accepts(condition, bins) for bins in tags]
        expected = np.sum(np.array(probabilities, float) * direct * accepted)
        assert own == pytest.approx(expected, rel=1e-12, abs=1e-16)


# hybrid tagging


@pytest.mark.filterwarnings("ignore::hepsilon.ScaleFactorWarning")
@given(events=jets_and_factors(inside=True), data=st.data())
def test_hybrid_tagging_keeps_the_tags_of_direct_jets(
    events: tuple[Any, ...], data: st.DataObject
) -> None:
    offsets, eps, factors, kind, condition = events
    direct, tagged = data.draw(ref.direct_of(*eps.shape))
    options = {"direct": ref.jagged(direct, offsets), "tagged": ref.jagged(tagged, offsets)}
    plain = truth_tag_weight(ref.jagged(eps, offsets), condition, jets=None, **options)
    with_factors = truth_tag_weight(
        ref.jagged(eps, offsets),
        condition,
        jets=None,
        scale_factors=ScaleFactors(ref.jagged(factors, offsets), {}, kind),
        **options,
    )
    columns = zip(
        *(ref.each_event(offsets, c) for c in (eps, factors, direct, tagged)), strict=True
    )
    for event, (e, f, d, t) in enumerate(columns):
        simulated, in_data = ref.exact_bins(e), data_bins(e, f, kind)
        expected = ref.brute_force(ref.with_direct(simulated, d, t), condition)
        assert plain[event] == pytest.approx(expected, rel=1e-12, abs=0.0)
        ratio = [
            [x / y for x, y in zip(*rows, strict=True)]
            for rows in zip(in_data, simulated, strict=True)
        ]
        expected = ref.brute_force(ref.with_direct(in_data, d, t, ratio), condition)
        assert with_factors[event] == pytest.approx(expected, rel=1e-12, abs=0.0)


@given(events=ref.jets_of_events(), data=st.data())
def test_all_jets_direct_is_direct_tagging(events: tuple[Any, ...], data: st.DataObject) -> None:
    offsets, eps = events
    condition = data.draw(ref.conditions(eps.shape[1]))
    _, tagged = data.draw(ref.direct_of(*eps.shape))
    jets, tags = ref.jagged(eps, offsets), ref.jagged(tagged, offsets)
    everything = ak.ones_like(tags, dtype=bool)
    weight = truth_tag_weight(jets, condition, jets=None, direct=everything, tagged=tags)
    met = [ref.accepts(condition, t.tolist()) for t in ref.each_event(offsets, tagged)]
    assert weight.tolist() == [float(m) for m in met]


@pytest.mark.filterwarnings("ignore::hepsilon.ScaleFactorWarning")
@given(events=jets_and_factors(inside=True), data=st.data())
def test_all_jets_direct_weigh_as_direct_tagging_with_scale_factors(
    events: tuple[Any, ...], data: st.DataObject
) -> None:
    offsets, eps, factors, kind, condition = events
    _, tagged = data.draw(ref.direct_of(*eps.shape))
    jets, tags = ref.jagged(eps, offsets), ref.jagged(tagged, offsets)
    ratio = ScaleFactors(ref.jagged(factors, offsets), {}, kind)
    options = {"direct": ak.ones_like(tags, dtype=bool), "tagged": tags, "scale_factors": ratio}
    weight = truth_tag_weight(jets, condition, jets=None, **options)
    met = [ref.accepts(condition, t.tolist()) for t in ref.each_event(offsets, tagged)]
    direct = direct_tag_weight(tags, ratio, jets)
    np.testing.assert_allclose(weight, np.where(met, direct, 0.0), rtol=1e-14)


@given(events=ref.jets_of_events(), data=st.data())
def test_no_jet_direct_is_truth_tagging(events: tuple[Any, ...], data: st.DataObject) -> None:
    offsets, eps = events
    condition = data.draw(ref.conditions(eps.shape[1]))
    jets = ref.jagged(eps, offsets)
    tags = ref.jagged(np.zeros(len(eps), np.int64), offsets)
    nothing = ak.zeros_like(tags, dtype=bool)
    np.testing.assert_array_equal(
        truth_tag_weight(jets, condition, jets=None, direct=nothing, tagged=tags),
        truth_tag_weight(jets, condition, jets=None),
    )


@given(events=ref.jets_of_events())
def test_anything_is_certain(events: tuple[Any, ...]) -> None:
    offsets, eps = events
    weight = truth_tag_weight(ref.jagged(eps, offsets), ANYTHING, jets=None)
    np.testing.assert_allclose(weight, 1.0, rtol=1e-14)


@pytest.mark.parametrize(
    "conditions",
    [
        [exactly(0), exactly(1), at_least(2)],
        [exactly(2, "L"), exactly(2, "M"), exactly(2, "T"), at_least(2, "L")],
    ],
    ids=["less work together", "less work alone"],
)
def test_conditions_together_are_those_one_by_one(conditions: list[Condition]) -> None:
    eps = np.sort(np.random.default_rng(1).uniform(size=(8, 3)))[:, ::-1]
    bins = TagBins.of_rows(np.array([0, 3, 3, 8]), eps, ("L", "M", "T"))
    together = joint_probability(bins, conditions)
    for found, condition in zip(together, conditions, strict=True):
        np.testing.assert_allclose(found, probability(bins, condition), rtol=1e-13)
