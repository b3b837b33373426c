"""Combinations of features that a sample covered."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepsilon.data.combinations import FALSE_ALARMS, Combinations
from hepsilon.data.missing import MISSING
from hepsilon.errors import ConfigError

N = 50_000


def sample(rng: np.random.Generator, n: int = N) -> np.ndarray:
    """pt, eta and a category; light objects (0) have no pt above 100."""
    category = rng.choice([0.0, 4.0, 5.0], n)
    pt = 20.0 + rng.exponential(50.0, n)
    pt = np.where((category == 0.0) & (pt > 100.0), rng.uniform(20.0, 100.0, n), pt)
    return np.stack([pt, rng.uniform(-2.5, 2.5, n), category], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def combinations() -> Combinations:
    found = Combinations.of(("pt", "eta", "flavour"), sample(np.random.default_rng(1)), ["flavour"])
    assert found is not None
    return found


def test_the_own_distribution_is_covered_up_to_the_stated_share(combinations: Combinations) -> None:
    """The number outside is Poisson with a mean below 1e-3 n: 5 standard deviations, 3e-7."""
    other = sample(np.random.default_rng(2))
    n_outside = np.count_nonzero(~combinations.covers(other))
    assert combinations.false_alarms <= FALSE_ALARMS
    assert n_outside <= FALSE_ALARMS * N + 5.0 * np.sqrt(FALSE_ALARMS * N)
    assert not combinations.more_than_chance(n_outside, N)


def test_what_never_came_together_is_found_and_named(combinations: Combinations) -> None:
    nodes = sample(np.random.default_rng(3))
    nodes[:, 2] = np.where(nodes[:, 0] > 150.0, 0.0, nodes[:, 2])  # light, though of high energy
    strange = nodes[:, 0] > 150.0
    outside = dict(combinations.outside(nodes))
    assert list(outside) == ["pt and eta", "pt and flavour", "eta and flavour"]
    assert outside["pt and flavour"][strange].mean() > 0.9
    assert not outside["eta and flavour"].any()
    n_outside = int(np.count_nonzero(~combinations.covers(nodes)))
    assert combinations.more_than_chance(n_outside, N)


def test_missing_values_are_a_bin_of_their_own() -> None:
    rng = np.random.default_rng(4)
    nodes = sample(rng)
    nodes[nodes[:, 2] == 5.0, 1] = MISSING
    found = Combinations.of(("pt", "eta", "flavour"), nodes, ["flavour"])
    assert found is not None
    assert found.covers(nodes).all()
    nodes[nodes[:, 2] == 4.0, 1] = MISSING
    assert not found.covers(nodes)[nodes[:, 2] == 4.0].any()


@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(3_000, 20_000))
@settings(max_examples=20, deadline=None)
def test_the_training_sample_is_covered(seed: int, n_features: int, n: int) -> None:
    nodes = np.random.default_rng(seed).normal(size=(n, n_features)).astype(np.float32)
    found = Combinations.of([f"x{i}" for i in range(n_features)], nodes)
    if found is not None:
        assert found.covers(nodes).all()
        assert found.false_alarms <= FALSE_ALARMS
        again = Combinations.model_validate(json.loads(found.model_dump_json()))
        assert again == found


@pytest.mark.parametrize("shape", [(500, 2), (N, 1), (N, 13)])
def test_small_samples_and_other_numbers_of_features_have_none(shape: tuple[int, int]) -> None:
    nodes = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    assert Combinations.of([f"x{i}" for i in range(shape[1])], nodes) is None


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"covered": ("00",) * 3}, "hexadecimal digits for the pairs"),
        ({"edges": ((1.0,), (2.0,))}, "edges of 3 features"),
        ({"edges": ((2.0, 1.0), (2.0,), (1.0,))}, "increasing"),
    ],
)
def test_damaged_cells_are_refused(
    combinations: Combinations, change: dict[str, object], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        Combinations(**{**dict(combinations), **change})


def test_digits_are_checked(combinations: Combinations) -> None:
    bad = tuple("z" * len(text) for text in combinations.covered)
    with pytest.raises(ConfigError, match="expected hexadecimal digits"):
        Combinations(**{**dict(combinations), "covered": bad})


def test_cell_that_one_of_two_parts_lacks_is_not_covered() -> None:
    """Of either part less than 1e-3 is outside: 5 standard deviations, 3e-7."""
    rng = np.random.default_rng(3)
    parts = [sample(rng), sample(rng)]
    parts[1] = parts[1][(parts[1][:, 0] < 60.0) | (parts[1][:, 1] > 0.0)]
    names, both = ("pt", "eta", "flavour"), np.concatenate(parts)
    found = Combinations.of(names, both, ["flavour"], parts)
    assert found is not None
    only_first = (both[:, 0] > 120.0) & (both[:, 1] < -1.0)
    assert not found.covers(both[only_first]).any()
    n_outside = np.count_nonzero(~found.covers(parts[1]))
    assert n_outside <= FALSE_ALARMS * N + 5.0 * np.sqrt(FALSE_ALARMS * N)
