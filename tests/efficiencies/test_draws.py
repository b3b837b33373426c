"""Draws of efficiencies: mean and variance stay where logits are hardly known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepsilon.efficiencies.draws import PROBES, drawn_efficiencies, tempered
from tests.helpers.draws import drawn_shares


def odds_of(eps: Any) -> Any:
    """Odds of the bins between working points, for efficiencies (n, points)."""
    below = np.concatenate([eps[:, 1:], np.zeros((len(eps), 1))], axis=1)
    return (eps - below) / (1.0 - eps[:, :1])


def drawn(eps: Any, changes: Any) -> Any:
    """Draws from changes of the logits (n, points, draws)."""
    changes, odds = changes.astype(np.float32), odds_of(eps)
    out = np.empty(changes.shape)
    tempered(changes, odds)
    drawn_efficiencies(odds, changes, out)
    return out


def gaussian(rng: Any, n: int, spread: float) -> Any:
    """Changes (1, 1, n) of a spread, which the first ones have exactly."""
    changes = rng.standard_normal(n)
    changes[:PROBES] /= np.sqrt(np.mean(changes[:PROBES] ** 2))
    return spread * changes[None, None]


@given(
    st.integers(1, 3),
    st.integers(PROBES, PROBES + 9),
    st.floats(0.0, 5.0),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_draws_are_those_of_the_shares(points: int, n: int, spread: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    eps = np.sort(rng.beta(0.3, 0.3, (6, points)).clip(1e-9, 1.0 - 1e-9), axis=1)[:, ::-1].copy()
    changes = rng.normal(0.0, spread, (6, points, n)).astype(np.float32)
    found = drawn(eps, changes)
    np.testing.assert_allclose(found, drawn_shares(eps, changes.astype(float)), rtol=1e-4)
    assert np.all((found > 0.0) & (found < 1.0))
    assert np.all(np.diff(found, axis=1) <= 0.0)


@pytest.mark.parametrize("eps", [1e-5, 1e-3, 0.999])
@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_what_hardly_happens_keeps_its_mean_and_variance(eps: float, spread: float) -> None:
    """A million draws: five times the errors of mean and spread that a Gaussian logit has.

    The errors are those of a log-normal number: its mean is known to ``spread / sqrt(n)``, and its
    variance to ``sqrt((kurtosis - 1) / n)``, for the last of the spreads too badly to be looked at.
    """
    n = 1_000_000
    found = drawn(np.array([[eps]]), gaussian(np.random.default_rng(4), n, spread))[0, 0]
    rare = found if eps < 0.5 else 1.0 - found
    relative = rare / min(eps, 1.0 - eps)
    assert abs(relative.mean() - 1.0) < 5.0 * spread / np.sqrt(n) + 0.003 * spread**2
    if spread < 3.0:
        assert relative.std() == pytest.approx(spread, rel=0.02)


def test_without_it_the_mean_would_be_many_times_the_efficiency() -> None:
    changes = gaussian(np.random.default_rng(4), 100_000, 3.0)
    plain = 1.0 / (1.0 + np.exp(-(np.log(1e-5) + changes)))
    assert plain.mean() > 50.0 * 1e-5


@pytest.mark.parametrize("spread", [0.0, 1e-3])
def test_small_changes_stay_as_they_are(spread: float) -> None:
    eps = np.array([[0.9, 0.3], [0.01, 0.001], [0.999, 0.5]])
    changes = np.random.default_rng(2).normal(0.0, spread, (3, 2, 40))
    moved = np.log(odds_of(eps))[..., None] + changes
    odds = np.exp(moved)
    plain = np.cumsum(odds[:, ::-1], axis=1)[:, ::-1] / (1.0 + odds.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(drawn(eps, changes), plain, rtol=3e-6)


def test_a_sum_over_what_hardly_passes_is_known_as_well_as_its_events_say() -> None:
    """1000 jets, of which 0.5 are expected to pass, known to a factor of e^2.5 all together.

    The sum has a linear error of 1.25 jets. With Gaussian logits 20 replicas have one of ten jets
    and more in most experiments.
    """
    eps = np.full((1000, 1), 5e-4)
    errors, means, plain = [], [], []
    for seed in range(100):
        changes = gaussian(np.random.default_rng(seed), PROBES, 2.5)
        sums = drawn(eps, np.repeat(changes, 1000, axis=0))[:, 0].sum(axis=0)
        errors.append(sums.std(ddof=1))
        means.append(sums.mean())
        plain.append((1000.0 / (1.0 + 1999.0 * np.exp(-changes[0, 0]))).std(ddof=1))
    # log-normal numbers: 20 of them show most of the spread, and all of the mean
    assert 0.6 < np.mean(errors) < 1.25
    assert np.max(errors) < 4.0
    assert np.median(plain) > 10.0
    assert np.mean(means) == pytest.approx(0.5, rel=0.15)
