"""The efficiency's own error in pulls, chi2 and verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from hepsilon.closure import compare, compare_inversion, judge
from hepsilon.closure.parts import overall_of
from hepsilon.uncertainty import shrunk_covariance
from tests.closure.test_verdict import closure_of

FALSE_ALARM = 1e-3
"""Chance that a statistical test here fails although all is well (with another seed than now)."""
EDGES = np.arange(9.0)
EXPERIMENTS = 300


def experiments(n_replicas: int, seed: int = 3) -> list[Any]:
    """Efficiencies that were learned with a known covariance, on samples of their own each.

    The true sums are 2000 in each of eight bins; the sample has a variance of 400, and the
    efficiency moves them by three common numbers with a total variance of about twice that.
    """
    rng, found = np.random.default_rng(seed), []
    directions = rng.normal(0.0, 16.0, (3, 8))
    for _ in range(EXPERIMENTS):
        truth = np.full(8, 2000.0)
        observed = truth + rng.normal(0.0, 20.0, 8)
        expected = truth + rng.normal(size=3) @ directions
        replicas = expected + rng.normal(size=(n_replicas, 3)) @ directions
        found.append(compare(EDGES, observed, expected, np.full(8, 400.0), None, replicas))
    return found


def test_p_values_of_uncertain_efficiencies_are_uniform() -> None:
    """With many replicas; without the efficiency's own error they are far from it."""
    found = experiments(2000)
    assert all(c.ndf == 8 for c in found)
    assert kstest([c.p_value for c in found], "uniform").pvalue > FALSE_ALARM
    assert kstest([c.sample_p_value for c in found], "uniform").pvalue < 1e-6


def test_few_replicas_rarely_give_a_false_alarm() -> None:
    """With 20 replicas less than 3 % have a p-value below 1 %, and not all are near one."""
    p_values = np.array([c.p_value for c in experiments(20)])
    assert np.mean(p_values < 0.01) < 0.03
    assert 0.2 < np.median(p_values) < 0.8


def test_chi2_by_hand() -> None:
    """Bins of variance 3 and 3 are joined; the efficiency moves the joined bins."""
    variance = np.array([3.0, 3.0, 6.0])
    observed, expected = np.array([4.0, 5.0, 9.0]), np.array([2.0, 4.0, 12.0])
    replicas = np.array([[2.0, 5.0, 11.0], [2.5, 3.0, 12.0], [1.0, 4.0, 14.0], [3.0, 4.0, 12.0]])
    found = compare(np.arange(4.0), observed, expected, variance, None, replicas)
    joined = np.stack([replicas[:, 0] + replicas[:, 1], replicas[:, 2]], axis=1)
    matrix = np.diag([6.0, 6.0]) + shrunk_covariance(joined)
    difference = np.array([3.0, -3.0])
    assert found.chi2 == pytest.approx(difference @ np.linalg.inv(matrix) @ difference)
    assert (found.ndf, found.sample_chi2) == (2, pytest.approx(3.0))
    assert found.p_value == pytest.approx(chi2.sf(found.chi2, 2))
    own = replicas.var(axis=0, ddof=1)
    np.testing.assert_allclose(found.variance, variance + own)
    np.testing.assert_allclose(found.pull, (observed - expected) / np.sqrt(variance + own))
    np.testing.assert_allclose(found.covariance, np.cov(replicas.T), rtol=1e-5)
    assert found.efficiency_variance_of_sum == pytest.approx(replicas.sum(axis=1).var(ddof=1))


def test_replicas_that_do_not_differ_change_nothing() -> None:
    rng = np.random.default_rng(1)
    observed, expected = rng.uniform(50.0, 150.0, (2, 3, 4))
    variance = np.full((3, 4), 50.0)
    edges = np.arange(4.0), np.arange(5.0)
    replicas = np.repeat(expected[None], 5, axis=0)
    for function in (compare, compare_inversion):
        plain = function(edges, observed, expected, variance)
        found = function(edges, observed, expected, variance, replicas=replicas)
        assert found.chi2 == pytest.approx(plain.chi2)
        assert found.sample_chi2 == pytest.approx(plain.chi2)
        np.testing.assert_allclose(found.pull, plain.pull)
        assert found.covariance is None  # of two dimensions


def test_totals_have_both_errors() -> None:
    found = overall_of(108.0, 100.0, 9.0, 100.0, np.array([96.0, 100.0, 104.0]))
    assert found["pull"] == pytest.approx(8.0 / 5.0)
    assert found["sample_pull"] == pytest.approx(8.0 / 3.0)
    assert found["relative_error"] == pytest.approx(0.05)
    assert found["efficiency_error"] == pytest.approx(0.04)
    assert "sample_pull" not in overall_of(108.0, 100.0, 9.0, 100.0, None)


def judged(replicas: Any) -> Any:
    """Verdict on an efficiency that is 6 % low everywhere, on a sample that sees this clearly."""
    expected = np.full(8, 94_000.0)
    variance = np.full(8, 40_000.0)
    compared = compare(EDGES, np.full(8, 100_000.0), expected, variance, None, replicas)
    sums = None if replicas is None else replicas.sum(axis=1)
    overall = overall_of(800_000.0, 752_000.0, 320_000.0, 752_000.0, sums)
    closure = closure_of(overall, {"x": compared.plain()})
    return judge(closure)


def test_a_bias_that_the_efficiency_covers_does_not_fail() -> None:
    """A common error of 5 %: nothing is clear any more, but the sample cannot see little."""
    assert judged(None).status == "fail"
    common = 1.0 + 0.05 * np.random.default_rng(2).normal(size=(200, 1))
    found = judged(94_000.0 * common * np.ones((200, 8)))
    assert found.status == "warn"
    text = "; ".join(found.reasons)
    assert "could not have seen less than" in text
    small = judged(94_000.0 * (1.0 + 0.01 * (common - 1.0)) * np.ones((200, 8)))
    assert small.status == "fail"
    assert "without the efficiency's own error" in "; ".join(small.reasons)
