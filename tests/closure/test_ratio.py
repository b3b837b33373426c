"""Closures of ratios: entries in memory with a known ratio, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from hepsilon import InputError
from hepsilon.closure.entries import Entries
from hepsilon.closure.ratio import Weighted, _bins, agreement, close_ratio
from hepsilon.config.ratio import RatioConfig
from tests.helpers.ratio_toys import ratio_config

SHIFT = 0.5


def ratio_like(clip: tuple[float, float] = (0.01, 100.0)) -> Any:
    """What a closure of entries asks of a ratio."""
    return SimpleNamespace(task=ratio_config().task, ratio=RatioConfig(clip=clip))


def clipped(log_ratio: Any, clip: tuple[float, float]) -> Any:
    """Probability r / (1 + r) of a clipped ratio r."""
    low, high = np.log(clip)
    return expit(np.clip(log_ratio, low, high))


def sample(
    n: int,
    seed: int,
    *,
    numerator: bool,
    slope: float = SHIFT,
    outside: float = 0.0,
    clip: tuple[float, float] = (0.01, 100.0),
):
    """Gaussian pt of width one; log ratio = slope * (x - slope / 2), true for slope = SHIFT."""
    rng = np.random.default_rng([seed, numerator])
    x = rng.normal(SHIFT * numerator, 1.0, n)
    other = rng.normal(0.0, 1.0, n)
    inputs = np.stack([x, other, np.ones(n)], axis=1).astype(np.float32)
    moved = slope + np.random.default_rng(5).normal(0.0, 0.01, 30)
    eps = clipped(slope * (x - 0.5 * slope), clip)
    drawn = clipped(moved * (x[:, None] - 0.5 * moved), clip)
    return Entries(
        inputs=inputs,
        passed=np.full(n, int(numerator)),
        category=np.full(n, -1),
        events=np.arange(n),
        weights=np.ones(n),
        keys=rng.integers(0, 2**63, n).astype(np.uint64),
        eps={"ratio": eps[:, None]},
        replicas={"ratio": drawn[:, None]},
        inside={"ratio": np.arange(n) >= outside * n},
    )


def close(slope: float = SHIFT, n: int = 8000, **more: Any):
    above = sample(n, 1, numerator=True, slope=slope)
    outside = more.pop("outside", 0.0)
    below = sample(n, 2, numerator=False, slope=slope, outside=outside, **more)
    return close_ratio(ratio_like(**more), above, below)


def test_true_ratio_passes() -> None:
    closure = close()
    assert closure.verdict.status == "pass", closure.verdict.reasons
    assert closure.mean == pytest.approx(1.0, abs=4.0 * closure.mean_error)
    pt = closure.observables["pt"]
    assert pt.before.p_value is not None
    assert pt.before.p_value < 1e-20
    assert pt.after.p_value is not None
    assert pt.after.p_value > 1e-3
    assert closure.auc_before is not None
    assert closure.auc_after is not None
    assert closure.auc_before > 0.6 > abs(closure.auc_after) > 0.47
    # exp(-SHIFT^2) of the entries are left
    left = closure.n_effective / closure.denominator.n_effective
    assert left == pytest.approx(np.exp(-(SHIFT**2)), rel=0.05)
    assert json.dumps(closure.as_dict(), allow_nan=False)


def test_samples_that_are_too_small_say_so() -> None:
    closure = close(n=300)
    assert closure.verdict.status == "warn"
    assert any("could not have seen less than" in each for each in closure.verdict.reasons)


def test_few_values_have_bins_of_their_own() -> None:
    values = np.repeat([0.0, 4.0, 5.0], [30, 50, 20])
    edges, own = _bins(Weighted(values, np.ones(100)), Weighted(values, np.ones(100)))
    np.testing.assert_array_equal(own, [0.0, 4.0, 5.0])
    shares, _, _ = Weighted(values, np.ones(100)).shares(edges)
    np.testing.assert_allclose(shares, [0.3, 0.5, 0.2])


def test_wrong_ratio_fails() -> None:
    closure = close(slope=0.1)
    assert closure.verdict.status == "fail"
    assert any(reason.startswith("pt") for reason in closure.verdict.reasons)


def test_clipped_and_outside_are_told() -> None:
    closure = close(clip=(0.8, 1.25))
    assert closure.n_clipped > 0
    assert closure.clipped_share > 0.1
    assert any("was clipped" in reason for reason in closure.verdict.reasons)
    closure = close(outside=0.2)
    assert closure.verdict.status == "fail"
    assert closure.denominator.outside_share == pytest.approx(0.2)
    assert any("ratio is unknown" in reason for reason in closure.verdict.reasons)


def test_sample_without_weight_is_refused() -> None:
    above, below = sample(50, 1, numerator=True), sample(50, 2, numerator=False)
    with pytest.raises(InputError, match="the denominator: expected entries"):
        close_ratio(ratio_like(), above, replace(below, weights=-below.weights))


def test_covariance_of_shares_is_that_of_many_samples() -> None:
    edges, found = np.array([-10.0, -0.5, 0.5, 10.0]), []
    rng = np.random.default_rng(3)
    for _ in range(2000):
        x, w = rng.normal(0.0, 1.0, 200), rng.uniform(-0.2, 1.0, 200)
        weighted = Weighted(x, w, np.exp(0.5 * x - 0.125))
        found.append(weighted.shares(edges)[:2])
    spread = np.cov(np.stack([shares for shares, _ in found]), rowvar=False)
    mean = np.mean([covariance for _, covariance in found], axis=0)
    np.testing.assert_allclose(mean, spread, rtol=0.15, atol=1e-5)


@given(st.integers(1, 10), st.integers(0, 2**32 - 1))
def test_chi2_of_equal_shares_is_zero_and_positive_of_others(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(n + 1))
    covariance = np.diag(shares) - np.outer(shares, shares)  # of a sample of one: singular
    same = agreement(shares, shares, covariance)
    assert same.chi2 == 0.0
    assert same.ndf == n
    other = rng.dirichlet(np.ones(n + 1))
    expected = np.sum((other - shares) ** 2 / shares)  # that of Pearson
    assert agreement(shares, other, covariance).chi2 == pytest.approx(expected, rel=1e-5)


def test_page_and_pictures(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    from hepsilon.plotting.ratio import plot_reweighted

    closure = close(n=500)
    assert isinstance(plot_reweighted("pt", closure.observables["pt"]), Figure)


def test_error_of_the_given_ratio_is_in_the_chi2_and_the_mean() -> None:
    above, below = sample(4000, 1, numerator=True), sample(4000, 2, numerator=False)
    x = below.inputs[:, 0].astype(np.float64)
    plain = close_ratio(ratio_like(), above, below)
    moved = 1.0 + np.random.default_rng(8).normal(0.0, 0.1, 30) * (x[:, None] > 0.0)
    given_ratio = {"given": np.full((len(x), 1), 0.5)}
    drawn = {"given": (moved / (1.0 + moved))[:, None]}
    both = replace(below, eps=below.eps | given_ratio, replicas=below.replicas | drawn)
    found = close_ratio(ratio_like(), above, both)
    # a ratio of one changes no number, its error does: 10 % of half of the entries
    assert found.mean == pytest.approx(plain.mean, rel=1e-12)
    for name, each in found.observables.items():
        assert each.reweighted == pytest.approx(plain.observables[name].reweighted, rel=1e-9)
    pt, before = found.observables["pt"], plain.observables["pt"]
    assert pt.before.chi2 < 0.9 * before.before.chi2
    assert np.sum(pt.model_variance) > 2.0 * np.sum(before.model_variance)
    assert found.mean_model_error > 1.5 * plain.mean_model_error
    # one that moves all weights by one factor has no effect on shares and mean
    same = np.broadcast_to(1.0 + np.random.default_rng(9).normal(0.0, 0.1, 30), moved.shape)
    drawn = {"given": (same / (1.0 + same))[:, None]}
    found = close_ratio(ratio_like(), above, replace(both, replicas=below.replicas | drawn))
    assert found.mean_model_error == pytest.approx(plain.mean_model_error, rel=1e-9)
