"""Scales of features with long tails."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon.data.scales import choose_scale

RNG = np.random.default_rng(1)
N = 20_000
SHAPES = {
    "exponential": (RNG.exponential(30.0, N) + 20.0, "log"),
    "lognormal": (RNG.lognormal(3.0, 1.0, N), "log"),
    "exponential from zero": (np.maximum(RNG.exponential(1.0, N) - 0.1, 0.0), "asinh"),
    "long tails on both sides": (RNG.standard_t(3.0, N), "asinh"),
    "uniform": (RNG.uniform(-2.5, 2.5, N), None),
    "normal": (RNG.normal(50.0, 10.0, N), None),
    "two values": (RNG.integers(0, 2, N).astype(float), None),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_scale_follows_the_shape(name: str) -> None:
    values, expected = SHAPES[name]
    found = choose_scale(values, np.ones(N), float(values.min()))
    assert (found and found.kind) == expected


def test_moments_on_the_scale_are_the_weighted_ones() -> None:
    values = SHAPES["lognormal"][0]
    weights = RNG.uniform(0.0, 2.0, N)
    found = choose_scale(values, weights, float(values.min()))
    assert found is not None
    scaled = np.log(values / found.unit)
    assert found.unit == pytest.approx(np.average(values, weights=weights))
    assert found.mean == pytest.approx(np.average(scaled, weights=weights))
    variance = np.average((scaled - found.mean) ** 2, weights=weights)
    assert found.std == pytest.approx(np.sqrt(variance))


@given(factor=st.floats(1e-6, 1e6))
def test_the_factor_of_all_weights_does_not_matter(factor: float) -> None:
    values, _ = SHAPES["exponential"]
    found = [choose_scale(values, w * np.ones(N), 20.0) for w in (1.0, factor)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].mean == pytest.approx(found[1].mean)


def test_a_zero_outside_of_the_part_forbids_the_logarithm() -> None:
    found = choose_scale(SHAPES["lognormal"][0], np.ones(N), 0.0)
    assert found is not None
    assert found.kind == "asinh"


@pytest.mark.parametrize("values", [[], [3.0], [3.0, 3.0]])
def test_too_few_values_leave_the_feature_as_it_is(values: list[float]) -> None:
    assert choose_scale(np.array(values), np.ones(len(values)), 3.0) is None
