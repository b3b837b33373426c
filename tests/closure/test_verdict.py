"""Verdict: from numbers alone, from repeated toys with the true efficiency, and from files."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import ConfigError
from hepsilon.closure import TaggingClosure, compare, compare_inversion, judge
from hepsilon.closure.judgement import MethodVerdict
from hepsilon.closure.model import InversionClosure, Overall, Share
from hepsilon.closure.verdict import SEVERITY, adjusted
from hepsilon.config import VerdictConfig, load_config
from hepsilon.report.page import page
from hepsilon.report.verdict import verdict_sentences
from tests.helpers.toys import TASK
from tests.helpers.track_toys import PAIRS

EDGES = np.linspace(0.0, 1.0, 11)
NOTHING = {"count": 0, "share": 0.0}


def closure_of(overall: Any, observables: Any, *, inversion: bool = False, **fields: Any) -> Any:
    """A closure of one method with these numbers."""
    entry = {
        "overall": overall,
        "observables": observables,
        "clipped": Share(**NOTHING),
        "out_of_domain": Share(**NOTHING),
        "effective_sample_size": {},
    }
    name = fields.pop("name", "net")
    common = {"n_events": 1, "n_objects": 1, "files": ["a.root"], "versions": {}, "model_hash": {}}
    if inversion:
        return InversionClosure.model_validate(
            {"task": PAIRS, "efficiency": {name: entry}, "n_selected": 1, "n_outside": 0}
            | {"selected_effective_sample_size": {}}
            | common
            | fields
        )
    entry |= {"statistics_gain": {}, "n_replicas": 0}
    return TaggingClosure.model_validate(
        {"task": TASK, "efficiency": {name: entry}, "direct_effective_sample_size": {}}
        | common
        | fields
    )


def total_of(observed: float, expected: float, variance: float) -> dict[str, float]:
    error = variance**0.5
    pull = (observed - expected) / error
    return {
        "expected": expected,
        "observed": observed,
        "pull": pull,
        "relative_error": error / expected,
    }


def toy(
    rng: np.random.Generator,
    n: int = 20_000,
    *,
    inversion: bool = False,
    bias: float = 1.0,
    scale: float = 1.0,
) -> Any:
    """Closure of objects with random weights; observables and categories share the objects."""
    x = rng.uniform(size=(n, 3))
    x[:, 2] = (x[:, 0] + x[:, 1]) / 2
    p = 0.3 + 0.65 * x[:, 0] * (1.0 - 0.5 * x[:, 1])
    w = scale * rng.uniform(0.5, 1.5, n)
    passed = rng.uniform(size=n) < p * bias
    observed, expected, variance = (
        (w * passed / p, w, w**2 * (1 - p) / p)
        if inversion
        else (w * passed, w * p, w**2 * p * (1 - p))
    )
    rare = rng.uniform(size=n) < 0.1
    observables = {}
    for number, column in enumerate(x.T):
        for label, part in (("", slice(None)), ("|rare", rare), ("|other", ~rare)):
            columns = (observed, expected, variance, w, w**2)
            sums = [np.histogram(column[part], EDGES, weights=c[part])[0] for c in columns]
            compared = (
                compare_inversion(EDGES, *sums[:3])
                if inversion
                else compare(EDGES, *sums[:3], (sums[3], sums[4]))
            )
            fields = compared.plain() | ({"naive_chi2": 0.0, "naive_ndf": 0} if inversion else {})
            observables[f"x{number}{label}"] = fields
    overall = total_of(observed.sum(), expected.sum(), variance.sum())
    if inversion:
        overall |= {"poisson_error": 0.0, "horvitz_thompson_error": 0.0}
    return closure_of(overall, observables, inversion=inversion)


@pytest.mark.parametrize("unit", [1.0, 1e-4, 0.1, 0.3, 1e5])
def test_a_bin_at_the_limit_is_judged_in_any_unit(unit):
    w = np.full(100, unit)
    expected, variance = (np.array([c.sum()]) for c in (0.5 * w, 0.25 * w**2))
    sums = w.sum(keepdims=True), (w**2).sum(keepdims=True)
    compared = compare(np.array([0.0, 1.0]), 1.1 * expected, expected, variance, sums)
    closure = closure_of(total_of(55.0, 50.0, 25.0), {"x": compared.plain()})
    worst = judge(closure).methods["net"].worst_bin
    assert worst is not None
    assert worst.pull == pytest.approx(1.0)


@pytest.mark.parametrize("scale", [1e-4, 0.3, 1e5, 225892.0])
def test_the_first_of_equal_bins_is_named_in_any_unit(scale):
    """The sums over all bins of several observables are equal up to rounding."""
    one, other = (
        judge(toy(np.random.default_rng(3), bias=1.1, scale=unit)).methods["net"]
        for unit in (1.0, scale)
    )
    assert one.worst_bin.observable == other.worst_bin.observable == "x0"
    assert one.worst_bin.edges == other.worst_bin.edges
    assert one.reasons == other.reasons


def of_total(relative: float, error: float, **fields: Any) -> MethodVerdict:
    """Verdict of a total alone."""
    thresholds = fields.pop("thresholds", None)
    closure = closure_of(total_of(1.0 + relative, 1.0, error**2), {}, **fields)
    return next(iter(judge(closure, thresholds).methods.values()))


@pytest.mark.parametrize(
    ("relative", "error", "status", "text"),
    [
        (0.001, 0.002, "pass", "a bias of 0.4 % would have been seen"),
        (0.027, 0.0017, "fail", "observed 2.7 % more than predicted (+15.9 standard deviations)"),
        (-0.027, 0.0017, "fail", "observed 2.7 % less than predicted"),
        (0.01, 0.001, "warn", "clear, but not more than the tolerated 2 %"),
        (0.021, 0.0095, "warn", "above the tolerated 2 %, but not clear"),
        (0.0, 0.02, "warn", "could not have seen less than 4 %"),
        (0.5, 0.03, "fail", "could not have seen less than 6 %"),
    ],
)
def test_clear_and_large_are_told_apart(
    relative: float, error: float, status: str, text: str
) -> None:
    found = of_total(relative, error)
    assert found.status == status
    assert text in "; ".join(found.reasons)
    assert found.smallest_visible_bias == pytest.approx(2 * error)
    assert found.relative_difference == pytest.approx(relative)


@given(st.floats(-8.0, 8.0), st.floats(0.0, 8.0), st.floats(1e-4, 0.05))
def test_a_larger_difference_is_never_judged_better(pull: float, more: float, error: float) -> None:
    sign = -1.0 if pull < 0 else 1.0
    before = of_total(pull * error, error)
    after = of_total((pull + sign * more) * error, error)
    assert SEVERITY.index(after.status) >= SEVERITY.index(before.status)
    assert before.p_value is not None
    assert after.p_value is not None
    assert after.p_value <= before.p_value


@pytest.mark.parametrize("inversion", [False, True])
@given(st.floats(-12.0, 12.0), st.sampled_from([1.0, 0.95, 0.7]))
def test_the_unit_of_the_weights_does_not_matter(
    inversion: bool, exponent: float, bias: float
) -> None:
    verdicts = [
        judge(
            toy(np.random.default_rng(5), 2000, inversion=inversion, bias=bias, scale=scale)
        ).methods["net"]
        for scale in (1.0, 10.0**exponent)
    ]
    first, second = verdicts
    assert second.status == first.status
    assert second.p_value == pytest.approx(first.p_value, rel=1e-6, abs=1e-300)
    assert second.smallest_visible_bias == pytest.approx(first.smallest_visible_bias)


@pytest.mark.parametrize("inversion", [False, True])
def test_the_true_efficiency_rarely_fails(inversion: bool) -> None:
    """At most 0.27 % of 100 toys fail if the p-values hold: four or more have a chance of 2e-4."""
    rng = np.random.default_rng(1)
    found = [judge(toy(rng, inversion=inversion)).methods["net"] for _ in range(100)]
    assert sum(one.status == "fail" for one in found) < 4
    p_values = np.array([one.p_value for one in found])
    # below 0.1 for at most a tenth, after Simes: 22 or more have a chance of 3e-4
    assert np.sum(p_values < 0.1) < 22


@pytest.mark.parametrize("inversion", [False, True])
def test_an_efficiency_that_is_off_fails(inversion: bool) -> None:
    found = judge(toy(np.random.default_rng(2), inversion=inversion, bias=0.9)).methods["net"]
    assert found.status == "fail"
    assert "less than" in found.reasons[0]
    assert found.p_value is not None
    assert found.p_value < 1e-30


def bins_of(relative: Any, error: float) -> dict[str, Any]:
    """An observable with these relative differences, of bins that expect one."""
    relative = np.asarray(relative)
    one = np.ones(len(relative))
    edges = np.arange(len(relative) + 1.0)
    return compare_inversion(edges, one + relative, one, one * error**2).plain()


def test_one_bad_bin_fails_though_the_total_agrees() -> None:
    relative = np.zeros(50)
    relative[7] = 0.3
    closure = closure_of(total_of(1.0, 1.0, 1e-6), {"pt|b": bins_of(relative, 0.02)})
    found = judge(closure).methods["net"]
    assert found.status == "fail"
    assert "pt|b, bin 7 to 8: observed 30 % more than predicted" in found.reasons[0]
    worst = found.worst_bin
    assert worst is not None
    assert (worst.observable, worst.edges, worst.n_bins) == ("pt|b", [[7.0, 8.0]], 51)
    assert worst.pull == pytest.approx(15.0)


def test_a_bin_with_few_entries_is_not_judged_alone() -> None:
    closure = closure_of(total_of(1.0, 1.0, 1e-6), {"pt": bins_of([0.9, -0.9], 0.2)})
    worst = judge(closure).methods["net"].worst_bin
    assert worst is None or worst.n_bins == 0 or worst.edges == [[0.0, 2.0]]


def test_bins_that_cannot_be_are_told() -> None:
    """An efficiency of zero where objects pass leaves no variance to judge by."""
    observable = bins_of([0.0, 0.0], 0.1) | {"variance": [0.01, 0.0], "observed": [1.0, 1.5]}
    found = judge(closure_of(total_of(1.0, 1.0, 1e-6), {"pt": observable})).methods["net"]
    assert found.status == "fail"
    assert any("exactly zero or one" in reason for reason in found.reasons)
    assert found.p_value == 0.0


def test_files_of_the_training_fail_and_other_questions_warn() -> None:
    seen = of_total(0.0, 0.001, trained_on={"net": ["a.root"]})
    assert seen.status == "fail"
    assert seen.reasons[0].startswith("trained on 1 of these files (a.root)")
    assert of_total(0.0, 0.001, differences={"net": ["another unit"]}).status == "warn"
    reconstructed = of_total(0.0, 0.001, name="net@reco", trained_on={"net": ["a.root"]})
    assert (reconstructed.status, reconstructed.role) == ("fail", "reconstructed")


def test_nothing_to_compare_is_not_a_pass() -> None:
    verdict = judge(closure_of({"expected": None, "observed": 1.0, "pull": None}, {}))
    assert verdict.status == "warn"
    assert verdict.methods["net"].p_value is None
    assert "nothing could be compared" in verdict.reasons[0]


def test_baselines_decide_only_among_themselves() -> None:
    bad, good = total_of(1.1, 1.0, 1e-6), total_of(1.0, 1.0, 1e-6)
    alone = closure_of(bad, {}, name="map", baselines=["map"])
    assert judge(alone).status == "fail"
    entries = {"map": alone.efficiency["map"], "net": closure_of(good, {}).efficiency["net"]}
    both = alone.model_copy(update={"efficiency": entries})
    verdict = judge(both)
    assert verdict.status == "pass"
    assert (verdict.methods["map"].status, verdict.methods["map"].role) == ("fail", "baseline")


def test_thresholds_are_those_given_and_noted() -> None:
    strict = VerdictConfig(total=0.005)
    assert of_total(0.01, 0.001, thresholds=strict).status == "fail"
    closure = closure_of(total_of(1.01, 1.0, 1e-6), {})
    plain = judge(closure, strict).as_dict()
    assert plain["thresholds"] == strict.model_dump()
    again = closure.model_copy(update={"verdict": judge(closure)})
    content = json.loads(json.dumps(again.as_dict(), allow_nan=False))
    assert judge(type(closure).model_validate(content)) == again.verdict


@pytest.mark.parametrize(
    "text", ["total = 0.0", "bin = 1.5", "p_value = -1.0", 'total = "2 %"', "totl = 0.1"]
)
def test_a_broken_threshold_is_an_error(tmp_path: Any, text: str) -> None:
    path = tmp_path / "config.toml"
    head = '[task]\nfeatures = ["pt"]\npassed = { field = "tag" }\n'
    path.write_text(f"{head}[verdict]\n{text}\n")
    with pytest.raises(ConfigError, match=r"verdict\."):
        load_config(path)
    path.write_text(f"{head}[verdict]\ntotal = 0.03\n")
    assert load_config(path).verdict == VerdictConfig(total=0.03)


def test_p_values_are_combined_after_simes() -> None:
    assert adjusted([0.01, 0.04, 0.5]).min() == pytest.approx(0.03)
    assert adjusted([0.02] * 9).min() == pytest.approx(0.02)


def test_page_begins_with_the_verdict_in_words_and_colour() -> None:
    closure = closure_of(Overall(**total_of(1.1, 1.0, 1e-6)), {}, name="<map>", baselines=["<map>"])
    judged = closure.model_copy(update={"verdict": judge(closure)})
    text = page(judged)
    first = text.split("<h1>Closure of a.root</h1>")[1].split("<h2>")[0]
    assert '<p>Verdict: <strong class="fail">fail<' in first.split("<ul>")[0]
    assert "<b>&lt;map&gt; (baseline) on a.root</b>: total: observed 10 % more" in first
    assert "statistical error of the sample and, where it is known, that of the efficiency" in first
    ((status, sentence),) = verdict_sentences(judged)
    assert status == "fail"
    assert sentence.startswith("<map> (baseline) on a.root: total: observed 10 % more")
