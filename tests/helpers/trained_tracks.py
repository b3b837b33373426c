"""Tiny networks of events, trained once per session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hepsilon import Config
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.training import train
from tests.helpers.track_toys import TRACKS, Sample, columns_of, draw, track_config, write_sample

Train = Callable[..., NetworkEfficiency]


@pytest.fixture(scope="session")
def pairs() -> Sample:
    """The training sample: 400 events with two tracks."""
    return draw([2] * 400)


@pytest.fixture(scope="session")
def pairs_file(pairs: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file."""
    return write_sample(tmp_path_factory.mktemp("pairs") / "pairs.root", pairs)


@pytest.fixture(scope="session")
def pair_columns(pairs: Sample) -> TrainingColumns:
    """The same as columns."""
    return columns_of(pairs)


@pytest.fixture(scope="session")
def train_tracks(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Train a network into a folder of its own."""

    def run(config: Config, columns: TrainingColumns) -> NetworkEfficiency:
        out = tmp_path_factory.mktemp("tracks") / f"{config.model.architecture}.hepsilon"
        return train(config, columns, out).efficiency

    return run


@pytest.fixture(scope="session")
def track_product(train_tracks: Train, pair_columns: TrainingColumns) -> NetworkEfficiency:
    """Product over two tracks and their pair."""
    return train_tracks(track_config(architecture="product"), pair_columns)


@pytest.fixture(scope="session")
def track_mlp(train_tracks: Train, pair_columns: TrainingColumns) -> NetworkEfficiency:
    """The fast MLP of two tracks, an ensemble of two."""
    return train_tracks(track_config(members=2), pair_columns)


@pytest.fixture(scope="session")
def track_gnn(train_tracks: Train) -> NetworkEfficiency:
    """One GN block for any number of tracks."""
    counts = np.random.default_rng(2).integers(1, 5, 400).tolist()
    config = track_config(TRACKS, "gnn", width=8)
    return train_tracks(config, columns_of(draw(counts, seed=2), TRACKS))
