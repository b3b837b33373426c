"""Checks of numbers: what passes is unchanged, what does not is counted."""

from __future__ import annotations

import re
from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given

from hepsilon import InputError
from hepsilon.arrays.checks import (
    check_finite,
    check_seed,
    checked,
    checked_events,
    probabilities,
)
from tests.helpers import strategies as sts


@given(column=sts.flat_columns(sts.PROBABILITY))
def test_probabilities_are_given_back(column: tuple[Any, Any]) -> None:
    offsets, values = column
    assert probabilities(values, "eps") is values
    found = checked(ak.unflatten(values, np.diff(offsets)))
    np.testing.assert_array_equal(found[0], offsets)
    np.testing.assert_array_equal(found[1], values)


@pytest.mark.parametrize("bad", [np.nan, -1e-9, 1.0 + 1e-9, np.inf, -np.inf])
def test_values_that_are_no_probabilities_are_counted(bad: float) -> None:
    expected = r"eps: 2 of 4 values are NaN or outside \[0, 1\]"
    with pytest.raises(InputError, match=expected):
        probabilities(np.array([[bad, 0.0], [1.0, bad]]), "eps")
    with pytest.raises(InputError, match=expected):
        checked(ak.Array([[bad, 0.0], [], [1.0, bad]]), "eps")
    with pytest.raises(InputError, match=expected):
        checked_events(np.array([bad, 0.0, 1.0, bad]), 4, "eps")


def test_probabilities_of_objects_are_jagged() -> None:
    with pytest.raises(InputError, match="expected a jagged array"):
        checked(ak.Array([0.5, 0.25]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_counted(bad: float) -> None:
    column = np.array([1.0, bad, bad])
    with pytest.raises(InputError, match="pt: 2 of 3 values are NaN or infinite"):
        check_finite(column, "pt")
    assert check_finite(column[:1], "pt").tolist() == [1.0]


@pytest.mark.parametrize("seed", [0, 7, np.uint64(2**64 - 1)])
def test_whole_numbers_are_seeds(seed: Any) -> None:
    found = check_seed(seed)
    assert (found, type(found)) == (int(seed), int)


@pytest.mark.parametrize("seed", [1.5, 1.0, True, "1", None, np.float64(2.0)])
def test_a_seed_is_not_rounded(seed: Any) -> None:
    with pytest.raises(ValueError, match=f"whole number as seed.*received {re.escape(repr(seed))}"):
        check_seed(seed)


@pytest.mark.parametrize(("seed", "low", "bits"), [(-1, 0, 64), (2**64, 0, 64), (0, 1, 32)])
def test_a_seed_has_its_range(seed: int, low: int, bits: int) -> None:
    expected = rf"a seed between {low} and 2\^{bits} - 1, received {seed}"
    with pytest.raises(ValueError, match=expected):
        check_seed(seed, low, bits)


def test_checked_events_are_plain_numbers() -> None:
    found = checked_events(ak.Array(np.array([0.0, 0.5, 1.0], np.float32)), 3)
    assert found.dtype == np.float64
    assert found.tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    "eps",
    [ak.Array([0.5, None]), ak.Array([[0.5], [0.5]]), ak.Array([0.5]), ak.Array(["a", "b"])],
    ids=["missing", "jagged", "too few", "text"],
)
def test_anything_else_is_an_input_error(eps: ak.Array) -> None:
    with pytest.raises(InputError, match="truth: expected one number for each of 2 events"):
        checked_events(eps, 2, "truth")
