from __future__ import annotations

import pytest

from hepsilon import Config, ConfigError, Task
from hepsilon.config.toml import as_toml


def density(**task: object) -> Task:
    return Task.model_validate({"features": ["pt"], "ratio": {}} | task)


def test_what_passes_in_a_ratio_of_densities_is_the_numerator() -> None:
    assert density().passed.field == "from_numerator"
    assert density(ratio={"field": "isData"}).passed.field == "isData"
    assert density().of_densities
    assert density().alone
    assert not density(level="event").alone


def test_configuration_of_a_ratio_survives_toml() -> None:
    import tomllib

    config = Config(task=density(ratio={"numerator": ["a.root"], "denominator": "b.root"}))
    assert Config.model_validate(tomllib.loads(as_toml(config))).task == config.task


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"ratio": {"kind": "efficiency"}}, "passed"),
        ({"passed": {"field": "fired"}}, 'kind = "efficiency"'),
        ({"ratio": {"clip": [2.0, 3.0]}}, "clip"),
        ({"ratio": {"clip": [0.0, 3.0]}}, "clip"),
        ({"ratio": {"field": "isData", "numerator": "a.root"}}, "received both"),
        ({"features": ["pt", "isData"], "ratio": {"field": "isData"}}, "tells the two samples"),
        (
            {
                "ratio": {"kind": "efficiency", "field": "isData"},
                "passed": {"field": "isData"},
            },
            "no response",
        ),
        ({"truth": "known"}, "truth"),
        ({"level": "event", "object_weight": "sweight"}, "object_weight"),
        ({"ratio": {"kind": "densty"}}, "kind"),
    ],
)
def test_contradictions_are_refused(task: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        density(**task)


def test_sample_of_an_entry_is_no_feature_of_who_asks() -> None:
    task = density(
        features=["pt", "from_numerator"],
        categorical={"from_numerator": [0, 1]},
        ratio={"kind": "efficiency"},
        passed={"field": "fired"},
    )
    assert task.without_side.features == ("pt",)
    assert task.without_side.categorical == {}
    assert density().without_side == density()
