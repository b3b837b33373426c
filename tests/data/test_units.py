"""A declared unit changes no efficiency, no closure and no training, up to round-off."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import Config, EfficiencyMap, FactorisedMap
from hepsilon.closure import closure_report, run_closure
from hepsilon.data.dataset import read_columns
from hepsilon.data.units import edges_in_gev, in_gev, is_momentum
from hepsilon.training import train
from tests.helpers.field import AXES, config, events, numbers, write_tree
from tests.helpers.toys import rows

JETS: dict[str, Any] = {"features": ["pt", "eta", "mass", "hadronFlavour"]}
TRACKS: dict[str, Any] = {
    "level": "event",
    "objects": 2,
    "collection": "Track",
    "order_by": "pt",
    "features": ["pt", "eta", "phi", "charge"],
    "categorical": {"charge": [-1, 1]},
    "selection": [],
    "passed": {"field": "reco"},
    "weight": None,
}


def jet_columns() -> dict[str, Any]:
    """Jets with momenta in float64, which have room for any unit."""
    columns = events(600, 5)
    jets = columns["Jet"]
    spread = 5.0 + 0.01 * ak.values_astype(jets.pt, np.float64)
    jets = ak.with_field(jets, ak.values_astype(jets.pt, np.float64), "pt")
    return columns | {"Jet": ak.with_field(jets, spread, "mass")}


def track_columns() -> dict[str, Any]:
    rng, n = np.random.default_rng(3), 800
    pt = rng.uniform(0.2, 2.0, (n, 2))
    own = {
        "pt": pt,
        "eta": rng.uniform(-0.9, 0.9, (n, 2)),
        "phi": rng.uniform(-3.1, 3.1, (n, 2)),
        "mass": np.full((n, 2), 0.1396),
        "charge": rng.choice([-1, 1], (n, 2)),
    }
    tracks = ak.zip({name: ak.from_regular(ak.Array(v)) for name, v in own.items()})
    seen = rng.uniform(size=n) < 0.3 + 0.2 * pt.sum(axis=1) / 2.0
    return {**numbers(n), "reco": seen.astype(np.int8), "Track": tracks}


def in_mev(columns: dict[str, Any], collection: str) -> dict[str, Any]:
    """The same events, with momenta and masses in MeV."""
    records = columns[collection]
    for name in ("pt", "mass"):
        records = ak.with_field(records, records[name] * 1000.0, name)
    return columns | {collection: records}


def pair(kind: str, folder: Path) -> dict[str, tuple[Config, Path]]:
    """Configuration and file in both units."""
    if kind == "jets":
        columns, name, task = jet_columns(), "Jet", JETS
        axes = AXES
        cut = {"GeV": 25.0, "MeV": 25_000.0}
        tasks = {u: task | {"selection": [{"field": "pt", "min": c}]} for u, c in cut.items()}
        model = {"architecture": "mlp", "width": 4, "blocks": 1}
    else:
        columns, name, task = track_columns(), "Track", TRACKS
        axes = {"pt": {"edges": [0.1, 0.7, 1.2, 3.0]}, "eta": {"edges": [-1.0, 0.0, 1.0]}}
        tasks = dict.fromkeys(("GeV", "MeV"), task)
        model = {"architecture": "product", "width": 4, "blocks": 1}
    found = {}
    for unit in ("GeV", "MeV"):
        factor = 1.0 if unit == "GeV" else 1000.0
        edges = {"pt": {"edges": [factor * e for e in axes["pt"]["edges"]]}, "eta": axes["eta"]}
        settings = config(tasks[unit] | {"unit": unit}, model=model, map={"axes": edges})
        own = columns if unit == "GeV" else in_mev(columns, name)
        found[unit] = settings, write_tree(folder / f"{unit}.root", own)
    return found


@pytest.fixture(params=["jets", pytest.param("tracks", marks=pytest.mark.slow)], scope="module")
def learned(request: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A map, a network, and the closure of both, in both units."""
    folder, found = tmp_path_factory.mktemp(request.param), {}
    for unit, (settings, path) in pair(request.param, folder).items():
        columns = read_columns([path], settings, progress=False)
        kind: Any = EfficiencyMap if request.param == "jets" else FactorisedMap
        efficiencies = {
            "map": kind.fit(settings.task, columns, settings.map),
            "net": train(settings, [path], folder / f"{unit}.hepsilon").efficiency,
        }
        output = run_closure([path], settings.task, efficiencies)
        report = closure_report(output, settings.task, efficiencies, [path])
        records = (in_mev if unit == "MeV" else lambda c, _: c)(
            jet_columns() if request.param == "jets" else track_columns(), settings.task.collection
        )[settings.task.collection]
        found[unit] = columns, efficiencies, output, report, records
    return found


@pytest.mark.slow
def test_networks_see_gev(learned: dict[str, Any]) -> None:
    gev, mev = (learned[unit][0] for unit in ("GeV", "MeV"))
    np.testing.assert_allclose(mev.nodes, gev.nodes, rtol=2e-7)
    np.testing.assert_array_equal(mev.passed, gev.passed)


def test_efficiencies_do_not_depend_on_the_unit(learned: dict[str, Any]) -> None:
    for name, tolerance in (("map", 1e-9), ("net", 1e-4)):
        answers = []
        for unit in ("GeV", "MeV"):
            _, efficiencies, _, _, records = learned[unit]
            found = efficiencies[name].evaluate(records, out_of_domain="ignore")
            eps = found.eps
            answers.append(np.asarray(rows(eps) if eps.ndim > 1 else ak.to_numpy(eps)))
        np.testing.assert_allclose(answers[1], answers[0], rtol=tolerance)


def test_records_in_another_unit_are_out_of_the_domain(learned: dict[str, Any]) -> None:
    """An efficiency in GeV is not fooled by records in MeV."""
    efficiency, records = learned["GeV"][1]["net"], learned["MeV"][4]
    inside = efficiency.in_domain(records)
    assert not ak.any(inside)


def test_closures_are_in_gev(learned: dict[str, Any]) -> None:
    gev, mev = learned["GeV"][2:4], learned["MeV"][2:4]
    assert gev[0].observables.keys() == mev[0].observables.keys()
    for name, histogram in gev[0].observables.items():
        other = mev[0].observables[name]
        for own, axis in zip(histogram.axes, other.axes, strict=True):
            if hasattr(own, "edges") and np.issubdtype(np.asarray(own.edges).dtype, np.floating):
                np.testing.assert_allclose(axis.edges, own.edges, rtol=1e-9)
                assert axis.label == own.label
        np.testing.assert_allclose(other.values(), histogram.values(), rtol=1e-3, atol=1e-6)
    for name, entry in gev[1].efficiency.items():
        for observable, found in entry.observables.items():
            other = mev[1].efficiency[name].observables[observable]
            assert other.ndf == found.ndf
            assert other.chi2 == pytest.approx(found.chi2, rel=1e-2, abs=1e-6)


@pytest.mark.parametrize(("declared", "held"), [("GeV", "MeV"), ("MeV", "GeV")])
def test_a_suspicious_unit_is_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, declared: str, held: str
) -> None:
    columns = jet_columns()
    own = columns if held == "GeV" else in_mev(columns, "Jet")
    path = write_tree(tmp_path / "events.root", own)
    task = JETS | {"unit": declared, "selection": []}
    with caplog.at_level(logging.WARNING, "hepsilon"):
        read_columns([path], config(task), progress=False)
    assert f'if it is {held}, set unit = "{held}" under [task]' in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "hepsilon"):
        read_columns([path], config(task | {"unit": held}), progress=False)
    assert "unit" not in caplog.text


@pytest.mark.parametrize(
    ("name", "momentum"),
    [("pt", True), ("gen_pt", True), ("Jet.mass", True), ("ptrel_frac", False), ("eta", False)],
)
def test_names_of_momenta(name: str, momentum: bool) -> None:
    assert is_momentum(name) is momentum


@given(st.lists(st.floats(0.0, 1e6), min_size=2, max_size=6, unique=True).map(sorted))
def test_edges_of_momenta_are_converted(edges: list[float]) -> None:
    found = edges_in_gev({"pt": edges, "eta": edges}, "MeV")
    np.testing.assert_allclose(found["pt"], np.array(edges) / 1000.0)
    assert found["eta"] == tuple(edges)
    assert edges_in_gev({"pt": edges}, "GeV")["pt"] == tuple(edges)


def test_records_are_converted_once() -> None:
    records = ak.Array([[{"pt": 2000.0, "eta": 1.0, "mass": 139.57}]])
    found = in_gev(records, "MeV")
    assert found.to_list() == [[{"pt": 2.0, "eta": 1.0, "mass": pytest.approx(0.13957)}]]
    assert in_gev(records, "GeV") is records
    assert records.to_list()[0][0]["pt"] == 2000.0
