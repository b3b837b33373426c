from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import Condition, InputError, at_least, exactly
from hepsilon.weights.conditions import ANYTHING, Requirement, as_condition, joint_transitions
from tests.helpers import tag_reference as ref

NAMES = ["L", "M", "T"]


def run(table: Any, bins: tuple[int, ...]) -> bool:
    """Whether the automaton accepts the jets."""
    state = 0
    for b in bins:
        state = table[state, b]
        if state < 0:
            return False
    return state == len(table) - 1


# building conditions


def test_conditions_are_joined_with_an_ampersand() -> None:
    both = at_least(2, "M") & exactly(1, "T")
    assert both.requirements == (Requirement(2, "M", at_least=True), Requirement(1, "T"))
    assert str(both) == "at least 2 at M and exactly 1 at T"


def test_anything_asks_for_nothing() -> None:
    assert str(ANYTHING) == "anything"
    assert ANYTHING & exactly(1) == exactly(1) == exactly(1) & ANYTHING


def test_the_loosest_working_point_is_the_default() -> None:
    assert exactly(2) == exactly(2, 0)
    assert at_least(2) == at_least(2, 0)
    assert exactly(2) != at_least(2)


def test_equal_conditions_hash_alike() -> None:
    assert len({at_least(1, "M"), at_least(1, "M"), exactly(1, "M"), at_least(1, "T")}) == 3


def test_a_condition_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        exactly(1).requirements = ()  # type: ignore[misc]


@pytest.mark.parametrize("n", [0, 1, np.int64(3), np.uint8(2)])
def test_a_whole_number_stands_for_a_condition(n: Any) -> None:
    assert as_condition(n, or_more=False) == exactly(int(n))
    assert as_condition(n, or_more=True) == at_least(int(n))


def test_a_condition_stands_for_itself() -> None:
    assert as_condition(exactly(1, "M"), or_more=False) == exactly(1, "M")


def test_a_condition_says_itself_whether_it_is_or_more() -> None:
    with pytest.raises(ValueError, match="goes with a number of tags, received exactly 1 at M"):
        as_condition(exactly(1, "M"), or_more=True)


@pytest.mark.parametrize("make", [exactly, at_least, lambda n: as_condition(n, or_more=False)])
@pytest.mark.parametrize("bad", [-1, True, False, np.int64(-2)])
def test_numbers_of_tags_below_zero_and_booleans_are_refused(make: Any, bad: Any) -> None:
    with pytest.raises(ValueError, match="expected a number of tags of zero or more"):
        make(bad)


@pytest.mark.parametrize("make", [exactly, at_least, lambda n: as_condition(n, or_more=False)])
@pytest.mark.parametrize("bad", [1.0, "2", None, np.float64(2.0)])
def test_numbers_of_tags_that_are_not_whole_are_refused(make: Any, bad: Any) -> None:
    with pytest.raises(TypeError):
        make(bad)


# working points


@pytest.mark.parametrize(("point", "same"), [("L", 0), ("M", 1), ("T", 2), (-1, 2), (-3, 0)])
def test_names_and_negative_numbers_are_positions(point: Any, same: int) -> None:
    for make in (exactly, at_least):
        named, numbered = make(2, point), make(2, same)
        np.testing.assert_array_equal(named.transitions(NAMES), numbered.transitions(NAMES))


def test_a_numpy_integer_is_a_number_of_a_working_point() -> None:
    table = exactly(1, np.int64(1)).transitions(NAMES)
    np.testing.assert_array_equal(table, exactly(1, 1).transitions(NAMES))


@pytest.mark.parametrize("missing", ["XT", 3, -4, "l"])
def test_a_missing_working_point_is_refused(missing: Any) -> None:
    expected = rf"expected a working point of \['L', 'M', 'T'\] .*received {missing!r}"
    with pytest.raises(InputError, match=expected):
        (exactly(1, "M") & at_least(1, missing)).transitions(NAMES)


def test_names_are_refused_where_working_points_have_none() -> None:
    with pytest.raises(InputError, match=r"expected a working point of \[0, 1\].*received 'M'"):
        exactly(1, "M").transitions((0, 1))


# automata


def test_the_automaton_of_one_requirement() -> None:
    assert exactly(1).transitions([0]).tolist() == [[0, 1], [1, -1]]
    assert at_least(1).transitions([0]).tolist() == [[0, 1], [1, 1]]
    assert exactly(1, "T").transitions(NAMES).tolist() == [[0, 0, 0, 1], [1, 1, 1, -1]]


def test_the_automaton_of_anything_accepts_at_once() -> None:
    assert ANYTHING.transitions(NAMES).tolist() == [[0, 0, 0, 0]]
    assert ANYTHING.transitions(()).tolist() == [[0]]


@given(condition=ref.conditions(3), n_jets=st.integers(0, 4))
def test_the_automaton_accepts_what_counting_accepts(condition: Condition, n_jets: int) -> None:
    table = condition.transitions(NAMES)
    for bins in itertools.product(range(4), repeat=n_jets):
        assert run(table, bins) == ref.accepts(condition, bins)


@given(condition=ref.conditions(2, max_requirements=4))
def test_no_transition_leads_to_a_lower_state(condition: Condition) -> None:
    table = condition.transitions(["M", "T"])
    size = np.prod([r.n + 1 for r in condition.requirements], dtype=int)
    assert table.shape == (size, 3)
    assert table.dtype == np.int64
    own = np.arange(size)[:, None]
    assert ((table == -1) | ((table >= own) & (table < size))).all()


def test_contradictions_are_never_met() -> None:
    for condition in (exactly(1, "M") & exactly(2, "M"), exactly(1, "L") & at_least(2, "T")):
        table = condition.transitions(NAMES)
        for bins in itertools.product(range(4), repeat=4):
            assert not run(table, bins)


@given(some=st.lists(ref.conditions(3), min_size=1, max_size=3), n_jets=st.integers(0, 3))
def test_the_joint_automaton_accepts_what_each_one_does(some: list[Condition], n_jets: int) -> None:
    table, accepts = joint_transitions(some, NAMES)
    for bins in itertools.product(range(4), repeat=n_jets):
        state = 0
        for b in bins:
            state = table[state, b] if state >= 0 else -1
        found = accepts[:, state].tolist() if state >= 0 else [False] * len(some)
        assert found == [ref.accepts(condition, bins) for condition in some]


def test_joint_numbers_of_tags_need_no_more_states_than_the_largest() -> None:
    table, accepts = joint_transitions(
        [exactly(0), exactly(1), exactly(2), at_least(2), at_least(3)], ["M"]
    )
    assert len(table) == 4  # 0, 1, 2, and 3 or more tags
    assert accepts.sum(axis=1).tolist() == [1, 1, 1, 2, 1]
