"""Calibration errors: by hand, unbiased for the true efficiency, and through both processors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from hepsilon.closure import closure_report, run_closure
from hepsilon.closure.calibration import EFFICIENCY, MOST_BINS, calibration_of
from hepsilon.closure.reliability import Calibration
from hepsilon.histograms.methods import OTHER
from hepsilon.plotting import plot_calibration
from hepsilon.processors.calibration import book_calibration, fill_calibration
from hepsilon.processors.outputs import TaggingOutput
from hepsilon.report.calibration import calibration_rows
from tests.helpers.toys import TASK, half


def output_of(eps, passed, weights, rows=None, categories=(OTHER, "b", "light")):
    """An output that holds the calibration of one method alone."""
    histogram = book_calibration(["net"], categories)
    rows = np.zeros(len(eps), int) if rows is None else rows
    fill_calibration(histogram, "net", rows, eps, passed, weights)
    names = ("observables", "out_of_domain", "binomial", "efficiency_replicas", "profiles")
    return TaggingOutput(
        n_events=1,
        n_objects=1,
        totals=histogram,
        calibration=histogram,
        **{name: {} for name in names},
    )


def errors_of(*columns, **options):
    found = calibration_of(output_of(*columns, **options), "net")
    assert found is not None
    return found


def test_two_groups_by_hand():
    eps = np.repeat([0.2, 0.8], 5000)
    passed = np.zeros(10_000)
    passed[:1100] = passed[5000:8900] = 1.0  # 0.22 and 0.78 in place of 0.2 and 0.8
    found = errors_of(eps, passed, np.ones(10_000))
    shares, error = found.reliability["all"], found.errors[EFFICIENCY]
    assert shares.predicted == pytest.approx([0.2, 0.8])
    assert shares.observed == pytest.approx([0.22, 0.78])
    sigma = (0.16 / 5000) ** 0.5
    assert shares.error == pytest.approx([sigma, sigma])
    assert error.raw == pytest.approx(0.02)
    assert error.noise == pytest.approx((2 / np.pi) ** 0.5 * sigma)
    assert error.value == pytest.approx(error.raw - error.noise)
    assert error.n_bins == 2
    assert error.p_value == pytest.approx(np.exp(-0.5 * 2 * (0.02 / sigma) ** 2))


def test_truth_has_no_calibration_error_without_its_noise():
    """Mean over 200 samples within 4 of its errors: false alarm 1e-4."""
    rng = np.random.default_rng(5)
    values, chances = [], []
    for _ in range(200):
        eps, weights = rng.uniform(0.02, 0.98, 4000), rng.choice([1.0, 2.0, -0.5], 4000)
        error = errors_of(eps, rng.random(4000) < eps, weights).errors[EFFICIENCY]
        assert 8 <= error.n_bins <= MOST_BINS
        values.append(error.value)
        chances.append(error.p_value)
    mean, spread = np.mean(values), np.std(values, ddof=1)
    assert abs(mean) < 4.0 * spread / 200**0.5
    assert kstest(chances, "uniform").pvalue > 1e-3


def test_bias_is_found_with_its_size_and_its_error():
    rng = np.random.default_rng(6)
    found = []
    for _ in range(100):
        eps = rng.uniform(0.3, 0.7, 20_000)
        passed = rng.random(20_000) < eps + 0.05
        found.append(errors_of(eps, passed, np.ones(20_000)).errors[EFFICIENCY])
    raw = [error.raw for error in found]
    assert np.mean(raw) == pytest.approx(0.05, abs=1e-3)  # nothing is folded at such a size
    assert np.mean([e.error for e in found]) == pytest.approx(np.std(raw, ddof=1), rel=0.3)


@given(st.integers(0, 1000), st.sampled_from([1e-3, 1.0, 225892.0, -1.0]))
def test_unit_of_the_weights_does_not_matter(seed, unit):
    rng = np.random.default_rng(seed)
    eps, rows = rng.random(3000), rng.integers(0, 3, 3000)
    passed, weights = rng.random(3000) < 0.5, rng.uniform(0.5, 1.5, 3000)
    one, other = (errors_of(eps, passed, w, rows) for w in (weights, unit * weights))
    assert set(one.errors) == {EFFICIENCY, f"{EFFICIENCY}|b", f"{EFFICIENCY}|light"}
    for key, error in one.errors.items():
        assert other.errors[key].model_dump() == pytest.approx(error.model_dump(), rel=1e-6)


@pytest.mark.parametrize("unit", [1.0, 1e-4, 0.1, 1e5, -1.0])
def test_a_sample_at_the_limit_is_judged_in_any_unit(unit):
    found = errors_of(np.full(100, 0.5), np.arange(100) % 2, np.full(100, unit))
    assert found.errors[EFFICIENCY].n_bins == 1
    shares = found.reliability["all"]
    assert shares.observed == pytest.approx([0.5])
    assert shares.error == pytest.approx([0.05])


def test_chunks_in_any_order_give_one_result():
    rng = np.random.default_rng(2)
    eps, passed, weights = rng.random(3000), rng.random(3000) < 0.5, np.ones(3000)
    whole = output_of(eps, passed, weights).calibration
    parts = [output_of(eps[s], passed[s], weights[s]) for s in (slice(1000), slice(1000, None))]
    for joined in (parts[0] + parts[1], parts[1] + parts[0]):
        np.testing.assert_allclose(joined.calibration.values(flow=True), whole.values(flow=True))


def test_efficiencies_of_zero_and_one_are_entries_too():
    eps, passed = np.repeat([0.0, 1.0, 0.5], 1000), np.repeat([0.0, 1.0, 0.0], 1000)
    passed[2000::2] = 1.0
    found = errors_of(eps, passed, np.ones(3000))
    assert found.errors[EFFICIENCY].raw == pytest.approx(0.0, abs=1e-12)
    assert sum(found.reliability["all"].share) == pytest.approx(1.0)


def test_few_entries_are_not_judged():
    assert errors_of(np.full(40, 0.5), np.zeros(40), np.ones(40)).errors == {}
    assert errors_of(np.empty(0), np.empty(0), np.empty(0)).errors == {}


@pytest.fixture(scope="module")
def report(toy_file, toy_map):
    efficiencies = {"map": toy_map, "half": half}
    output = run_closure([toy_file], TASK, efficiencies)
    return output, closure_report(output, TASK, efficiencies, [toy_file])


def test_closure_of_jets_has_bins_of_observables_and_flavours(report):
    output, closure = report
    errors = closure.efficiency["half"].calibration.errors
    assert {EFFICIENCY, "pt", "eta", "pt|b", f"{EFFICIENCY}|light"} <= set(errors)
    assert not any("tags" in key for key in errors)
    assert errors[EFFICIENCY].value > 5.0 * errors[EFFICIENCY].error  # one half for everything
    direct, expected = (closure.efficiency["half"].overall[k] for k in ("observed", "expected"))
    everything = output.observables["eta"][{"method": "all", "category": "all"}].sum().value
    assert errors[EFFICIENCY].raw >= abs(direct - expected) / everything * (1 - 1e-9)
    again = json.loads(json.dumps(closure.as_dict(), allow_nan=False))
    assert type(closure).model_validate(again) == closure


def test_calibration_is_shown(report):
    output, closure = report
    table = calibration_rows(closure, every=False)
    assert [row[0] for row in table.rows] == list(closure.efficiency)
    assert table.header == ["method", "all", "b", "c", "light"]
    assert len(plot_calibration(output).axes) == 4


def test_bins_of_observables_alone_are_no_empty_table_in_the_terminal(report):
    _, closure = report
    entry = closure.efficiency["half"]
    few = Calibration(reliability={}, errors={"pt": entry.calibration.errors["pt"]})
    changed = {"half": entry.model_copy(update={"calibration": few})}
    closure = closure.model_copy(update={"efficiency": changed})
    assert calibration_rows(closure, every=False) is None
    assert [row[0] for row in calibration_rows(closure).rows] == ["half, pt"]
