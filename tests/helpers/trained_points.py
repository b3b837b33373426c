"""A tiny ensemble and a map of three working points, made once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepsilon import Config, EfficiencyMap
from hepsilon.config import MapConfig, ModelConfig, TrainingConfig
from hepsilon.data.dataset import read_columns
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.training import train
from tests.helpers.toys import POINTS, mlp_config, with_any_number


@pytest.fixture(scope="session")
def points_columns(toy_file: Path) -> TrainingColumns:
    """Training columns of the tiny sample."""
    return read_columns([toy_file], mlp_config(POINTS))


@pytest.fixture(scope="session")
def points_map(points_columns: TrainingColumns) -> EfficiencyMap:
    """A coarse map."""
    axes = {
        "pt": {"edges": (20.0, 100.0, 200.0, 600.0)},
        "eta": {"bins": 2, "min": -2.5, "max": 2.5},
    }
    return EfficiencyMap.fit(POINTS, points_columns, MapConfig.model_validate({"axes": axes}))


@pytest.fixture(scope="session")
def points_network(
    points_columns: TrainingColumns, tmp_path_factory: pytest.TempPathFactory
) -> NetworkEfficiency:
    """Two networks of one GN block, 8 wide, one epoch."""
    config = Config(
        task=POINTS,
        model=ModelConfig(architecture="gnn", width=8, blocks=1, members=2),
        training=TrainingConfig(epochs=1, batch_events=50, learning_rate=1e-2, seed=3),
    )
    out = tmp_path_factory.mktemp("points") / "points.hepsilon"
    return train(config, with_any_number(points_columns), out).efficiency
