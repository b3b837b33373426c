"""Where the training of a network starts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, softmax

from hepsilon.arrays.types import Array
from hepsilon.config import ModelConfig
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.networks.architecture import Architecture, resolve
from hepsilon.networks.build import build_model
from hepsilon.training.resampling import Resampling
from hepsilon.training.start import Start, start_at, starting_points
from tests.helpers.toys import SPEC, TASK
from tests.helpers.track_toys import TRACKS

JETS = resolve(ModelConfig(architecture="mlp"), TASK)


def starting_logits(columns: TrainingColumns, architecture: Architecture, mu: float) -> Array:
    plain = architecture.model_copy(update={"rates": False})
    (start,) = starting_points(columns, plain, SPEC, mu)
    assert start.rates.shape == (0, architecture.working_points)
    return start.logits


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


def of_flavours(numbers: dict[int, tuple[int, int]]) -> TrainingColumns:
    """Events with one object: numbers that failed and passed, by flavour."""
    flavours = np.repeat(list(numbers), [sum(n) for n in numbers.values()])
    passed = [x for failed, good in numbers.values() for x in [0] * failed + [1] * good]
    found = columns(passed)
    nodes = np.zeros((len(passed), 4), np.float32)
    nodes[:, 3] = flavours
    return replace(found, nodes=nodes)


def rates(start: Start) -> Array:
    """Efficiencies of the categories at the start."""
    return expit(start.logits + start.rates).ravel()


def test_categories_start_at_their_rates_and_one_without_objects_at_that_of_all() -> None:
    (start,) = starting_points(of_flavours({5: (300, 700), 0: (2990, 10)}), JETS, SPEC, 1.0)
    # one more object in each category
    assert rates(start)[[0, 2]] == pytest.approx([0.7, 10 / 3000], rel=0.03)
    assert rates(start)[1] == pytest.approx(expit(start.logits[0]), rel=1e-12)


def test_a_category_that_never_passed_starts_at_a_finite_logit_below_that_of_all() -> None:
    (start,) = starting_points(of_flavours({5: (50, 50), 0: (400, 0)}), JETS, SPEC, 1.0)
    assert 0.0 < rates(start)[2] < 1.0 / 400.0


def test_networks_of_folds_start_at_the_rates_of_the_events_that_they_see() -> None:
    sample, folds = of_flavours({5: (40, 60), 4: (70, 30), 0: (95, 5)}), Resampling("folds", 3)
    together = starting_points(sample, JETS, SPEC, 1.0, folds, range(3))
    assert len({start.logits[0] for start in together}) == 3
    for number, start in enumerate(together):
        seen = sample.take(np.flatnonzero(folds.counts(sample.keys, number)))
        (alone,) = starting_points(seen, JETS, SPEC, 1.0)
        assert start.logits == pytest.approx(alone.logits, rel=1e-12)
        assert start.rates == pytest.approx(alone.rates, rel=1e-12)


def test_networks_that_see_all_events_start_alike_from_one_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample, passes = of_flavours({5: (40, 60), 4: (70, 30), 0: (95, 5)}), []
    original = TrainingColumns.blocks
    monkeypatch.setattr(TrainingColumns, "blocks", lambda self: passes.append(1) or original(self))
    found = starting_points(sample, JETS, SPEC, 1.0, Resampling(members=4), range(4))
    assert len(found) == 4
    assert all(start is found[0] for start in found)
    starting_points(sample, JETS, SPEC, 1.0, Resampling("folds", 4), range(4))
    assert len(passes) == 2


def test_a_network_starts_at_the_rates_of_the_categories_whatever_its_other_weights() -> None:
    """With kernels of zero; a category that is not known gets the rate of all."""
    model, sample = build_model(JETS, SPEC, seed=None), of_flavours({5: (40, 60), 0: (990, 10)})
    (start,) = starting_points(sample, JETS, SPEC, 1.0)
    start_at(model, start)
    nodes = np.zeros((4, 4), np.float32)
    nodes[:, 3] = 5, 4, 0, 7
    inputs = {"x": nodes, "receivers": np.zeros(0, np.int32), "senders": np.zeros(0, np.int32)}
    found = expit(np.asarray(model(inputs)).ravel())
    assert found[:3] == pytest.approx(rates(start), rel=1e-5)
    assert found[3] == pytest.approx(expit(start.logits[0]), rel=1e-5)
