from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hepsilon.arrays.keys import fold_numbers
from hepsilon.config import ModelConfig
from hepsilon.data.dataset import read_columns
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.networks.architecture import resolve
from hepsilon.networks.build import build_model
from hepsilon.training import Fit, recipe
from hepsilon.training import ensemble as members
from hepsilon.training.batches import Batches, Shape
from hepsilon.training.ensemble import fit_members
from hepsilon.training.gradients import Gradients
from hepsilon.training.loss import cross_entropy
from hepsilon.training.member import Member
from hepsilon.training.resampling import Resampling
from tests.helpers.toys import POINTS, SPEC, TASK, mlp_config

pytestmark = pytest.mark.slow

MLP = mlp_config().model
DRAWN = Resampling("bootstrap", 2, seed=3)
GNN = ModelConfig(architecture="gnn", width=4, blocks=1)


@pytest.fixture(scope="module")
def sides(toy_columns) -> tuple[TrainingColumns, TrainingColumns]:
    return toy_columns.split(0.3)


def full_recipe(sides, model=MLP, **training):
    return recipe(model, mlp_config(**training).training, sides[0].n_events)


def fit(sides, numbers, model=MLP, task=TASK, resampling=None, states=None, **training):
    """Fits of the members with these numbers, by number."""
    states = dict.fromkeys(numbers) if states is None else states
    full = full_recipe(sides, model, **training)
    fits = fit_members(resolve(model, task), SPEC, full, *sides, states, resampling=resampling)
    return dict(zip(numbers, fits, strict=True))


def losses(found: Fit):
    return np.array([(epoch.loss, epoch.validation_loss) for epoch in found.history])


def assert_equal(found: Fit, expected: Fit, **tolerance) -> None:
    """Bit by bit without a tolerance."""
    assert found.best_epoch == expected.best_epoch
    tolerance = {"rtol": 0, "atol": 0} | tolerance
    np.testing.assert_allclose(losses(found), losses(expected), **tolerance)
    for a, b in zip(found.weights, expected.weights, strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


@pytest.fixture
def order_of_the_first(monkeypatch):
    """A member alone sees the events as it does in an ensemble whose first is number 0."""

    def shuffled(*arguments):
        *others, seed, networks, resampling = arguments
        return Batches(*others, [seed[0], 0, seed[2]], networks, resampling)

    monkeypatch.setattr(members, "Batches", shuffled)


@pytest.fixture(scope="module")
def three(sides):
    return fit(sides, (0, 1, 2), resampling=DRAWN, epochs=3)


@pytest.mark.usefixtures("order_of_the_first")
@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_ensemble_in_one_pass_is_its_members_alone(sides, three, number):
    alone = fit(sides, (number,), resampling=DRAWN, epochs=3)
    assert_equal(alone[number], three[number], rtol=1e-5, atol=1e-6)


def test_members_of_an_ensemble_differ(three):
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(three[a].weights[0] - three[b].weights[0]).max() > 0.01
        assert losses(three[a])[0, 0] != losses(three[b])[0, 0]


def test_each_member_has_its_own_bootstrap_sample_of_the_same_batches(sides):
    full, states = full_recipe(sides), dict.fromkeys((0, 4, 7))
    ensemble = members.Ensemble(resolve(MLP, TASK), SPEC, full, sides, states, DRAWN)
    left = ensemble.members[1:]  # the first one has stopped
    epoch, all_of = ensemble.batches(2, left), ensemble.batches(2, ensemble.members)
    assert (epoch.networks, epoch.resampling) == ((4, 7), DRAWN)
    np.testing.assert_array_equal(epoch.order, all_of.order)
    assert not np.array_equal(epoch.order, ensemble.batches(3, left).order)


@pytest.mark.parametrize("workers", [1, 3])
def test_number_of_threads_changes_nothing(sides, three, monkeypatch, workers):
    monkeypatch.setattr(members, "usable_cpus", lambda: workers)
    found = fit(sides, (0, 1, 2), resampling=DRAWN, epochs=3)
    for number in three:
        assert_equal(found[number], three[number])


DIVERGING = {"epochs": 12, "learning_rate": 0.2, "ema": 0.0, "patience": 1}


@pytest.mark.usefixtures("order_of_the_first")
def test_xla_takes_trainings_of_many_events(sides, monkeypatch):
    """TensorFlow; it changes only the round-off."""
    asked = []

    def spied(model, recipe, jit):
        asked.append(jit)
        return Gradients(model, recipe, jit)

    monkeypatch.setattr(members, "Gradients", spied)
    plain = fit(sides, (0,), epochs=3)
    monkeypatch.setattr(members, "MANY_EVENTS", 1)
    compiled = fit(sides, (0,), epochs=3)
    assert asked == [False, True]
    assert_equal(compiled[0], plain[0], rtol=1e-5, atol=1e-6)


def test_early_stopping_of_one_member_leaves_the_others_alone(sides):
    numbers = (0, 1, 2, 3)
    together = fit(sides, numbers, **DIVERGING)
    lengths = {number: len(found.history) for number, found in together.items()}
    last = max(lengths, key=lengths.__getitem__)
    assert min(lengths.values()) < lengths[last]
    assert_equal(fit(sides, (last,), **DIVERGING)[last], together[last], rtol=1e-5, atol=1e-6)
    for found in together.values():
        assert len(found.history) in {12, found.best_epoch + 1}


@pytest.mark.parametrize("at", [1, 2])
def test_killed_between_two_states_it_goes_on_to_the_same_networks(
    sides, three, tmp_path, monkeypatch, at
):
    """The states on disk are of different epochs then."""
    states = {number: tmp_path / f"{number}.npz" for number in three}
    original = Member.finish_epoch

    def finish_epoch(self, epoch, weights):
        if (self.number, epoch.epoch) == (at, 2):
            raise KeyboardInterrupt
        original(self, epoch, weights)

    with monkeypatch.context() as patch:
        patch.setattr(Member, "finish_epoch", finish_epoch)
        with pytest.raises(KeyboardInterrupt):
            fit(sides, tuple(three), resampling=DRAWN, states=states, epochs=3)
    resumed = fit(sides, tuple(three), resampling=DRAWN, states=states, epochs=3)
    for number, found in resumed.items():
        assert_equal(found, three[number])


def test_batches_in_more_parts_give_the_same_network(sides, monkeypatch):
    """Parts are summed up, with a share of the penalties each: their number is only round-off."""
    found = []
    for nodes in (1024, 64):
        monkeypatch.setattr(Shape, "of", classmethod(lambda cls, *_, n=nodes: cls(n, 0)))
        found.append(fit(sides, (0,), l2=0.01)[0])
    assert_equal(found[1], found[0], rtol=1e-4, atol=1e-5)


def test_columns_on_disk_give_the_same_network(toy_file, sides, three):
    mapped = read_columns([toy_file], mlp_config(), memory_limit=0)
    assert isinstance(mapped.nodes, np.memmap)
    assert not isinstance(sides[0].nodes.base, np.memmap)
    found = fit(mapped.split(0.3), (0, 1, 2), resampling=DRAWN, epochs=3)
    for number in three:
        assert_equal(found[number], three[number])


@pytest.mark.parametrize("task", [TASK, POINTS], ids=["one", "points"])
def test_training_in_bfloat16_is_close(toy_columns, points_columns, task):
    sides = (toy_columns if task is TASK else points_columns).split(0.3)
    exact, low = (
        fit(sides, (0,), task=task, epochs=3, precision=precision)[0]
        for precision in ("float32", "bfloat16")
    )
    assert all(np.isfinite(w).all() and w.dtype == np.float32 for w in low.weights)
    assert np.abs(low.weights[0] - exact.weights[0]).max() > 1e-6
    np.testing.assert_allclose(losses(low), losses(exact), rtol=0.02)


# folds


FOLDS = Resampling("folds", 3)


@pytest.fixture(scope="module")
def all_events(toy_columns):
    return toy_columns, toy_columns


@pytest.fixture(scope="module")
def folded(all_events):
    return fit(all_events, (0, 1, 2), resampling=FOLDS, epochs=3, patience=3)


def states_of(folder: Path, numbers=(0, 1, 2)):
    """Weights in training of each member, at the end."""
    found = {}
    for number in numbers:
        with np.load(folder / f"{number}.npz") as file:
            found[number] = [file["variables0"], file["variables1"]]
    return found


@pytest.mark.parametrize("fold", [0, 2])
def test_no_event_of_a_fold_changes_the_member_that_is_validated_on_it(all_events, tmp_path, fold):
    """Its training losses and weights are the same bit by bit, those of the others are not."""
    columns = all_events[0]
    own = np.repeat(FOLDS.validated(columns.keys, fold), np.diff(columns.offsets))
    other = replace(columns, passed=np.where(own, 1.0 - columns.passed, columns.passed))
    fits, ends = [], []
    for name, data in (("as it is", columns), ("changed", other)):
        folder = tmp_path / name
        folder.mkdir()
        states = {number: folder / f"{number}.npz" for number in range(3)}
        options = {"resampling": FOLDS, "states": states, "epochs": 3, "patience": 3}
        fits.append(fit((data, data), (0, 1, 2), **options))
        ends.append(states_of(folder))
    before, after = fits
    for number in range(3):
        same = [np.array_equal(a, b) for a, b in zip(ends[0][number], ends[1][number], strict=True)]
        assert same == [number == fold] * 2
        training = losses(before[number])[:, 0], losses(after[number])[:, 0]
        assert np.array_equal(*training) == (number == fold)
    assert losses(before[fold])[0, 1] != losses(after[fold])[0, 1]


def test_a_member_is_validated_on_its_own_fold(all_events, folded):
    from hepsilon.efficiencies.engines.keras import Engine

    columns = all_events[0]
    for number, found in folded.items():
        own = columns.take(np.flatnonzero(fold_numbers(columns.keys, 3) == number))
        engine = Engine(build_model(resolve(MLP, TASK), SPEC, seed=None), [found.weights])
        loss = cross_entropy(engine.logits(own.offsets, own.nodes), own, 1.0)
        best = found.history[found.best_epoch - 1].validation_loss
        assert loss == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("workers", [1, 3])
def test_number_of_threads_changes_nothing_with_folds(all_events, folded, monkeypatch, workers):
    monkeypatch.setattr(members, "usable_cpus", lambda: workers)
    found = fit(all_events, (0, 1, 2), resampling=FOLDS, epochs=3, patience=3)
    for number in folded:
        assert_equal(found[number], folded[number])


def test_folds_that_were_interrupted_go_on(all_events, folded, tmp_path, monkeypatch):
    states = {number: tmp_path / f"{number}.npz" for number in folded}
    options = {"resampling": FOLDS, "states": states, "epochs": 3, "patience": 3}
    original = Member.finish_epoch

    def finish_epoch(self, epoch, weights):
        if (self.number, epoch.epoch) == (1, 2):
            raise KeyboardInterrupt
        original(self, epoch, weights)

    with monkeypatch.context() as patch:
        patch.setattr(Member, "finish_epoch", finish_epoch)
        with pytest.raises(KeyboardInterrupt):
            fit(all_events, (0, 1, 2), **options)
    resumed = fit(all_events, (0, 1, 2), **options)
    for number, found in resumed.items():
        assert_equal(found, folded[number])


# plain Keras


STEPS = 20


class InOrder:
    """The first parts of an epoch's batches, each as one batch of Keras."""

    def __init__(self, epoch: Batches) -> None:
        self.batches = []
        for i in range(STEPS):
            (part,) = epoch.parts(i)
            self.batches.append((part.inputs, part.target, part.weights[0][:, 0]))


def test_our_loop_is_that_of_keras(sides, monkeypatch):
    """One part for each batch: loss curve, weights and averaged weights after 20 steps."""
    import keras

    monkeypatch.setattr(Shape, "of", classmethod(lambda cls, *_: cls(256, 2048)))
    full = full_recipe(sides, GNN, epochs=1, batch_events=20, weight_decay=0.1, ema=0.9)
    assert sides[0].n_events // 20 >= STEPS
    train = sides[0].between(0, 20 * STEPS)
    architecture = resolve(GNN, TASK)
    ensemble = members.Ensemble(
        architecture, SPEC, full, (train, sides[1]), {0: None}, Resampling()
    )
    model = build_model(architecture, SPEC, seed=None)
    (member,) = ensemble.members
    model.set_weights(
        member._vectors.split([keras.ops.convert_to_numpy(w) for w in member.weights()])
    )
    epoch = ensemble.batches(1, ensemble.members)
    ours = [ensemble.step(list(epoch.parts(i)), ensemble.members)[0] for i in range(STEPS)]

    schedule = keras.optimizers.schedules.CosineDecay(
        0.04 * full.learning_rate, 18, warmup_target=full.learning_rate, warmup_steps=2
    )
    # the average spans at most a tenth of the steps
    options = {"weight_decay": 0.1, "use_ema": True, "ema_momentum": 0.5}
    optimizer = keras.optimizers.AdamW(schedule, **options)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    entropy = keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum")
    model.compile(optimizer, entropy, jit_compile=False)
    curve = []

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            curve.append(logs["loss"])

    class Data(keras.utils.PyDataset):
        batches = InOrder(epoch).batches

        def __len__(self):
            return STEPS

        def __getitem__(self, i):
            return self.batches[i]

    model.fit(Data(), shuffle=False, epochs=1, verbose=0, callbacks=[Record()])
    means = np.cumsum(ours) / np.arange(1, STEPS + 1)  # Keras' logs are running means
    np.testing.assert_allclose(curve, means, rtol=2e-5)
    assert ours[-1] < ours[0]
    # fit leaves the averaged weights in the model
    for found, there in zip(model.get_weights(), member.averaged(), strict=True):
        np.testing.assert_allclose(found, there, rtol=2e-3, atol=2e-5)


def test_validation_loss_is_that_of_the_kept_weights(sides, three, tmp_path: Path):
    from hepsilon.efficiencies.engines.keras import Engine

    for found in three.values():
        model = build_model(resolve(MLP, TASK), SPEC, seed=None)
        engine = Engine(model, [found.weights])
        logits = engine.logits(sides[1].offsets, sides[1].nodes)
        best = found.history[found.best_epoch - 1].validation_loss
        assert cross_entropy(logits, sides[1], 1.0) == pytest.approx(best, rel=1e-5)
