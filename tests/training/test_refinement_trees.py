from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon.training import refinement_trees
from hepsilon.training.refinement_trees import _below, as_trees, boost, fit_rounds
from tests.training.test_refinement_residuals import entries_of, signed


@pytest.fixture
def _lightgbm():
    pytest.importorskip("lightgbm")


@pytest.fixture(autouse=True)
def _fewer_rounds(monkeypatch):
    """Ten rounds without a gain end the boosting: a few seconds for all tests."""
    monkeypatch.setattr(refinement_trees, "PATIENCE", 10)
    monkeypatch.setattr(refinement_trees, "ROUNDS", 60)


needs_lightgbm = pytest.mark.usefixtures("_lightgbm")


@given(st.floats(-(2.0**99), 2.0**99), st.floats(-(2.0**99), 2.0**99, width=32))
def test_a_threshold_in_float32_parts_float32_as_the_one_in_float64(threshold, value):
    assert (np.float32(value) <= _below(threshold)) == (value <= threshold)


def test_trees_of_a_dump():
    leaf = [{"leaf_value": 0.5}, {"leaf_value": -0.25}, {"leaf_value": 1.0}]
    inner = {
        "split_feature": 1,
        "threshold": 2.0,
        "left_child": leaf[1],
        "right_child": leaf[2],
    }
    first = {"split_feature": 0, "threshold": 0.0, "left_child": leaf[0], "right_child": inner}
    trees = as_trees([{"tree_structure": first}, {"tree_structure": leaf[2]}], 2)
    inputs = np.array([[0.0, 9.0], [1.0, 2.0], [1.0, 3.0]], np.float32)
    np.testing.assert_array_equal(trees(inputs, 2), [[0.5, 1.0], [-0.25, 1.0], [1.0, 1.0]])


@needs_lightgbm
@pytest.mark.parametrize("points", [1, 2])
def test_the_trees_are_those_of_lightgbm(points):
    entries = entries_of(1, bias=0.8, points=points)
    booster = refinement_trees._Booster(entries, refinement_trees._worth(entries), 1)
    for _ in range(10):
        booster.round()
    expected = booster.booster.predict(entries.inputs, raw_score=True).reshape(-1, points)
    trees, _ = fit_rounds(entries, 10, 1)
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(trees(entries.inputs, points), expected, rtol=1e-12)


@needs_lightgbm
@pytest.mark.parametrize("points", [1, 2])
def test_a_deviation_is_learned_and_gains_out_of_fold(points):
    entries = entries_of(2, bias=1.0, n_events=3000, points=points)
    found = boost(entries, 1)
    assert found.worthwhile
    pt, flavour = entries.inputs.T
    there = (pt > 85.0) & (flavour == 5.0)
    added = found.trees(entries.inputs, points)[:, 0]
    assert np.mean(added[there]) > 0.5
    assert abs(np.mean(added[pt < 75.0])) < 0.1
    other = entries_of(3, bias=1.0, n_events=3000, points=points)  # new events agree on the gain
    gain = other.losses() - other.losses(found.trees(other.inputs, points))
    assert gain.mean == pytest.approx(
        found.gain.mean, abs=4.0 * np.hypot(gain.error, found.gain.error)
    )


@needs_lightgbm
@pytest.mark.parametrize("weighted", [False, True])
def test_of_a_true_efficiency_hardly_any_trees_are_kept(weighted):
    """A gain above twice its error has a probability of 2.3 % at most: of 20, 4 or more in 1e-3."""
    kept = 0
    for seed in range(20):
        entries = entries_of(seed, n_events=500)
        kept += boost(signed(entries, seed) if weighted else entries, 1).worthwhile
    assert kept < 4


@needs_lightgbm
def test_the_scale_of_the_weights_does_not_matter():
    entries = signed(entries_of(4, bias=1.0, n_events=4000), 5)
    first, second = (
        boost(replace(entries, weights=factor * entries.weights), 1) for factor in (1.0, 2.0**20)
    )
    assert first.rounds == second.rounds > 0
    np.testing.assert_allclose(
        first.trees(entries.inputs, 1), second.trees(entries.inputs, 1), rtol=1e-6, atol=1e-9
    )


@needs_lightgbm
def test_negative_weights_take_away_what_positive_ones_add():
    """Subtracting a copy of a part of the events leaves the deviation of the others."""
    rest = entries_of(6, bias=1.0, n_events=4000)
    other = entries_of(7, bias=-2.0, n_events=1000)
    away = replace(other, weights=-other.weights)
    found = boost(type(rest).joined([rest, other, away]), 1)
    pt, flavour = rest.inputs.T
    there = (pt > 85.0) & (flavour == 5.0)
    assert found.worthwhile
    assert np.mean(found.trees(rest.inputs, 1)[there, 0]) > 0.3


@needs_lightgbm
def test_folds_are_by_event(monkeypatch):
    """No event is both in a fold and among the entries that its trees are fitted to."""
    seen = []
    original = refinement_trees._rows

    def rows(entries, chosen):
        seen.append(set(entries.events[chosen].tolist()))
        return original(entries, chosen)

    monkeypatch.setattr(refinement_trees, "_rows", rows)
    entries = entries_of(8, n_events=500)
    boost(entries, 1)
    everything = set(range(500))
    left_out = [everything - fold for fold in seen]
    assert len(left_out) == refinement_trees.FOLDS
    assert sum(map(len, left_out)) == 500  # each event is left out once, with all its objects
    assert set.union(*left_out) == everything


@pytest.mark.parametrize("n_events", [1, 20])
def test_few_entries_give_no_trees(n_events):
    found = boost(entries_of(9, n_events=n_events), 1)
    assert found.rounds == 0
    assert not found.worthwhile
    assert found.trees(np.zeros((3, 2), np.float32), 1).tolist() == [[0.0]] * 3


def test_inputs_without_a_difference_give_no_trees():
    entries = entries_of(9)
    found = boost(replace(entries, inputs=np.ones_like(entries.inputs)), 1)
    assert not found.worthwhile


@needs_lightgbm
def test_trees_of_nearly_too_few_entries():
    assert boost(entries_of(9, n_events=150), 1).rounds >= 0
