"""Maps as files of correctionlib, and efficiencies from such files."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import awkward as ak
import correctionlib
import numpy as np
import pytest

from hepsilon import (
    ArtifactError,
    Config,
    ConfigError,
    EfficiencyMap,
    InputError,
    OutOfDomainWarning,
)
from hepsilon.config import Passed
from hepsilon.data.dataset import read_columns
from hepsilon.efficiencies.correction import CorrectionEfficiency
from hepsilon.export import corrections, formats
from hepsilon.simulation import toy_task, write_jets
from tests.helpers.tag_toys import POINTS_TASK, points_jets
from tests.helpers.toys import TASK, tagged_jets

COUNTS = [2, 3, 0, 1, 4] * 20


@pytest.fixture(scope="module")
def file(toy_map: EfficiencyMap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corrections") / "map.json.gz"
    return corrections.write_correction_file(toy_map, out)


@pytest.fixture(scope="module")
def points_file(points_map: EfficiencyMap, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corrections") / "points.json"
    return corrections.write_correction_file(points_map, out)


def arguments(jets: Any, *first: str) -> tuple[Any, ...]:
    flat = ak.flatten(jets)
    columns = (flat.hadronFlavour, flat.pt, flat.eta)
    flavour, pt, eta = (ak.to_numpy(column) for column in columns)
    return (*first, flavour.astype(int), *(np.float32(x).astype(float) for x in (pt, eta)))


def test_values_are_those_of_the_map(toy_map: EfficiencyMap, file: Path) -> None:
    jets = tagged_jets(COUNTS)
    evaluator = correctionlib.CorrectionSet.from_file(str(file))["efficiency"]
    assert [v.name for v in evaluator.inputs] == ["systematic", "hadronFlavour", "pt", "eta"]
    found = evaluator.evaluate(*arguments(jets, "nominal"))
    expected = ak.to_numpy(ak.flatten(toy_map(jets, out_of_domain="ignore")))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_variations_hold_the_central_share_of_the_posterior(
    toy_map: EfficiencyMap, file: Path
) -> None:
    """5000 draws of each bin: a share of 68.3 % has a standard deviation of 0.7 %; six of them for
    each of some ten bins, a false alarm in 1e7. A bin whose mean is outside of this share has an
    end at the mean, and a larger share."""
    jets = tagged_jets(COUNTS)
    evaluator = correctionlib.CorrectionSet.from_file(str(file))["efficiency"]
    up, down = (evaluator.evaluate(*arguments(jets, which)) for which in ("up", "down"))
    drawn = ak.to_numpy(ak.flatten(toy_map.replicas(jets, n_replicas=5000, seed=3)))
    share = np.mean((drawn > down[:, None]) & (drawn < up[:, None]), axis=1)
    nominal = evaluator.evaluate(*arguments(jets, "nominal"))
    inside = (down < nominal) & (nominal < up)
    assert np.mean(inside) > 0.5
    np.testing.assert_allclose(share[inside], 0.683, atol=0.04)
    assert np.all(share[~inside] > 0.683)


def test_several_working_points_are_one_file(points_map: EfficiencyMap, points_file: Path) -> None:
    jets = points_jets(COUNTS)
    evaluator = correctionlib.CorrectionSet.from_file(str(points_file))["efficiency"]
    expected = ak.to_numpy(ak.flatten(points_map(jets, out_of_domain="ignore")))
    for number, point in enumerate(POINTS_TASK.passed.working_points):
        found = evaluator.evaluate(*arguments(jets, "nominal", str(point)))
        np.testing.assert_allclose(found, expected[:, number], rtol=1e-12)


@pytest.mark.parametrize("pt", [1.0, 19.999, 600.0, 1e5])
def test_outside_the_bins_the_file_answers_as_the_map(
    toy_map: EfficiencyMap, file: Path, pt: float
) -> None:
    jets = ak.Array([[{"pt": pt, "eta": 5.0, "phi": 0.0, "hadronFlavour": 5}]])
    evaluator = correctionlib.CorrectionSet.from_file(str(file))["efficiency"]
    found = evaluator.evaluate(*arguments(jets, "nominal"))
    assert found == pytest.approx(toy_map(jets, out_of_domain="ignore")[0, 0], rel=1e-12)


def test_a_file_comes_back_as_an_efficiency(toy_map: EfficiencyMap, file: Path) -> None:
    jets, again = tagged_jets(COUNTS), CorrectionEfficiency(file)
    assert again.task == toy_map.task
    np.testing.assert_allclose(
        ak.flatten(again(jets, out_of_domain="ignore")),
        ak.flatten(toy_map(jets, out_of_domain="ignore")),
        rtol=1e-12,
    )
    copied = pickle.loads(pickle.dumps(again))
    assert ak.all(copied(jets) == again(jets))


def test_working_points_come_back(points_map: EfficiencyMap, points_file: Path) -> None:
    jets, again = points_jets(COUNTS), CorrectionEfficiency(points_file)
    np.testing.assert_allclose(
        ak.flatten(again(jets, out_of_domain="ignore")),
        ak.flatten(points_map(jets, out_of_domain="ignore")),
        rtol=1e-12,
    )


def test_objects_outside_the_bins_are_said(file: Path) -> None:
    jets = ak.Array([[{"pt": 1e5, "eta": 0.0, "phi": 0.0, "hadronFlavour": 5}]])
    with pytest.warns(OutOfDomainWarning, match="1 in pt"):
        CorrectionEfficiency(file)(jets)


def foreign(path: Path) -> Path:
    """File of somebody else, with other names and an error outside its bins."""
    content = {
        "nodetype": "binning",
        "input": "JetPt",
        "edges": [20.0, 100.0, 400.0],
        "content": [0.6, 0.8],
        "flow": "error",
    }
    correction = {
        "name": "eff",
        "version": 1,
        "inputs": [{"name": "key", "type": "string"}, {"name": "JetPt", "type": "real"}],
        "output": {"name": "out", "type": "real"},
        "data": {
            "nodetype": "category",
            "input": "key",
            "content": [{"key": "central", "value": content}],
        },
    }
    path.write_text(json.dumps({"schema_version": 2, "corrections": [correction]}))
    return path


def test_foreign_files_need_a_task_and_names(tmp_path: Path) -> None:
    path = foreign(tmp_path / "foreign.json")
    with pytest.raises(ConfigError, match="does not hold the task"):
        CorrectionEfficiency(path)
    with pytest.raises(ConfigError, match=r"inputs \['key', 'JetPt'\] are no features"):
        CorrectionEfficiency(path, TASK)
    given: dict[str, Any] = {"fixed": {"key": "central"}, "fields": {"JetPt": "pt"}}
    efficiency = CorrectionEfficiency(path, TASK, **given)
    jets = ak.Array([[{"pt": 50.0}, {"pt": 200.0}], []])
    assert efficiency(jets, out_of_domain="raise").to_list() == [[0.6, 0.8], []]
    with pytest.raises(InputError, match="eff has no value"):
        efficiency(ak.Array([[{"pt": 10.0}]]), out_of_domain="ignore")
    with pytest.raises(ConfigError, match=r"expected a correction of \['eff'\], received 'x'"):
        CorrectionEfficiency(path, TASK, name="x", **given)


def test_foreign_files_of_several_working_points_name_the_point(tmp_path: Path) -> None:
    path = foreign(tmp_path / "foreign.json")
    points = Passed(field="score", above=(0.2, 0.6))
    task = TASK.model_copy(update={"passed": points})
    given: dict[str, Any] = {"fixed": {"key": "central"}, "fields": {"JetPt": "pt"}}
    with pytest.raises(ConfigError, match="the correction no open input working_point"):
        CorrectionEfficiency(path, task, **given)


def test_scale_factors_are_no_efficiencies(tmp_path: Path) -> None:
    path = foreign(tmp_path / "foreign.json")
    path.write_text(path.read_text().replace("0.8", "1.02"))
    given: dict[str, Any] = {"fixed": {"key": "central"}, "fields": {"JetPt": "pt"}}
    efficiency = CorrectionEfficiency(path, TASK, **given)
    with pytest.raises(InputError, match=r"eff: 1 of 2 values are NaN or outside \[0, 1\]"):
        efficiency(ak.Array([[{"pt": 50.0}, {"pt": 200.0}]]), out_of_domain="raise")


def test_damaged_tasks_are_refused(file: Path, tmp_path: Path) -> None:
    content = json.loads(gzip.decompress(file.read_bytes()))
    for task, text in (("{", "its task is damaged"), ("{}", "features")):
        content["description"] = f"hepsilon: {task}"
        path = tmp_path / "damaged.json"
        path.write_text(json.dumps(content))
        with pytest.raises(ArtifactError, match=text):
            CorrectionEfficiency(path)


def test_export_writes_the_file_and_names_what_is_possible(
    toy_map: EfficiencyMap, tmp_path: Path
) -> None:
    path = toy_map.save(tmp_path / "map.hepsilon")
    out = formats.export(path, "correctionlib", tmp_path / "map.json")
    assert "efficiency" in correctionlib.CorrectionSet.from_file(str(out))
    with pytest.raises(ConfigError, match="is a map, which is exported as correctionlib"):
        formats.export(path, "onnx", tmp_path / "map.onnx")
    with pytest.raises(ConfigError, match=r"ending in \.json"):
        formats.export(path, "correctionlib", tmp_path / "map.txt")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.hepsilon", "map.json"]


def test_up_is_never_below_nominal_nor_down_above(tmp_path: Path) -> None:
    """A bin with few objects, in a category that hardly passes, has a very skew posterior."""

    task = toy_task()
    sample = write_jets(tmp_path / "jets.root", 500, seed=3)
    columns = read_columns([sample], Config(task=task), progress=False)
    found = corrections._variations(EfficiencyMap.fit(task, columns, warn=False))
    assert np.all(found["down"] <= found["nominal"])
    assert np.all(found["nominal"] <= found["up"])
    assert np.any(found["nominal"] == found["up"])  # such bins are there
