"""Where columns are: names that nothing reads are mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from hepsilon import Config, ConfigError, load_config
from tests.helpers.field import config

ORDER = {"level": "event", "objects": 2, "order_by": "quality", "weight": "w", "truth": "true_eps"}


@pytest.mark.parametrize(
    "branches",
    [
        {"pt": "Jet_pt_nom"},
        {"event": "eventNumber", "run": "runNumber", "luminosityBlock": "lumi"},
        {"genWeight": "weight"},
        {"score": "Jet_btag"},
        {"mass": 0.13957, "charge": "q"},
        {"px": ["a", "b"], "py": ["c", "d"], "pz": ["e", "f"]},
        {"phi": "Jet_azimuth"},
    ],
)
def test_names_that_are_read(branches: dict[str, Any]) -> None:
    assert set(config(input={"branches": branches}).input.branches) == set(branches)


@pytest.mark.parametrize("section", ["branches", "reconstructed"])
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ptt", "did you mean 'pt'"),
        ("hadronflavour", "did you mean 'hadronFlavour'"),
        ("genweight", "did you mean 'genWeight'"),
        ("zzzzzz", "known are"),
    ],
)
def test_names_that_nothing_reads(section: str, name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name}: nothing reads this name; {hint}"):
        config(input={section: {name: "x"}})


def test_fields_of_all_parts_of_a_task_are_read() -> None:
    task = ORDER | {
        "collection": "Track",
        "features": ["n_close"],
        "categorical": {},
        "passed": {"field": "seen"},
        "fiducial": {"cuts": [{"field": "dz", "abs_max": 1.0}]},
        "selection": [{"field": "chi2", "max": 3.0}],
        "event_selection": [{"field": "flag", "equals": True}],
    }
    names = ("quality", "w", "true_eps", "seen", "dz", "chi2", "flag", "eta", "phi", "n_close")
    assert config(task, input={"branches": {name: f"x_{name}" for name in names}})


def test_fields_of_observables_are_read() -> None:
    observables = {"own": {"field": "width"}, "jet_charge": {}}
    branches = {"width": "Jet_w", "jet_charge": "Jet_q"}
    assert config(input={"branches": branches}, observables=observables)
    with pytest.raises(ConfigError, match="width"):
        config(input={"branches": branches})


@pytest.mark.parametrize(
    "given",
    [
        {"rows": "jets"},
        {"damaged": "ignore"},
        {"event_key": "file"},
        {"branches": {"pt": []}},
        {"branches": {"pt": True}},
        {"branches": {"pt": float("nan")}},
        {"branches": {"pt": ["a", 3]}},
        {"max_weight": 0.0},
        {"max_weight_policy": "clip"},
        {"branchs": {}},
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        config(input=given)


def test_a_file_says_so_with_its_name(tmp_path: Any) -> None:
    path = tmp_path / "task.toml"
    path.write_text(
        '[task]\nfeatures = ["pt"]\npassed = { field = "tag" }\n[input.branches]\npT = "Jet_pt"\n'
    )
    with pytest.raises(ConfigError, match=r"task\.toml.*\n.*pT: nothing reads this name"):
        load_config(path)
    path.write_text(path.read_text().replace("pT", "pt"))
    assert isinstance(load_config(path), Config)
