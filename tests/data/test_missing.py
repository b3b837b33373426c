"""Values that stand for a missing number: declared by the task, never taken for numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

import hepsilon
from hepsilon import ConfigError, InputError, TrainingError
from hepsilon.config import Config, MapConfig, Passed, Task
from hepsilon.config.task import Cut
from hepsilon.data.dataset import read_columns
from hepsilon.data.features import feature_matrix, fit_features
from hepsilon.data.missing import MISSING, is_missing
from tests.helpers.toys import mlp_config, task_of

ISO = task_of("pt", "iso", missing={"iso": (-1.0, "nan")})


def matrix(task: Task, values: list[Any]) -> Any:
    pt = 20.0 + np.arange(len(values), dtype=float)
    records = ak.Array([{"pt": p, "iso": v} for p, v in zip(pt, values, strict=True)])
    return feature_matrix(records[np.newaxis], task.features, task.unit, task.missing)[1]


def test_declared_values_are_marked_and_others_stay() -> None:
    found = matrix(ISO, [0.5, -1.0, float("nan"), None, 3.0])
    np.testing.assert_array_equal(is_missing(found[:, 1]), [False, True, True, True, False])
    np.testing.assert_array_equal(found[[0, 4], 1], np.float32([0.5, 3.0]))
    assert not is_missing(found[:, 0]).any()


def test_values_are_compared_in_the_precision_of_the_file() -> None:
    task = task_of("pt", "iso", missing={"iso": (-999.9,)})
    values = ak.values_astype(ak.Array([[{"pt": 1.0, "iso": -999.9}]]), np.float32)
    _, found = feature_matrix(values, task.features, task.unit, task.missing)
    assert found[0, 1] == MISSING


@pytest.mark.parametrize("bad", [float("nan"), None])
def test_what_is_not_declared_is_an_error(bad: Any) -> None:
    with pytest.raises(InputError, match="iso"):
        matrix(task_of("pt", "iso", missing={"iso": (-1.0,)}), [0.5, bad])


def test_the_unit_of_the_file_is_that_of_the_declared_value() -> None:
    task = task_of("pt", "mass", missing={"mass": (-999.0,)}, unit="MeV")
    records = ak.Array([[{"pt": 5e4, "mass": -999.0}, {"pt": 6e4, "mass": 2e3}]])
    _, found = feature_matrix(records, task.features, task.unit, task.missing)
    assert found[0, 1] == MISSING
    assert found[1, 1] == np.float32(2.0)


def test_moments_and_range_are_those_of_the_others() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(3.0, 1.0, 1000)
    nodes = matrix(ISO, [*values, *[-1.0] * 250])
    spec = fit_features(ISO, nodes, np.ones(len(nodes)), np.array([0, len(nodes)]))
    iso = spec.features[1]
    assert iso.mean == pytest.approx(values.mean(), rel=1e-6)
    assert iso.std == pytest.approx(values.std(), rel=1e-6)
    assert (iso.low, iso.high) == pytest.approx((values.min(), values.max()), rel=1e-6)
    assert iso.missing_share == pytest.approx(0.2)
    assert spec.features[0].missing_share == 0.0
    np.testing.assert_array_equal(iso.covers(nodes[-2:, 1]), True)


def test_a_missing_value_that_the_training_never_had_is_out_of_domain() -> None:
    nodes = matrix(ISO, [0.5, 1.0, 2.0, 0.7])
    iso = fit_features(ISO, nodes, np.ones(4)).features[1]
    np.testing.assert_array_equal(iso.covers(np.array([MISSING, 1.0])), [False, True])


def test_nan_in_a_configuration_is_equal_to_itself() -> None:
    task = task_of("pt", "iso", missing={"iso": (float("nan"),)})
    assert task == task_of("pt", "iso", missing={"iso": ("nan",)})
    assert Task.model_validate_json(task.model_dump_json()) == task


@pytest.mark.parametrize("name", ["mass", "hadronFlavour"])
def test_only_numeric_features_may_be_missing(name: str) -> None:
    with pytest.raises(ConfigError, match="not among the numeric features"):
        task_of("pt", "hadronFlavour", missing={name: (-1.0,)})


def test_a_momentum_cannot_be_missing() -> None:
    with pytest.raises(ConfigError, match=r"\['eta'\] place an object"):
        task_of("pt", "eta", missing={"eta": (-99.0,)})


def test_a_feature_that_is_always_missing_is_refused() -> None:
    nodes = matrix(ISO, [-1.0] * 10)
    with pytest.raises(TrainingError, match="iso: expected values with a spread"):
        fit_features(ISO, nodes, np.ones(10))


def test_a_map_has_no_bin_for_missing_values() -> None:
    columns = hepsilon.data.training_columns.TrainingColumns(
        np.arange(5),
        matrix(ISO, [0.5, 1.0, -1.0, 0.7]),
        np.array([0, 1, 1, 0], np.float32),
        np.ones(4),
        np.arange(4, dtype=np.uint64),
    )
    axes = MapConfig.model_validate({"axes": {"iso": {"bins": 2, "min": 0.0, "max": 2.0}}})
    with pytest.raises(ConfigError, match="map has no bin for that"):
        hepsilon.EfficiencyMap.fit(ISO, columns, axes)


def sample(path: Path, n: int = 4000) -> Path:
    """Objects whose response is another one where the isolation is missing (NaN in the file)."""
    rng = np.random.default_rng(5)
    iso, known = rng.exponential(1.0, n) + 0.1, rng.uniform(size=n) < 0.7
    tag = rng.uniform(size=n) < np.where(known, 0.9, 0.1)
    events = {
        "run": np.ones(n, np.uint32),
        "luminosityBlock": np.ones(n, np.uint32),
        "event": np.arange(n, dtype=np.uint64),
        "Jet": ak.unflatten(
            ak.zip(
                {
                    "pt": rng.uniform(20.0, 100.0, n),
                    "iso": np.where(known, iso, np.nan),
                    "tag": tag,
                }
            ),
            np.ones(n, int),
        ),
    }
    ak.to_parquet(ak.zip(events, depth_limit=1), path)
    return path


def test_a_network_learns_what_is_missing_from_a_file(tmp_path: Path) -> None:
    file = sample(tmp_path / "sample.parquet")
    task = ISO.model_copy(update={"passed": Passed(field="tag")})
    config = mlp_config(task, epochs=8)
    efficiency = hepsilon.train(
        config, [file], tmp_path / "iso.hepsilon", progress=False
    ).efficiency
    records = ak.Array([[{"pt": 50.0, "iso": 1.0}, {"pt": 50.0, "iso": float("nan")}]])
    known, missing = efficiency(records)[0]
    assert known == pytest.approx(0.9, abs=0.05)
    assert missing == pytest.approx(0.1, abs=0.05)
    with pytest.raises(InputError, match="iso"):
        efficiency(ak.Array([[{"pt": 50.0, "iso": float("inf")}]]))


def test_nan_in_a_feature_that_a_cut_reads_is_damage(tmp_path: Path) -> None:
    file = sample(tmp_path / "sample.parquet", 200)
    cut = ISO.model_copy(update={"selection": (Cut(field="iso", min=0.0),)})
    with pytest.raises(InputError, match="iso"):
        read_columns([file], Config(task=cut), progress=False)
