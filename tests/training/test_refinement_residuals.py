from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from hepsilon.data.features import Feature, FeatureSpec
from hepsilon.data.missing import MISSING
from hepsilon.training.refinement_entries import Entries
from hepsilon.training.refinement_residuals import residuals

FLAVOUR = Feature(name="flavour", kind="categorical", categories=(5, 0))
PT = Feature(name="pt", kind="numeric")
SPEC = FeatureSpec(features=(PT, FLAVOUR))
NAMES = ("pt", "flavour")


def entries_of(seed: int, *, bias: float = 0.0, n_events: int = 1500, points: int = 1) -> Entries:
    """Two objects an event; those of flavour 5 above pt 80 pass more often than is said."""
    rng, n = np.random.default_rng(seed), 2 * n_events
    pt, flavour = rng.uniform(0.0, 100.0, n), rng.choice([5.0, 0.0], n)
    eps = 0.2 + 0.5 * pt / 100.0
    true = expit(logit(eps) + bias * ((pt > 80.0) & (flavour == 5.0)))
    number = rng.uniform(size=n)
    each = np.stack([true / 2.0**i for i in range(points)], axis=1)
    said = np.stack([eps / 2.0**i for i in range(points)], axis=1)
    passed = np.sum(number[:, None] < each, axis=1)
    bins = np.concatenate([1.0 - said[:, :1], said - np.pad(said[:, 1:], ((0, 0), (0, 1)))], axis=1)
    logits = np.log(bins[:, 1:]) - np.log(bins[:, :1])
    return Entries(
        inputs=np.stack([pt, flavour], axis=1).astype(np.float32),
        logits=logits,
        passed=passed.astype(np.int64),
        events=np.repeat(np.arange(n_events), 2),
        weights=np.ones(n_events),
        keys=rng.integers(0, 2**64, n_events, dtype=np.uint64),
        mu=1.0,
    )


def signed(entries: Entries, seed: int) -> Entries:
    """The entries with weights of both signs."""
    rng = np.random.default_rng(seed)
    sign = np.where(rng.uniform(size=entries.n_events) < 0.2, -1.0, 1.0)
    return replace(entries, weights=sign * rng.exponential(size=entries.n_events))


@pytest.mark.parametrize("points", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_false_alarms_are_as_rare_as_is_said(points, weighted):
    """Of 40 true efficiencies 0.4 alarms are expected; more than 3 have a probability of 0.1 %."""
    alarms = 0
    for seed in range(40):
        entries = entries_of(seed, n_events=400, points=points)
        found = residuals(signed(entries, seed) if weighted else entries, NAMES, SPEC, seed)
        alarms += bool(found.significant)
        assert found.false_alarm == 0.01
    assert alarms <= 3


def test_what_is_left_is_found_and_placed():
    found = residuals(entries_of(1, bias=0.8), NAMES, SPEC, 1)
    first = found.significant[0]
    assert first.name in {"pt", "the efficiency itself"}
    pt = next(each for each in found.inputs if each.name == "pt")
    assert pt.p_value == 1 / (1 + found.n_draws)
    assert pt.bin.endswith("flavour 5")
    assert float(pt.bin.split()[1]) > 70.0
    assert pt.ratio - 3.0 * pt.error > 1.0
    assert "pt" in str(found)
    assert f"{found.n_events:,} events" in str(found)


def test_nothing_is_said_in_words():
    found = residuals(entries_of(2), NAMES, SPEC, 1)
    assert not found.significant
    assert str(found).startswith("nothing significant on 1,500 events")


def test_the_ratio_is_passed_over_expected():
    entries = entries_of(3, bias=0.8)
    found = next(
        each for each in residuals(entries, NAMES, SPEC, 1).inputs if each.name == "flavour"
    )
    flavour = float(found.bin.split()[1].rstrip(","))
    mine = entries.inputs[:, 1] == flavour
    eps = entries.eps[mine, 0]
    assert found.ratio == pytest.approx(np.sum(entries.passed[mine]) / np.sum(eps))
    assert found.error == pytest.approx(np.sqrt(np.sum(eps * (1.0 - eps))) / np.sum(eps))


def test_the_scale_of_the_weights_does_not_matter():
    entries = signed(entries_of(4, bias=0.3), 5)
    scaled = replace(entries, weights=1e6 * entries.weights)
    first, second = (residuals(each, NAMES, SPEC, 1) for each in (entries, scaled))
    for a, b in zip(first.inputs, second.inputs, strict=True):
        assert (a.name, a.p_value, a.bin) == (b.name, b.p_value, b.bin)
        assert (a.chi2, a.ratio) == pytest.approx((b.chi2, b.ratio))


def test_negative_weights_enter_with_their_sign():
    """Pairs of equal objects with weights +1 and -1 cancel, whatever their responses say."""
    entries = entries_of(6, bias=3.0)
    doubled = Entries.joined([entries, replace(entries, weights=-entries.weights)])
    found = residuals(doubled, NAMES, SPEC, 1)
    assert all(each.chi2 == pytest.approx(0.0, abs=1e-12) for each in found.inputs)


def test_missing_values_have_a_bin_of_their_own():
    entries = entries_of(7)
    inputs = entries.inputs.copy()
    inputs[::3, 0] = MISSING
    passed = np.where(np.arange(len(inputs)) % 3 == 0, 1, entries.passed)
    found = residuals(replace(entries, inputs=inputs, passed=passed), NAMES, SPEC, 1)
    assert next(e for e in found.inputs if e.name == "pt").bin.startswith("pt missing")


def test_of_too_few_entries_nothing_is_tested():
    assert residuals(entries_of(8, n_events=2), NAMES, SPEC, 1) is None


def test_events_have_no_categories():
    found = residuals(entries_of(9), ("first", "second"), None, 1)
    assert {each.name for each in found.inputs} == {"first", "second", "the efficiency itself"}
    assert not any("flavour" in each.bin for each in found.inputs)
