"""The largest weight of a sample: an error with the count, or clipped and counted."""

from __future__ import annotations

import logging

import awkward as ak
import numpy as np
import pytest

from hepsilon import ConfigError, InputError
from hepsilon.config import InputConfig
from hepsilon.config.records import validate
from hepsilon.data.events import event_weights
from hepsilon.data.reading import EventChunk
from hepsilon.data.weights import limit_chunks, limit_weights
from tests.helpers.toys import TASK

WEIGHTS = np.array([1.0, -7.0, 5.0, 0.5, 6.0, -5.0])
CLIPPED = [1.0, -5.0, 5.0, 0.5, 5.0, -5.0]
CLIP = InputConfig(schema="nanoaod", max_weight=5.0, max_weight_policy="clip")
RAISE = InputConfig(schema="nanoaod", max_weight=5.0)
MESSAGE = r"2 of 6 weights are larger than max_weight = 5 \(the largest one is 7\)"


def chunks() -> list[EventChunk]:
    """Two chunks with these weights."""
    zero = np.zeros(3, np.uint64)
    parts = WEIGHTS[:3], WEIGHTS[3:]
    return [EventChunk(ak.Array([[]] * 3), part, zero, zero, zero) for part in parts]


def test_large_weights_are_clipped_and_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="hepsilon"):
        found = np.concatenate([chunk.weights for chunk in limit_chunks(chunks(), CLIP)])
    assert found.tolist() == CLIPPED
    (message,) = caplog.messages
    assert "2 of 6 weights" in message
    assert "the largest one is 7" in message


def test_large_weights_are_an_error_with_the_count_of_all_chunks() -> None:
    with pytest.raises(InputError, match=MESSAGE):
        list(limit_chunks(chunks(), RAISE))


def test_closure_sees_the_weights_of_the_training() -> None:
    events = ak.zip({"genWeight": WEIGHTS})
    assert event_weights(events, TASK, CLIP).tolist() == CLIPPED
    with pytest.raises(InputError, match=MESSAGE):
        event_weights(events, TASK, RAISE)


@pytest.mark.parametrize("config", [InputConfig(schema="nanoaod"), InputConfig(max_weight=7.0)])
def test_other_weights_stay_as_they_are(
    config: InputConfig, caplog: pytest.LogCaptureFixture
) -> None:
    assert limit_weights(WEIGHTS, config).tolist() == WEIGHTS.tolist()
    found = np.concatenate([chunk.weights for chunk in limit_chunks(chunks(), config)])
    assert found.tolist() == WEIGHTS.tolist()
    assert not caplog.messages


@pytest.mark.parametrize("wrong", [{"max_weight": 0.0}, {"max_weight_policy": "clip"}])
def test_wrong_limits_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="max_weight"):
        validate(InputConfig, wrong, "input")
