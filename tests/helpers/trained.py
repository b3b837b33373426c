"""Tiny samples and efficiencies learned from them, made once per session."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import pytest

from hepsilon import Config, EfficiencyMap
from hepsilon.config import MapConfig, ModelConfig, TrainingConfig
from hepsilon.data.dataset import read_columns
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.simulation import write_jets
from hepsilon.training import train
from tests.helpers.toys import TASK, mlp_config, read_jets, with_any_number


@pytest.fixture(scope="session")
def toy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training sample: 600 simulated events."""
    return write_jets(tmp_path_factory.mktemp("toy") / "toy.root", 600, seed=1)


@pytest.fixture(scope="session")
def toy_jets(toy_file: Path) -> ak.Array:
    """Jets of the training sample."""
    return read_jets(toy_file)


@pytest.fixture(scope="session")
def toy_columns(toy_file: Path) -> TrainingColumns:
    """Training columns of that sample."""
    return read_columns([toy_file], mlp_config())


@pytest.fixture(scope="session")
def toy_map(toy_columns: TrainingColumns) -> EfficiencyMap:
    """A coarse map."""
    axes = {
        "pt": {"edges": (20.0, 100.0, 200.0, 600.0)},
        "eta": {"bins": 2, "min": -2.5, "max": 2.5},
    }
    return EfficiencyMap.fit(TASK, toy_columns, MapConfig.model_validate({"axes": axes}))


@pytest.fixture(scope="session")
def gnn(
    toy_columns: TrainingColumns, tmp_path_factory: pytest.TempPathFactory
) -> NetworkEfficiency:
    """One GN block, 8 wide, one epoch; its sample has one to fifteen jets."""
    config = Config(
        task=TASK,
        model=ModelConfig(architecture="gnn", width=8, blocks=1),
        training=TrainingConfig(epochs=1, batch_events=50, learning_rate=1e-2, seed=3),
    )
    out = tmp_path_factory.mktemp("gnn") / "gnn.hepsilon"
    return train(config, with_any_number(toy_columns), out).efficiency


@pytest.fixture(scope="session")
def ensemble(toy_file: Path, tmp_path_factory: pytest.TempPathFactory) -> NetworkEfficiency:
    """Two tiny MLPs."""
    config = mlp_config()
    model = config.model.model_copy(update={"members": 2})
    config = config.model_copy(update={"model": model})
    out = tmp_path_factory.mktemp("ensemble") / "ensemble.hepsilon"
    return train(config, [toy_file], out).efficiency
