"""The benchmark of ratios. False alarms of the statistical tests: below 1e-4, seeds are fixed."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepsilon.errors import InputError

FOLDER = Path(__file__).parents[1] / "benchmarks"
N = 3000


@pytest.fixture
def compare_samples(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("side_by_side").compare_samples


def sample(mean: float, seed: int, n: int = N) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(mean, 1.0, n)
    return {"x": x, "y": rng.normal(size=n), "n": rng.integers(0, 3, n)}


def test_true_ratio_makes_one_sample_the_other(compare_samples: Any):
    top, bottom = sample(0.6, 1), sample(0.0, 2)
    before = compare_samples(top, bottom)
    assert before.chi2_ndf["x"] > 10.0
    assert before.auc > 0.6
    after = compare_samples(top, bottom, denominator_weights=np.exp(0.6 * bottom["x"] - 0.18))
    assert before.ndf == after.ndf == {"x": 19, "y": 19, "n": 2}
    for name, chi2 in after.chi2.items():
        assert chi2 < after.ndf[name] + 4.5 * np.sqrt(2.0 * after.ndf[name])
    assert after.auc == pytest.approx(0.5, abs=0.03)


def test_chi2_by_hand(compare_samples: Any):
    found = compare_samples({"n": np.repeat([0, 1], [30, 70])}, {"n": np.repeat([0, 1], [120, 80])})
    # shares 0.3 and 0.6 with binomial errors; both bins say the same
    expected = 2.0 * 0.3**2 / (0.21 / 100 + 0.24 / 200)
    assert found.chi2["n"] == pytest.approx(expected)
    assert found.ndf["n"] == 1


def test_scale_and_missing_values_change_nothing(compare_samples: Any):
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
def test_what_cannot_be_compared_is_an_error(
    compare_samples: Any, options: dict[str, Any], words: str
):
    given = {"numerator": sample(0.0, 1), "denominator": sample(0.0, 2)} | options
    with pytest.raises(InputError, match=words):
        compare_samples(**given)


@pytest.mark.slow
def test_script_measures_what_is_missing(tmp_path: Path):
    out = tmp_path / "found.json"
    command = [sys.executable, FOLDER / "ratios.py", "--out", out, "--seeds", "1"]
    command += ["--events", "300", "--test-events", "300", "--methods", "truth", "binned"]
    command += ["--samples", "good", "partial", "none", "background", "efficiency"]

    def run() -> str:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run()
    found = json.loads(out.read_text())
    assert len(found) == 9  # no true ratio without overlap
    for sample in ("good", "partial", "efficiency"):
        assert found[f"{sample} truth 1"]["kl"] == found[f"{sample} truth 1"]["squared"] == 0.0
        assert found[f"{sample} binned 1"]["kl"] > 0.0
    # within five standard deviations, where jets of an event are alike
    for sample in ("good", "partial", "background"):
        one = found[f"{sample} truth 1"]
        assert abs(one["mean"] - 1.0) < 5.0 * one["mean_error"]
        assert one["auc"]["before"] > one["auc"]["after"] + 0.05
    assert 0.0 <= found["good binned 1"]["coverage"]["bins"] <= 1.0
    before = out.stat().st_mtime_ns
    assert run().endswith(first[first.index("Squared") :])
    assert out.stat().st_mtime_ns == before
