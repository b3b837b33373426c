from __future__ import annotations

import logging
from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
import uproot

from hepsilon import InputError, TrainingError, load, train
from hepsilon.arrays.keys import fold_numbers, key_uniform
from hepsilon.config import Config, ModelConfig
from hepsilon.data.dataset import read_columns
from hepsilon.data.summary import summarise
from hepsilon.efficiencies.artifact import read_arrays
from hepsilon.efficiencies.card import SourceFile
from hepsilon.efficiencies.cards import EpochCard, MemberCard
from hepsilon.efficiencies.engines.keras import Engine
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.simulation import write_jets
from hepsilon.training import fitting
from hepsilon.training.loss import cross_entropy
from hepsilon.training.member import Member
from hepsilon.training.resampling import Resampling
from tests.helpers.files import rewritten
from tests.helpers.toys import POINTS, TASK, mlp_config, random_jets, with_any_number


@pytest.fixture(scope="module")
def files(toy_file, tmp_path_factory):
    """The training sample in two files of different size."""
    folder = tmp_path_factory.mktemp("files")
    with uproot.open(toy_file) as file:
        events = file["Events"].arrays()
    parts = {folder / "a.root": events[:400], folder / "b.root": events[400:550]}
    for path, part in parts.items():
        jets = {n.removeprefix("Jet_"): part[n] for n in part.fields if n.startswith("Jet_")}
        branches = {n: part[n] for n in ("run", "luminosityBlock", "event", "genWeight")}
        with uproot.recreate(path) as file:
            file.mktree("Events", {"Jet": ak.zip(jets), **branches})
    return list(parts)


@pytest.fixture(scope="module")
def result(files, tmp_path_factory):
    return train(mlp_config(), files, tmp_path_factory.mktemp("run") / "mlp.hepsilon")


SMALL = {"architecture": "mlp", "width": 4, "blocks": 1}


def weights(efficiency: NetworkEfficiency):
    return read_arrays(efficiency.path, efficiency.card, efficiency.hash)


def test_file_order_does_not_matter(files, result, tmp_path):
    other = train(mlp_config(), files[::-1], tmp_path / "mlp.hepsilon").efficiency
    np.testing.assert_equal(weights(other), weights(result.efficiency))


def test_file_order_does_not_matter_where_events_share_their_numbers(tmp_path):
    """As samples of different processes do: run 1, luminosity block 1, event 1."""
    files = [write_jets(tmp_path / f"{seed}.root", 50, seed=seed) for seed in (1, 2)]
    there, back = (read_columns(order, mlp_config()) for order in (files, files[::-1]))
    np.testing.assert_array_equal(there.nodes, back.nodes)


def test_columns_in_memory_are_trained_on_like_files(files, monkeypatch, tmp_path):
    columns = read_columns(files, mlp_config())
    from_files, from_memory = (
        captured(monkeypatch, mlp_config(), data, tmp_path / "mlp.hepsilon")
        for data in (files, columns)
    )
    assert from_memory[:3] == from_files[:3]
    for a, b in zip(from_memory[3:5], from_files[3:5], strict=True):
        np.testing.assert_equal(vars(a), vars(b))


def test_result_is_the_artifact(result):
    loaded = load(result.efficiency.path)
    assert loaded == result.efficiency
    (member,) = loaded.card.members
    assert result.best_epochs == (member.best_epoch,)
    for line, epoch in zip(member.history, result.history[0], strict=True):
        assert line.model_dump() == vars(epoch)


def test_sample_is_known_before_the_training_and_on_the_card(files, monkeypatch, tmp_path):
    said = []

    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "fit_members", stop)
    with pytest.raises(KeyboardInterrupt):
        train(mlp_config(), files, tmp_path / "mlp.hepsilon", on_sample=said.append)
    columns = read_columns(files, mlp_config())
    assert said == [summarise(columns, TASK)]
    assert [c.category for c in said[0].categories][::3] == ["hadronFlavour = 5", "all"]


def test_card_has_the_sample(files, result):
    sample = summarise(read_columns(files, mlp_config()), TASK)
    assert result.efficiency.card.sample == sample
    assert load(result.efficiency.path).card.sample == sample


@pytest.mark.parametrize("losses", [[3.0, 2.0, 1.0], [3.0, 1.0, 2.0], [1.0]])
def test_best_epoch_that_is_the_last_is_said(losses):
    lines = [
        EpochCard(epoch=number, loss=0.0, validation_loss=loss, seconds=0.0)
        for number, loss in enumerate(losses, 1)
    ]
    member = MemberCard(best_epoch=int(np.argmin(losses)) + 1, history=tuple(lines))
    assert member.best_is_last == (losses[-1] == min(losses))


def test_result_says_whether_the_last_epoch_was_the_best(result):
    (history,) = result.history
    losses = [epoch.validation_loss for epoch in history]
    assert result.best_is_last == (losses[-1] == min(losses),)


def test_weights_whose_sum_is_negative_are_refused(files, tmp_path):
    """Of one flavour only; and of the validation events only."""
    columns = read_columns(files, mlp_config())
    n_b = np.add.reduceat(columns.nodes[:, 3] == 5, columns.offsets[:-1], dtype=np.int64)
    weights = np.where(n_b > 0, -1.0, 30.0)
    with pytest.raises(TrainingError, match=r"positive sum of weights of .*hadronFlavour = 5"):
        train(mlp_config(), replace(columns, weights=weights), tmp_path / "a.hepsilon")
    validation = key_uniform(columns.keys) < 0.1
    weights = np.where(validation, -0.01, 1.0)
    with pytest.raises(TrainingError, match=r"positive sum of weights of .* validation events"):
        train(mlp_config(), replace(columns, weights=weights), tmp_path / "a.hepsilon")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("unit", [1e-4, 225892.0])
def test_unit_of_the_weights_does_not_matter(files, tmp_path, unit):
    """Losses, kept epoch and efficiencies, up to the rounding of float32."""
    columns = read_columns(files, mlp_config())
    columns = replace(columns, weights=np.where(np.arange(columns.n_events) % 9, 1.0, -0.5))
    found, expected = (
        train(
            mlp_config(), replace(columns, weights=c * columns.weights), tmp_path / f"{c}.hepsilon"
        )
        for c in (unit, 1.0)
    )
    for a, b in zip(found.history[0], expected.history[0], strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-4)
        assert a.validation_loss == pytest.approx(b.validation_loss, rel=1e-4)
    jets = random_jets([2, 3, 1])
    eps = [ak.to_numpy(ak.flatten(r.efficiency(jets))) for r in (found, expected)]
    np.testing.assert_allclose(*eps, rtol=1e-3)


def test_card_says_what_was_done(files, result):
    card = result.efficiency.card
    assert card.task == TASK
    assert card.files == tuple(map(SourceFile.of, files))
    assert all(file.sha256 is None for file in card.files)
    assert card.n_events == 550
    assert 0.05 < card.passed_rate < 0.5
    assert card.training.seed == 3
    assert {"python", "hepsilon", "keras", "tensorflow"} <= set(card.versions)


def test_features_are_learned_on_the_training_side_only(files, result):
    config = mlp_config()
    training, _ = read_columns(files, config).split(config.training.validation)
    pt = result.efficiency.features.features[0]
    values = training.nodes[:, 0].astype(float)
    assert (pt.low, pt.high) == (values.min(), values.max())
    assert (pt.mean, pt.std) == pytest.approx((values.mean(), values.std()))


def test_kept_network_has_the_smallest_validation_loss(files, result):
    config = mlp_config()
    _, validation = read_columns(files, config).split(config.training.validation)
    engine = replace(result.efficiency, backend="tensorflow")._engine()
    assert isinstance(engine, Engine)
    loss = cross_entropy(engine.logits(validation.offsets, validation.nodes), validation, 1.0)
    assert loss == pytest.approx(min(e.validation_loss for e in result.history[0]), rel=1e-6)


class ReachedError(Exception):
    """Training would start now."""


def captured(monkeypatch, config: Config, data, out):
    """Arguments with which the training of the first member would start."""
    calls = []

    def fit_members(*arguments, **options):
        calls.append((*arguments, options))
        folder = out.with_name(f"{out.name}.partial")
        (folder / "member-9.npz").write_bytes(b"a state, or the folder would not stay")
        raise ReachedError

    monkeypatch.setattr(fitting, "fit_members", fit_members)
    with pytest.raises(ReachedError):
        train(config, data, out)
    return calls[0]


def test_validation_events_are_never_trained_on(files, monkeypatch, tmp_path):
    """Also where an event is there twice, and with bootstrap weights."""
    config = mlp_config(validation=0.3)
    config = config.model_copy(update={"model": ModelConfig(**SMALL, bootstrap=True)})
    out = tmp_path / "mlp.hepsilon"
    *_, training, validation, _, _ = captured(
        monkeypatch, config, [*files, rewritten(files[0], tmp_path / "again.root")], out
    )
    assert not set(training.keys) & set(validation.keys)
    assert training.n_events + validation.n_events == 950
    assert 0.2 < validation.n_events / 950 < 0.4


@pytest.mark.parametrize("bootstrap", [True, False])
def test_bootstrap_is_asked_for_and_leaves_the_columns_alone(
    files, monkeypatch, tmp_path, bootstrap
):
    """One more network than there are bootstrap samples."""
    model = ModelConfig(**SMALL, members=2, bootstrap=bootstrap)
    config = mlp_config().model_copy(update={"model": model})
    found = captured(monkeypatch, config, files, tmp_path / "mlp.hepsilon")
    *_, training, validation, states, options = found
    assert options["resampling"] == Resampling("bootstrap" if bootstrap else "none", 2, seed=3)
    assert list(states) == [0, 1, 2][: 2 + bootstrap]
    assert set(training.weights) == set(validation.weights) == {1.0}


def interrupt_second_member(monkeypatch):
    """Between the states of two members, after the second epoch."""
    original = Member.finish_epoch

    def finish_epoch(self, epoch, weights):
        if self.number == 1 and epoch.epoch == 2:
            raise KeyboardInterrupt
        original(self, epoch, weights)

    monkeypatch.setattr(Member, "finish_epoch", finish_epoch)


def two_members(**training) -> Config:
    config = mlp_config(**training)
    return config.model_copy(update={"model": config.model.model_copy(update={"members": 2})})


def partial(folder):
    return [path.name for path in folder.iterdir()]


@pytest.mark.slow
def test_interrupted_training_goes_on_and_leaves_only_the_artifact(
    files, result, monkeypatch, tmp_path, caplog
):
    out = tmp_path / "two.hepsilon"
    with monkeypatch.context() as patch:
        interrupt_second_member(patch)
        with pytest.raises(KeyboardInterrupt):
            train(two_members(), files, out)
    assert partial(tmp_path) == ["two.hepsilon.partial"]
    caplog.clear()
    efficiency = train(two_members(), files, out).efficiency
    epochs = two_members().training.epochs
    assert f"going on after epoch 1 of {epochs}" in caplog.messages
    assert partial(tmp_path) == ["two.hepsilon"]
    first = weights(efficiency)["member-0"]
    np.testing.assert_equal(first, weights(result.efficiency)["member-0"])
    straight = train(two_members(), files, tmp_path / "straight.hepsilon").efficiency
    np.testing.assert_equal(weights(efficiency), weights(straight))


def said_of_states(caplog):
    """Messages, but for those of small samples."""
    return [message for message in caplog.messages if "use more events" not in message]


def test_state_of_another_configuration_is_discarded(files, monkeypatch, tmp_path, caplog):
    out = tmp_path / "mlp.hepsilon"
    captured(monkeypatch, mlp_config(), files, out)
    leftover = tmp_path / "mlp.hepsilon.partial" / "member-0.npz"
    leftover.write_bytes(b"of another training")
    with caplog.at_level(logging.WARNING, "hepsilon"):
        captured(monkeypatch, mlp_config(), files, out)
    assert not said_of_states(caplog)  # the same training goes on
    assert leftover.exists()
    with caplog.at_level(logging.WARNING, "hepsilon"):
        captured(monkeypatch, mlp_config(seed=4), files, out)
    (message,) = said_of_states(caplog)
    assert "another training" in message
    assert not leftover.exists()


def test_state_of_other_data_is_discarded(files, monkeypatch, tmp_path, caplog):
    out = tmp_path / "mlp.hepsilon"
    captured(monkeypatch, mlp_config(), files, out)
    captured(monkeypatch, mlp_config(), files[:1], out)
    assert any("another training" in message for message in caplog.messages)


def test_members_are_different_networks(ensemble):
    first, second = (weights(ensemble)[name] for name in ensemble.card.networks)
    assert not any(np.array_equal(first[k], second[k]) for k in first if k.endswith("kernel"))
    histories = [member.history for member in ensemble.card.members]
    assert histories[0][0].loss != histories[1][0].loss


def test_nominal_is_the_mean_of_the_members(ensemble):
    jets = random_jets([2, 0, 3])
    replicas = load(ensemble.path, replicas_from="members").replicas(jets)
    np.testing.assert_allclose(
        ak.to_numpy(ak.flatten(ensemble(jets))), ak.to_numpy(ak.flatten(replicas)).mean(axis=1)
    )


def test_response_that_is_never_passed_is_refused(files, tmp_path):
    never = TASK.passed.model_copy(update={"above": (2.0,)})
    config = mlp_config(TASK.model_copy(update={"passed": never}))
    with pytest.raises(InputError, match=r"no one of .* discriminant above 2\.0"):
        train(config, files, tmp_path / "mlp.hepsilon")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        ((0.5, 1.0, 1e9), r"no one of .* tagger above 1000000000\.0"),
        ((-1.0, 1.0, 2.0), r"every one of .* tagger above -1\.0"),
    ],
)
def test_working_point_that_all_or_none_pass_is_refused(files, tmp_path, cuts, message):
    passed = POINTS.passed.model_copy(update={"above": cuts})
    config = mlp_config(POINTS.model_copy(update={"passed": passed}))
    with pytest.raises(InputError, match=message):
        train(config, files, tmp_path / "mlp.hepsilon")
    assert not list(tmp_path.iterdir())


def test_card_of_several_working_points(points_network, points_columns):
    card = points_network.card
    assert card.task == POINTS
    assert card.architecture.working_points == 3
    assert card.passed_rate == pytest.approx(with_any_number(points_columns).passed_rate)
    assert load(points_network.path) == points_network


def test_state_of_other_working_points_is_discarded(files, monkeypatch, tmp_path, caplog):
    out = tmp_path / "mlp.hepsilon"
    captured(monkeypatch, mlp_config(POINTS), files, out)
    captured(monkeypatch, mlp_config(POINTS), files, out)
    assert not said_of_states(caplog)
    other = POINTS.passed.model_copy(update={"above": (0.5, 1.0, 1.5)})
    config = mlp_config(POINTS.model_copy(update={"passed": other}))
    captured(monkeypatch, config, files, out)
    assert any("another training" in message for message in caplog.messages)


def test_category_that_the_task_does_not_name_is_refused(files, tmp_path):
    config = mlp_config(TASK.model_copy(update={"categorical": {"hadronFlavour": (5, 4)}}))
    with pytest.raises(TrainingError, match="hadronFlavour"):
        train(config, files, tmp_path / "mlp.hepsilon")


def test_a_folder_of_somebody_else_is_left_alone(tmp_path, toy_file):
    folder = tmp_path / "gnn.hepsilon.partial"
    folder.mkdir()
    (folder / "thesis.tex").write_text("precious")
    with pytest.raises(TrainingError, match="not the state of a training"):
        train(Config(task=TASK), [toy_file], tmp_path / "gnn.hepsilon")
    assert (folder / "thesis.tex").read_text() == "precious"


# members


def resampled(resampling: str, members: int, **training) -> Config:
    model = ModelConfig(**SMALL, members=members, resampling=resampling)
    return mlp_config(**training).model_copy(update={"model": model})


@pytest.mark.slow
def test_loss_out_of_fold_is_that_of_every_event_by_a_network_that_never_saw_it(files, tmp_path):
    efficiency = train(resampled("folds", 3), files, tmp_path / "m.hepsilon").efficiency
    columns, card = read_columns(files, mlp_config()), efficiency.card
    assert card.networks == ("member-0", "member-1", "member-2")
    networks = efficiency.of_members(columns.offsets, columns.nodes)
    fold = np.repeat(fold_numbers(columns.keys, 3), np.diff(columns.offsets))
    eps = networks[np.arange(len(fold)), fold]
    terms = -np.log(np.where(columns.passed > 0.5, eps, 1.0 - eps))
    losses = np.add.reduceat(terms, columns.offsets[:-1]) / np.diff(columns.offsets)
    assert card.out_of_fold.n_events == columns.n_events == len(losses)
    assert card.out_of_fold.loss == pytest.approx(losses.mean(), rel=1e-5)
    error = losses.std() / np.sqrt(len(losses))
    assert card.out_of_fold.error == pytest.approx(error, rel=1e-4)
    # the efficiency is the mean
    members = load(efficiency.path, replicas_from="members")
    found = members.evaluate(random_jets([2, 3]), out_of_domain="ignore")
    replicas = ak.to_numpy(ak.flatten(found.replicas, axis=1))
    np.testing.assert_allclose(ak.to_numpy(ak.flatten(found.eps)), replicas.mean(axis=1))


@pytest.mark.slow
def test_network_of_all_events_is_trained_beside_bootstrap_samples(files, tmp_path):
    """The efficiency is that of a training without them."""
    config = resampled("bootstrap", 2, epochs=1)
    efficiency = train(config, files, tmp_path / "m.hepsilon").efficiency
    assert efficiency.card.networks == ("member-0", "member-1", "member-2")
    assert len(efficiency.card.members) == 3
    assert efficiency.card.out_of_fold is None
    single = train(mlp_config(epochs=1), files, tmp_path / "single.hepsilon").efficiency
    jets = random_jets([2, 0, 3])
    found, alone = (each.evaluate(jets, out_of_domain="ignore") for each in (efficiency, single))
    eps = ak.to_numpy(ak.flatten(found.eps))
    np.testing.assert_allclose(eps, ak.to_numpy(ak.flatten(alone.eps)), rtol=1e-5)
    replicas = ak.to_numpy(ak.flatten(found.replicas, axis=1))
    assert replicas.shape == (5, 2)
    assert np.abs(replicas - eps[:, None]).max() > 1e-3


@pytest.mark.parametrize("given", [{"validation": 0.2}, {"validation": 0.1}, {}])
def test_validation_that_folds_do_not_use_is_said(files, monkeypatch, tmp_path, caplog, given):
    config = resampled("folds", 2, **given)
    with caplog.at_level(logging.WARNING, "hepsilon"):
        found = captured(monkeypatch, config, files, tmp_path / "m.hepsilon")
    said = [text for text in caplog.messages if "training.validation" in text]
    assert len(said) == len(given)
    *_, training, validation, _, options = found
    assert training.n_events == validation.n_events == 550
    assert options["resampling"] == Resampling("folds", 2, seed=3)


def test_fold_whose_weights_cancel_is_refused(files, tmp_path):
    columns = read_columns(files, mlp_config())
    own = fold_numbers(columns.keys, 3) == 1
    data = replace(columns, weights=np.where(own, -0.01, 1.0))
    with pytest.raises(TrainingError, match=r"positive sum .* events of fold 1.*fewer members"):
        train(resampled("folds", 3), data, tmp_path / "m.hepsilon")
    assert not list(tmp_path.iterdir())


def test_fold_without_an_event_is_refused(files, tmp_path):
    columns = read_columns(files, mlp_config())
    few = columns.take(np.flatnonzero(fold_numbers(columns.keys, 3) != 2))
    with pytest.raises(TrainingError, match="0 events of fold 2"):
        train(resampled("folds", 3), few, tmp_path / "m.hepsilon")


def test_importance_of_every_feature_is_on_the_card(result):
    card = load(result.efficiency.path).card
    assert {each.feature for each in card.importance} == set(TASK.features)
