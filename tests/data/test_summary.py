"""Numbers and effective numbers of a sample, and what is refused because of them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import InputError, Task, TrainingError
from hepsilon.config import Passed
from hepsilon.data import training_columns
from hepsilon.data.summary import check_sample, check_weights, summarise
from hepsilon.data.training_columns import TrainingColumns
from tests.helpers.track_toys import PAIRS

Array = npt.NDArray[Any]

TASK = Task(
    features=("pt", "hadronFlavour"),
    categorical={"hadronFlavour": (5, 0)},
    passed=Passed(field="score", above=(0.5, 0.9), names=("L", "T")),
)


def columns_of(counts: list[int], flavours: Any, passed: Any, weights: Any) -> TrainingColumns:
    """Jets with these flavours and numbers of passed working points."""
    size = sum(counts)
    nodes = np.stack([np.linspace(20.0, 90.0, size), np.asarray(flavours)], axis=1)
    return TrainingColumns(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        nodes.astype(np.float32),
        np.asarray(passed, np.float32),
        np.asarray(weights, np.float64),
        np.arange(len(counts), dtype=np.uint64),
    )


BY_HAND = columns_of([2, 1, 3], [5, 5, 0, 0, 5, 0], [2, 0, 1, 0, 1, 2], [1.0, 2.0, -0.5])


def test_numbers_by_hand() -> None:
    """Weights of b jets 1, 1, -0.5; of light ones 2, -0.5, -0.5."""
    found = summarise(BY_HAND, TASK)
    assert found.unit == "Jet objects"
    assert found.working_points == ("L", "T")
    b, light, everything = found.categories
    assert [c.category for c in found.categories] == [
        "hadronFlavour = 5",
        "hadronFlavour = 0",
        "all",
    ]
    assert (b.n, b.passed, b.sum_of_weights) == (3, (2, 1), 1.5)
    assert b.n_effective == pytest.approx(1.5**2 / 2.25)
    assert b.passed_effective == pytest.approx((0.5**2 / 1.25, 1.0))
    assert (b.largest_share, b.n_dominant) == (pytest.approx(2.0 / 2.5), 1)
    assert (light.n, light.passed, light.sum_of_weights) == (3, (2, 1), 1.0)
    assert light.n_effective == pytest.approx(1.0 / 4.5)
    assert (everything.n, everything.passed) == (6, (4, 2))
    assert everything.largest_share == pytest.approx(2.0 / 5.5)
    assert everything.n_dominant == 2


def test_of_a_task_of_events_the_events_are_counted() -> None:
    columns = columns_of([2, 2, 2], [1, -1] * 3, [1, 1, 0, 0, 1, 1], [1.0, 2.0, 3.0])
    task = PAIRS.model_copy(update={"features": ("pt", "charge")})
    (found,) = summarise(columns, task).categories
    assert (found.category, found.n, found.passed) == ("all", 3, (2,))
    assert found.n_effective == pytest.approx(36.0 / 14.0)
    assert found.passed_effective == pytest.approx((16.0 / 10.0,))


def test_a_category_without_objects_has_zeros() -> None:
    columns = columns_of([1, 1], [5, 5], [0, 1], [1.0, 1.0])
    empty = summarise(columns, TASK).categories[1]
    assert (empty.n, empty.n_effective, empty.largest_share) == (0, 0.0, 0.0)
    assert empty.n_dominant is None
    check_weights(summarise(columns, TASK))


@given(st.integers(0, 1000), st.integers(1, 40))
def test_blocks_change_nothing(seed: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, 50).tolist()
    size = sum(counts)
    columns = columns_of(
        counts, rng.choice([5, 0], size), rng.integers(0, 3, size), rng.normal(1.0, 1.0, 50)
    )
    expected = summarise(columns, TASK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_columns, "BLOCK_OBJECTS", block)
        found = summarise(columns, TASK)
    for a, b in zip(found.categories, expected.categories, strict=True):
        assert (a.n, a.passed, a.n_dominant) == (b.n, b.passed, b.n_dominant)
        assert a.n_effective == pytest.approx(b.n_effective, rel=1e-9)
        assert a.largest_share == pytest.approx(b.largest_share, rel=1e-9)


@pytest.mark.parametrize("unit", [1e-4, 225892.0])
def test_unit_of_the_weights_does_not_matter(unit: float) -> None:
    found = summarise(replace(BY_HAND, weights=unit * BY_HAND.weights), TASK)
    for a, b in zip(found.categories, summarise(BY_HAND, TASK).categories, strict=True):
        assert a.n_effective == pytest.approx(b.n_effective)
        assert a.passed_effective == pytest.approx(b.passed_effective)
        assert a.largest_share == pytest.approx(b.largest_share)


# what is refused, and warned of


def many(weights: Array) -> TrainingColumns:
    """One jet in each event, b and light in turn."""
    size = len(weights)
    flavours = np.where(np.arange(size) % 2, 0, 5)
    return columns_of([1] * size, flavours, np.arange(size) // 2 % 3, weights)


@pytest.mark.parametrize(
    ("b", "light", "message"),
    [
        (-1.0, 0.5, "of 200 Jet objects with hadronFlavour = 5, received -200"),
        (1.0, -0.5, "of 200 Jet objects with hadronFlavour = 0, received -100"),
        (0.0, 1.0, "with hadronFlavour = 5, received 0"),
    ],
)
def test_a_category_whose_weights_cancel_is_refused(b: float, light: float, message: str) -> None:
    columns = many(np.tile([b, light], 200))
    with pytest.raises(TrainingError, match=f"expected a positive sum of weights .*{message}"):
        check_sample(columns, TASK)


def test_weights_that_cancel_altogether_are_refused_of_maps_too() -> None:
    columns = many(np.tile([1.0, -2.0], 200))
    with pytest.raises(TrainingError, match="positive sum of weights of 400 Jet objects, received"):
        check_sample(columns, TASK, by_category=False)
    check_sample(many(np.tile([2.0, -1.0], 200)), TASK, by_category=False)


def test_a_response_that_never_varies_is_refused() -> None:
    columns = many(np.ones(400))
    with pytest.raises(InputError, match="score"):
        check_sample(replace(columns, passed=np.zeros(400, np.float32)), TASK)


def test_few_effective_objects_are_said(caplog: pytest.LogCaptureFixture) -> None:
    """Three huge weights among those of b jets."""
    weights = np.ones(1000)
    weights[[10, 200, 800]] = 3.5e8
    with caplog.at_level(logging.WARNING, logger="hepsilon"):
        check_sample(many(weights), TASK)
    (message,) = caplog.messages
    assert "500 Jet objects with hadronFlavour = 5 are worth 3.0 of equal weight" in message
    assert "2 event(s) hold half of the weight, the largest one 33.3%" in message
    assert "max_weight" in message


def test_weights_that_nearly_cancel_are_said(caplog: pytest.LogCaptureFixture) -> None:
    weights = np.where(np.arange(2000) // 2 % 9 < 4, -1.0, 1.0)
    with caplog.at_level(logging.WARNING, logger="hepsilon"):
        check_sample(many(weights), TASK)
    assert len(caplog.messages) == 2
    assert all("weights of both signs" in m and "max_weight" not in m for m in caplog.messages)


def test_few_objects_are_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="hepsilon"):
        check_sample(many(np.ones(40)), TASK)
    assert len(caplog.messages) == 2
    assert all("use more events" in m and "max_weight" not in m for m in caplog.messages)


def test_nothing_is_said_of_enough_objects(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="hepsilon"):
        check_sample(many(np.ones(400)), TASK)
    assert not caplog.messages


@pytest.mark.parametrize(("response", "what"), [(0, "passed"), (2, "failed")])
def test_a_category_with_hardly_any_of_one_response_is_named(
    response: int, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Seven of 500 b jets have the other response at both working points; light jets are mixed."""
    columns = many(np.ones(1000))
    b = np.flatnonzero(columns.nodes[:, 1] == 5)
    passed = columns.passed.copy()
    passed[b] = response
    passed[b[:7]] = 2 - response
    with caplog.at_level(logging.WARNING, logger="hepsilon"):
        check_sample(replace(columns, passed=passed), TASK)
    assert [message.partition(", fewer")[0] for message in caplog.messages] == [
        f"hadronFlavour = 5: 7 of 500 Jet objects {what} {point}" for point in ("L", "T")
    ]
