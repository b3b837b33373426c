"""Callbacks of a training: called after every epoch, may stop it, and cost nothing if they fail."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from hepsilon import ConfigError, TrainingError, load, train
from hepsilon.config import Config, ModelConfig, TrainingConfig
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.training.callbacks import Callbacks
from tests.helpers.toys import TASK

pytestmark = pytest.mark.slow


class Noting:
    """Notes every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, dict[str, float]]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.calls.append((epoch, logs))


class Stopping(Noting):
    """Stops one network after one epoch."""

    def __init__(self, epoch: int, member: int) -> None:
        super().__init__()
        self.last = epoch, member

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> bool:  # type: ignore[override]
        super().on_epoch_end(epoch, logs)
        return (epoch, logs["member"]) == self.last


class Failing(Noting):
    """Fails in the second epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        super().on_epoch_end(epoch, logs)
        if epoch == 1:
            raise OSError("the server of the experiment is gone")


def config(epochs: int = 3, members: int = 1, **model: Any) -> Config:
    training = TrainingConfig(epochs=epochs, batch_events=100, seed=3, learning_rate=1e-2)
    chosen = ModelConfig(architecture="mlp", width=4, members=members, **model)
    return Config(task=TASK, model=chosen, training=training)


def losses(result: Any) -> list[list[dict[str, float]]]:
    """All numbers of all epochs but their times."""
    numbers = [[asdict(epoch) | {"seconds": 0.0} for epoch in own] for own in result.history]
    return cast(list[list[dict[str, float]]], numbers)


def test_every_epoch_of_every_network_is_told(toy_columns: TrainingColumns, tmp_path: Path) -> None:
    noting = Noting()
    result = train(
        config(members=2, resampling="bootstrap"),
        toy_columns,
        tmp_path / "m.hepsilon",
        progress=False,
        callbacks=[noting],
    )
    assert len(result.history) == 3  # the nominal, and two of bootstrap samples
    assert {(e, logs["member"]) for e, logs in noting.calls} == {
        (e, m) for e in range(3) for m in range(3)
    }
    for epoch, logs in noting.calls:
        own = result.history[int(logs["member"])][epoch]
        assert logs["loss"] == own.loss
        assert logs["val_loss"] == own.validation_loss
        assert logs["seconds"] == own.seconds > 0.0


def test_callbacks_change_no_number(toy_columns: TrainingColumns, tmp_path: Path) -> None:
    plain = train(config(), toy_columns, tmp_path / "a.hepsilon", progress=False)
    noted = train(
        config(), toy_columns, tmp_path / "b.hepsilon", progress=False, callbacks=[Noting()]
    )
    assert losses(plain) == losses(noted)


def test_one_network_may_be_stopped(toy_columns: TrainingColumns, tmp_path: Path) -> None:
    """The others go on as they would have, and what was trained is an artifact as any other."""
    whole = train(config(members=2), toy_columns, tmp_path / "a.hepsilon", progress=False)
    path = tmp_path / "b.hepsilon"
    stopping = Stopping(epoch=1, member=0)
    result = train(config(members=2), toy_columns, path, progress=False, callbacks=[stopping])
    assert [len(epochs) for epochs in result.history] == [2, 3]
    assert losses(result)[0] == losses(whole)[0][:2]
    assert losses(result)[1] == losses(whole)[1]
    assert len(load(path).card.members[0].history) == 2
    assert not path.with_name("b.hepsilon.partial").exists()


def test_each_network_may_have_its_own(toy_columns: TrainingColumns, tmp_path: Path) -> None:
    made: dict[int, Noting] = {}

    def of(member: int) -> list[Noting]:
        made[member] = Noting()
        return [made[member]]

    train(config(members=2), toy_columns, tmp_path / "m.hepsilon", progress=False, callbacks=of)
    assert list(made) == [0, 1]
    for member, noting in made.items():
        assert [(e, logs["member"]) for e, logs in noting.calls] == [(e, member) for e in range(3)]


def test_a_failure_keeps_what_was_trained(toy_columns: TrainingColumns, tmp_path: Path) -> None:
    path, failing, noting = tmp_path / "m.hepsilon", Failing(), Noting()
    with pytest.raises(
        TrainingError,
        match=r"the callback Failing failed in on_epoch_end after epoch 2 of network 0: "
        r"OSError\('the server of the experiment is gone'\); what was trained is kept",
    ):
        train(config(), toy_columns, path, progress=False, callbacks=[failing])
    assert not path.exists()
    assert list(path.with_name("m.hepsilon.partial").glob("member-0.npz"))
    result = train(config(), toy_columns, path, progress=False, callbacks=[noting])
    whole = train(config(), toy_columns, tmp_path / "whole.hepsilon", progress=False)
    assert losses(result) == losses(whole)
    # those that are done are told again, so that callbacks know the whole training
    assert [epoch for epoch, _ in noting.calls] == [0, 1, 2]
    assert noting.calls[1][1] == failing.calls[1][1]


@pytest.mark.parametrize("given", [[print], [None], [Noting(), object()], lambda _: [3]])
def test_what_is_no_callback_is_refused_before_any_work(given: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"method on_epoch_end\(epoch, logs\), received"):
        train(config(), [], tmp_path / "m.hepsilon", callbacks=given)


# Keras' own


@pytest.mark.parametrize("given", [Noting(), lambda _: None])
def test_callbacks_that_are_no_list_are_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="expected a list of callbacks, received"):
        Callbacks(given, [0])


def test_keras_callbacks(toy_columns: TrainingColumns, tmp_path: Path) -> None:
    """One that writes a file, one that stops, and one of functions."""
    import keras

    seen: list[float] = []
    given = [
        keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
        keras.callbacks.EarlyStopping(monitor="val_loss", min_delta=1e9, patience=2),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: seen.append(logs["val_loss"])),
    ]
    result = train(config(6), toy_columns, tmp_path / "m.hepsilon", progress=False, callbacks=given)
    (history,) = result.history
    assert len(history) == 3  # no epoch improves by 1e9: the first, and two in patience
    np.testing.assert_allclose(seen, [epoch.validation_loss for epoch in history])
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    np.testing.assert_allclose([float(row["loss"]) for row in rows], [e.loss for e in history])


def test_keras_callbacks_that_need_the_weights_are_refused(
    toy_columns: TrainingColumns, tmp_path: Path
) -> None:
    import keras

    given = [keras.callbacks.ModelCheckpoint(str(tmp_path / "m.keras"))]
    with pytest.raises(TrainingError, match=r"ModelCheckpoint failed .*hepsilon trains the w"):
        train(config(), toy_columns, tmp_path / "m.hepsilon", progress=False, callbacks=given)


def test_callbacks_and_workers_do_not_go_together(
    toy_columns: TrainingColumns, tmp_path: Path
) -> None:
    """Whoever trains elsewhere is told of epochs afterwards, and could not stop them."""
    with ThreadPoolExecutor(2) as pool, pytest.raises(ConfigError, match="leave out the callbacks"):
        train(config(members=2), toy_columns, tmp_path / "a", callbacks=[Noting()], workers=pool)
