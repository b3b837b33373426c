"""Reconstructed objects have columns of their own: those of the generated ones never stand in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from coffea import nanoevents, processor

from hepsilon import ConfigError, InputError
from hepsilon.closure import run_closure
from hepsilon.config.observables import ObservableConfig
from hepsilon.processors import EfficiencyInversion, TaskSchema
from hepsilon.processors.executors import user_errors
from tests.helpers.field import config, numbers, write_tree

N = 200
TASK: dict[str, Any] = {
    "level": "event",
    "objects": 2,
    "collection": "Track",
    "features": ["pt", "eta", "phi"],
    "categorical": {},
    "selection": [],
    "passed": {"field": "reco"},
    "weight": None,
}
MOMENTUM = ("px", "py", "pz")


def half(records: ak.Array) -> Any:
    return np.full(len(records), 0.5)


def tracks() -> dict[str, np.ndarray]:
    """Generated momenta of two tracks, and reconstructed ones that are 20 % larger."""
    rng = np.random.default_rng(0)
    pt, eta, phi = (rng.uniform(*r, (N, 2)) for r in ((0.2, 1.0), (-0.9, 0.9), (-3.1, 3.1)))
    generated = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta)}
    return generated | {f"reco_{name}": 1.2 * values for name, values in generated.items()}


def records(columns: dict[str, np.ndarray]) -> ak.Array:
    return ak.zip({name: ak.from_regular(ak.Array(v)) for name, v in columns.items()})


@pytest.fixture
def collections(tmp_path: Path) -> Path:
    """Track_px and Reco_px, as in NanoAOD."""
    own, mass = tracks(), np.full((N, 2), 0.14)
    generated = records({name: own[name] for name in MOMENTUM} | {"mass": mass})
    reconstructed = records({name: own[f"reco_{name}"] for name in MOMENTUM} | {"mass": mass})
    return write_tree(
        tmp_path / "collections.root",
        {**numbers(N), "reco": np.arange(N) % 2, "Track": generated, "Reco": reconstructed},
    )


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """t1_px, r1_px and so on."""
    columns: dict[str, Any] = {**numbers(N), "reco": np.arange(N) % 2}
    for name, values in tracks().items():
        short, letter = (name.removeprefix("reco_"), "r") if "reco" in name else (name, "t")
        columns |= {f"{letter}{i + 1}_{short}": values[:, i] for i in (0, 1)}
    return write_tree(tmp_path / "numbered.root", columns)


def mapped(letter: str, names: tuple[str, ...] = MOMENTUM) -> dict[str, Any]:
    branches: dict[str, Any] = {n: [f"{letter}1_{n}", f"{letter}2_{n}"] for n in names}
    return branches | {"mass": 0.14}


def momenta(path: Path, name: str | None = "Reco", **given: Any) -> tuple[float, float]:
    """Mean pt of the selected tracks in the histograms: generated, and reconstructed."""
    settings = config(TASK, input=given)
    output = run_closure(
        [path],
        settings.task,
        {"half": half},
        config=settings.input,
        observables={"M": ObservableConfig(), "pt": ObservableConfig(bins=200, min=0.0, max=2.0)},
        reconstructed=name,
    )
    means = []
    for method in ("half", "half@reco"):
        histogram = output.observables["pt"][{"method": method}]
        means.append(np.average(histogram.axes[0].centers, weights=histogram.values()))
    return means[0], means[1]


def test_reconstructed_momenta_are_read_by_the_name_of_their_collection(collections: Path) -> None:
    generated, reconstructed = momenta(collections)
    assert reconstructed == pytest.approx(1.2 * generated, rel=0.02)


def test_reconstructed_momenta_are_read_by_their_own_branches(numbered: Path) -> None:
    generated, reconstructed = momenta(numbered, branches=mapped("t"), reconstructed=mapped("r"))
    assert reconstructed == pytest.approx(1.2 * generated, rel=0.02)


@pytest.mark.parametrize("name", ["Rec", "Nothing", "Trac", "t1", "Events"])
def test_a_name_that_is_nowhere_is_refused(collections: Path, name: str) -> None:
    with pytest.raises(InputError, match=name):
        momenta(collections, name)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"reconstructed": mapped("t")},
        {"reconstructed": mapped("r", ("px", "py")) | {"pz": ["t1_pz", "t2_pz"]}},
        {"reconstructed": mapped("r", ("px", "py"))},
        {"reconstructed": mapped("none")},
    ],
    ids=["no branches", "the generated ones", "one of the generated ones", "one missing", "none"],
)
def test_generated_branches_never_stand_in(numbered: Path, given: Any) -> None:
    with pytest.raises(InputError, match=r"input\.reconstructed|none1_px|pz"):
        momenta(numbered, branches=mapped("t"), **given)


def test_the_generated_collection_is_no_reconstructed_one(collections: Path) -> None:
    """Not under its own name either: the comparison would say nothing."""
    with pytest.raises((InputError, ConfigError), match="Track"):
        momenta(collections, "Track")


@pytest.mark.parametrize("schema", [TaskSchema, nanoevents.BaseSchema])
def test_a_processor_in_an_analysis_does_the_same(collections: Path, schema: type) -> None:
    settings = config(TASK)

    def run(name: str) -> Any:
        instance = EfficiencyInversion(settings.task, {"half": half}, reconstructed=name)
        executor = processor.IterativeExecutor(status=False, retries=0)
        runner = processor.Runner(executor, schema=schema)
        with user_errors():
            return runner({"sample": [str(collections)]}, instance, treename="Events")["sample"]

    expected = run_closure([collections], settings.task, {"half": half}, reconstructed="Reco")
    found = run("Reco").observables["M"][{"method": "half@reco"}].values()
    assert found.sum() == pytest.approx(N)
    assert expected.n_selected == N // 2
    with pytest.raises(InputError, match="Nothing"):
        run("Nothing")


def test_response_matrices_add_up_to_the_corrected_sums(collections: Path) -> None:
    settings = config(TASK, input={})
    output = run_closure(
        [collections],
        settings.task,
        {"half": half},
        config=settings.input,
        observables={"M": ObservableConfig(), "pt": ObservableConfig()},
        reconstructed="Reco",
    )
    assert list(output.responses) == ["M"]  # of events, in one dimension
    matrix = output.responses["M"]
    assert list(matrix.axes["method"]) == ["half@reco"]
    corrected = output.observables["M"][{"method": "half@reco"}]
    every = matrix[{"method": "half@reco"}].values(flow=True).sum(axis=0)
    np.testing.assert_allclose(every, corrected.values(flow=True))
    generated = output.observables["M"][{"method": "selected"}]
    by_truth = matrix[{"method": "half@reco"}].values(flow=True).sum(axis=1)
    np.testing.assert_allclose(by_truth, 2.0 * generated.values(flow=True))
    assert "responses" in output.histograms
    again = replace(output, run=None)  # as if from other files
    np.testing.assert_allclose((again + again).responses["M"].values(), 2.0 * matrix.values())
