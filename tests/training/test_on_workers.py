"""Networks that are trained in other processes: the result is that of one process."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepsilon import ArtifactError, Config, ConfigError, TrainingError
from hepsilon._system.files import sha256
from hepsilon.config import ModelConfig
from hepsilon.data.dataset import read_columns
from hepsilon.efficiencies.artifact import read_arrays
from hepsilon.processors.executors import local_executor
from hepsilon.training import train
from hepsilon.training.ensemble import Ensemble
from hepsilon.training.jobs import merge_training, train_part
from hepsilon.training.on_workers import Assignment, _write_columns, train_network
from hepsilon.training.parts import MembersOfPart
from hepsilon.training.state import MARK
from tests.helpers.toys import mlp_config

pytestmark = pytest.mark.slow


def ensemble_config(**model: Any) -> Config:
    """A few of the smallest networks."""
    config = mlp_config()
    given = config.model.model_dump(exclude_unset=True) | {"members": 3} | model
    return config.model_copy(update={"model": ModelConfig.model_validate(given)})


def content(path: Path) -> dict[str, Any]:
    """Weights of all networks, and the losses of all epochs; times differ."""
    from hepsilon import load

    efficiency = load(path)
    arrays = read_arrays(str(path), efficiency.card, efficiency.hash)
    history = [
        [(e.loss, e.validation_loss, e.error) for e in member.history]
        for member in efficiency.card.members
    ]
    return {"arrays": arrays, "history": history}


def assert_equal(path: Path, expected: Path) -> None:
    found, known = content(path), content(expected)
    assert found["history"] == known["history"]
    assert list(found["arrays"]) == list(known["arrays"])
    for group, arrays in known["arrays"].items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(found["arrays"][group][name], array, f"{group} {name}")


@pytest.fixture(scope="module", params=["none", "bootstrap", "folds"])
def local(request, toy_columns, tmp_path_factory) -> tuple[Any, Path]:
    """Three networks in one process, with every kind of resampling."""
    config = ensemble_config(resampling=request.param)
    out = tmp_path_factory.mktemp("local") / "local.hepsilon"
    train(config, toy_columns, out)
    return config, out


def test_processes_of_a_pool_train_the_same_networks(local, toy_columns, tmp_path: Path) -> None:
    config, expected = local
    out = tmp_path / "pool.hepsilon"
    train(config, toy_columns, out, workers=local_executor(2))
    assert_equal(out, expected)
    assert [each.name for each in tmp_path.iterdir()] == ["pool.hepsilon"]


def test_parts_merge_into_the_same_artifact(local, toy_file, toy_columns, tmp_path: Path) -> None:
    config, expected = local
    out = tmp_path / "merged.hepsilon"
    paths = []
    for number in (2, 1):
        part = MembersOfPart(number, 2)
        paths.append(train_part(config, toy_columns, out, part, files=[toy_file], hash_files=True))
    merged = merge_training(out, paths).efficiency
    assert_equal(out, expected)
    assert [each.sha256 for each in merged.card.files] == [sha256(toy_file)]
    if config.model.resampling != "none":
        return
    with pytest.raises(TrainingError, match=r"networks \[1\] of 3 are in none"):
        merge_training(tmp_path / "other.hepsilon", paths[1:])
    with pytest.raises(TrainingError, match="not those"):
        merge_training(tmp_path / "other.hepsilon", paths, toy_columns.between(0, 500))
    damaged = bytearray(paths[0].read_bytes())
    damaged[len(damaged) // 3] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    with pytest.raises(ArtifactError, match="damaged"):
        merge_training(tmp_path / "other.hepsilon", [tmp_path / "damaged", paths[1]])
    assert not (tmp_path / "other.hepsilon").exists()


def test_parts_of_other_trainings_are_refused(toy_columns, toy_file, tmp_path: Path) -> None:
    parts = []
    for number in (1, 2):
        config = ensemble_config(members=2)
        training = config.training.model_copy(update={"seed": number, "epochs": 1})
        config = config.model_copy(update={"training": training})
        where = (tmp_path / "a.hepsilon", MembersOfPart(number, 2))
        parts.append(train_part(config, toy_columns, *where, files=[toy_file]))
    with pytest.raises(TrainingError, match="different trainings"):
        merge_training(tmp_path / "a.hepsilon", parts)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/2"])
def test_parts_have_a_number_and_a_total(text: str) -> None:
    with pytest.raises(ConfigError, match="such as 3/20"):
        MembersOfPart.parse(text)


def test_more_parts_than_networks_and_auto_are_refused(toy_columns, tmp_path: Path) -> None:
    out = tmp_path / "a.hepsilon"
    with pytest.raises(ConfigError, match="3 networks"):
        train_part(ensemble_config(), toy_columns, out, MembersOfPart(1, 4))
    model = ModelConfig(architecture="auto", members=3)
    auto = ensemble_config().model_copy(update={"model": model})
    with pytest.raises(ConfigError, match="named architecture"):
        train_part(auto, toy_columns, out, MembersOfPart(1, 2))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def assignment(toy_columns, tmp_path: Path) -> Assignment:
    """A training whose states no worker sees: they travel with the work."""
    from hepsilon.data.features import fit_features
    from hepsilon.training.selection_of_models import Candidates

    config, sides = ensemble_config(), toy_columns.split(0.2)
    spec = fit_features(config.task, sides[0].nodes, sides[0].weights, sides[0].offsets)
    (prepared,) = Candidates.of(config, spec, sides).prepared.values()
    path = tmp_path / "columns.npz"
    return Assignment(
        prepared.architecture,
        prepared.spec,
        prepared.recipe,
        prepared.resampling,
        str(path),
        _write_columns(prepared.sides, path),
        "training",
    )


def test_states_may_travel_with_the_work(assignment: Assignment, tmp_path: Path) -> None:
    """One epoch at a time, in whatever process: equal to all epochs at once."""
    epochs, state, done = 0, None, False
    while not done:
        state, done = train_network(assignment, (1, state), epochs=1)
        epochs += 1
    assert epochs == assignment.recipe.epochs
    (tmp_path / MARK).write_text("training")
    whole = Assignment(**{**vars(assignment), "folder": str(tmp_path)})
    assert train_network(whole, (1, None)) == (None, True)
    (tmp_path / "travelled.npz").write_bytes(state)
    with (
        np.load(tmp_path / "member-1.npz") as found,
        np.load(tmp_path / "travelled.npz") as expected,
    ):
        assert found.files == expected.files
        for name in set(found.files) - {"meta"}:  # which has times
            np.testing.assert_array_equal(found[name], expected[name])


def killed_in_epoch(epoch: int, assignment: Assignment, given: Any) -> Any:
    """The process is killed in the middle of an epoch, the first time that it comes there."""
    mark = Path(assignment.folder) / "killed.tmp"
    whole = Ensemble.epoch

    def epoch_or_end(self: Ensemble, number: int, on_batch: Any) -> Any:
        if number == epoch and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        mark.with_name(f"{given[0]}-{number}-{os.getpid()}.tmp").touch()
        return whole(self, number, on_batch)

    Ensemble.epoch = epoch_or_end  # type: ignore[method-assign]
    try:
        return train_network(assignment, given)
    finally:
        Ensemble.epoch = whole  # type: ignore[method-assign]


def test_a_killed_worker_costs_one_epoch_at_most(
    toy_columns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ensemble_config()
    training = config.training.model_copy(update={"epochs": 3})
    config = config.model_copy(update={"training": training})
    train(config, toy_columns, tmp_path / "local.hepsilon")
    seen: list[str] = []
    from hepsilon.training import fitting, on_workers

    def fit(pool: Any, prepared: Any, states: Any, **options: Any) -> None:
        real = on_workers.train_network
        monkeypatch.setattr(on_workers, "train_network", partial(killed_in_epoch, 2))
        on_workers.fit_on_workers(pool, prepared, states, **options)
        monkeypatch.setattr(on_workers, "train_network", real)
        folder = next(iter(states.values())).parent
        seen.extend(p.name for p in folder.iterdir() if p.name[0].isdigit())

    monkeypatch.setattr(fitting, "fit_on_workers", fit)
    train(config, toy_columns, tmp_path / "pool.hepsilon", workers=local_executor(2))
    assert_equal(tmp_path / "pool.hepsilon", tmp_path / "local.hepsilon")
    epochs = [name.split("-")[:2] for name in seen]
    # each epoch of each network once, but for those that the lost pool was in
    assert len(epochs) <= 9 + 2
    assert {tuple(each) for each in epochs} == {
        (str(n), str(e)) for n in range(3) for e in (1, 2, 3)
    }


def test_columns_of_executors_are_those_of_one_process(toy_file, toy_columns) -> None:
    again = read_columns([toy_file], mlp_config())
    np.testing.assert_array_equal(again.keys, toy_columns.keys)


def test_workers_of_dask_that_share_no_disk_train_the_same(
    toy_columns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events go with a plugin, states travel with the work."""
    distributed = pytest.importorskip("distributed")
    from hepsilon.distributed import artifacts
    from hepsilon.training import on_workers

    config = ensemble_config(members=2)
    train(config, toy_columns, tmp_path / "local.hepsilon")
    monkeypatch.setattr(on_workers, "_sees_folder", lambda folder, training: False)
    monkeypatch.setattr(artifacts, "sees", lambda path, expected: False)
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster) as client,
    ):
        train(config, toy_columns, tmp_path / "dask.hepsilon", workers=client)
    assert_equal(tmp_path / "dask.hepsilon", tmp_path / "local.hepsilon")


# candidates


@pytest.mark.parametrize("travels", [False, True])
def test_candidates_are_compared_by_the_same_pool(
    toy_columns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, travels: bool
) -> None:
    """Each is a piece of work; losses, choice and artifact are those of one process."""
    config = mlp_config(epochs=3)
    model = ModelConfig(architecture="auto", candidates=("mlp", "gnn"), width=4, blocks=1)
    config = config.model_copy(update={"model": model})
    from hepsilon.training import on_workers

    pieces = []
    real = on_workers.train_network

    def train_network(assignment: Assignment, given: Any, epochs: int | None = None) -> Any:
        pieces.append((assignment.prefix, epochs))
        return real(assignment, given, epochs)

    monkeypatch.setattr(on_workers, "train_network", train_network)
    if travels:
        monkeypatch.setattr(on_workers, "_sees_folder", lambda folder, training: False)
    with ThreadPoolExecutor(1) as pool:
        found = train(config, toy_columns, tmp_path / "pool.hepsilon", workers=pool)
    epochs = [1, 1, 1] if travels else [None]
    assert sorted(pieces, key=str) == [(f"brief-{n}", e) for n in ("gnn", "mlp") for e in epochs]
    local = train(config, toy_columns, tmp_path / "local.hepsilon")
    assert_equal(tmp_path / "pool.hepsilon", tmp_path / "local.hepsilon")
    cards = [each.efficiency.card.selection for each in (found, local)]
    assert [[(c.name, c.loss, c.error) for c in card.candidates] for card in cards[:1]] == [
        [(c.name, c.loss, c.error) for c in card.candidates] for card in cards[1:]
    ]


def test_a_candidate_that_fails_on_a_worker_is_left_where_it_was(
    assignment: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hepsilon.training import on_workers

    def fail(*_: Any) -> None:
        raise TrainingError("the loss is nan in epoch 1")

    monkeypatch.setattr(on_workers, "train_network", fail)
    assert on_workers.try_network(assignment, (0, b"state")) == (b"state", True)
