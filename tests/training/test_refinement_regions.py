from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hepsilon.training.refinement_regions import MOMENTUM, regions
from tests.training.test_refinement_residuals import entries_of, signed

NAMES = (MOMENTUM, "other")


def events(seed: int, weighted: bool = False):
    """Each object as an event."""
    entries = entries_of(seed, n_events=2000)
    entries = signed(entries, seed) if weighted else entries
    n = len(entries.inputs)
    weights, keys = (np.repeat(x, 2) for x in (entries.weights, entries.keys))
    return replace(entries, events=np.arange(n), weights=weights, keys=keys)


@pytest.mark.parametrize("weighted", [False, True])
def test_each_region_has_its_sums(weighted):
    old, new = events(1, weighted), events(2, weighted)
    found = regions(old, new, NAMES)
    for each in found:
        values = [e.eps[:, 0] if each.variable == "E" else e.inputs[:, 0] for e in (old, new)]
        # the outer regions have all beyond
        first = each.low in {0.0, min(r.low for r in found if r.variable == each.variable)}
        last = each.high == max(r.high for r in found if r.variable == each.variable)
        there = [((x >= each.low) | first) & ((x < each.high) | last) for x in values]
        weights, eps = new.weights[there[1]], new.eps[there[1], 0]
        passed = new.passed[there[1]] > 0
        assert each.n_events == there[1].sum()
        assert each.n_training == there[0].sum()
        assert each.available == pytest.approx(weights.sum())
        assert each.expected == pytest.approx(np.sum(weights[passed] / eps[passed]))
        assert each.error == pytest.approx(np.sqrt(np.sum(weights**2 * (1 - eps) / eps)))
        weights, eps = old.weights[there[0]], old.eps[there[0], 0]
        expected = np.sqrt(np.sum(weights**2 * (1 - eps) / eps)) / weights.sum()
        assert each.training_error == pytest.approx(expected)


def test_the_regions_of_a_variable_have_all_events():
    found = regions(events(1), events(2), NAMES)
    total = found[0]
    assert (total.low, total.high, total.n_events) == (0.0, 1.0, 4000)
    for variable in ("E", MOMENTUM):
        parts = [each for each in found[1:] if each.variable == variable]
        assert sum(each.n_events for each in parts) == 4000
        assert sum(each.expected for each in parts) == pytest.approx(total.expected)


def test_a_true_efficiency_expects_what_is_available():
    """Within 4 standard deviations: a false alarm of 6e-5."""
    total = regions(events(3), events(4), NAMES)[0]
    assert abs(total.expected - total.available) < 4.0 * total.error
    assert f"{total.expected / total.available:.4f}" in str(total)


def test_regions_whose_weights_cancel_are_left_out():
    old, new = events(5), events(6)
    zero = replace(new, weights=np.where(new.eps[:, 0] < 0.4, 0.0, 1.0))
    assert all(r.low >= 0.4 for r in regions(old, zero, ("a", "b")) if r.high < 1.0)
    assert not any(r.variable == MOMENTUM for r in regions(old, zero, ("a", "b")))


def test_a_part_of_the_training_events_stands_for_all():
    old, new = events(7), events(8)
    all_of_them, half = regions(old, new, NAMES)[0], regions(old, new, NAMES, 0.5)[0]
    assert half.n_training == 2 * all_of_them.n_training
    assert half.training_error == pytest.approx(all_of_them.training_error / np.sqrt(2.0))
