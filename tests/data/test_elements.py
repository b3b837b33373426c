"""Numbers of the event that one object of another collection has: ``Muon_pt[0]``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest
from coffea.nanoevents import BaseSchema, NanoAODSchema, NanoEventsFactory
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import Config, EfficiencyMap, InputError
from hepsilon.config import Cut, InputConfig, MapConfig, Passed, Task
from hepsilon.data.dataset import read_columns
from hepsilon.data.elements import element, has_element, list_of, split_element
from hepsilon.data.features import Feature, FeatureSpec
from hepsilon.data.layout import Layout
from hepsilon.data.missing import MISSING
from hepsilon.data.numbers import event_mask
from hepsilon.data.units import is_angle, is_momentum
from hepsilon.efficiencies.factorised import with_axes
from tests.helpers.field import events, flat, write_tree


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Muon_pt[0]", ("Muon_pt", 0)),
        ("Muon.pt[12]", ("Muon.pt", 12)),
        ("MET_pt", ("MET_pt", None)),
        ("Muon_pt[-1]", ("Muon_pt[-1]", None)),
        ("Muon_pt[0", ("Muon_pt[0", None)),
        ("[0]", ("[0]", None)),
        ("x[0][1]", ("x[0]", 1)),
    ],
)
def test_names(name: str, expected: tuple[str, int | None]) -> None:
    assert split_element(name) == expected
    assert list_of(name) == expected[0]


def test_units_and_angles_are_those_of_the_field() -> None:
    assert is_momentum("Muon_pt[0]")
    assert is_momentum("MET_sumEt")
    assert is_angle("Muon_phi[1]")
    assert is_angle("phi")
    assert not is_angle("Muon_pt[0]")
    assert not is_momentum("Muon_phi[0]")


@given(
    st.lists(st.lists(st.integers(-50, 50), max_size=4), min_size=1, max_size=8), st.integers(0, 4)
)
def test_it_is_the_number_of_the_object_or_nan(lists: list[list[int]], number: int) -> None:
    values = ak.values_astype(ak.from_iter([*lists, [1]]), np.int32)[:-1]
    found = ak.to_numpy(element(values, number, "x"), allow_missing=False)
    expected = [row[number] if len(row) > number else np.nan for row in lists]
    np.testing.assert_array_equal(found, expected)
    here = [len(row) > number for row in lists]
    np.testing.assert_array_equal(has_element(values, number, "x"), here)
    assert found.dtype == (np.int32 if all(here) else np.float64)


def test_flags_stay_flags() -> None:
    assert ak.to_numpy(element(ak.Array([[True], [False, True]]), 0, "x")).dtype == bool


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (ak.Array([1.0, 2.0]), r"x\[0\]: expected a list with one number for each object in 'x'"),
        (ak.Array([[[1.0]], [[2.0]]]), "expected a list with one number"),
        (ak.Array([[{"y": 1.0}]]), "expected a list with one number"),
        (ak.Array([[1.0], None]), "1 of 2 events are missing in 'x'"),
    ],
)
def test_what_holds_no_numbers_of_objects(values: ak.Array, text: str) -> None:
    for function in (element, has_element):
        with pytest.raises(InputError, match=text):
            function(values, 0, "x")


# in files

MUONS = [[41.0, 8.0], [], [27.0], [12.0, 11.0, 10.0], [], [33.0]]


def sample(unit: float = 1.0) -> dict[str, Any]:
    """Six events with jets and muons, and numbers of the event."""
    columns = events(6, seed=4)
    columns["Jet"] = ak.with_field(columns["Jet"], columns["Jet"].pt * unit, "pt")
    pt = ak.values_astype(ak.Array(MUONS), np.float32)
    phi = ak.values_astype(pt / 41.0, np.float32)
    muons = ak.zip({"pt": pt * unit, "phi": phi, "charge": ak.values_astype(pt > 11.5, np.int32)})
    trigger = np.array([1, 0, 1, 0, 0, 1], bool)
    return {**columns, "Muon": muons, "HLT_x": trigger, "PV_npvs": np.arange(6, dtype=np.int32)}


def task(**given: Any) -> Task:
    fields: dict[str, Any] = {
        "features": ("pt", "Muon_pt[0]", "Muon_phi[1]", "PV_npvs"),
        "missing": {"Muon_pt[0]": ("nan",), "Muon_phi[1]": ("nan",)},
        "passed": Passed(field="score", above=(0.5,)),
    }
    return Task(**fields | given)


def write(path: Path, kind: str, columns: dict[str, Any]) -> Path:
    if kind == "tree":
        return write_tree(path / "x.root", columns)
    if kind == "flat":
        names = flat(flat(columns), "Muon")
        names = {name: ak.Array(values) for name, values in names.items()}
        pq.write_table(
            ak.to_arrow_table(ak.zip(names, depth_limit=1), extensionarray=False),
            path / "x.parquet",
        )
    else:  # columns of records
        table = ak.zip({name: ak.Array(v) for name, v in columns.items()}, depth_limit=1)
        pq.write_table(ak.to_arrow_table(table, extensionarray=False), path / "x.parquet")
    return path / "x.parquet"


def expected(columns: dict[str, Any]) -> Any:
    """Matrix of the features, event by event."""
    rows = []
    for i, pts in enumerate(columns["Jet"].pt):
        lead = MUONS[i][0] if MUONS[i] else MISSING
        second = MUONS[i][1] / 41.0 if len(MUONS[i]) > 1 else MISSING
        rows += [[pt, lead, second, i] for pt in pts.to_list()]
    return np.float32(rows)


@pytest.mark.parametrize("kind", ["tree", "flat", "nested"])
@pytest.mark.parametrize("level", ["object", "event"])
def test_they_are_features_of_every_object(tmp_path: Path, kind: str, level: str) -> None:
    columns = sample()
    given: dict[str, Any] = {}
    if level == "event":
        given = {"level": "event", "passed": Passed(field="HLT_x")}
        given["event_selection"] = (Cut(field="Jet_pt[0]", min=0.0),)
    found = read_columns([write(tmp_path, kind, columns)], Config(task=task(**given)))
    order = np.lexsort(found.nodes.T[::-1])
    wanted = expected(columns)
    np.testing.assert_allclose(found.nodes[order], wanted[np.lexsort(wanted.T[::-1])], rtol=1e-6)
    counts = ak.to_numpy(ak.num(columns["Jet"]))
    assert found.n_events == np.count_nonzero(counts)
    if level == "event":
        assert found.passed.sum() == counts[columns["HLT_x"]].sum()


def test_missing_momenta_say_nothing_of_the_unit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    columns = sample()
    columns["Muon"] = columns["Muon"][:, :0]
    columns["Muon"] = ak.concatenate([columns["Muon"][:5], sample()["Muon"][5:]])
    read_columns([write(tmp_path, "tree", columns)], Config(task=task()))
    assert "half of the objects" not in caplog.text


def test_a_factorised_map_reads_its_axes_alone() -> None:
    own = task(level="event", passed=Passed(field="HLT_x"))
    axes = {"pt": {"edges": [20.0, 60.0, 1e4]}}
    config = Config.model_validate({"task": own, "map": {"axes": axes}})
    found = Task.model_validate(with_axes(config).task.model_dump())
    assert (found.features, found.missing) == (("pt",), {})


def test_momenta_are_converted_and_missing_ones_stay(tmp_path: Path) -> None:
    path = write(tmp_path, "tree", sample(1000.0))
    found = read_columns([path], Config(task=task(unit="MeV")))
    wanted = expected(sample())
    np.testing.assert_allclose(np.sort(found.nodes[:, 1]), np.sort(wanted[:, 1]), rtol=1e-6)


def test_an_event_without_the_object_is_declared_or_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, "tree", sample())
    undeclared = task(missing={"Muon_phi[1]": ("nan",)})
    with pytest.raises(InputError, match=r"missing in Muon_pt\[0\]: \d+ of \d+ values") as error:
        read_columns([path], Config(task=undeclared))
    assert 'missing = { "Muon_pt[0]" = ["nan"] } under [task]' in str(error.value)
    skipped = Config(task=undeclared, input=InputConfig(damaged="skip"))
    found = read_columns([path], skipped)
    assert found.nodes[:, 1].min() >= 12.0


def test_no_cut_passes_without_the_object(tmp_path: Path) -> None:
    path = write(tmp_path, "tree", sample())
    for cut, kept in (
        (Cut(field="Muon_pt[0]", min=20.0), [0, 2, 5]),
        (Cut(field="Muon_pt[0]", max=30.0), [2, 3]),
        (Cut(field="Muon_charge[1]", equals=0), [0, 3]),
    ):
        own = task(event_selection=(cut,), missing={"Muon_phi[1]": ("nan",)})
        found = read_columns([path], Config(task=own))
        counts = ak.num(sample()["Jet"])
        assert set(found.nodes[:, 3]) == {i for i in kept if counts[i]}


def test_a_number_that_is_nan_in_the_file_is_damage_of_a_cut() -> None:
    given = ak.Array([{"Muon_pt": [np.nan]}, {"Muon_pt": []}, {"Muon_pt": [30.0]}])
    own = task(event_selection=(Cut(field="Muon_pt[0]", min=20.0),))
    with pytest.raises(InputError, match=r"Muon_pt\[0\]"):
        event_mask(given, own, InputConfig())
    np.testing.assert_array_equal(event_mask(given[1:], own, InputConfig()), [False, True])


def test_weights_responses_and_branches(tmp_path: Path) -> None:
    columns = sample()
    columns["LHEWeight"] = ak.Array([[float(i), 7.0] for i in range(6)])
    columns["probe"] = ak.Array([[i % 2 == 0] for i in range(6)])
    path = write(tmp_path, "tree", columns)
    own = task(
        level="event",
        features=("pt", "lead"),
        missing={"lead": ("nan",)},
        passed=Passed(field="probe[0]"),
        weight="LHEWeight[0]",
        event_selection=(Cut(field="Jet_pt[0]", min=0.0),),
    )
    config = Config(task=own, input=InputConfig(branches={"lead": "Muon_pt[0]"}))
    found = read_columns([path], config)
    counts = ak.to_numpy(ak.num(columns["Jet"]))
    np.testing.assert_array_equal(np.sort(found.weights), np.flatnonzero(counts))
    assert found.passed.sum() == counts[::2].sum()
    lead = np.sort(np.unique(found.nodes[:, 1]))
    assert set(lead) == {
        np.float32(m[0]) if m else MISSING for m, n in zip(MUONS, counts, strict=True) if n
    }


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "tree", sample())
    own = task(features=("pt", "Muon_dxy[0]"), missing={})
    with pytest.raises(InputError, match=r"'Jet_Muon_dxy\[0\]' .*input.branches"):
        read_columns([path], Config(task=own))


def test_a_column_of_that_very_name_comes_first() -> None:
    given = ak.Array([{"Muon_pt[0]": 5.0, "Muon_pt": [7.0]}])
    assert Layout.of_numbers(given, InputConfig()).of_event("Muon_pt[0]") == "Muon_pt[0]"
    own = task(event_selection=(Cut(field="Muon_pt[0]", max=6.0),))
    np.testing.assert_array_equal(event_mask(given, own, InputConfig()), [True])


# in events of coffea

LEAD = Task(
    collection="Muon",
    features=("pt", "Jet_pt[0]", "PV_npvs"),
    passed=Passed(field="isGlobal"),
    event_selection=(Cut(field="Jet_pt[0]", min=25.0), Cut(field="Jet_eta[1]", abs_max=5.0)),
)
AXES = {"pt": {"edges": [0.0, 20.0, 1e4]}, "Jet_pt[0]": {"edges": [20.0, 60.0, 100.0, 1e4]}}


def events_of(path: Path, schema: Any, mode: str) -> Any:
    with warnings.catch_warnings():  # old files lack what the schema expects
        warnings.simplefilter("ignore", RuntimeWarning)
        files = {str(path): "Events"}
        return NanoEventsFactory.from_root(files, schemaclass=schema, mode=mode).events()


@pytest.fixture(scope="module")
def efficiency(nanoaod_path: Path) -> EfficiencyMap:
    columns = read_columns([nanoaod_path], Config(task=LEAD), progress=False)
    return EfficiencyMap.fit(LEAD, columns, MapConfig.model_validate({"axes": AXES}))


@pytest.mark.parametrize("schema", [NanoAODSchema, BaseSchema], ids=["nanoaod", "base"])
@pytest.mark.parametrize("mode", ["eager", "virtual"])
def test_events_of_any_schema_answer(
    efficiency: EfficiencyMap, nanoaod_path: Path, schema: Any, mode: str
) -> None:
    given = events_of(nanoaod_path, schema, mode)
    found = efficiency.evaluate(given)
    plain = events_of(nanoaod_path, BaseSchema, "eager")
    lead = ak.fill_none(ak.firsts(plain.Jet_pt), 0.0)
    second = ak.fill_none(ak.pad_none(plain.Jet_eta, 2)[:, 1], np.nan)
    kept = ak.to_numpy((lead >= 25.0) & (abs(second) <= 5.0))
    counts = ak.to_numpy(ak.num(plain.Muon_pt)) * kept
    np.testing.assert_array_equal(ak.num(found.eps), counts)
    assert counts.sum() > 10
    records = ak.zip({"pt": plain.Muon_pt, "PV_npvs": plain.PV_npvs})
    records["Jet_pt[0]"] = ak.broadcast_arrays(lead, plain.Muon_pt)[0]
    expected = efficiency(records, out_of_domain="ignore")[kept]
    np.testing.assert_array_equal(ak.flatten(found.eps), ak.flatten(expected))


def test_a_graph_of_dask_reads_the_lists(efficiency: EfficiencyMap, nanoaod_path: Path) -> None:
    dak = pytest.importorskip("dask_awkward")
    given = events_of(nanoaod_path, NanoAODSchema, "dask")
    found = dak.map_partitions(lambda chunk: efficiency.evaluate(chunk).eps, given)
    (columns,) = dak.report_necessary_columns(found).values()
    assert {"Muon_pt", "Jet_pt", "Jet_eta", "PV_npvs"} <= set(columns)
    local = efficiency.evaluate(events_of(nanoaod_path, NanoAODSchema, "eager")).eps
    assert ak.all(found.compute() == local)


# in networks


def test_a_missing_angle_is_a_case_of_its_own() -> None:
    from hepsilon.networks.feature_layers import FeatureEncoder

    angle = Feature(name="Muon_phi[0]", kind="angle", missing=("nan",), missing_share=0.2)
    x = np.array([[0.5], [MISSING], [-3.0]], np.float32)
    found = FeatureEncoder(FeatureSpec(features=(angle,)), True)(x)
    wanted = [[np.cos(0.5), np.sin(0.5), 0], [0, 0, 1], [np.cos(3.0), -np.sin(3.0), 0]]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_an_angle_that_was_never_missing_is_out_of_domain() -> None:
    column = np.array([0.5, MISSING], np.float32)
    for share, covered in ((0.0, [True, False]), (0.1, [True, True])):
        angle = Feature(name="phi", kind="angle", missing=("nan",), missing_share=share)
        np.testing.assert_array_equal(angle.covers(column), covered)
