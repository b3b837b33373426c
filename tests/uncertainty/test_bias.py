"""Bias by region: against logistic regressions whose last layer is all that there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom

from hepsilon.uncertainty.bias import Residuals, bias_moments
from hepsilon.uncertainty.last_layer import Covariance, Scores, sandwich
from hepsilon.uncertainty.region_sums import RegionEntries, RegionSums

BINS = 8


class Regression:
    """Logistic regression on some columns, fitted by Newton's method to weighted entries."""

    def __init__(self, columns: Any, passed: Any, weights: Any) -> None:
        self.beta = np.zeros(columns.shape[1] + 1)
        inner = np.column_stack([columns, np.ones(len(columns))])
        for _ in range(25):
            p = expit(inner @ self.beta)
            information = (inner * (weights * p * (1.0 - p))[:, None]).T @ inner
            self.beta += np.linalg.solve(information, inner.T @ (weights * (passed - p)))

    def logits(self, columns: Any) -> Any:
        return np.column_stack([columns, np.ones(len(columns))]) @ self.beta

    def covariance(self, columns: Any, passed: Any, weights: Any) -> Covariance:
        n = len(columns)
        scores = Scores(
            self.logits(columns)[:, None, None],
            columns[:, None, :].astype(np.float32),
            passed.astype(np.float32),
            weights[:, None],
            np.arange(n + 1),
        )
        return sandwich([scores])

    def entries(self, columns: Any, passed: Any, weights: Any, regions: Any, seen: bool) -> Any:
        logits = self.logits(columns)[:, None]
        return RegionEntries(
            regions=regions,
            logits=logits,
            passed=passed.astype(np.int64),
            weights=weights,
            networks=logits[:, :, None],
            features=columns[:, None, :].astype(np.float32),
            shares=np.ones((len(columns), 1)),
            seen=(weights if seen else np.zeros(len(columns)))[:, None],
            mu=1.0,
        )


def drawn(rng: np.random.Generator, n: int, signed: bool, wrong: Any = None) -> Any:
    """Two columns, responses and weights; ``wrong`` is what the logit has beside a linear one."""
    columns = rng.uniform(-1.0, 1.0, (n, 2)).astype(np.float32).astype(np.float64)
    logits = -0.5 + 0.8 * columns[:, 0] - 0.6 * columns[:, 1]
    if wrong is not None:
        logits = logits + wrong(columns)
    weights = rng.choice([1.0, -0.4], n, p=[0.9, 0.1]) if signed else np.ones(n)
    return columns, (rng.random(n) < expit(logits)).astype(float), weights, expit(logits)


def regions_of(columns: Any) -> Any:
    """Equal bins of both columns."""
    place = np.minimum(((columns + 1.0) / 2.0 * BINS).astype(np.int64), BINS - 1)
    return place + np.arange(2) * BINS


@pytest.mark.parametrize("seen", [True, False], ids=["trained on", "held out"])
@pytest.mark.parametrize("signed", [False, True], ids=["positive", "both signs"])
def test_residuals_fluctuate_as_their_covariance_says(seen: bool, signed: bool) -> None:
    """Events of the training have smaller residuals than others, by what the fit has taken.

    Of 400 samples a variance is known to 7 %; the mean over 16 correlated bins to better than that,
    and 25 % are allowed: without the fit's share the ratio would be 0.6 and 1.3.
    """
    rng, squares, expected = np.random.default_rng(5), np.zeros(2 * BINS), np.zeros(2 * BINS)
    size = 400
    for _ in range(400):
        columns, passed, weights, _ = drawn(rng, size, signed)
        fit = Regression(columns, passed, weights)
        sums = RegionSums(2 * BINS, 1, fit.covariance(columns, passed, weights))
        if not seen:
            columns, passed, weights, _ = drawn(rng, size, signed)
        sums.add(fit.entries(columns, passed, weights, regions_of(columns), seen))
        squares += sums.values**2
        expected += np.diag(sums.noise)
    ratio = squares / expected
    assert np.abs(ratio - 1.0).max() < 0.3
    assert abs(ratio.mean() - 1.0) < 0.06


def test_parts_add_up_and_sums_are_plain_loops() -> None:
    """Values, slopes and expected sums of three working points against loops."""
    rng = np.random.default_rng(2)
    n, points = 40, 3
    logits = rng.normal(size=(n, points))
    entries = RegionEntries(
        regions=rng.integers(0, 3, (n, 2)) + np.array([0, 3]),
        logits=logits,
        passed=rng.integers(0, points + 1, n),
        weights=rng.normal(size=n),
        networks=logits[:, :, None],
        features=None,
        shares=np.ones((n, 1)),
        seen=np.zeros((n, 1)),
        mu=1.0,
    )
    sums = RegionSums(6, points, None)
    sums.add(entries)
    odds = np.concatenate([np.ones((n, 1)), np.exp(logits)], axis=1)
    bins = odds / odds.sum(axis=1, keepdims=True)
    values, slopes, expected = np.zeros(18), np.zeros((18, 18)), np.zeros((6, points))
    for i in range(n):
        w, k = entries.weights[i], entries.passed[i]
        for r in entries.regions[i]:
            for p in range(points):
                values[3 * r + p] += w * ((k == p + 1) - bins[i, p + 1])
                expected[r, p] += w * bins[i, p + 1 :].sum()
                for s in entries.regions[i]:
                    for q in range(points):
                        change = bins[i, p + 1] * ((p == q) - bins[i, q + 1])
                        slopes[3 * r + p, 3 * s + q] += w * change
    np.testing.assert_allclose(sums.values, values, atol=1e-12)
    np.testing.assert_allclose(sums.slopes, slopes, atol=1e-12)
    np.testing.assert_allclose(sums.expected, expected, atol=1e-12)
    np.testing.assert_array_equal(sums.noise, sums.binomial)


def residuals_of(values: Any, size: float, components: Any = None) -> Residuals:
    """Residuals of regions that share no entry, of ``size`` effective entries each."""
    n = len(values)
    own = np.diag(np.full(n, size))
    which = np.zeros(n, np.int64) if components is None else components
    return Residuals(np.asarray(values), own, own, own, which)


def test_a_large_bias_is_found_with_its_size_and_sign() -> None:
    """Shifts of 0.5 and -0.5 with 10,000 effective entries: known to 0.01."""
    shifts = np.tile([0.5, -0.5], 5)
    found = bias_moments(residuals_of(shifts * 1e4, 1e4))
    moment = found.factor @ found.factor.T
    np.testing.assert_allclose(moment, np.outer(shifts, shifts), atol=0.02)
    assert found.variances[0] == pytest.approx(0.25, rel=0.6)


def test_without_an_excess_shifts_are_what_could_not_be_seen() -> None:
    """It falls with the number of entries: residuals of their binomial size in ten regions."""
    noise = np.random.default_rng(3).normal(size=10)
    noise /= np.sqrt(np.mean(noise**2))
    sizes = np.array([1e2, 1e4])
    spreads = []
    for size in sizes:
        found = bias_moments(residuals_of(noise * np.sqrt(size), size))
        spreads.append(np.sqrt(np.mean(np.sum(found.factor**2, axis=1))))
    np.testing.assert_allclose(np.array(spreads) * np.sqrt(sizes), spreads[0] * 10.0, rtol=1e-6)
    assert 0.2 < spreads[0] * 10.0 < 1.0  # in units of the statistical error of a region


def test_a_common_scale_adds_no_bias_for_every_input() -> None:
    """Fifteen inputs without a bias, all seen by the same entries: little is made up."""
    size, n_bins, inputs = 400.0, 10, 15
    rng = np.random.default_rng(7)
    own = np.diag(np.full(n_bins * inputs, size))
    which = np.repeat(np.arange(inputs), n_bins)
    totals = []
    for _ in range(10):
        values = rng.normal(0.0, np.sqrt(size), n_bins * inputs)
        found = [
            bias_moments(Residuals(values, own, own, own, which), common_scale=scale)
            for scale in (False, True)
        ]
        totals.append([each.variances.sum() * size for each in found])
    each_by_itself, common = np.mean(totals, axis=0)
    assert each_by_itself > 3.0
    assert common < 0.5 * each_by_itself
    # one input that is clearly wrong is found all the same: 0.3 is six errors of a bin
    values[:n_bins] += size * 0.3 * np.tile([1.0, -1.0], n_bins // 2)
    found = bias_moments(Residuals(values, own, own, own, which), common_scale=True)
    assert found.variances[0] == pytest.approx(0.09, rel=0.6)
    assert np.all(found.variances[1:] < 0.02)


def test_regions_without_entries_do_not_matter() -> None:
    values = np.array([30.0, -20.0, 0.0, 0.0])
    own = np.diag([100.0, 100.0, 0.0, 0.0])
    found = bias_moments(Residuals(values, own, own, own, np.array([0, 0, 0, 1])))
    assert np.isfinite(found.factor).all()
    assert found.variances[1] == 0.0
    assert np.all(found.factor[3] == 0.0)


def test_weights_of_the_regions_may_differ_by_orders_of_magnitude() -> None:
    """Samples with other cross-sections: the shifts are those of equal weights."""
    rng = np.random.default_rng(2)
    own = np.diag(rng.uniform(50.0, 200.0, 8))
    values = own @ rng.normal(0.0, 0.4, 8)
    which = np.zeros(8, np.int64)
    equal = bias_moments(Residuals(values, own, own, own, which))
    scale = np.diag(10.0 ** np.linspace(-4.0, 4.0, 8))
    squared = scale @ own @ scale
    found = bias_moments(Residuals(scale @ values, scale @ own, squared, squared, which))
    moments = [each.factor @ each.factor.T for each in (found, equal)]
    np.testing.assert_allclose(moments[0], moments[1], atol=1e-6)


def test_nothing_known_is_no_more_than_a_factor_of_e() -> None:
    found = bias_moments(residuals_of([0.01, -0.01], 1e-4))
    assert 0.0 < found.variances[0] <= 1.0


def test_an_excess_is_counted_once_where_two_inputs_are_one() -> None:
    """The variance of the sum of both shifts is that of one of them."""
    values = np.tile([400.0, -400.0], 5)
    block = np.diag(np.full(10, 1e3))
    both = np.block([[block, block], [block, block]])
    components = np.repeat([0, 1], 10)
    found = bias_moments(Residuals(np.tile(values, 2), both, both, both, components))
    moved = found.factor[:10] + found.factor[10:]
    np.testing.assert_allclose(np.sum(moved**2, axis=1), 0.16, rtol=0.3)


def test_bands_of_a_fit_that_misses_something_cover_with_the_bias() -> None:
    """60 logistic regressions that lack a curved term: sums in bins of the column that it is in.

    Without the bias 68 % bands would hold the truth in fewer than half of the bins, with it in 60
    to 80 %. The share of 60 experiments with eight bins each fluctuates by less than that of 120
    independent numbers; the test allows for what happens by chance in one of 10,000 such sets.
    """
    rng, inside, before = np.random.default_rng(11), 0, 0
    n_test, experiments = 2000, 60
    columns, _, _, _ = drawn(rng, n_test, False)

    def wrong(x: Any) -> Any:
        return 0.5 * np.cos(4.0 * x[:, 1])

    truth = expit(-0.5 + 0.8 * columns[:, 0] - 0.6 * columns[:, 1] + wrong(columns))
    place = regions_of(columns)
    for _ in range(experiments):
        known, passed, weights, _ = drawn(rng, 2000, False, wrong)
        fit = Regression(known, passed, weights)
        sums = RegionSums(2 * BINS, 1, fit.covariance(known, passed, weights))
        sums.add(fit.entries(known, passed, weights, regions_of(known), True))
        found = bias_moments(sums.residuals(np.repeat([0, 1], BINS)))
        eps = expit(fit.logits(columns))
        slope = eps * (1.0 - eps)
        own = np.zeros((2 * BINS, 2 * BINS))
        for a in range(2):
            for b in range(2):
                np.add.at(own, (place[:, a], place[:, b]), slope)
        gradient = np.zeros((2 * BINS, 3))
        inner = np.column_stack([columns, np.ones(n_test)])
        for a in range(2):
            np.add.at(gradient, place[:, a], slope[:, None] * inner)
        factor = gradient @ fit.covariance(known, passed, weights).factor.reshape(3, -1)
        layer = np.sum(factor**2, axis=1)[BINS:]
        bias = np.sum((own @ found.factor) ** 2, axis=1)[BINS:]
        missed = np.bincount(place[:, 1], weights=eps - truth, minlength=2 * BINS)[BINS:]
        before += int(np.sum(missed**2 < layer))
        inside += int(np.sum(missed**2 < layer + bias))
    n = BINS * experiments
    assert before < 0.5 * n
    low = binom.ppf(0.5e-4, 120, 0.6) / 120
    high = binom.isf(0.5e-4, 120, 0.8) / 120
    assert low <= inside / n <= high, inside / n


def test_ratio_is_normalised_by_shares_and_its_noise_is_what_is_seen() -> None:
    """Weights that depend on the sample: the variance of a residual is not that of p (1 - p)."""
    rng = np.random.default_rng(5)
    n = 4000
    passed = np.arange(n) % 2
    weights = np.where(passed == 1, 4.0, 1.0)
    logits = np.full((n, 1), np.log(4.0))  # four times the weight
    regions = rng.integers(0, 3, n)[:, None]
    sums = RegionSums(3, 1, None, ratio=np.exp)
    entries = RegionEntries(
        regions=regions,
        logits=logits,
        passed=passed,
        weights=weights,
        networks=logits[..., None],
        features=None,
        shares=np.ones((n, 1)),
        seen=np.zeros((n, 1)),
        mu=1.0,
    )
    sums.add(entries)
    p = 0.8
    for region in range(3):
        mine = regions[:, 0] == region
        seen = np.sum(weights[mine] ** 2 * (passed[mine] - p) ** 2)
        assert sums.binomial[region, region] == pytest.approx(seen)
        below = np.sum(weights[mine] * (passed[mine] == 0)) * 4.0
        assert sums.reweighted[region, region] == pytest.approx(below)
    assert np.count_nonzero(sums.reweighted - np.diag(np.diag(sums.reweighted))) == 0
