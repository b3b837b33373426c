"""Held-out closure of networks with random weights, and of trained ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hepsilon import load, train
from hepsilon.arrays.keys import fold_numbers
from hepsilon.config import Config, ModelConfig, TrainingConfig
from hepsilon.data.features import fit_features
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.bias import BiasTerm
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.efficiencies.network import to_probability
from hepsilon.networks.build import build_model
from hepsilon.training import held_out as module
from hepsilon.training.held_out import HeldOut
from hepsilon.training.kept import Kept
from hepsilon.training.last_layer import last_layers
from hepsilon.training.preparation import prepare
from hepsilon.training.refinement_entries import entries_of
from hepsilon.training.state import Fit
from tests.helpers.toys import POINTS, TASK, random_nodes
from tests.helpers.track_toys import PAIRS, TRACKS, columns_of, draw


def jets(n: int, points: int = 1, signed: bool = False, seed: int = 1) -> TrainingColumns:
    """Events of one to four jets, which pass by chance."""
    rng = np.random.default_rng(seed)
    offsets, nodes = random_nodes(rng.integers(1, 5, n).tolist(), seed)
    weights = rng.choice([1.0, 2.0, -0.5], n, p=[0.6, 0.2, 0.2]) if signed else np.ones(n)
    passed = rng.integers(0, points + 1, len(nodes)).astype(np.float32)
    keys = np.sort(rng.integers(0, 1 << 63, n).astype(np.uint64) * np.uint64(2))
    return TrainingColumns(offsets, nodes, passed, weights, keys)


def held_out_of(columns: TrainingColumns, task: Any = TASK, mu: float = 1.0, **model: Any) -> Any:
    """Held-out events of networks with random weights, whose last layers have a covariance."""
    start_backend()
    sizes = {"architecture": "mlp", "width": 4, "blocks": 1}
    config = Config(
        task=task, model=ModelConfig(**(sizes | model)), training=TrainingConfig(seed=3, mu=mu)
    )
    spec = fit_features(task, columns.nodes, np.ones(len(columns.nodes)), columns.offsets)
    folds = config.model.resampling == "folds"
    sides = (columns, columns) if folds else columns.split(0.3)
    prepared = prepare(config, spec, sides)
    fits = [
        Fit(build_model(prepared.architecture, prepared.spec, seed=number).get_weights(), [], 1)
        for number in range(prepared.resampling.networks)
    ]
    kept = Kept(prepared, fits)
    layers = last_layers(kept)
    assert layers is not None
    return HeldOut(kept, sides, layers[1])


def test_a_covariance_from_the_first_events_is_that_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A quarter of 4,200 events; with each of ten seeds all three ratios were within 5 % of one."""
    held = held_out_of(jets(6_000))
    monkeypatch.setattr("hepsilon.training.last_layer.MOST_OBJECTS", len(held.sides[0].nodes) // 4)
    layers = last_layers(held.kept)
    assert layers is not None
    assert held.covariance is not None
    card, found = layers
    assert card.n_events == pytest.approx(held.covariance.n_events / 4, rel=0.05)
    assert found.total_error == pytest.approx(held.covariance.total_error, rel=0.1)
    sizes = [np.linalg.norm(each.factor) for each in (found, held.covariance)]
    traces = [np.trace(each.inverse[0]) for each in (found, held.covariance)]
    assert (sizes[0], traces[0]) == pytest.approx((sizes[1], traces[1]), rel=0.1)


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "graphs": {"architecture": "gnn", "width": 8},
    "several": {"members": 2},
    "folds": {"members": 3, "resampling": "folds"},
    "bootstrap": {"members": 2, "resampling": "bootstrap"},
    "half the weight": {"mu": 0.5},
    "working points": {"task": POINTS},
    "folds of working points": {"task": POINTS, "members": 2, "resampling": "folds"},
}


def columns_for(options: dict[str, Any], signed: bool) -> TrainingColumns:
    return jets(300, len(options.get("task", TASK).passed.working_points), signed)


@pytest.mark.parametrize("signed", [False, True], ids=["positive", "both signs"])
@pytest.mark.parametrize("case", CASES)
def test_sums_are_those_of_the_efficiency_on_events_it_has_not_seen(
    case: str, signed: bool
) -> None:
    """Totals by category against the efficiencies of the entries; bins add up to them."""
    columns = columns_for(CASES[case], signed)
    held = held_out_of(columns, **CASES[case])
    card = held.closure()
    used = columns if "folds" in case else held.sides[1]
    entries = entries_of(held.kept, used, partners=False)
    flavour, weights = entries.inputs[:, 3], entries.event_weights
    assert card.n_events == used.n_events
    assert card.events == ("out of fold" if "folds" in case else "validation")
    points = entries.logits.shape[1]
    totals = [each for each in card.inputs if each.name == "all"]
    assert len(totals) == points
    for point, total in enumerate(totals):
        assert total.categories == tuple(f"hadronFlavour {v}" for v in (5, 4, 0))
        eps = entries.eps[:, point]
        for i, value in enumerate((5, 4, 0)):
            mine = flavour == value
            w = weights[mine]
            expected = np.sum(w * eps[mine])
            assert total.expected[i] == pytest.approx(expected, rel=1e-5)
            assert total.observed[i] == pytest.approx(np.sum(w * (entries.passed[mine] > point)))
            variance = np.sum(w**2 * eps[mine] * (1.0 - eps[mine]))
            assert total.variance[i] == pytest.approx(variance, rel=1e-5)
            assert total.n_effective[i] == pytest.approx(np.sum(w) ** 2 / np.sum(w**2))
        assert total.efficiency_variance is not None
        assert min(total.efficiency_variance) > 0.0
    for each in card.inputs:
        total = next(t for t in totals if t.working_point == each.working_point)
        for name in ("observed", "expected", "variance"):
            whole = [sum(getattr(total, name)), sum(getattr(each, name))]
            assert whole[1] == pytest.approx(whole[0], rel=1e-5, abs=1e-6), (each.name, name)
        assert 0.0 <= each.p_value <= 1.0
        assert len(each.bins) == len(set(zip(each.bins, each.categories, strict=True)))


def test_each_fold_is_evaluated_by_the_network_that_has_not_seen_it() -> None:
    columns = jets(200)
    held = held_out_of(columns, members=3, resampling="folds")
    logits = [entries_of(held.kept, columns, False, number).logits[:, 0] for number in range(3)]
    fold = np.repeat(fold_numbers(columns.keys, 3), np.diff(columns.offsets))
    eps = to_probability(np.stack(logits, axis=1)[np.arange(len(fold)), fold], 1.0)
    assert sum(held.closure().inputs[0].expected) == pytest.approx(eps.sum(), rel=1e-5)


def test_the_variance_of_the_efficiency_is_that_of_its_last_layer() -> None:
    """Draws of the last layer against the formula; of 4000 a variance is known to 2.2 %."""
    held = held_out_of(jets(400))
    total = held.closure().inputs[0]
    _, features, _ = held._networks(held.sides[1])
    entries = entries_of(held.kept, held.sides[1], partners=False)
    factor = held.covariance.factor.reshape(-1, held.covariance.factor.shape[-1])
    inputs = np.concatenate([features[:, 0], np.ones((len(features), 1))], axis=1)
    moved = inputs @ factor @ np.random.default_rng(1).normal(size=(factor.shape[1], 4000)) * 1e-2
    drawn = to_probability((entries.logits + moved).ravel(), 1.0).reshape(moved.shape)
    for i, value in enumerate((5, 4, 0)):
        sums = drawn[entries.inputs[:, 3] == value].sum(axis=0)
        assert sums.var() * 1e4 == pytest.approx(total.efficiency_variance[i], rel=0.12)


def test_trees_that_have_not_seen_the_entries_are_added() -> None:
    held = held_out_of(jets(200))
    sizes = [len(side.nodes) for side in held.sides]
    shifts = [np.full((n, 1), shift) for n, shift in zip(sizes, (9.0, 0.3), strict=True)]
    moved = replace(held, added=tuple(shifts)).closure().inputs[0]
    entries = entries_of(held.kept, held.sides[1], partners=False)
    eps = to_probability(entries.logits[:, 0] + 0.3, 1.0)
    assert sum(moved.expected) == pytest.approx(eps.sum(), rel=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_bias_is_found_in_the_region_that_it_is_in(case: str) -> None:
    """Central jets pass by much more than random networks say: shifts there are larger."""
    options = dict(CASES[case])
    columns = columns_for(options, signed=False)
    central = np.abs(columns.nodes[:, 1]) < 0.7
    most = len(options.get("task", TASK).passed.working_points)
    biased = replace(columns, passed=np.where(central, most, 0.0).astype(np.float32))
    held = held_out_of(biased, **options)
    card, arrays = held.bias()
    assert np.isfinite(list(card.spread.values())).all()
    term = BiasTerm.from_arrays(arrays, card.partners)
    assert (card.regions, card.directions) == (term.factor.shape[0], term.factor.shape[2])
    spec = held.kept.prepared.spec
    task = held.kept.prepared.config.task
    shifts = term.shifts(task, spec, columns.offsets, columns.nodes, 400).all()
    spread = shifts.std(axis=2)[:, -1]
    assert spread[central].mean() > 0.8
    assert np.isfinite(card.total_error)
    # shifts are of one sign where the bias is
    correlation = np.corrcoef(shifts[np.flatnonzero(central)[:40], -1])
    assert np.median(correlation) > 0.5


@pytest.mark.parametrize(
    ("task", "model"), [(PAIRS, {}), (TRACKS, {"architecture": "gnn", "width": 8})]
)
def test_events_are_entries_of_tasks_of_events(task: Any, model: dict[str, Any]) -> None:
    counts = [2] * 200 if task is PAIRS else (1 + np.arange(200) % 3).tolist()
    columns = columns_of(draw(counts), task)
    held = held_out_of(columns, task, **model)
    card = held.closure()
    events = held.sides[1]
    assert card.n_events == events.n_events
    total = card.inputs[0]
    assert (total.name, total.bins, total.categories) == ("all", ("all",), ("",))
    entries = entries_of(held.kept, events, partners=True)
    assert total.observed[0] == pytest.approx(np.sum(events.passed[events.offsets[:-1]] > 0.5))
    assert total.expected[0] == pytest.approx(entries.eps.sum(), rel=1e-5)
    found, arrays = held.bias()
    assert found.partners
    term = BiasTerm.from_arrays(arrays, True)
    spec = held.kept.prepared.spec
    shifts = term.shifts(task, spec, columns.offsets, columns.nodes, 5).all()
    assert shifts.shape == (columns.n_events, 1, 5)


def test_bins_are_as_many_as_effective_entries_allow() -> None:
    """25 of those that pass, and of those that do not, in each; at most ten."""
    few, many = (held_out_of(jets(n)).closure() for n in (40, 3000))
    by_name = {each.name: each for each in few.inputs}
    assert by_name["pt"].bins.count("pt") == 3  # one bin of each category
    pt = next(each for each in many.inputs if each.name == "pt")
    per_category = len(pt.bins) / 3
    passed = min(next(each for each in many.inputs if each.name == "all").observed)
    assert 2 <= per_category <= min(10, passed / 25 + 1)


def test_large_samples_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    held = held_out_of(jets(120))
    whole, spread = held.closure(), held.bias()[0].spread
    monkeypatch.setattr(module, "EVENTS", 7)
    parts = held.closure()
    for a, b in zip(whole.inputs, parts.inputs, strict=True):
        np.testing.assert_allclose(a.expected, b.expected, rtol=1e-5)
        np.testing.assert_allclose(a.p_value, b.p_value, rtol=1e-3)
    for name, value in held.bias()[0].spread.items():
        assert value == pytest.approx(spread[name], rel=1e-2)


def test_a_training_keeps_both_and_can_leave_the_bias_out(tmp_path: Any) -> None:
    columns = jets(300)
    model = ModelConfig(architecture="mlp", width=4, blocks=1)
    for bias_term in (True, False):
        training = TrainingConfig(epochs=1, seed=3, batch_events=100, bias_term=bias_term)
        config = Config(task=TASK, model=model, training=training)
        out = tmp_path / f"{bias_term}.hepsilon"
        train(config, columns, out, progress=False)
        loaded = load(out)
        assert loaded.card.held_out is not None
        assert (loaded.bias() is not None) is bias_term
        assert (loaded.card.bias is not None) is bias_term


def test_networks_whose_last_layer_is_not_known_have_no_variance_of_their_own() -> None:
    held = replace(held_out_of(jets(200)), covariance=None)
    card = held.closure()
    assert all(each.efficiency_variance is None for each in card.inputs)
    assert held.bias()[0].directions > 0
