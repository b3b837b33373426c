from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hepsilon.config import Config, ModelConfig, TrainingConfig
from hepsilon.data.features import fit_features
from hepsilon.efficiencies.cards import ImportanceCard
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.networks.build import build_model
from hepsilon.training import importance as module
from hepsilon.training.importance import feature_importance
from hepsilon.training.kept import Kept
from hepsilon.training.preparation import prepare
from hepsilon.training.state import Fit
from tests.helpers.toys import TASK
from tests.helpers.track_toys import PAIRS


def kept_of(columns, task=TASK, *, blind_to=(), members=1, **model) -> Kept:
    """Networks with random weights that do not see some columns of the first layer."""
    start_backend()
    sizes = {"architecture": "mlp", "width": 4, "blocks": 1, "members": members}
    config = Config(
        task=task, model=ModelConfig(**(sizes | model)), training=TrainingConfig(seed=3)
    )
    spec = fit_features(task, columns.nodes, np.ones(len(columns.nodes)), columns.offsets)
    prepared = prepare(config, spec, (columns, columns))
    fits = []
    for number in range(prepared.resampling.networks):
        network = build_model(prepared.architecture, prepared.spec, seed=number)
        weights = network.get_weights()
        (first,) = (i for i, w in enumerate(weights[:2]) if w.ndim == 2)
        weights[first] *= 3.0
        weights[first][list(blind_to)] = 0.0
        fits.append(Fit(weights, [], 1))
    return Kept(prepared, fits)


def rises(found) -> dict[str, float]:
    return {each.feature: each.rise for each in found}


def taught(kept: Kept, columns):
    """The events with responses that a network gives."""
    logits = kept.prepared.engine
    logits.set_members([kept.fits[0].weights])
    found = logits.logits(columns.offsets, columns.nodes)[:, 0]
    odds = np.random.default_rng(5).logistic(scale=0.2, size=len(found))
    return replace(columns, passed=(found - np.median(found) > odds).astype(np.float32))


def test_only_features_that_are_seen_matter(toy_columns):
    """Encoded are pt, eta, cosine and sine of phi, and three flavours."""
    for blind_to, unseen in (((0,), "pt"), ((2, 3), "phi"), ((4, 5, 6), "hadronFlavour")):
        kept = kept_of(toy_columns, blind_to=blind_to)
        events = taught(kept, toy_columns)
        found = feature_importance(kept, events, 1)
        assert sorted(rises(found)) == sorted(TASK.features)
        for each in found:
            assert (each.rise == each.error == 0.0) == (each.feature == unseen)
            assert each.is_noise or each.feature != unseen
        values = [each.rise for each in found]
        assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("resampling", ["none", "folds", "bootstrap"])
def test_rise_is_that_of_the_loss_of_the_efficiency(toy_columns, resampling):
    kept = kept_of(toy_columns, members=2, resampling=resampling)
    found = feature_importance(kept, toy_columns, 7)
    events = kept.validation(toy_columns)
    assert (events.n_events < toy_columns.n_events) == (resampling == "folds")
    for each in found:
        i = TASK.features.index(each.feature)
        nodes = events.nodes.copy()
        order = np.random.default_rng([7, i]).permutation(len(nodes))
        nodes[:, i] = nodes[order, i]
        rise = kept.losses(replace(events, nodes=nodes)).losses - kept.losses(events).losses
        assert each.rise == pytest.approx(rise.mean(), abs=1e-9)
        assert each.error == pytest.approx(rise.std() / np.sqrt(len(rise)), rel=1e-6)


def test_events_are_limited(toy_columns, monkeypatch):
    monkeypatch.setattr(module, "MOST_EVENTS", 50)
    kept = kept_of(toy_columns)
    few = toy_columns.between(0, 50)
    assert feature_importance(kept, toy_columns, 1) == feature_importance(kept, few, 1)


def test_objects_of_one_row_are_shuffled_one_by_one(pair_columns):
    found = feature_importance(kept_of(pair_columns, PAIRS), pair_columns, 1)
    assert {each.feature for each in found} == set(PAIRS.features)


@pytest.mark.parametrize(
    ("rise", "error", "noise"), [(0.0, 0.0, True), (0.2, 0.1, True), (0.21, 0.1, False)]
)
def test_what_is_not_above_twice_its_error_is_noise(rise, error, noise):
    card = ImportanceCard(feature="pt", rise=rise, error=error)
    assert card.is_noise is noise
    assert str(card).endswith("noise") is noise
