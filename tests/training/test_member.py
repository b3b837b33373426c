from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from hepsilon import TrainingError
from hepsilon.config import ModelConfig
from hepsilon.data.features import fit_features
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.engines.keras import Engine
from hepsilon.efficiencies.network import to_probability
from hepsilon.networks.architecture import resolve
from hepsilon.networks.build import build_model
from hepsilon.training import Epoch, Fit, ensemble, fit_member, recipe
from hepsilon.training.batches import Batches, Shape
from hepsilon.training.ensemble import FEWEST_TO_COMPARE
from hepsilon.training.gradients import Gradients
from hepsilon.training.loss import cross_entropy
from hepsilon.training.vectors import Vectors
from tests.helpers.reference import randomise, weights_of
from tests.helpers.toys import POINTS, SPEC, TASK, mlp_config
from tests.helpers.track_toys import PAIRS, columns_of, draw

MODEL = ModelConfig(architecture="mlp", width=4, blocks=1)
ARCHITECTURE = resolve(MODEL, TASK)
THREE = resolve(MODEL, POINTS)


@pytest.fixture(scope="module")
def sides(toy_columns) -> tuple[TrainingColumns, TrainingColumns]:
    return toy_columns.split(0.3)


def fit(sides, architecture=ARCHITECTURE, **arguments) -> Fit:
    """Fit the smallest network; keywords of the training, or of :func:`fit_member`."""
    names = ("state", "on_batch", "on_epoch", "member")
    own = {name: arguments.pop(name) for name in names if name in arguments}
    training = mlp_config(**{"epochs": 3} | arguments).training
    full = recipe(MODEL, training, sides[0].n_events)
    return fit_member(architecture, SPEC, full, *sides, **own)


def logits(fitted: Fit, columns: TrainingColumns, architecture=ARCHITECTURE):
    model = build_model(architecture, SPEC, seed=None)
    model.set_weights(fitted.weights)
    return Engine(model).logits(columns.offsets, columns.nodes)


def losses(fitted: Fit) -> list[tuple[float, float]]:
    return [(epoch.loss, epoch.validation_loss) for epoch in fitted.history]


def assert_equal(found: Fit, expected: Fit) -> None:
    """Bit by bit: the same operations in the same order."""
    assert losses(found) == losses(expected)
    assert found.best_epoch == expected.best_epoch
    for a, b in zip(found.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(a, b)


@dataclass
class Recorded:
    """A fit with all that it reported and saved."""

    fit: Fit
    shares: list[float]
    epochs: list[Epoch]
    state: Path


@pytest.fixture(scope="module")
def recorded(sides, tmp_path_factory) -> Recorded:
    shares, epochs = [], []
    state = tmp_path_factory.mktemp("state") / "state.npz"
    found = fit(sides, state=state, on_batch=shares.append, on_epoch=epochs.append)
    return Recorded(found, shares, epochs, state)


@pytest.fixture(scope="module")
def uninterrupted(recorded) -> Fit:
    return recorded.fit


def test_same_seed_gives_the_same_network(sides, uninterrupted):
    """Whatever the global random state is."""
    import keras

    keras.utils.set_random_seed(12345)
    assert_equal(fit(sides), uninterrupted)


def test_members_differ(sides, uninterrupted):
    other = fit(sides, member=1, epochs=1)
    assert not np.allclose(other.weights[0], uninterrupted.weights[0])
    assert other.history[0].validation_loss != uninterrupted.history[0].validation_loss


def test_training_loss_is_equation_5_of_the_training_events(sides):
    """With one batch and next to no learning rate the network of the history is the final one."""
    fitted = fit(sides, epochs=1, learning_rate=1e-12, batch_events=10_000, ema=0.0, mu=2.0)
    expected = cross_entropy(logits(fitted, sides[0]), sides[0], mu=2.0)
    assert fitted.history[0].loss == pytest.approx(expected, rel=1e-5)


def test_on_batch_adds_up_to_the_epochs(recorded):
    assert sum(recorded.shares) == pytest.approx(3.0)


def test_on_epoch_reports_the_history(recorded):
    assert recorded.epochs == recorded.fit.history
    assert [epoch.epoch for epoch in recorded.epochs] == [1, 2, 3]


@pytest.fixture(scope="module")
def diverging(sides) -> Fit:
    """A learning rate that soon makes the validation loss grow."""
    return fit(sides, epochs=40, learning_rate=0.3, ema=0.0, patience=3)


def test_training_stops_early(diverging):
    assert len(diverging.history) < 40
    assert len(diverging.history) - diverging.best_epoch == 3


@pytest.mark.parametrize("name", ["diverging", "uninterrupted"])
def test_best_epoch_is_the_last_one_within_an_error_of_the_smallest_loss(name, sides, request):
    fitted = request.getfixturevalue(name)
    losses = [epoch.validation_loss for epoch in fitted.history]
    within = [
        epoch.epoch
        for epoch in fitted.history
        if epoch.validation_loss <= min(losses[: epoch.epoch]) + epoch.error
    ]
    assert fitted.best_epoch == within[-1]
    few = sides[1].n_events < FEWEST_TO_COMPARE
    assert all((epoch.error == 0.0) == few for epoch in fitted.history[1:])


def test_errors_of_differences_are_known_with_enough_validation_events(sides, monkeypatch):
    monkeypatch.setattr(ensemble, "FEWEST_TO_COMPARE", 0)
    errors = [epoch.error for epoch in fit(sides).history]
    assert errors[0] == 0.0
    assert all(error > 0.0 for error in errors[1:])


@pytest.mark.parametrize("name", ["diverging", "uninterrupted"])
def test_weights_of_the_best_epoch_are_kept(name, sides, request):
    """Without and with averaged weights: what is kept is what was validated."""
    fitted = request.getfixturevalue(name)
    best = fitted.history[fitted.best_epoch - 1].validation_loss
    assert cross_entropy(logits(fitted, sides[1]), sides[1], 1.0) == pytest.approx(best, rel=1e-6)


class Stop:
    """Interrupts as Ctrl-C does, at the given call."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, *_: object) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hook", "at", "saved"), [("on_epoch", 2, 2), ("on_batch", 7, 1)], ids=["epoch", "batch"]
)
def test_interrupted_training_goes_on_to_the_same_network(
    sides, uninterrupted, tmp_path, hook, at, saved
):
    """At the end of an epoch, and in the middle of one, which is then repeated."""
    state = tmp_path / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        fit(sides, state=state, **{hook: Stop(at)})
    epochs = []
    resumed = fit(sides, state=state, on_epoch=epochs.append)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3]
    assert epochs[:saved] == resumed.history[:saved]
    assert_equal(resumed, uninterrupted)


def test_finished_training_is_not_repeated(sides, recorded):
    batches = []
    again = fit(sides, state=recorded.state, on_batch=batches.append)
    assert_equal(again, recorded.fit)
    assert not batches


def test_state_is_one_complete_file(recorded):
    assert list(recorded.state.parent.iterdir()) == [recorded.state]


def test_loss_that_is_not_finite_is_an_error(sides):
    with pytest.raises(TrainingError, match=r"loss is (nan|inf) in epoch 1.*learning_rate"):
        fit(sides, learning_rate=1e30, ema=0.0)


def constant(n: int, p: float, seed: int, weights=None) -> TrainingColumns:
    """Events with one object that passes with probability p, whatever its features are."""
    rng = np.random.default_rng(seed)
    nodes = np.column_stack(
        [
            rng.uniform(20, 300, n),
            rng.uniform(-2, 2, n),
            rng.uniform(-3, 3, n),
            rng.choice([0, 4, 5], n),
        ]
    ).astype(np.float32)
    passed = (rng.uniform(size=n) < p).astype(np.float32)
    weights = np.ones(n) if weights is None else weights(rng, passed)
    return TrainingColumns(np.arange(n + 1), nodes, passed, weights, np.arange(n, dtype=np.uint64))


def mean_efficiency(fitted: Fit, columns: TrainingColumns, mu: float) -> float:
    return float(to_probability(logits(fitted, columns), mu).mean())


def test_network_trained_with_mu_gives_the_efficiency():
    """The mean of 3,000 objects has an error of 0.0084: 5 sigma, false-alarm rate 6e-7.

    Without the correction it would be 0.125.
    """
    sides = constant(3000, 0.3, seed=1), constant(500, 0.3, seed=2)
    fitted = fit(sides, mu=3.0, epochs=6, learning_rate=0.03, ema=0.0)
    assert mean_efficiency(fitted, sides[0], 3.0) == pytest.approx(0.3, abs=0.042)
    assert mean_efficiency(fitted, sides[0], 1.0) == pytest.approx(0.125, abs=0.03)


def test_negative_event_weights_subtract():
    """30 % pass, a third of them with weight -1: (0.2 - 0.1) / (0.2 - 0.1 + 0.7) = 0.125.

    The mean of 4,000 objects has an error of 0.009: 5 sigma, false-alarm rate 6e-7.
    """

    def weights(rng, passed):
        return np.where((passed > 0) & (rng.uniform(size=len(passed)) < 1 / 3), -1.0, 1.0)

    sides = constant(4000, 0.3, 1, weights), constant(800, 0.3, 2, weights)
    fitted = fit(sides, epochs=6, learning_rate=0.03, ema=0.0)
    assert mean_efficiency(fitted, sides[0], 1.0) == pytest.approx(0.125, abs=0.045)


def penalised(architecture: str, **training: float):
    """A network, and the value and gradients of its loss on some events, with penalties."""
    task, spec, columns = TASK, SPEC, constant(64, 0.3, seed=1)
    if architecture == "product":
        task, columns = PAIRS, columns_of(draw([2] * 20))
        spec = fit_features(task, columns.nodes, np.ones(len(columns.nodes)))
        columns = columns.joined(2)
    config = ModelConfig(architecture=architecture, width=4, blocks=1)
    model = build_model(resolve(config, task), spec, seed=1)
    randomise(model, 1)
    full = recipe(config, mlp_config(**training).training, columns.n_events)
    (part,) = Batches(columns, full, Shape(128, 64), [0]).parts(0)
    vectors = Vectors(model)
    value, gradients = Gradients(model, full)(vectors.join(model.get_weights()), part, 0, 1.0)
    return model, value, vectors.split(gradients)


def is_penalised(name: str) -> bool:
    """All kernels, but of a product those of its factors, which are named by track and pair."""
    return name.endswith("kernel") and not name.startswith(("product.track_", "product.pair_"))


def penalty(weights: dict, l1: float, l2: float) -> float:
    kernels = [w for name, w in weights.items() if is_penalised(name)]
    return sum(l1 * np.abs(w).sum() + l2 * (w**2).sum() for w in kernels)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["mlp", "gnn", "product"])
def test_penalties_act_on_kernels_and_nothing_else(architecture):
    """Neither on biases nor on the bending of tracks, which is a momentum, nor on plain factors."""
    _, plain, without = penalised(architecture)
    model, value, gradients = penalised(architecture, l1=0.03, l2=0.02)
    assert value - plain == pytest.approx(penalty(weights_of(model), 0.03, 0.02), rel=1e-5)
    for variable, a, b in zip(model.trainable_variables, gradients, without, strict=True):
        w, acts = variable.numpy(), is_penalised(variable.path.replace("/", "."))
        expected = acts * (0.03 * np.sign(w) + 0.04 * w)
        np.testing.assert_allclose(a - b, expected, atol=1e-5 * (1.0 + np.abs(b).max()))


def test_penalties_are_part_of_the_training_loss_only(sides):
    """With one batch and next to no learning rate, as above."""
    options = {"epochs": 1, "learning_rate": 1e-12, "batch_events": 10_000, "ema": 0.0}
    fitted = fit(sides, **options, l1=0.03, l2=0.02)
    model = build_model(ARCHITECTURE, SPEC, seed=None)
    model.set_weights(fitted.weights)
    added = penalty(weights_of(model), 0.03, 0.02)
    assert added > 0.1
    (epoch,) = fitted.history
    losses_of = [cross_entropy(logits(fitted, side), side, 1.0) for side in sides]
    assert epoch.loss == pytest.approx(losses_of[0] + added, rel=1e-5)
    assert epoch.validation_loss == pytest.approx(losses_of[1], rel=1e-6)


# several working points


def test_training_loss_of_bins_is_that_of_the_training_events(points_columns):
    sides = points_columns.split(0.3)
    options = {"epochs": 1, "learning_rate": 1e-12, "batch_events": 10_000, "ema": 0.0, "mu": 2.0}
    (epoch,) = (fitted := fit(sides, THREE, **options)).history
    expected = [cross_entropy(logits(fitted, side, THREE), side, mu=2.0) for side in sides]
    assert (epoch.loss, epoch.validation_loss) == pytest.approx(expected, rel=1e-5)


SHARES = {5: (0.2, 0.2, 0.2, 0.4), 4: (0.5, 0.3, 0.1, 0.1), 0: (0.8, 0.1, 0.06, 0.04)}
"""Probabilities of the bins by flavour."""


def binned(n: int, seed: int) -> TrainingColumns:
    """Events with one object, whose bin has a probability that depends on the flavour."""
    plain = constant(n, 0.5, seed)
    shares = np.array([SHARES[int(flavour)] for flavour in plain.nodes[:, 3]])
    uniform = np.random.default_rng([seed, 1]).uniform(size=(n, 1))
    numbers = (uniform > np.cumsum(shares, axis=1)[:, :3]).sum(axis=1)
    return replace(plain, passed=numbers.astype(np.float32))


@pytest.fixture(scope="module")
def binned_sides() -> tuple[TrainingColumns, TrainingColumns]:
    return binned(6000, 1), binned(1000, 2)


@pytest.mark.slow
@pytest.mark.parametrize("mu", [1.0, 3.0])
def test_bins_have_the_shares_that_were_observed(binned_sides, mu):
    """For each flavour and bin, mean probability and share of 2,000 objects.

    The mean of a network with one constant per flavour would be the share itself. It may be off
    by 5 standard deviations of the share, which is what the shares are off from the truth:
    false-alarm rate of the latter 12 * 6e-7.
    """
    fitted = fit(binned_sides, THREE, mu=mu, epochs=10, learning_rate=0.03, ema=0.0)
    columns = binned_sides[0]
    eps = to_probability(logits(fitted, columns, THREE), mu)
    bins = -np.diff(np.pad(eps, ((0, 0), (1, 1)), constant_values=(1.0, 0.0)), axis=1)
    for flavour, truth in SHARES.items():
        chosen = columns.nodes[:, 3] == flavour
        observed = np.bincount(columns.passed[chosen].astype(int), minlength=4) / chosen.sum()
        error = np.sqrt(np.multiply(truth, np.subtract(1.0, truth)) / chosen.sum())
        assert np.all(np.abs(bins[chosen].mean(axis=0) - observed) < 5 * error)
        assert np.all(np.abs(observed - truth) < 5 * error)


@pytest.mark.slow
def test_interrupted_training_of_bins_goes_on_to_the_same_network(points_columns, tmp_path):
    sides = points_columns.split(0.3)
    state = tmp_path / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        fit(sides, THREE, state=state, on_epoch=Stop(2))
    resumed = fit(sides, THREE, state=state)
    assert_equal(resumed, fit(sides, THREE))


@pytest.mark.parametrize("content", [b"", b"half of a file", None], ids=["empty", "other", "cut"])
def test_a_damaged_state_begins_anew(sides, recorded, uninterrupted, tmp_path, caplog, content):
    """As a crash of the machine can leave it."""
    state = tmp_path / "state.npz"
    whole = recorded.state.read_bytes()
    state.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with caplog.at_level(logging.WARNING, "hepsilon"):
        assert_equal(fit(sides, state=state), uninterrupted)
    assert "is not continued, and begins anew" in caplog.text


def test_a_state_of_another_training_begins_anew(sides, recorded, uninterrupted, tmp_path, caplog):
    """Its weights are never taken for those of this one."""
    state = tmp_path / "state.npz"
    state.write_bytes(recorded.state.read_bytes())
    (tmp_path / "fingerprint").write_text("of this training")
    with caplog.at_level(logging.WARNING, "hepsilon"):
        assert_equal(fit(sides, state=state), uninterrupted)
    assert "it is the state of another training" in caplog.text
