"""The section ``[observables]`` of a configuration."""

from __future__ import annotations

import pytest

from hepsilon import ConfigError
from hepsilon.config import Config, ObservableConfig, validate
from tests.helpers.toys import TASK


def test_keys_of_the_section():
    content = {
        "pt": {"bins": 30, "min": 20, "max": 3000.0},
        "eta_phi": {"x": "eta", "y": "phi", "bins": [10, 20]},
        "M": {"field": "mass", "edges": [0, 1, 3]},
        "eta": {},
    }
    config = validate(Config, {"task": TASK.model_dump(), "observables": content}, "file")
    assert config.observables["pt"] == ObservableConfig(bins=30, min=20.0, max=3000.0)
    assert config.observables["eta_phi"].bins == (10, 20)
    assert config.observables["M"].edges == (0.0, 1.0, 3.0)
    assert Config(task=TASK).observables == {}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"x": "eta"}, "both x and y"),
        ({"x": "eta", "y": "phi", "min": 0.0}, "are for one dimension"),
        ({"bins": (3, 4)}, "one number of bins"),
        ({"bins": 0}, "greater than or equal to 1"),
        ({"edges": (0.0, 1.0), "bins": 3}, "edges, or bins, min and max"),
        ({"edges": (0.0, 1.0, 1.0)}, "increasing edges"),
        ({"min": 2.0, "max": 2.0}, "min < max"),
        ({"max": float("inf")}, "finite"),
        ({"egdes": (0.0, 1.0)}, "did you mean 'edges'"),
    ],
)
def test_wrong_keys_are_refused(keys, message):
    with pytest.raises(ConfigError, match=message):
        validate(ObservableConfig, keys, "file")
