from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hepsilon import ConfigError, TrainingError, load, train
from hepsilon.config import Config, ModelConfig, TrainingConfig
from hepsilon.config.learning import BinAxis, MapConfig
from hepsilon.data.features import fit_features
from hepsilon.efficiencies.factorised import FactorisedMap
from hepsilon.efficiencies.map import EfficiencyMap
from hepsilon.training import recipe
from hepsilon.training import selection_of_models as module
from hepsilon.training.ensemble import fit_members
from hepsilon.training.map_losses import losses_of_map
from hepsilon.training.resampling import Resampling
from hepsilon.training.selection_of_models import Candidates, _chosen, _Result, compare
from hepsilon.training.state import Epoch
from hepsilon.training.validation import EventLosses
from tests.helpers.toys import TASK, mlp_config
from tests.helpers.track_toys import PAIRS, TRACKS, task_with

pytestmark = pytest.mark.slow


def auto(task=TASK, epochs=3, **model) -> Config:
    sizes = {"width": 4, "blocks": 1} | model
    training = TrainingConfig(epochs=epochs, batch_events=100, seed=3, learning_rate=1e-2)
    return Config(task=task, model=ModelConfig(**sizes), training=training)


def sides_of(columns, config):
    return columns.split(config.training.validation)


def candidates_of(config, columns):
    sides = sides_of(columns, config)
    spec = fit_features(config.task, columns.nodes, np.ones(len(columns.nodes)), columns.offsets)
    return Candidates.of(config, spec, sides), sides


def test_auto_is_the_default():
    assert ModelConfig().architecture == "auto"


# candidates


@pytest.mark.parametrize(
    ("task", "model", "fitting", "left_out"),
    [
        (TASK, {}, ["mlp", "gnn"], []),
        (TASK, {"pair_features": True}, ["gnn"], ["mlp"]),
        (TASK, {"width": 5}, ["mlp"], ["gnn"]),
        (PAIRS, {}, ["mlp", "product", "gnn"], []),
        (PAIRS, {"preset": "paper"}, ["mlp", "gnn"], ["product"]),
        (TRACKS, {}, ["gnn"], ["mlp", "product"]),
        (TASK, {"architecture": "gnn"}, ["gnn"], []),
    ],
    ids=str,
)
def test_candidates_are_what_fits_the_task(
    toy_columns, pair_columns, task, model, fitting, left_out
):
    columns = toy_columns if task is TASK else pair_columns
    found, _ = candidates_of(auto(task, **model), columns)
    assert list(found.prepared) == fitting
    assert list(found.left_out) == left_out
    for name, prepared in found.prepared.items():
        assert prepared.config.model.architecture == name


def test_a_task_that_no_architecture_fits_is_refused(toy_columns):
    with pytest.raises(ConfigError, match=r"no architecture fits .*mlp: .*gnn: "):
        candidates_of(auto(width=5, pair_features=True), toy_columns)


def test_an_architecture_that_is_named_is_trained_at_once(toy_columns, tmp_path):
    result = train(mlp_config(), toy_columns, tmp_path / "m.hepsilon", progress=False)
    assert result.efficiency.card.selection is None


# the choice


def results(**losses) -> dict[str, _Result]:
    weights = np.ones(len(next(iter(losses.values()))))
    return {n: _Result(EventLosses(np.array(x), weights), 1.0, 1) for n, x in losses.items()}


def choose(**losses) -> str:
    prepared = dict.fromkeys(name for name in losses if name != "map")
    return _chosen(results(**losses), Candidates(prepared, {}), {})


def test_the_smallest_loss_wins_and_ties_go_to_the_cheaper():
    rng = np.random.default_rng(1)
    hard = rng.exponential(size=400)  # what is common to all says nothing
    noise = rng.normal(0.0, 0.1, 400)
    noise -= noise.mean()
    assert choose(mlp=hard + 0.1 + noise, product=hard, gnn=hard + 0.2) == "product"
    # the error of the difference is 0.005
    assert choose(mlp=hard + 0.004 + noise, product=hard + 0.3, gnn=hard) == "mlp"
    assert choose(mlp=hard + 0.006 + noise, product=hard + 0.3, gnn=hard) == "gnn"
    assert choose(mlp=hard, gnn=hard) == "mlp"


def test_a_map_is_compared_but_not_kept():
    assert choose(map=[0.0, 0.1], mlp=[1.0, 1.1], gnn=[0.5, 0.7]) == "gnn"
    (best, *others) = module._cards(results(map=[0.0, 0.1], mlp=[1.0, 1.3]), {"gnn": "too wide"})
    assert (best.name, best.difference, best.error) == ("map", 0.0, 0.0)
    assert (others[0].name, others[0].difference) == ("mlp", pytest.approx(1.1))
    assert others[0].error == pytest.approx(0.1 / np.sqrt(2.0))
    assert (others[1].name, others[1].loss, others[1].reason) == ("gnn", None, "too wide")


# training


@pytest.fixture(scope="module")
def chosen(toy_columns, tmp_path_factory):
    return train(auto(), toy_columns, tmp_path_factory.mktemp("auto") / "m.hepsilon")


MEASURED = ("members", "onnx", "importance", "content", "last_layer", "residuals", "regions")
MEASURED += ("held_out", "bias")
"""Parts of a card that contain durations, or sums in float32 whose order is not fixed."""


def test_the_winner_is_that_of_a_training_that_names_it(chosen, toy_columns, tmp_path):
    card = chosen.efficiency.card
    name = card.selection.chosen
    assert card.model == auto(architecture=name).model
    named = train(auto(architecture=name), toy_columns, tmp_path / "m.hepsilon").efficiency
    for member, other in zip(card.members, named.card.members, strict=True):
        losses = [[e.validation_loss for e in m.history] for m in (member, other)]
        np.testing.assert_allclose(*losses, rtol=1e-6)
    measured = {name: getattr(named.card, name) for name in MEASURED}
    assert named.card == card.model_copy(update={"selection": None, **measured})


def test_card_has_the_table(chosen, toy_columns):
    selection = load(chosen.efficiency.path).card.selection
    assert [each.name for each in selection.candidates] == ["map", "mlp", "gnn"]
    _, validation = sides_of(toy_columns, auto())
    assert selection.n_events == validation.n_events
    losses = {each.name: each.loss for each in selection.candidates}
    best = min(losses.values())
    for each in selection.candidates:
        assert each.reason is None
        assert each.difference == pytest.approx(each.loss - best)
        assert each.seconds > 0.0
        assert each.parameters > 0
    assert str(selection).count("(kept)") == 1


@pytest.mark.parametrize("resampling", ["none", "folds", "bootstrap"])
def test_gain_of_the_map_is_the_difference_of_the_losses(toy_columns, tmp_path, resampling):
    """Of the efficiency that is kept, on the events on which the map was validated."""
    config = auto(epochs=1, members=2, resampling=resampling)
    efficiency = train(config, toy_columns, tmp_path / "m.hepsilon").efficiency
    selection, card = efficiency.card.selection, efficiency.card
    fit_on, check_on = sides_of(toy_columns, config)
    folds = Resampling("folds", 2)
    if resampling == "folds":
        own = folds.validated(toy_columns.keys, 0)
        fit_on, check_on = (toy_columns.take(np.flatnonzero(x)) for x in (~own, own))
    networks = efficiency.of_members(check_on.offsets, check_on.nodes)
    first = slice(0, 1) if resampling == "folds" else card.nominal
    mapped = EfficiencyMap.fit(TASK, fit_on)
    columns = [TASK.features.index(name) for name in mapped.features.names]
    eps = (
        networks[:, first].mean(axis=1),
        mapped._predict(check_on.offsets, check_on.nodes[:, columns], False)[0],
    )
    counts = np.diff(check_on.offsets)
    losses = []
    for each in eps:
        terms = -np.log(np.where(check_on.passed > 0.5, each, 1.0 - each))
        losses.append(np.add.reduceat(terms, check_on.offsets[:-1]) / counts)
    difference = losses[0] - losses[1]
    assert selection.map_gain == pytest.approx(difference.mean(), abs=1e-6)
    error = difference.std() / np.sqrt(len(difference))
    assert selection.map_gain_error == pytest.approx(error, rel=1e-4)
    table = {each.name: each for each in selection.candidates}
    assert table["map"].loss == pytest.approx(losses[1].mean())


def test_a_map_that_is_better_is_advised():
    card = module.SelectionCard(
        chosen="mlp", n_events=9, candidates=(), map_gain=0.02, map_gain_error=0.005
    )
    assert "hepsilon map" in card.advice
    assert "0.02000 +- 0.00500" in card.advice
    for gain, error in ((0.02, 0.03), (-0.02, 0.005), (None, None)):
        other = card.model_copy(update={"map_gain": gain, "map_gain_error": error})
        assert other.advice is None


def test_brief_trainings_are_a_third_of_the_full_one(toy_columns, tmp_path, monkeypatch):
    epochs = []

    def fit(architecture, spec, recipe, *others, **options):
        epochs.append(recipe.epochs)
        return fit_members(architecture, spec, recipe, *others, **options)

    monkeypatch.setattr(module, "fit_members", fit)
    config = auto(epochs=13)
    found, sides = candidates_of(config, toy_columns)
    card = compare(found, config, sides, tmp_path, progress=False)
    assert epochs == [5, 5]  # rounded up
    assert [each.epochs for each in card.candidates] == [None, 5, 5]


@pytest.mark.parametrize(("full", "brief"), [(1, 1), (3, 3), (5, 4), (12, 4), (13, 5), (40, 14)])
def test_very_short_trainings_are_not_cut(full, brief):
    config = mlp_config(epochs=full)
    complete = module._brief(recipe(config.model, config.training, 1000))
    assert complete.epochs == brief


def test_a_candidate_that_fails_is_left_out_with_its_reason(toy_columns, tmp_path, monkeypatch):
    def fit(architecture, *others, **options):
        if architecture.blocks:
            raise TrainingError("the loss is nan in epoch 1")
        return fit_members(architecture, *others, **options)

    monkeypatch.setattr(module, "fit_members", fit)
    config = auto().model_copy(
        update={"map": MapConfig(axes={"mass": BinAxis(edges=(0.0, 1.0, 2.0))})}
    )
    found, sides = candidates_of(config, toy_columns)
    card = compare(found, config, sides, tmp_path, progress=False)
    assert card.chosen == "mlp"
    reasons = {each.name: each.reason for each in card.candidates}
    assert "mass" in reasons["map"]
    assert reasons["gnn"] == "the loss is nan in epoch 1"
    assert reasons["mlp"] is None


@pytest.mark.slow
def test_an_interrupted_selection_goes_on_where_it_was(toy_columns, tmp_path, monkeypatch):
    """Killed in the last epochs of the second network: the first one is not trained again."""
    out = tmp_path / "m.hepsilon"
    calls = []

    def fit(architecture, *others, on_epoch, **options):
        def stop(member: int, epoch: Epoch) -> None:
            on_epoch(member, epoch)
            if architecture.blocks and epoch.epoch == 1:
                raise KeyboardInterrupt

        calls.append(bool(architecture.blocks))
        return fit_members(architecture, *others, on_epoch=stop, **options)

    config = auto(epochs=6)
    with monkeypatch.context() as patch:
        patch.setattr(module, "fit_members", fit)
        with pytest.raises(KeyboardInterrupt):
            train(config, toy_columns, out)
    assert calls == [False, True]
    calls.clear()

    def count(architecture, *others, **options):
        calls.append(bool(architecture.blocks))
        return fit_members(architecture, *others, **options)

    monkeypatch.setattr(module, "fit_members", count)
    resumed = train(config, toy_columns, out).efficiency.card.selection
    assert calls == [True]
    straight = train(config, toy_columns, tmp_path / "s.hepsilon").efficiency.card.selection
    assert resumed.chosen == straight.chosen
    losses = [[each.loss for each in card.candidates] for card in (resumed, straight)]
    np.testing.assert_allclose(*losses, rtol=1e-6)
    assert {path.name for path in tmp_path.iterdir()} == {"m.hepsilon", "s.hepsilon"}


# maps of events


def test_map_of_events_is_the_factorised_one_of_the_momenta(pair_columns):
    """Features px, py and pz give the pt, eta and phi that are binned."""
    config = auto(PAIRS)
    sides = sides_of(pair_columns, config)
    found, n_bins = losses_of_map(config, sides, Resampling())
    names = ("px", "py", "pz")
    px, py, pz = (pair_columns.nodes[:, PAIRS.features.index(n)].astype(float) for n in names)
    pt = np.hypot(px, py)
    angles = np.column_stack([pt, np.arcsinh(pz / pt), np.arctan2(py, px)]).astype(np.float32)
    binned = PAIRS.model_copy(update={"features": ("pt", "eta", "phi"), "categorical": {}})
    training, validation = sides_of(replace(pair_columns, nodes=angles), config)
    expected = FactorisedMap.fit(binned, training)
    eps, _ = expected._predict(validation.offsets, validation.nodes, False)
    passed = validation.passed[validation.offsets[:-1]] > 0.5
    np.testing.assert_allclose(found.losses, -np.log(np.where(passed, eps, 1.0 - eps)), rtol=1e-5)
    assert n_bins == expected.values().size


def test_map_of_features_that_do_not_give_the_binned_ones_is_left_out(pair_columns):
    config = auto(task_with(features=("px", "py", "charge")), epochs=1)
    few = replace(pair_columns, nodes=pair_columns.nodes[:, [0, 1, 3]])
    with pytest.raises(ConfigError, match="map axes"):
        losses_of_map(config, sides_of(few, config), Resampling())


@pytest.mark.parametrize("warn", [True, False])
def test_a_sample_that_was_checked_is_not_warned_of_again(toy_columns, caplog, warn):
    """The map is fitted silently beside the networks, whose training has said what is scarce."""
    few = toy_columns.take(np.arange(60))
    with caplog.at_level("WARNING", "hepsilon"):
        if warn:
            EfficiencyMap.fit(TASK, few)
        else:
            losses_of_map(auto(), (few, few), Resampling())
    assert any("use more events" in message for message in caplog.messages) is warn
