"""Two samples side by side. False alarms of the statistical tests: below 1e-4, seeds are fixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hepsilon.closure.reweighting import compare_samples
from hepsilon.errors import InputError

N = 3000


def sample(mean: float, seed: int, n: int = N) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(mean, 1.0, n)
    return {"x": x, "y": rng.normal(size=n), "n": rng.integers(0, 3, n)}


def test_true_ratio_makes_one_sample_the_other():
    top, bottom = sample(0.6, 1), sample(0.0, 2)
    before = compare_samples(top, bottom)
    assert before.chi2_ndf["x"] > 10.0
    assert before.auc > 0.6
    after = compare_samples(top, bottom, denominator_weights=np.exp(0.6 * bottom["x"] - 0.18))
    assert before.ndf == after.ndf == {"x": 19, "y": 19, "n": 2}
    for name, chi2 in after.chi2.items():
        assert chi2 < after.ndf[name] + 4.5 * np.sqrt(2.0 * after.ndf[name])
    assert after.auc == pytest.approx(0.5, abs=0.03)


def test_chi2_by_hand():
    found = compare_samples({"n": np.repeat([0, 1], [30, 70])}, {"n": np.repeat([0, 1], [120, 80])})
    # shares 0.3 and 0.6 with binomial errors; both bins say the same
    expected = 2.0 * 0.3**2 / (0.21 / 100 + 0.24 / 200)
    assert found.chi2["n"] == pytest.approx(expected)
    assert found.ndf["n"] == 1


def test_scale_order_and_missing_values_change_nothing():
    top, bottom = sample(0.3, 3), sample(0.0, 4)
    top["x"][:50], bottom["x"][:80] = np.nan, np.inf
    weights = np.random.default_rng(5).uniform(-0.2, 1.0, N)
    first = compare_samples(top, bottom, denominator_weights=weights)
    scaled = compare_samples(top, bottom, denominator_weights=7.0 * weights)
    assert scaled.chi2 == pytest.approx(first.chi2)
    assert scaled.auc == pytest.approx(first.auc, abs=1e-6)
    assert np.isfinite(list(first.chi2.values())).all()
    assert first.ndf["x"] == 21  # both have bins of their own


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"denominator_weights": np.ones(5)}, "one value, weight and event"),
        ({"denominator_weights": -np.ones(N)}, "positive sum of weights"),
        ({"denominator": {"z": np.ones(N)}}, "expected the observables"),
        ({"numerator": {"x": [], "y": [], "n": []}}, "numerator: expected"),
    ],
)
def test_what_cannot_be_compared_is_an_error(options: dict[str, Any], words: str):
    given = {"numerator": sample(0.0, 1), "denominator": sample(0.0, 2)} | options
    with pytest.raises(InputError, match=words):
        compare_samples(**given)
