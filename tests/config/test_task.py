from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
import pytest

from hepsilon import Config, ConfigError, Task, load_config
from hepsilon.config import (
    BinAxis,
    Cut,
    InputConfig,
    MapConfig,
    ModelConfig,
    Passed,
    TrainingConfig,
    validate,
)
from hepsilon.simulation.writer import WORKING_POINTS

DESIGN = """
[task]
level = "object"
collection = "Jet"
features = ["pt", "eta", "phi", "hadronFlavour"]
categorical = { hadronFlavour = [5, 4, 0] }
selection = [{ field = "pt", min = 20.0 }, { field = "eta", abs_max = 2.5 }]
passed = { field = "btagDeepFlavB", above = [0.2783] }
weight = "genWeight"
[input]
schema = "nanoaod"
tree = "Events"
[input.branches]
pt = "Jet_pt_nom"
[model]
architecture = "gnn"
preset = "fast"
members = 5
bootstrap = true
[training]
epochs = 40
seed = 1
[map.axes]
pt = { edges = [20.0, 50.0, 600.0] }
eta = { bins = 5, min = -2.5, max = 2.5 }
"""
TASK = {"features": ["pt"], "passed": {"field": "tag"}}


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def config_of(**sections: Any) -> Config:
    config: Config = validate(Config, {"task": TASK} | sections, "config")
    return config


# reading


def test_the_toml_of_the_design_is_read(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, DESIGN))
    assert config.task == Task(
        level="object",
        collection="Jet",
        features=("pt", "eta", "phi", "hadronFlavour"),
        categorical={"hadronFlavour": (5, 4, 0)},
        selection=(Cut(field="pt", min=20.0), Cut(field="eta", abs_max=2.5)),
        passed=Passed(field="btagDeepFlavB", above=(0.2783,)),
        weight="genWeight",
    )
    assert config.input == InputConfig(schema="nanoaod", branches={"pt": "Jet_pt_nom"})
    assert config.model == ModelConfig(architecture="gnn", members=5, bootstrap=True)
    assert config.training == TrainingConfig(epochs=40, seed=1)
    assert config.map.axes["pt"].edges == (20.0, 50.0, 600.0)
    assert config.map.axes["eta"].edges == pytest.approx((-2.5, -1.5, -0.5, 0.5, 1.5, 2.5))


def test_everything_but_the_task_has_defaults() -> None:
    config = config_of()
    assert (config.input, config.model) == (InputConfig(), ModelConfig())
    assert (config.training, config.map) == (TrainingConfig(), MapConfig())


def test_a_config_survives_the_round_trip_through_json(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, DESIGN))
    assert Config.model_validate_json(config.model_dump_json(by_alias=True)) == config


def test_the_default_map_has_the_binning_of_the_public_code() -> None:
    axes = MapConfig().axes
    assert {name: len(axis.edges) - 1 for name, axis in axes.items()} == {"pt": 19, "eta": 10}
    assert (axes["pt"].edges[0], axes["pt"].edges[-1]) == (20.0, 600.0)
    assert (axes["eta"].edges[0], axes["eta"].edges[-1]) == (-2.5, 2.5)


# working points

CUTS = {"field": "tag", "above": [0.1, 0.5, 0.8]}


@pytest.mark.parametrize(
    ("passed", "names"),
    [
        (Passed(field="tag"), (0,)),
        (Passed(field="tag", names=("tagged",)), ("tagged",)),
        (Passed(field="tag", above=(0.3,)), (0,)),
        (Passed(field="tag", above=(0.3,), names=("M",)), ("M",)),
        (Passed(field="tag", above=(-0.1, 0.3, 0.7)), (0, 1, 2)),
        (Passed(field="tag", above=(0.1, 0.3, 0.7), names=("L", "M", "T")), ("L", "M", "T")),
    ],
    ids=str,
)
def test_working_points_have_names_or_numbers(passed: Passed, names: tuple[int | str, ...]) -> None:
    assert passed.working_points == names


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (Passed(field="tag"), "tag"),
        (Passed(field="tag", names=("tagged",)), "tag (tagged)"),
        (Passed(field="tag", above=(0.1, 0.3)), "tag > 0.1, tag > 0.3"),
        (Passed(field="tag", above=(0.1, 0.3), names=("L", "T")), "tag > 0.1 (L), tag > 0.3 (T)"),
    ],
)
def test_responses_are_written_as_on_paper(passed: Passed, text: str) -> None:
    assert str(passed) == text


@pytest.mark.parametrize(
    ("truth", "fields"), [(None, ()), ("eps", ("eps",)), (["l", "m", "t"], ("l", "m", "t"))]
)
def test_truth_has_one_field_for_each_working_point(truth: Any, fields: tuple[str, ...]) -> None:
    passed = CUTS if len(fields) == 3 else {"field": "tag"}
    task = config_of(task=TASK | {"passed": passed, "truth": truth}).task
    assert task.truth_fields == fields


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"passed": CUTS | {"above": [0.5, 0.1]}}, r"task\.passed: .*increasing cuts.*0\.5, 0\.1"),
        ({"passed": CUTS | {"above": [0.1, 0.5, 0.5]}}, r"task\.passed: .*increasing cuts"),
        ({"passed": CUTS | {"above": [0.1, "0.5"]}}, r"task\.passed\.above\.1: .*valid number"),
        ({"passed": CUTS | {"names": ["L", "M"]}}, r"task\.passed: .*a distinct name for each"),
        ({"passed": CUTS | {"names": ["L", "M", "M"]}}, r"task\.passed: .*a distinct name"),
        ({"passed": {"field": "tag", "names": ["L", "M"]}}, r"task\.passed: .*a distinct name"),
        ({"passed": CUTS, "truth": "eps"}, "task: .*truth fields for 3 working points"),
        ({"passed": CUTS, "truth": ["l", "m"]}, "task: .*truth fields for 3 working points"),
        ({"truth": ["l", "m"]}, "task: .*truth fields for 1 working points"),
        ({"truth": ["l"]}, r"task\.truth.*: .*at least 2 items"),
        ({"passed": CUTS, "level": "event"}, "task: .*several working points are for level"),
    ],
)
def test_errors_of_working_points_name_the_place(change: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(task=TASK | change)


def test_events_may_have_one_working_point() -> None:
    task = config_of(task=TASK | {"passed": CUTS | {"above": [0.5]}, "level": "event"}).task
    assert task.passed.working_points == (0,)


def test_the_configuration_of_several_working_points_is_that_of_the_simulation() -> None:
    config = load_config(Path(__file__).parents[2] / "training" / "working_points.toml")
    passed = config.task.passed
    assert passed == Passed(
        field="tagger", above=tuple(WORKING_POINTS.values()), names=("L", "M", "T")
    )
    assert config.task.truth_fields == tuple(f"trueEfficiency{name}" for name in WORKING_POINTS)
    assert Config.model_validate_json(config.model_dump_json(by_alias=True)) == config


# text that is no configuration


@pytest.mark.parametrize(
    ("text", "message"),
    [("[task", "not valid TOML"), ("", "task: Field required"), ("task = 1", "task: Input should")],
)
def test_text_that_is_no_configuration_is_a_config_error(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(write(tmp_path, text))


def test_bytes_that_are_not_utf8_are_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"tree = '\xff'")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(path)


def test_a_missing_file_is_a_config_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file .*nothing\.toml"):
        load_config(tmp_path / "nothing.toml")


def test_a_folder_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load_config(tmp_path)


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, DESIGN + "extra = 1")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(path) in str(caught.value)


# unknown keys


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"modle": {}}, "modle: unknown key; did you mean 'model'"),
        ({"model": {"member": 2}}, "model.member: unknown key; did you mean 'members'"),
        ({"training": {"epoch": 2}}, "training.epoch: unknown key; did you mean 'epochs'"),
        ({"input": {"shema": "base"}}, "input.shema: unknown key; did you mean 'schema'"),
        ({"task": TASK | {"feature": []}}, "task.feature: unknown key; did you mean 'features'"),
        (
            {"task": TASK | {"passed": {"field": "tag", "abov": [0.1]}}},
            "task.passed.abov: unknown key; did you mean 'above'",
        ),
        (
            {"task": TASK | {"selection": [{"field": "pt", "min": 1.0, "abs_maxx": 2.5}]}},
            "task.selection.0.abs_maxx: unknown key; did you mean 'abs_max'",
        ),
        (
            {"map": {"axes": {"pt": {"edges": [1.0, 2.0], "egdes": [1.0, 2.0]}}}},
            "map.axes.pt.egdes: unknown key; did you mean 'edges'",
        ),
    ],
    ids=["top", "model", "training", "alias", "task", "passed", "in a list", "in a mapping"],
)
def test_an_unknown_key_names_the_nearest_valid_key(sections: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(**sections)
    assert message in str(caught.value)


def test_an_unknown_key_without_a_near_one_lists_the_valid_keys() -> None:
    with pytest.raises(ConfigError, match=r"model\.zzz: unknown key; valid keys are \['arch"):
        config_of(model={"zzz": 1})


def test_an_unknown_key_in_python_names_the_nearest_valid_key() -> None:
    with pytest.raises(ConfigError, match="did you mean 'weight'"):
        Task(**TASK, weights="genWeight")


def test_all_mistakes_are_listed_at_once() -> None:
    with pytest.raises(ConfigError, match=r"(?s)members.*epochs"):
        config_of(model={"members": 0}, training={"epochs": 0})


# values


@pytest.mark.parametrize(
    "sections",
    [
        {"task": TASK | {"level": "jet"}},
        {"task": TASK | {"objects": 2}},
        {"task": TASK | {"features": []}},
        {"task": TASK | {"features": "pt"}},
        {"task": TASK | {"features": ["pt", "pt"]}},
        {"task": TASK | {"categorical": {"flavour": [5]}}},
        {"task": TASK | {"categorical": {"pt": []}}},
        {"task": TASK | {"categorical": {"pt": [5, 5]}}},
        {"task": TASK | {"categorical": {"pt": [0.5]}}},
        {"task": TASK | {"selection": [{"field": "pt"}]}},
        {"task": TASK | {"selection": [{"field": "pt", "min": float("nan")}]}},
        {"task": TASK | {"passed": {"field": "tag", "above": []}}},
        {"task": TASK | {"passed": {"field": "tag", "above": [float("inf")]}}},
        {"input": {"schema": "delphes"}},
        {"model": {"architecture": "transformer"}},
        {"model": {"members": 0}},
        {"model": {"width": 1}},
        {"training": {"epochs": 0}},
        {"training": {"learning_rate": 0.0}},
        {"training": {"ema": 1.0}},
        {"training": {"mu": 0.0}},
        {"training": {"validation": 0.0}},
        {"training": {"validation": 1.0}},
        {"training": {"seed": -1}},
        {"map": {"axes": {"pt": {"edges": [20.0]}}}},
        {"map": {"axes": {"pt": {"edges": [20.0, 20.0]}}}},
        {"map": {"axes": {"pt": {"edges": [30.0, 20.0]}}}},
        {"map": {"axes": {"pt": {"bins": 3, "min": 1.0, "max": 1.0}}}},
        {"map": {"axes": {"pt": {"bins": -1, "min": 1.0, "max": 2.0}}}},
        {"map": {"axes": {"pt": {"bins": 0, "min": 1.0, "max": 2.0}}}},
        {"map": {"axes": {"pt": {"bins": 2.5, "min": 1.0, "max": 2.0}}}},
        {"map": {"axes": {"pt": {"bins": 2, "min": "low", "max": 2.0}}}},
    ],
    ids=str,
)
def test_bad_values_are_config_errors(sections: Any) -> None:
    with pytest.raises(ConfigError):
        config_of(**sections)


@pytest.mark.parametrize(
    "sections",
    [{"model": {"members": "5"}}, {"training": {"epochs": True}}, {"model": {"bootstrap": "yes"}}],
    ids=str,
)
def test_values_are_not_converted_silently(sections: Any) -> None:
    with pytest.raises(ConfigError):
        config_of(**sections)


def test_regular_bins_end_exactly_at_their_limits() -> None:
    axis = BinAxis.model_validate({"bins": 7, "min": 0.1, "max": 0.7})
    assert len(axis.edges) == 8
    assert (axis.edges[0], axis.edges[-1]) == (0.1, 0.7)


@pytest.mark.parametrize(
    ("given", "resampling", "bootstrap"),
    [
        ({}, "none", False),
        ({"bootstrap": True}, "bootstrap", True),
        ({"bootstrap": False}, "none", False),
        ({"resampling": "bootstrap"}, "bootstrap", True),
        ({"resampling": "bootstrap", "bootstrap": True}, "bootstrap", True),
        ({"resampling": "folds", "members": 2}, "folds", False),
        ({"resampling": "folds", "members": 5, "bootstrap": False}, "folds", False),
    ],
    ids=str,
)
def test_bootstrap_is_short_for_one_kind_of_resampling(
    given: dict[str, Any], resampling: str, bootstrap: bool
) -> None:
    model = config_of(model=given).model
    assert (model.resampling, model.bootstrap) == (resampling, bootstrap)
    assert model == ModelConfig(**given)
    assert ModelConfig.model_validate(model.model_dump()) == model


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"resampling": "folds", "members": 3, "bootstrap": True}, "true contradicts .*'folds'"),
        ({"resampling": "none", "bootstrap": True}, "true contradicts resampling = 'none'"),
        ({"resampling": "bootstrap", "bootstrap": False}, "false contradicts .*'bootstrap'"),
        ({"resampling": "folds"}, "members of 2 or more, received 1"),
        ({"resampling": "jackknife"}, "resampling"),
        ({"bootstrap": "yes"}, "bootstrap"),
        ({"bootstrap": 1}, "bootstrap"),
    ],
    ids=str,
)
def test_contradictions_of_the_resampling_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(model=given)


# frozen


def test_records_are_frozen() -> None:
    config = config_of()
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config.task.features = ("eta",)  # type: ignore[misc]


def test_defaults_are_not_shared_between_records() -> None:
    InputConfig().branches["pt"] = "elsewhere"
    assert InputConfig().branches == {}
