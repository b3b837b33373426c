"""Weights of a sample: the largest one, an error or clipped and counted; those of objects."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepsilon import ConfigError, InputError, Task
from hepsilon.config import Config, InputConfig
from hepsilon.config.records import validate
from hepsilon.data.dataset import read_columns
from hepsilon.data.events import event_chunk
from hepsilon.data.weights import limit_weights, one_by_one
from tests.helpers.toys import TASK, events_of, random_jets
from tests.helpers.track_toys import write_branches

WEIGHTS = np.array([1.0, -7.0, 5.0, 0.5, 6.0, -5.0])
CLIPPED = [1.0, -5.0, 5.0, 0.5, 5.0, -5.0]
CLIP = InputConfig(schema="nanoaod", max_weight=5.0, max_weight_policy="clip")
RAISE = InputConfig(schema="nanoaod", max_weight=5.0)
MESSAGE = r"2 of 6 weights are larger than max_weight = 5 \(the largest one is 7\)"


def jets() -> ak.Array:
    found = random_jets([2] * len(WEIGHTS))
    return ak.with_field(found, ak.where(found.eta > 0, 1.0, -1.0), "discriminant")


def test_large_weights_are_clipped_and_counted() -> None:
    limited, count = limit_weights(WEIGHTS, CLIP)
    assert limited.tolist() == CLIPPED
    assert count == 2


def test_large_weights_are_an_error_with_the_count() -> None:
    with pytest.raises(InputError, match=MESSAGE):
        limit_weights(WEIGHTS, RAISE)


def test_a_chunk_has_limited_weights_and_their_number() -> None:
    chunk = event_chunk(events_of(jets(), WEIGHTS), TASK, CLIP, numbered=False)
    assert chunk.weights.tolist() == CLIPPED
    assert chunk.n_limited == 2
    with pytest.raises(InputError, match=MESSAGE):
        event_chunk(events_of(jets(), WEIGHTS), TASK, RAISE, numbered=False)


def test_training_says_once_how_many_weights_were_clipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    numbers: dict[str, Any] = {n: np.arange(6) for n in ("run", "luminosityBlock", "event")}
    path = tmp_path / "x.root"
    write_branches(path, {"Jet": jets(), "genWeight": WEIGHTS, **numbers})
    with caplog.at_level(logging.WARNING, logger="hepsilon"):
        columns = read_columns([path], Config(task=TASK, input=CLIP), progress=False)
    assert sorted(columns.weights.tolist()) == sorted(CLIPPED)
    assert "2 weights are larger than max_weight and were clipped" in caplog.messages


@pytest.mark.parametrize("config", [InputConfig(schema="nanoaod"), InputConfig(max_weight=7.0)])
def test_other_weights_stay_as_they_are(config: InputConfig) -> None:
    limited, count = limit_weights(WEIGHTS, config)
    assert limited.tolist() == WEIGHTS.tolist()
    assert count == 0


@pytest.mark.parametrize("wrong", [{"max_weight": 0.0}, {"max_weight_policy": "clip"}])
def test_wrong_limits_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="max_weight"):
        validate(InputConfig, wrong, "input")


def test_objects_one_by_one_carry_their_weights() -> None:
    task = Task.model_validate(
        {"features": ["pt"], "passed": {"field": "fired"}, "object_weight": "sweight"}
    )
    records = ak.Array(
        [
            [{"pt": 1.0, "sweight": 0.5}, {"pt": 2.0, "sweight": -0.25}],
            [],
            [{"pt": 3.0, "sweight": 1.0}],
        ]
    )
    alone, weights = one_by_one(records, np.array([2.0, 5.0, 3.0]), task)
    assert alone.pt.to_list() == [[1.0], [2.0], [3.0]]
    assert weights.tolist() == [1.0, -0.5, 3.0]
    broken = ak.with_field(records, records.sweight * np.nan, "sweight")
    with pytest.raises(InputError, match="sweight"):
        one_by_one(broken, np.ones(3), task)
