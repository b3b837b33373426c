"""Numbers of the examples: datasets with cross sections, and a classifier as a kind of artifact."""

from __future__ import annotations

import importlib.util
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import awkward as ak
import lightgbm
import numpy as np
import pytest
import uproot
from coffea import processor

import hepsilon
from hepsilon.closure import closure_report, run_closure
from hepsilon.data.dataset import read_columns
from hepsilon.efficiencies import kinds
from hepsilon.processors import TaskSchema
from hepsilon.simulation import toy_task, write_jets
from hepsilon.testing import check_efficiency
from tests.helpers.toys import read_jets

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where pydantic looks for the names of annotations
    spec.loader.exec_module(module)
    return module


def test_datasets_count_with_their_cross_sections(tmp_path: Path) -> None:
    """Sums of closure and of a histogram are those that are made by hand."""
    datasets = example("11_datasets_with_cross_sections")
    path = datasets.fileset(tmp_path, 1_500)
    described = json.loads(path.read_text())
    config = hepsilon.Config(task=toy_task())
    efficiency = hepsilon.EfficiencyMap.fit(
        config.task, read_columns([path], config, progress=False), warn=False
    )
    passed, weighted = 0.0, {}
    for name, sample in described.items():
        (file,) = sample["files"]
        weight = sample["metadata"]["weight"]
        generated = uproot.open(file)["Events"]["genWeight"].array().to_numpy()
        # what the sample stands for: cross section (pb) times luminosity (1/fb)
        assert weight * generated.sum() == pytest.approx(
            1000.0 * datasets.CROSS_SECTIONS[name] * datasets.LUMINOSITY
        )
        jets = read_jets(file)
        jets = efficiency.select(jets)
        per_event = ak.sum(jets.discriminant > 0.0, axis=1)
        passed += float(np.sum(ak.to_numpy(per_event) * generated * weight))
        eps = efficiency(jets, out_of_domain="ignore")
        tags = hepsilon.truth_tag_weight(eps, 2)
        weighted[name] = float(np.sum(tags * generated * weight))
    methods = {"map": efficiency}
    output = run_closure([path], config.task, methods, config=config.input)
    closure = closure_report(output, config.task, methods, [path]).efficiency["map"]
    assert closure.overall.observed == pytest.approx(passed)

    runner = processor.Runner(
        processor.IterativeExecutor(status=False), schema=TaskSchema, metadata_cache={}
    )
    filled = runner(described, datasets.PairMass(efficiency))["mass"]
    for name, expected in weighted.items():
        total = filled[{"dataset": name, "variation": "nominal"}].sum(flow=True).value
        assert total == pytest.approx(expected)
    assert "tags_efficiencyUp" in filled.axes["variation"]


@pytest.fixture
def boosted(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The example; its kind is forgotten afterwards."""
    with monkeypatch.context() as patch:
        patch.setattr(kinds, "_KINDS", dict(kinds._KINDS))
        yield example("10_lightgbm_classifier")


def test_a_classifier_is_an_efficiency(boosted: ModuleType, tmp_path: Path) -> None:
    """Its numbers are LightGBM's, it keeps the contracts, and its file holds numbers alone."""
    sample = write_jets(tmp_path / "jets.root", 2_000, seed=3)
    config = hepsilon.Config(task=toy_task())
    columns = read_columns([sample], config, progress=False)
    made = boosted.Boosted.fit(config.task, columns, rounds=20)
    path = made.save(tmp_path / "boosted.hepsilon")
    jets = made.select(read_jets(sample)[:300])
    found = hepsilon.load(path)
    check_efficiency(found, jets[:50])

    data = lightgbm.Dataset(
        columns.nodes, columns.passed, weight=columns.object_weights, params=boosted.OPTIONS
    )
    model = lightgbm.train(boosted.OPTIONS, data, 20)
    _, nodes = found.features.matrix(jets, config.task.unit)
    expected = model.predict(nodes)
    np.testing.assert_allclose(ak.ravel(found(jets, out_of_domain="ignore")), expected, rtol=1e-9)

    with zipfile.ZipFile(path) as file:
        assert not [name for name in file.namelist() if name.endswith((".pkl", ".pickle"))]
        for name in (n for n in file.namelist() if n.endswith(".npy")):
            with file.open(name) as raw:
                np.load(raw, allow_pickle=False)


def test_a_classifier_is_not_for_every_sample(boosted: ModuleType, tmp_path: Path) -> None:
    sample = write_jets(tmp_path / "jets.root", 100, seed=3)
    config = hepsilon.Config(task=toy_task())
    columns = read_columns([sample], config, progress=False)
    negative = columns.take(np.arange(columns.n_events))
    negative.weights[0] = -1.0
    with pytest.raises(hepsilon.ConfigError, match="weights that are not negative"):
        boosted.Boosted.fit(config.task, negative)
