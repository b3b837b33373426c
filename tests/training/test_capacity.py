"""What the size of a sample changes in a training."""

from __future__ import annotations

import numpy as np
import pytest

from hepsilon.config import ModelConfig, TrainingConfig
from hepsilon.data.summary import SampleSummary, summarise
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.training import recipe
from hepsilon.training.capacity import LARGE, explanation, worth
from tests.helpers.toys import POINTS, TASK

GNN = ModelConfig(architecture="gnn")


def summary(numbers: dict[int, tuple[int, ...]], weight: float = 1.0, task=TASK) -> SampleSummary:
    """Events with one object: how many passed so many working points, by flavour."""
    flavours = np.repeat(list(numbers), [sum(n) for n in numbers.values()])
    passed = [np.repeat(np.arange(len(n)), n) for n in numbers.values()]
    nodes = np.zeros((len(flavours), 4), np.float32)
    nodes[:, 3] = flavours
    n = len(flavours)
    columns = TrainingColumns(
        np.arange(n + 1),
        nodes,
        np.concatenate(passed).astype(np.float32),
        np.full(n, weight),
        np.arange(n, dtype=np.uint64),
    )
    return summarise(columns, task)


@pytest.mark.parametrize("weight", [1.0, 1e-3, 7.0])
def test_a_sample_is_worth_its_rarer_responses_in_every_category(weight: float) -> None:
    found = worth(summary({5: (400, 600), 0: (99_800, 200)}, weight))
    assert found == pytest.approx(400 * 600 / 1000 + 99_800 * 200 / 100_000, rel=1e-9)


def test_responses_of_one_kind_only_are_worth_nothing() -> None:
    assert worth(summary({5: (0, 500), 0: (500, 0)})) == 0.0


def test_of_several_working_points_the_one_with_the_fewest_counts() -> None:
    found = worth(summary({5: (500, 300, 150, 50)}, task=POINTS))
    assert found == pytest.approx(950 * 50 / 1000)


def test_weight_decay_grows_as_the_sample_shrinks_up_to_a_bound() -> None:
    decays = [
        recipe(GNN, TrainingConfig(), 20_000, worth=value).weight_decay
        for value in (0.0, 0.1 * LARGE, 0.4 * LARGE, LARGE, 100.0 * LARGE)
    ]
    assert decays == pytest.approx([0.3, 0.3, 0.25, 0.1, 0.1])


def test_the_configuration_wins_and_the_papers_preset_stays() -> None:
    own = recipe(GNN, TrainingConfig(weight_decay=0.01), 500, worth=10.0)
    assert own.weight_decay == 0.01
    paper = ModelConfig(architecture="gnn", preset="paper")
    assert recipe(paper, TrainingConfig(), 500, worth=10.0) == recipe(paper, TrainingConfig(), 500)


def test_what_has_changed_is_said_and_nothing_where_nothing_has() -> None:
    usual, used = (recipe(GNN, TrainingConfig(), 500, worth=w) for w in (None, 1234.0))
    text = explanation(1234.0, usual, used)
    assert text is not None
    assert "worth 1,234 " in text
    assert "weight_decay = 0.3 in place of 0.1" in text
    assert explanation(LARGE, usual, usual) is None
