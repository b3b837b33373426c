"""Two-sample test: p-values of the truth are uniform, what is wrong is found and named."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import uproot
from scipy.stats import kstest

from hepsilon import ConfigError, InputError
from hepsilon.closure import closure_report, judge, run_closure, two_sample_tests
from hepsilon.closure.entries import Entries, read_entries
from hepsilon.closure.two_sample import two_sample_test
from hepsilon.config import Cut, InputConfig, VerdictConfig
from hepsilon.report.two_sample import two_sample_rows, two_sample_sections
from hepsilon.simulation import write_jets
from tests.helpers.toys import POINTS, TASK, half, task_of
from tests.helpers.track_toys import TRACKS

pytest.importorskip("lightgbm")
FLAT = task_of("pt", "eta")


def entries_of(rng, n=1200, bias=0.0, replicas=None):
    """Objects with weights of both signs, two in each event."""
    inputs = rng.uniform(size=(n, 3)).astype(np.float32)  # pt, eta, number of objects
    eps = 0.2 + 0.5 * inputs[:, 0]
    true = np.clip(eps + bias * np.sign(inputs[:, 1] - 0.5), 0.0, 1.0)
    events = np.arange(n) // 2
    weights = rng.choice([1.0, 1.0, 2.0, -0.5], n // 2)[events]
    return Entries(
        inputs=inputs,
        passed=(rng.random(n) < true).astype(int),
        category=np.full(n, -1),
        events=events,
        weights=weights,
        keys=rng.integers(0, 2**63, n // 2).astype(np.uint64),
        eps={"net": eps[:, None]},
        replicas={} if replicas is None else {"net": replicas(eps)},
    )


def test_p_values_of_the_true_efficiency_are_uniform():
    """Kolmogorov and Smirnov over 30 samples: false alarm 1e-3, and less, for steps of 1/20."""
    rng = np.random.default_rng(11)
    found = [
        two_sample_test(entries_of(rng), "net", FLAT, draws=19, seed=number).by_sample.p_value
        for number in range(30)
    ]
    shifted = np.array(found) - rng.random(30) / 20.0  # uniform within the steps
    assert kstest(shifted, "uniform").pvalue > 1e-3


def test_what_the_efficiency_does_not_know_is_found_and_named():
    entries = entries_of(np.random.default_rng(3), 6000, bias=0.08)
    found = two_sample_test(entries, "net", FLAT, draws=39)
    assert found.by_sample.p_value == 1 / 40
    assert found.auc > found.by_sample.mean + 5.0 * found.by_sample.spread
    assert next(iter(found.features)) == "eta"
    assert found.loss_gain > 3.0 * found.loss_gain_error
    assert found.response_auc_with_trees > found.response_auc
    more, less, *bins = found.regions
    assert more.ratio > 1.0 > less.ratio
    assert less.pull < 0.0 < more.pull
    assert abs(bins[0].pull) > 4.0
    assert all(region.text.startswith("eta") for region in bins)


def test_own_error_of_the_efficiency_is_no_discovery():
    """What replicas say of the region is what is wrong in it: it may come from few events."""

    def moved(eps):
        sign = np.where(np.arange(20) % 2, 0.08, -0.08)
        return np.clip(eps[:, None, None] + sides[:, None, None] * sign, 0.0, 1.0)

    rng = np.random.default_rng(3)
    plain = entries_of(rng, 6000, bias=0.08)
    sides = np.sign(plain.inputs[:, 1] - 0.5)
    entries = replace(plain, replicas={"net": moved(plain.eps["net"][:, 0])})
    found = two_sample_test(entries, "net", FLAT, draws=39)
    assert found.by_sample.p_value == 1 / 40
    assert found.p_value == found.with_own_error.p_value > 0.1


def test_seed_decides(toy_file, toy_map):
    one, other = (
        two_sample_tests([toy_file], TASK, {"map": toy_map}, draws=3, seed=4) for _ in range(2)
    )
    assert one == other
    assert set(one) == {"truth", "map"}
    assert one["map"].with_own_error is not None
    assert one["truth"].with_own_error is None


def test_closure_keeps_shows_and_judges_it(toy_file, toy_map):
    efficiencies = {"map": toy_map, "half": half}
    tests = two_sample_tests([toy_file], TASK, efficiencies, draws=19)
    output = run_closure([toy_file], TASK, efficiencies)
    closure = closure_report(output, TASK, efficiencies, [toy_file], two_sample=tests)
    assert tests["half"].p_value == 0.05
    reasons = judge(closure, VerdictConfig(two_sample=0.05)).methods["half"].reasons
    assert any("boosted trees tell what passed" in reason for reason in reasons)
    again = json.loads(json.dumps(closure.as_dict(), allow_nan=False))
    assert type(closure).model_validate(again) == closure
    assert [row[0] for row in two_sample_rows(closure).rows] == ["truth", "map", "half"]
    assert len(two_sample_sections(closure)) == 4


def test_without_it_nothing_is_shown(toy_file):
    output = run_closure([toy_file], TASK, {"half": half})
    closure = closure_report(output, TASK, {"half": half}, [toy_file])
    assert two_sample_rows(closure) is None
    assert two_sample_sections(closure) == []
    assert "two_sample" not in closure.as_dict()["efficiency"]["half"]


def test_few_entries_are_refused(toy_file):
    task = TASK.model_copy(update={"selection": (Cut(field="pt", min=580.0),)})
    with pytest.raises(InputError, match=r"needs 400 objects .* the files hold"):
        two_sample_tests([toy_file], task, {"half": half}, draws=1)


def test_working_points_have_names_and_numbers(toy_file):
    asked = {"draws": 1, "max_events": 300}
    one, other = (
        two_sample_tests([toy_file], POINTS, {}, working_point=point, **asked)["truth"]
        for point in ("T", 2)
    )
    assert one == other
    assert one != two_sample_tests([toy_file], POINTS, {}, **asked)["truth"]
    for wrong in ("X", 3, -1):
        with pytest.raises(ConfigError, match="expected a working point of"):
            two_sample_tests([toy_file], POINTS, {}, working_point=wrong, **asked)


def test_weights_that_add_up_to_nothing_are_refused(tmp_path):
    with uproot.open(write_jets(tmp_path / "jets.root", 300, seed=5)) as file:
        events = file["Events"].arrays()
    columns = {n: events[n] for n in events.fields if not n.startswith("n")}
    with uproot.recreate(tmp_path / "none.root") as file:
        file["Events"] = columns | {"genWeight": 0.0 * np.asarray(events.genWeight)}
    with pytest.raises(InputError, match=r"sum is positive.* add up to 0"):
        two_sample_tests([tmp_path / "none.root"], TASK, {"half": half}, draws=1)


def test_no_more_events_are_tested_than_are_asked_for(toy_file):
    found = two_sample_tests([toy_file], TASK, {"half": half}, draws=1, max_events=300)
    assert found["half"].n_events == 300


def test_too_few_entries_are_told_before_all_events_are_processed(
    run, toy_file, toy_map, tmp_path, monkeypatch
):
    toy_map.save(tmp_path / "map.hepsilon")
    monkeypatch.setattr("hepsilon.closure.run_closure", None)
    few, out = ("--max-events", "20"), ("--out", tmp_path / "out")
    code, _, err = run("closure", tmp_path / "map.hepsilon", toy_file, "--two-sample", *few, *out)
    assert code == 2
    assert "the two-sample test needs 400 objects" in " ".join(err.split())


def test_entries_of_events(pairs_file):
    entries = read_entries([pairs_file], TRACKS, {}, InputConfig(schema="nanoaod"), most=100)
    assert len(entries) == len(entries.keys) == len(entries.weights)
    assert (entries.category == -1).all()
    assert set(np.unique(entries.passed)) <= {0, 1}
