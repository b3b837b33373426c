from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepsilon.arrays import keys
from hepsilon.weights import kernels as tag_kernels
from hepsilon.weights.conditions import Condition, Requirement, at_least, exactly, joint_transitions
from tests.helpers import strategies as sts
from tests.helpers import tag_reference as ref

Array = npt.NDArray[Any]

NONE = np.array([0])


def one_point(eps: Any) -> Array:
    """Bins of jets with one working point."""
    eps = np.asarray(eps, np.float64)
    return np.stack([1.0 - eps, eps], axis=1)


def table_of(condition: Condition, bins: Array) -> Array:
    return condition.transitions(range(bins.shape[1] - 1))


def count_probability(offsets: Array, eps: Array, n_tags: int, or_more: bool) -> Array:
    """P(exactly or at least ``n_tags`` tags)."""
    table = Condition((Requirement(n_tags, at_least=or_more),)).transitions([0])
    return tag_kernels.condition_probability(offsets, one_point(eps), table)


def exact_counts(eps: list[float]) -> list[Fraction]:
    """P(exactly n) for all n: the sum over all outcomes in exact arithmetic."""
    total = [Fraction(0)] * (len(eps) + 1)
    for bins, weight in ref.outcomes(ref.exact_bins([[e] for e in eps])):
        total[sum(bins)] += weight
    return total


@st.composite
def weighted_jets(draw: st.DrawFn, max_points: int = 3) -> tuple[Array, Array, Condition]:
    """Offsets, any weights of bins (also zero), and a condition."""
    offsets, eps = draw(ref.jets_of_events(max_points=max_points))
    size, n_points = eps.shape
    bins = draw(ref.columns_of(size, n_points + 1, 0.0, 2.0, zeros=0.15))
    return offsets, bins, draw(ref.conditions(n_points))


# sums


@settings(max_examples=40)
@given(eps=st.lists(sts.PROBABILITY, max_size=8), n_tags=st.integers(0, 9), or_more=st.booleans())
def test_the_probability_of_a_number_is_the_sum_over_outcomes(
    eps: list[float], n_tags: int, or_more: bool
) -> None:
    offsets = np.array([0, len(eps)])
    (ours,) = count_probability(offsets, np.array(eps, float), n_tags, or_more)
    exact = exact_counts(eps)
    expected = sum(exact[n_tags:] if or_more else exact[n_tags : n_tags + 1])
    assert ours == pytest.approx(float(expected), rel=1e-12, abs=0.0)


@pytest.mark.parametrize(
    "eps",
    [
        [1e-4] * 12,
        [1e-6] * 12,
        [1.0 - 1e-6] * 6 + [1e-6] * 6,
        np.random.default_rng(1).uniform(size=12).tolist(),
        (10.0 ** np.random.default_rng(2).uniform(-8.0, 0.0, 11)).tolist(),
    ],
    ids=["1e-4", "1e-6", "both ends", "uniform", "decades"],
)
def test_twelve_jets_lose_no_digits(eps: list[float]) -> None:
    exact = exact_counts(eps)
    offsets = np.array([0, len(eps)])
    for n in range(len(eps) + 3):
        (ours,) = count_probability(offsets, np.array(eps), n, False)
        (or_more,) = count_probability(offsets, np.array(eps), n, True)
        assert ours == pytest.approx(float(sum(exact[n : n + 1])), rel=1e-13, abs=0.0)
        assert or_more == pytest.approx(float(sum(exact[n:])), rel=1e-13, abs=0.0)


@given(columns=sts.flat_columns(sts.PROBABILITY), n_tags=st.integers(0, 7))
def test_events_are_summed_separately(columns: tuple[Array, ...], n_tags: int) -> None:
    offsets, eps = columns
    together = count_probability(offsets, eps, n_tags, False)
    alone = [
        count_probability(np.array([0, len(e)]), e, n_tags, False)
        for e in ref.each_event(offsets, eps)
    ]
    np.testing.assert_array_equal(together, np.concatenate([np.empty(0), *alone]))


@given(columns=sts.flat_columns(sts.PROBABILITY), n_tags=st.integers(0, 7), or_more=st.booleans())
def test_a_probability_never_exceeds_one(
    columns: tuple[Array, ...], n_tags: int, or_more: bool
) -> None:
    probability = count_probability(*columns, n_tags, or_more)
    assert ((probability >= 0.0) & (probability <= 1.0)).all()


@given(events=weighted_jets())
def test_condition_probability_is_the_sum_over_assignments(
    events: tuple[Array, Array, Condition],
) -> None:
    offsets, bins, condition = events
    ours = tag_kernels.condition_probability(offsets, bins, table_of(condition, bins))
    expected = [ref.brute_force(w, condition) for w in ref.each_event(offsets, bins.tolist())]
    np.testing.assert_allclose(ours, expected, rtol=1e-13)


@given(events=weighted_jets(), others=st.lists(ref.conditions(1, max_requirements=2), max_size=3))
def test_conditions_in_one_pass_are_those_one_by_one(
    events: tuple[Array, Array, Condition], others: list[Condition]
) -> None:
    offsets, bins, condition = events
    conditions = [condition, *others, condition]
    joint = joint_transitions(conditions, range(bins.shape[1] - 1))
    together = tag_kernels.joint_probabilities(offsets, bins, *joint)
    for found, one in zip(together, conditions, strict=True):
        alone = tag_kernels.condition_probability(offsets, bins, table_of(one, bins))
        np.testing.assert_allclose(found, alone, rtol=1e-13)


# lists


@given(events=weighted_jets())
def test_assignments_are_those_with_a_weight(events: tuple[Array, Array, Condition]) -> None:
    offsets, bins, condition = events
    table = table_of(condition, bins)
    counts = tag_kernels.count_assignments(offsets, bins, table)
    expected = [
        [(b, w) for b, w in ref.outcomes(rows) if w > 0 and ref.accepts(condition, b)]
        for rows in ref.each_event(offsets, bins.tolist())
    ]
    assert counts.tolist() == [len(e) for e in expected]
    tags, weights = tag_kernels.list_assignments(offsets, bins, table, counts.astype(np.int64))
    assert tags.tolist() == [b for event in expected for bins, _ in event for b in bins]
    wanted = [float(w) for event in expected for _, w in event]
    np.testing.assert_allclose(weights, wanted, rtol=1e-14)
    assert tags.dtype == np.int8


def test_counts_of_many_jets_are_not_wrapped() -> None:
    offsets = np.array([0, 200])
    (count,) = tag_kernels.count_assignments(
        offsets, np.full((200, 4), 0.25), at_least(0).transitions(range(3))
    )
    assert count == 4.0**200


# draws


@given(events=weighted_jets(), seed=st.integers(0, 2**32))
def test_draws_meet_the_condition_and_have_a_weight(
    events: tuple[Array, Array, Condition], seed: int
) -> None:
    offsets, bins, condition = events
    table = table_of(condition, bins)
    key = np.random.default_rng(seed).integers(0, 2**64, len(offsets) - 1, np.uint64)
    drawn = tag_kernels.sample_bins(offsets, bins, table, key)
    possible = tag_kernels.condition_probability(offsets, bins, table) > 0.0
    assert drawn.dtype == np.int8
    for own, weights, any_left in zip(
        ref.each_event(offsets, drawn), ref.each_event(offsets, bins), possible, strict=True
    ):
        if any_left:
            assert ref.accepts(condition, own.tolist())
            assert (np.take_along_axis(weights, own[:, None].astype(int), 1) > 0.0).all()
        else:
            assert (own == -1).all()


@given(events=weighted_jets(), seed=st.integers(0, 2**32))
def test_draws_invert_the_conditional_distribution(
    events: tuple[Array, Array, Condition], seed: int
) -> None:
    """Jet after jet, the n-th number of the key against the exact cumulative weights."""
    offsets, bins, condition = events
    key = np.random.default_rng(seed).integers(0, 2**64, len(offsets) - 1, np.uint64)
    drawn = tag_kernels.sample_bins(offsets, bins, table_of(condition, bins), key)
    for own, weights, k in zip(
        ref.each_event(offsets, drawn), ref.each_event(offsets, bins.tolist()), key, strict=True
    ):
        left = {b: w for b, w in ref.outcomes(weights) if w > 0 and ref.accepts(condition, b)}
        for i, chosen in enumerate(own.tolist() if left else []):
            uniform = Fraction(float(keys.nth_uniform(k, i)))
            total = sum(left.values())
            below = sum(w for b, w in left.items() if b[i] < chosen) / total
            above = sum(w for b, w in left.items() if b[i] <= chosen) / total
            assert below - Fraction(1, 10**12) <= uniform <= above + Fraction(1, 10**12)
            left = {b: w for b, w in left.items() if b[i] == chosen}


def test_draws_of_an_impossible_event_leave_its_neighbours_alone() -> None:
    offsets = np.array([0, 1, 2, 3, 3])
    bins = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    drawn = tag_kernels.sample_bins(
        offsets, bins, exactly(1).transitions([0]), np.arange(4, dtype=np.uint64)
    )
    assert drawn.tolist() == [1, -1, 1]


def test_the_largest_uniform_number_stays_inside() -> None:
    """A key whose first number is 1 - 2^-53 must not run past the last bin with a weight."""
    modulus = 2**64

    def unshift(z: int, shift: int) -> int:
        out = z
        for _ in range(64 // shift):
            out = z ^ (out >> shift)
        return out

    z = unshift(modulus - 1, 31)
    z = unshift(z * pow(0x94D049BB133111EB, -1, modulus) % modulus, 27)
    z = unshift(z * pow(0xBF58476D1CE4E5B9, -1, modulus) % modulus, 30)
    key = np.array([(z - 0x9E3779B97F4A7C15) % modulus], np.uint64)
    assert keys.nth_uniform(key[0], 0) == 1.0 - 2.0**-53
    rng = np.random.default_rng(5)
    for _ in range(200):
        bins = np.append(rng.uniform(size=(1, 5)), np.zeros((1, 2)), axis=1)
        (drawn,) = tag_kernels.sample_bins(
            np.array([0, 1]), bins, at_least(0).transitions(range(6)), key
        )
        assert drawn == 4


# no events


@pytest.mark.parametrize(
    "kernel",
    [
        lambda bins, table: tag_kernels.condition_probability(NONE, bins, table),
        lambda bins, table: tag_kernels.count_assignments(NONE, bins, table),
        lambda bins, table: tag_kernels.sample_bins(NONE, bins, table, np.empty(0, np.uint64)),
        lambda bins, table: np.concatenate(
            tag_kernels.list_assignments(NONE, bins, table, np.empty(0, np.int64))
        ),
    ],
    ids=["probability", "count", "sample", "list"],
)
def test_no_events_give_no_results(kernel: Any) -> None:
    assert kernel(np.empty((0, 2)), exactly(2).transitions([0])).size == 0


def test_events_without_jets_have_one_empty_assignment_or_none() -> None:
    offsets, bins = np.array([0, 0, 0]), np.empty((0, 2))
    for n, expected in ((0, 1.0), (1, 0.0)):
        for make, table in itertools.product(
            (tag_kernels.condition_probability, tag_kernels.count_assignments),
            (exactly(n).transitions([0]), at_least(n).transitions([0])),
        ):
            assert make(offsets, bins, table).tolist() == [expected] * 2
