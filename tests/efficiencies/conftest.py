"""Networks that only the tests of efficiencies use."""

from __future__ import annotations

import pytest

from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.network import NetworkEfficiency
from tests.helpers.track_toys import track_config
from tests.helpers.trained_tracks import Train


@pytest.fixture(scope="session")
def track_paper_mlp(train_tracks: Train, pair_columns: TrainingColumns) -> NetworkEfficiency:
    """The paper's MLP, without order of the tracks."""
    return train_tracks(track_config(preset="paper"), pair_columns)
