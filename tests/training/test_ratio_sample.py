from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import InputError, Task, TrainingError
from hepsilon.data.features import fit_features
from hepsilon.data.missing import MISSING
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.ratio_card import SideCard
from hepsilon.training.held_out import Answers
from hepsilon.training.ratio_sample import balanced, both_cover, centred, check_sides, ratio_card
from hepsilon.training.ratios import join
from tests.helpers.ratio_toys import ratio_config

TASK = Task.model_validate({"features": ["pt", "eta"], "ratio": {}})
SIDES = (
    SideCard(n=1, sum_of_weights=1.0, n_effective=1.0),
    SideCard(n=1, sum_of_weights=1.0, n_effective=1.0),
)


def columns(n: int, seed: int, side: int, shift: float = 0.0, weights=None) -> TrainingColumns:
    rng = np.random.default_rng([seed, side])
    nodes = np.stack([rng.normal(60.0 + shift, 10.0, n), rng.normal(0.0, 1.0, n)], axis=1)
    return TrainingColumns(
        np.arange(n + 1),
        nodes.astype(np.float32),
        np.full(n, side, np.float32),
        np.ones(n) if weights is None else np.asarray(weights, float),
        np.sort(rng.integers(0, 2**63, n).astype(np.uint64)),
    )


def answers(logits, passed, weights) -> Answers:
    n = len(logits)
    return Answers(
        np.asarray(logits, float)[:, None],
        np.asarray(passed, np.int64),
        np.asarray(weights, float),
        None,
        np.ones((n, 1)),
    )


def test_events_of_equal_numbers_in_both_samples_are_different_events() -> None:
    numerator, denominator = columns(50, 1, 1), columns(50, 1, 0)
    denominator = TrainingColumns(
        denominator.offsets,
        denominator.nodes,
        denominator.passed,
        denominator.weights,
        numerator.keys,
    )
    both = join(numerator, denominator)
    assert both.n_events == 100
    assert len(np.unique(both.keys)) == 100
    assert np.all(both.keys[1:] >= both.keys[:-1])
    mine = both.passed > 0.5
    np.testing.assert_array_equal(np.sort(both.keys[mine]), np.sort(numerator.keys))
    np.testing.assert_array_equal(both.nodes[mine], numerator.nodes)


@given(st.integers(1, 30), st.integers(1, 30), st.floats(1e-6, 1e6))
def test_balanced_samples_have_equal_sums(n: int, m: int, scale: float) -> None:
    both = join(columns(n, 1, 1), columns(m, 2, 0, weights=np.full(m, scale)))
    found = balanced(both, TASK)
    mine = found.passed > 0.5
    assert found.weights[mine].sum() == pytest.approx(n)
    assert found.weights[~mine].sum() == pytest.approx(n)
    assert both.weights[~mine].sum() == pytest.approx(m * scale)  # what was given is not changed


def test_empty_side_is_named() -> None:
    with pytest.raises(InputError, match="the denominator of the ratio is empty"):
        check_sides(columns(20, 1, 1), TASK)


def test_weights_without_a_positive_sum_are_refused() -> None:
    bad = columns(20, 1, 0, weights=np.where(np.arange(20) < 9, 1.0, -1.0))
    with pytest.raises(TrainingError, match="the denominator of the ratio: expected a positive"):
        check_sides(join(columns(20, 1, 1), bad), TASK)
    none = columns(20, 1, 0, weights=np.zeros(20))
    with pytest.raises(TrainingError, match=r"the denominator .* all weights are zero"):
        check_sides(join(columns(20, 1, 1), none), TASK)


@pytest.mark.parametrize("n", [5, 400])
def test_sample_that_is_worth_few_entries_is_refused(n: int) -> None:
    """Few events, or sWeights that cancel: a sum of 2 with an error of 20."""
    weights = np.ones(n) if n < 10 else np.where(np.arange(n) < n // 2 + 1, 1.0, -1.0)
    few = columns(n, 1, 1, weights=weights)
    with pytest.raises(TrainingError, match=r"numerator of the ratio: its .* expected 10 or more"):
        check_sides(join(few, columns(400, 2, 0)), TASK)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_responses_in_one_sample_are_refused(value: float) -> None:
    data = {"features": ["pt", "from_numerator"], "categorical": {"from_numerator": [0, 1]}}
    task = Task.model_validate(
        data | {"passed": {"field": "fired"}, "ratio": {"kind": "efficiency"}}
    )
    both = join(columns(200, 1, 1), columns(200, 2, 0))
    side = both.passed
    fired = np.arange(400) % 2
    columns_of = replace(
        both,
        nodes=np.stack([both.nodes[:, 0], side], axis=1),
        passed=np.where(side > 0.5, value, fired).astype(np.float32),
    )
    with pytest.raises(InputError, match=rf"numerator of the ratio: all of .* fired \({value:g}\)"):
        check_sides(columns_of, task)


def test_clearly_negative_region_is_refused_and_a_fluctuation_is_noted(caplog) -> None:
    side = columns(400, 1, 1)
    high = side.nodes[:, 0] > np.quantile(side.nodes[:, 0], 0.9)
    several = np.where(high, -1.0, 1.0)
    both = join(columns(400, 1, 1, weights=several), columns(400, 2, 0))
    with pytest.raises(TrainingError, match="numerator of the ratio has a negative sum of weights"):
        check_sides(both, TASK)
    few = np.ones(400)
    rows = np.flatnonzero(high)
    few[rows] = np.where(np.arange(len(rows)) % 2, 1.0, -1.0)
    few[rows[:1]] = -2.0
    both = join(columns(400, 1, 1, weights=few), columns(400, 2, 0))
    with caplog.at_level("WARNING", "hepsilon"):
        numerator, denominator = check_sides(both, TASK)
    assert numerator.negative
    assert not denominator.negative
    assert "no positive sum of weights in pt" in caplog.text


def test_feature_without_values_is_left_to_the_fit_of_features() -> None:
    own, other = (
        columns(50, 1, 1, weights=np.where(np.arange(50) % 5, 1.0, -1.0)),
        columns(50, 2, 0),
    )
    for each in (own, other):
        each.nodes[:, 1] = MISSING
    check_sides(join(own, other), TASK)


def test_region_is_that_of_both_samples() -> None:
    numerator, denominator = columns(3000, 1, 1, 10.0), columns(3000, 2, 0)
    both = join(numerator, denominator)
    spec = both_cover(fit_features(TASK, both.nodes, both.weights), both, TASK)
    pt = spec.features[0]
    assert pt.low == pytest.approx(max(c.nodes[:, 0].min() for c in (numerator, denominator)))
    assert pt.high == pytest.approx(min(c.nodes[:, 0].max() for c in (numerator, denominator)))
    assert spec.combinations is not None
    # a cell that only one of the samples has is outside
    far = np.array([[pt.high, 0.0]], np.float32)
    only = fit_features(TASK, numerator.nodes, numerator.weights)
    assert only.in_domain(far).all()
    share = spec.combinations.covers(denominator.nodes).mean()
    assert share > 0.95


def test_samples_without_a_common_range_are_refused() -> None:
    both = join(columns(50, 1, 1, 1000.0), columns(50, 2, 0))
    spec = fit_features(TASK, both.nodes, both.weights)
    with pytest.raises(TrainingError, match=r"do not overlap: .* in pt"):
        both_cover(spec, both, TASK)


@given(st.integers(0, 2**32 - 1), st.floats(-2.0, 2.0))
def test_mean_of_the_clipped_ratio_over_the_denominator_is_one(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    logits, passed = rng.normal(shift, 1.0, 400), np.arange(400) % 2
    weights = rng.uniform(0.5, 1.5, 400) * np.where(rng.random(400) < 0.1, -0.5, 1.0)
    config = ratio_config({"clip": [0.2, 5.0]})
    card = ratio_card(SIDES, [answers(logits, passed, weights)], config)
    below = passed == 0
    ratio = np.clip(card.constant * np.exp(logits[below]), 0.2, 5.0)
    own = weights[below]
    assert np.sum(own * ratio) / own.sum() == pytest.approx(1.0, abs=1e-6)
    assert card.n_clipped == np.count_nonzero((ratio <= 0.2) | (ratio >= 5.0))
    assert card.mean == pytest.approx(1.0, abs=1e-6)
    error = np.sqrt(np.sum((own * (ratio - 1.0)) ** 2)) / own.sum()
    assert card.mean_error == pytest.approx(error)
    assert card.constant_error == pytest.approx(error)
    assert card.n_effective == pytest.approx(np.sum(own * ratio) ** 2 / np.sum((own * ratio) ** 2))


def test_all_entries_normalise_and_the_held_out_ones_check(caplog) -> None:
    rng = np.random.default_rng(4)
    parts = []
    for n, shift in ((4000, -0.1), (400, 0.5)):  # learned by heart: higher odds held out
        passed = np.arange(n) % 2
        parts.append(answers(rng.normal(shift, 0.3, n), passed, np.ones(n)))
    with caplog.at_level("WARNING", "hepsilon"):
        card = ratio_card(SIDES, parts, ratio_config())
    odds = [np.exp(part.logits[part.passed == 0, 0]) for part in parts]
    assert card.constant == pytest.approx(1.0 / np.mean(np.concatenate(odds)))
    assert card.n_normalised == 2200
    assert card.n_entries == 200
    assert card.mean == pytest.approx(card.constant * np.mean(odds[1]))
    assert "by heart" in caplog.text


def test_samples_that_a_network_tells_apart_are_refused() -> None:
    passed = np.arange(400) % 2
    with pytest.raises(TrainingError, match=r"do not overlap: .* AUC of 1\.0000"):
        ratio_card(SIDES, [answers(20.0 * (passed - 0.5), passed, np.ones(400))], ratio_config())


def test_little_overlap_is_warned_of(caplog) -> None:
    rng = np.random.default_rng(1)
    passed = np.arange(20_000) % 2
    distance = 2.2
    logits = distance * (rng.normal(distance * passed, 1.0) - 0.5 * distance)
    with caplog.at_level("WARNING", "hepsilon"):
        card = ratio_card(SIDES, [answers(logits, passed, np.ones(len(passed)))], ratio_config())
    assert "overlap little" in caplog.text
    assert card.auc == pytest.approx(0.94, abs=0.01)


def test_no_direction_of_the_covariance_moves_the_mean_but_that_of_its_error() -> None:
    rng = np.random.default_rng(3)
    n, networks, inputs = 500, 2, 3
    passed, weights = np.arange(n) % 2, rng.uniform(-0.2, 1.0, n)
    found = replace(
        answers(rng.normal(0.0, 0.5, n), passed, weights),
        features=rng.normal(0.0, 1.0, (n, networks, inputs)).astype(np.float32),
    )
    config = ratio_config()
    card = ratio_card(SIDES, [found], config)
    factor = rng.normal(0.0, 0.1, (networks, 1, inputs + 1, 4)).astype(np.float32)
    whole, variance = centred(factor, [found], card, config)
    assert whole.shape == (networks, 1, inputs + 1, 5)
    below = passed == 0
    ones = np.ones((int(below.sum()), networks, 1))
    seen = np.concatenate([found.features[below], ones], axis=2)
    moved = np.einsum("nki,kie->ne", seen, whole[:, 0]) / networks
    own = weights[below] * card.constant * np.exp(found.logits[below, 0])
    mean = own @ moved / own.sum()
    np.testing.assert_allclose(mean[:4], 0.0, atol=1e-6)
    assert mean[4] == pytest.approx(card.constant_error, rel=1e-5)
    assert variance == pytest.approx(own @ np.sum(moved**2, axis=1) / own.sum(), rel=1e-4)
    # all else is as it was: differences between entries
    before = np.einsum("nki,kie->ne", seen, factor[:, 0]) / networks
    np.testing.assert_allclose(np.ptp(moved[:, :4], axis=0), np.ptp(before, axis=0), rtol=1e-4)
