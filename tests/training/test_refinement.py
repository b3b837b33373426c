from __future__ import annotations

from dataclasses import replace

import awkward as ak
import numpy as np
import pytest

from hepsilon import ConfigError, train
from hepsilon._system import extras
from hepsilon.config import Config, ModelConfig, TrainingConfig
from hepsilon.data.features import fit_features
from hepsilon.efficiencies.artifact import read_arrays
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.efficiencies.network import REFINEMENT, to_probability
from hepsilon.networks.build import build_model
from hepsilon.training.kept import Kept
from hepsilon.training.preparation import prepare
from hepsilon.training.refinement import find
from hepsilon.training.refinement_entries import entries_of, leading
from hepsilon.training.state import Fit
from tests.helpers.toys import POINTS, TASK, mlp_config, random_jets
from tests.helpers.track_toys import PAIRS, TRACKS

pytestmark = pytest.mark.slow


def kept_of(columns, task=TASK, **model) -> Kept:
    """Networks with random weights."""
    start_backend()
    sizes = {"architecture": "mlp", "width": 4, "blocks": 1}
    config = Config(
        task=task, model=ModelConfig(**(sizes | model)), training=TrainingConfig(seed=3)
    )
    spec = fit_features(task, columns.nodes, np.ones(len(columns.nodes)), columns.offsets)
    prepared = prepare(config, spec, (columns, columns))
    fits = [
        Fit(build_model(prepared.architecture, prepared.spec, seed=number).get_weights(), [], 1)
        for number in range(prepared.resampling.networks)
    ]
    return Kept(prepared, fits)


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"architecture": "gnn", "width": 8},
        {"members": 2},
        {"members": 2, "bootstrap": True},
    ],
)
def test_the_losses_of_entries_are_those_of_the_training(toy_columns, model):
    kept = kept_of(toy_columns, **model)
    entries, expected = entries_of(kept, toy_columns, partners=True), kept.losses(toy_columns)
    np.testing.assert_allclose(entries.losses().losses, expected.losses, rtol=1e-6)
    assert entries.losses().mean == pytest.approx(expected.mean)
    np.testing.assert_array_equal(entries.weights, toy_columns.weights)


@pytest.mark.parametrize(
    ("task", "model"),
    [(PAIRS, {}), (PAIRS, {"architecture": "product"}), (TRACKS, {"architecture": "gnn"})],
)
def test_events_are_entries_of_their_own(pair_columns, task, model):
    kept = kept_of(pair_columns, task, **model)
    entries = entries_of(kept, pair_columns, partners=True)
    assert len(entries.inputs) == entries.n_events == pair_columns.n_events
    expected = kept.losses(pair_columns).losses
    np.testing.assert_allclose(entries.losses().losses, expected, rtol=1e-5)


def test_with_folds_no_event_is_evaluated_by_a_network_that_has_seen_it(toy_columns):
    kept = kept_of(toy_columns, members=3, resampling="folds")
    found = entries_of(kept, toy_columns, partners=False)
    for number in range(3):
        single = entries_of(kept, toy_columns, partners=False, network=number)
        own = kept.prepared.resampling.validated(toy_columns.keys, number)[found.events]
        np.testing.assert_allclose(found.logits[own], single.logits[own], rtol=1e-6)
        assert own.any()


def test_several_working_points_are_entries_with_several_logits(points_columns):
    kept = kept_of(points_columns, POINTS)
    found = entries_of(kept, points_columns, partners=False)
    assert found.logits.shape == (len(points_columns.nodes), 3)
    assert np.all(np.diff(found.eps, axis=1) < 0.0)
    np.testing.assert_allclose(found.eps, to_probability(found.logits, 1.0))


def test_leading_events_are_whole(toy_columns):
    found = leading(toy_columns, 100)
    assert len(found.nodes) <= 100 < toy_columns.offsets[found.n_events + 1]
    assert leading(toy_columns, 1).n_events == 1
    assert leading(toy_columns, 10**9).n_events == toy_columns.n_events


def test_every_training_is_tested(toy_columns):
    kept = kept_of(toy_columns)
    found = find(kept, (toy_columns, toy_columns), False, 1)
    assert found.refinement is None
    assert found.trees is None
    assert found.regions == ()
    assert found.residuals.significant  # the network knows nothing
    names = {each.name for each in found.residuals.inputs}
    assert {*TASK.features, "delta R to the nearest", "number of objects"} <= names


def test_events_get_regions(pair_columns):
    found = find(kept_of(pair_columns, PAIRS), (pair_columns, pair_columns), False, 1)
    assert {each.variable for each in found.regions} == {"E", "pt smallest"}


def test_refine_needs_its_library(toy_columns, tmp_path, monkeypatch):
    known = extras.is_installed
    monkeypatch.setattr(extras, "is_installed", lambda name: name != "lightgbm" and known(name))
    config = mlp_config(refine=True)
    with pytest.raises(ConfigError, match=r"refine = true.*pip install 'hepsilon\[train\]'"):
        train(config, toy_columns, tmp_path / "out.hepsilon", progress=False)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def many(toy_columns):
    """The sample ten times, as other events."""
    n = toy_columns.n_events
    columns = toy_columns.take(np.tile(np.arange(n), 10))
    keys = np.random.default_rng(1).integers(0, 2**64, len(columns.keys), dtype=np.uint64)
    return replace(columns, keys=keys)


@pytest.mark.parametrize("model", [{}, {"members": 2, "bootstrap": True}])
def test_a_refined_training(many, tmp_path, model):
    pytest.importorskip("lightgbm")
    config = mlp_config(refine=True, epochs=1, learning_rate=1e-6)  # it leaves nearly everything
    sizes = {"architecture": "mlp", "width": 4, "blocks": 1} | model
    config = config.model_copy(update={"model": ModelConfig(**sizes)})
    found = train(config, many, tmp_path / "net.hepsilon", progress=False).efficiency
    card = found.card
    assert card.refinement.kept
    assert card.refinement.gain > 2.0 * card.refinement.error
    assert card.refinement.inputs == TASK.features  # the network sees no partners
    assert "kept" in str(card.refinement)
    networks = len(card.networks)
    assert card.refinement.outputs == (networks if model else 1)
    arrays = read_arrays(found.path, card, found.hash)
    assert len(arrays[REFINEMENT]["roots"]) == card.refinement.rounds * card.refinement.outputs
    jets = random_jets([2, 3, 4])
    evaluated = found.evaluate(jets)
    assert ak.all((evaluated.eps > 0.0) & (evaluated.eps < 1.0))
    if model:
        assert evaluated.replicas is not None
    plain = card.model_copy(
        update={"refinement": card.refinement.model_copy(update={"kept": False})}
    )
    before = replace(found, card=plain)(jets)
    assert ak.max(np.abs(before - evaluated.eps)) > 1e-3
