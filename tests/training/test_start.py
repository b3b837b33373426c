"""Where the training of a network starts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from hepsilon.config import ModelConfig
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.networks.architecture import resolve
from hepsilon.training.start import starting_logits
from tests.helpers.toys import TASK
from tests.helpers.track_toys import TRACKS

JETS = resolve(ModelConfig(architecture="gnn"), TASK)


def columns(passed: list[int], per_event: int = 1, weight: float = 1.0) -> TrainingColumns:
    n = len(passed) // per_event
    return TrainingColumns(
        np.arange(n + 1) * per_event,
        np.zeros((len(passed), 1), np.float32),
        np.array(passed, np.float32),
        np.full(n, weight),
        np.arange(n, dtype=np.uint64),
    )


@pytest.mark.parametrize("weight", [1.0, 1e-4, -3e5])
@pytest.mark.parametrize("mu", [1.0, 5.0])
def test_one_working_point_starts_at_the_passed_rate(weight: float, mu: float) -> None:
    found = starting_logits(columns([1] * 100 + [0] * 900, weight=weight), JETS, mu)
    # half an effective entry moves it by two per cent at most
    assert expit(found + np.log(mu)) == pytest.approx([0.1], rel=0.03)


def test_working_points_start_at_the_shares_of_their_bins() -> None:
    architecture = JETS.model_copy(update={"working_points": 2})
    found = starting_logits(columns([0] * 700 + [1] * 200 + [2] * 100), architecture, 1.0)
    assert softmax([0.0, *found]) == pytest.approx([0.7, 0.2, 0.1], rel=0.01)


@pytest.mark.parametrize("response", [0, 1])
def test_a_sample_of_one_response_starts_at_a_finite_logit(response: int) -> None:
    found = starting_logits(columns([response] * 1000), JETS, 1.0)
    assert np.isfinite(found).all()
    assert abs(found[0]) == pytest.approx(np.log(2001.0), rel=1e-6)


def test_equal_factors_of_an_event_multiply_to_its_rate() -> None:
    architecture = resolve(ModelConfig(architecture="gnn"), TRACKS)
    found = starting_logits(columns([1] * 400 + [0] * 1600, per_event=4), architecture, 1.0)
    assert expit(found + 2.0) ** 4 == pytest.approx([0.2], rel=0.01)
