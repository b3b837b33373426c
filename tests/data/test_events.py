"""Events of a file in the terms of a task: damaged numbers, selections, numbers of the event."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hepsilon import Config, EfficiencyMap, FieldEfficiency, InputError
from hepsilon.closure import run_closure
from hepsilon.data.dataset import read_columns
from hepsilon.data.numbers import event_ids, event_mask
from hepsilon.histograms.jets import JET_OBSERVABLES
from hepsilon.histograms.methods import ALL
from hepsilon.processors import TruthTagging
from hepsilon.training import train
from tests.helpers.field import config, events, flat, write_tree

N = 120
TASK = {
    "features": ["pt", "eta", "proximity", "hadronFlavour"],
    "selection": [{"field": "quality", "min": 0.0}],
}


def lists() -> dict[str, list[Any]]:
    """Columns of a file as lists, which may hold None; all jets have a quality of 1."""
    columns = events(N, 3)
    jets = columns["Jet"]
    columns["Jet"] = ak.with_field(jets, ak.ones_like(jets.pt), "quality")
    return {name: ak.to_list(values) for name, values in flat(columns).items()}


def write_lists(path: Path, columns: dict[str, list[Any]]) -> Path:
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
    return path


def with_jets(columns: dict[str, list[Any]]) -> list[int]:
    """Three events with at least two jets."""
    return [i for i, pt in enumerate(columns["Jet_pt"]) if len(pt) > 1][:3]


def damaged(name: str, bad: Any) -> tuple[dict[str, list[Any]], list[int]]:
    """Columns with a bad number in three events, and these events."""
    columns = lists()
    where = with_jets(columns)
    for event in where:
        if name.startswith("Jet_"):
            columns[name][event][1] = bad
        else:
            columns[name][event] = bad
    return columns, where


def without(columns: dict[str, list[Any]], where: list[int]) -> dict[str, list[Any]]:
    kept = [i for i in range(N) if i not in where]
    return {name: [values[i] for i in kept] for name, values in columns.items()}


def read(settings: Config, path: Path) -> Any:
    return read_columns([path], settings, progress=False)


def closed(settings: Config, path: Path) -> Any:
    return run_closure(
        [path], settings.task, {}, config=settings.input, observables=JET_OBSERVABLES
    )


NAN, INF = float("nan"), float("inf")
FIELDS = {
    "selection": "Jet_quality",
    "feature": "Jet_pt",
    "azimuth of a neighbour": "Jet_phi",
    "integer feature": "Jet_hadronFlavour",
    "response": "Jet_score",
    "weight": "genWeight",
}
CASES = [
    (place, bad)
    for place in FIELDS
    for bad in (NAN, INF, -INF, None)
    if not (place == "integer feature" and bad is not None)
    and not (place == "response" and bad in (INF, -INF))
]


@pytest.mark.parametrize(("place", "bad"), CASES)
def test_damaged_numbers_are_an_error_with_file_field_and_count(
    tmp_path: Path, place: str, bad: Any
) -> None:
    columns, _ = damaged(FIELDS[place], bad)
    path = write_lists(tmp_path / "bad.parquet", columns)
    name = FIELDS[place].removeprefix("Jet_")
    size = N if name == "genWeight" else sum(map(len, columns["Jet_pt"]))
    for work in (read, closed):
        with pytest.raises(InputError, match=rf"bad\.parquet: .*{name}: 3 of {size} values"):
            work(config(TASK), path)


@pytest.mark.parametrize(("place", "bad"), CASES)
def test_events_with_damaged_numbers_are_skipped_on_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str, bad: Any
) -> None:
    """Everything is as if these events were not in the file."""
    columns, where = damaged(FIELDS[place], bad)
    path = write_lists(tmp_path / "bad.parquet", columns)
    good = write_lists(tmp_path / "good.parquet", without(lists(), where))
    settings = config(TASK, input={"damaged": "skip"})
    with caplog.at_level(logging.WARNING, "hepsilon"):
        found = read(settings, path)
    assert "bad.parquet: 3 events were left out, whose numbers are NaN" in caplog.text
    expected = read(config(TASK), good)
    for name in ("keys", "offsets", "nodes", "passed", "weights"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    output, known = closed(settings, path), closed(config(TASK), good)
    assert output.n_damaged == 3
    assert output.n_objects == known.n_objects
    for name, histogram in known.observables.items():
        np.testing.assert_array_equal(output.observables[name].values(), histogram.values())


@pytest.mark.parametrize("bad", [NAN, INF, None])
def test_masses_of_observables_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: Any
) -> None:
    """The task does not need a mass: nothing is left out of the training, and no pair is lost."""
    columns, where = damaged("Jet_mass", bad)
    for event in where:
        columns["Jet_mass"][event][0] = bad
    path = write_lists(tmp_path / "bad.parquet", columns)
    pairs = sum(len(pt) > 1 for pt in columns["Jet_pt"])
    assert len(read(config(TASK), path).nodes) == sum(map(len, columns["Jet_pt"]))
    with caplog.at_level(logging.WARNING, "hepsilon"):
        output = closed(config(TASK), path)
    counts = output.entry_counts["pair_mass"]
    outside = sum(counts.outside)
    assert counts.entries + counts.not_a_number == pairs
    assert counts.not_a_number + outside >= 3
    assert "pair_mass" in caplog.text


def test_a_limit_of_the_response_may_be_infinite(tmp_path: Path) -> None:
    """A discriminant may be infinite: it is above every cut, or below."""
    columns, _ = damaged("Jet_score", INF)
    path = write_lists(tmp_path / "inf.parquet", columns)
    other, _ = damaged("Jet_score", 0.9)
    expected = read(config(TASK), write_lists(tmp_path / "high.parquet", other))
    np.testing.assert_array_equal(read(config(TASK), path).passed, expected.passed)


def test_nullable_columns_without_a_missing_value_are_no_error(tmp_path: Path) -> None:
    path = write_lists(tmp_path / "good.parquet", lists())
    assert closed(config(TASK), path).n_damaged == 0
    assert len(read(config(TASK), path).nodes) == sum(map(len, lists()["Jet_pt"]))


def test_missing_events_of_a_column_are_an_error(tmp_path: Path) -> None:
    columns = lists()
    columns["Jet_pt"][5] = None
    path = write_lists(tmp_path / "bad.parquet", columns)
    for work in (read, closed):
        with pytest.raises(InputError, match=r"bad\.parquet: 1 of 120 events are missing.*Jet_pt"):
            work(config(TASK), path)


# numbers of the event


@pytest.fixture
def triggered(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """Events with a number, a flag, and a whole number of the event."""
    rng = np.random.default_rng(1)
    columns = events(400, 2) | {
        "PV_npvs": rng.integers(1, 60, 400).astype(np.int32),
        "HLT_IsoMu24": rng.uniform(size=400) < 0.6,
        "MET_pt": rng.exponential(40.0, 400).astype(np.float32),
    }
    return write_tree(tmp_path / "triggered.root", columns), columns


def test_events_are_selected_by_numbers_and_flags(triggered: tuple[Path, dict[str, Any]]) -> None:
    path, columns = triggered
    cuts = [
        {"field": "HLT_IsoMu24", "equals": True},
        {"field": "MET_pt", "min": 10.0, "max": 80.0},
        {"field": "PV_npvs", "max": 40.0},
    ]
    kept = columns["HLT_IsoMu24"] & (columns["MET_pt"] >= 10) & (columns["MET_pt"] <= 80)
    kept &= columns["PV_npvs"] <= 40
    n_jets = ak.to_numpy(ak.num(columns["Jet"]))
    settings = config({"event_selection": cuts, "selection": []})
    assert len(read(settings, path).nodes) == n_jets[kept].sum()
    output = closed(settings, path)
    assert output.n_objects == n_jets[kept].sum()
    total = output.observables["pt"][{"method": ALL, "category": ALL}].sum(flow=True)
    assert total.value == n_jets[kept].sum()


@pytest.mark.parametrize("name", ["HLT_none", "MET_pt"])
def test_cuts_on_damaged_or_missing_numbers_are_an_error(tmp_path: Path, name: str) -> None:
    columns = events(50) | {"MET_pt": np.where(np.arange(50) % 10 == 3, np.nan, 50.0)}
    path = write_tree(tmp_path / "events.root", columns)
    cut = {"field": name, "min": 0.0}
    message = "HLT_none" if name == "HLT_none" else r"events\.root: .*MET_pt: 5 of 50 values"
    for work in (read, closed):
        with pytest.raises(InputError, match=message):
            work(config({"event_selection": [cut]}), path)


def test_numbers_of_the_event_are_features(
    triggered: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """For the map, the training, the closure, and events that are given."""
    path, columns = triggered
    task = {"features": ["pt", "PV_npvs", "hadronFlavour"]}
    axes = {"pt": {"edges": [20.0, 60.0, 1000.0]}, "PV_npvs": {"edges": [0.0, 20.0, 40.0, 60.0]}}
    settings = config(task, map={"axes": axes})
    found = read(settings, path)
    each = np.repeat(columns["PV_npvs"], ak.num(columns["Jet"]))
    assert sorted(found.nodes[:, 1]) == sorted(each)
    efficiencies = {
        "map": EfficiencyMap.fit(settings.task, found, settings.map),
        "net": train(settings, [path], tmp_path / "net.hepsilon").efficiency,
    }
    output = run_closure([path], settings.task, efficiencies)
    given = ak.Array(ak.zip(flat(columns), depth_limit=1))
    weights = np.ones(400)
    for name, efficiency in efficiencies.items():
        answer = efficiency.evaluate(given, out_of_domain="ignore")
        assert ak.num(answer.eps).to_list() == ak.num(columns["Jet"]).to_list()
        total = output.observables["pt"][{"method": name, "category": ALL}].sum(flow=True)
        assert total.value == pytest.approx(ak.sum(answer.eps * weights), rel=1e-6)


@pytest.mark.parametrize("kind", ["TTree", "parquet"])
def test_constants_are_fields_of_all_objects(tmp_path: Path, kind: str) -> None:
    """The mass of a pair is that of two pions, where the file knows none."""
    columns = events(200, 4)
    jets = columns["Jet"]
    own = columns | {"Jet": jets[[n for n in jets.fields if n != "mass"]]}
    path = tmp_path / f"events.{'root' if kind == 'TTree' else 'parquet'}"
    if kind == "TTree":
        write_tree(path, own)
    else:
        ak.to_parquet(ak.zip(own, depth_limit=1), path)
    full = ak.with_field(jets, ak.full_like(jets.pt, 0.139), "mass")
    expected = write_tree(tmp_path / "full.root", columns | {"Jet": full})
    settings = config(input={"branches": {"mass": 0.139}})
    assert "pair_mass" not in closed(config(), path).observables
    found = closed(settings, path).observables["pair_mass"]
    known = closed(config(), expected).observables["pair_mass"]
    np.testing.assert_allclose(found.values(), known.values())
    assert np.sum(found.values()) > 0.0


def test_a_wrong_number_of_objects_is_refused_everywhere(tmp_path: Path) -> None:
    """nJet disagrees with the branches in two events: neither is believed."""
    columns = flat(events(60))
    counts = ak.to_numpy(ak.num(columns["Jet_pt"]))
    wrong = counts.copy()
    wrong[[3, 7]] += [1, -1]
    path = tmp_path / "wrong.parquet"
    ak.to_parquet(ak.zip(columns | {"nJet": wrong}, depth_limit=1), path)
    for work in (read, closed):
        with pytest.raises(InputError, match=r"wrong\.parquet: nJet disagrees.* 2 of 60 events"):
            work(config(), path)
    ak.to_parquet(ak.zip(columns | {"nJet": counts}, depth_limit=1), path)
    assert closed(config(), path).n_objects == counts.sum()


def test_columns_with_other_numbers_of_objects_are_refused(tmp_path: Path) -> None:
    columns = flat(events(60))
    columns["Jet_eta"] = columns["Jet_eta"][ak.Array(np.roll(np.arange(60), 1))]
    path = tmp_path / "other.parquet"
    ak.to_parquet(ak.zip(columns, depth_limit=1), path)
    for work in (read, closed):
        with pytest.raises(InputError, match=r"other\.parquet"):
            work(config(), path)


# numbers that tell events apart

IDS: dict[str, tuple[Any, str]] = {
    "a half": (lambda e: e + 0.5 * (np.arange(len(e)) < 2), "2 values are no whole numbers"),
    "NaN": (lambda e: np.where(np.arange(len(e)) < 3, np.nan, e), "3 "),
    "rounded": (lambda e: e + 2.0**53 * (np.arange(len(e)) == 7), "1 values are above 9007"),
    "rounded to float32": (
        lambda e: (e + 2.0**25 * (np.arange(len(e)) < 5)).astype(np.float32),
        "5 values are above 16777216, where float32 does not hold",
    ),
}


@pytest.mark.parametrize("case", IDS)
def test_event_numbers_that_cannot_be_such_are_refused(tmp_path: Path, case: str) -> None:
    change, message = IDS[case]
    columns = flat(events(50))
    columns["event"] = change(np.asarray(columns["event"]).astype(np.float64))
    path = tmp_path / "ids.parquet"
    ak.to_parquet(ak.zip(columns, depth_limit=1), path)
    with pytest.raises(InputError, match=rf"ids\.parquet: .*event.*{message}"):
        read(config(), path)


def test_event_numbers_may_be_whole_numbers_of_any_type(tmp_path: Path) -> None:
    expected = None
    for kind in (np.float64, np.float32, np.int32, np.int64, np.uint64, np.uint32):
        columns = flat(events(50, start=1000))
        columns["event"] = np.asarray(columns["event"]).astype(kind)
        path = tmp_path / f"{np.dtype(kind).name}.parquet"
        ak.to_parquet(ak.zip(columns, depth_limit=1), path)
        keys = read(config(), path).keys
        expected = keys if expected is None else expected
        np.testing.assert_array_equal(keys, expected)


def test_negative_event_numbers_tell_events_apart(tmp_path: Path) -> None:
    """As of a counter of 32 bits that overflowed: they are odd, but numbers."""
    columns = flat(events(50)) | {"event": (np.arange(50) - 25).astype(np.int32)}
    path = tmp_path / "negative.parquet"
    ak.to_parquet(ak.zip(columns, depth_limit=1), path)
    with_jets = int(ak.sum(ak.num(columns["Jet_pt"]) > 0))
    assert len(set(read(config(), path).keys.tolist())) == with_jets


def test_missing_event_numbers_are_refused_unless_the_schema_is_flat(tmp_path: Path) -> None:
    columns = flat(events(50))
    del columns["event"]
    path = tmp_path / "ids.parquet"
    ak.to_parquet(ak.zip(columns, depth_limit=1), path)
    with pytest.raises(InputError, match="expected the column 'event'"):
        read(config(), path)
    for given in ({"schema": "base"}, {"event_key": "entry"}):
        assert len(set(read(config(input=given), path).keys.tolist())) > 30


def test_events_in_memory_need_numbers_or_a_place() -> None:
    settings = config(input={"schema": "base"})
    with pytest.raises(InputError, match="expected event numbers, or a chunk that knows its file"):
        event_ids(ak.Array([{"a": 1.0}]), settings.input)


# responses, file by file


def test_a_response_that_is_constant_in_one_file_is_refused(tmp_path: Path) -> None:
    columns = events(60)
    constant = ak.with_field(columns["Jet"], ak.full_like(columns["Jet"].score, -1.0), "score")
    good = write_tree(tmp_path / "good.root", events(60, 9, start=1000))
    bad = write_tree(tmp_path / "bad.root", columns | {"Jet": constant})
    settings = config()
    with pytest.raises(InputError, match=r"bad\.root: score is -1 for all \d+ Jet objects"):
        read_columns([good, bad], settings, progress=False)
    with pytest.raises(InputError, match=r"bad\.root"):
        run_closure([good, bad], settings.task, {}, config=settings.input)


def test_a_processor_alone_refuses_damaged_numbers_too() -> None:
    """In an analysis of one's own, without files."""
    jets = events(10)["Jet"]
    jets = ak.with_field(jets, ak.where(ak.local_index(jets.pt) == 1, np.nan, jets.pt), "pt")
    count = int(ak.sum(ak.num(jets) > 1))
    given = ak.zip({"Jet": jets, "genWeight": np.ones(10)}, depth_limit=1)
    chunk = ak.Array(given, attrs={"metadata": {"dataset": "sample"}})
    instance = TruthTagging(config().task, {"known": FieldEfficiency("score")})
    with pytest.raises(InputError, match=rf"pt: {count} of {ak.sum(ak.num(jets))} values"):
        instance.process(chunk)


def test_a_damaged_number_of_an_event_that_a_sound_cut_drops_is_no_damage(tmp_path: Path) -> None:
    """Whatever the order of the cuts; where both numbers decide, the damage is an error."""
    i = np.arange(60)
    columns = events(60) | {
        "MET_pt": np.where(i % 6 == 3, np.nan, 50.0),
        "HLT_IsoMu24": i % 3 > 0,  # False wherever the number is damaged
    }
    path = write_tree(tmp_path / "events.root", columns)
    cuts = [{"field": "MET_pt", "min": 10.0}, {"field": "HLT_IsoMu24", "equals": True}]
    n_jets = ak.to_numpy(ak.num(columns["Jet"]))
    for order in (cuts, cuts[::-1]):
        settings = config({"event_selection": order, "selection": []})
        assert len(read(settings, path).nodes) == n_jets[i % 3 > 0].sum()
        assert closed(settings, path).n_damaged == 0
        mask = event_mask(ak.Array(flat(columns)), settings.task, settings.input)
        np.testing.assert_array_equal(mask, i % 3 > 0)
    loose = [cuts[0], {"field": "HLT_IsoMu24", "equals": False}]
    with pytest.raises(InputError, match="MET_pt: 10 of 20 values"):
        read(config({"event_selection": loose, "selection": []}), path)


@pytest.mark.parametrize("bad", [NAN, INF, None])
@pytest.mark.parametrize("flipped", [False, True])
def test_a_damaged_number_of_an_object_that_a_sound_cut_drops_is_no_damage(
    tmp_path: Path, bad: Any, flipped: bool
) -> None:
    """Whatever the order of the cuts, in files and in events that are given; features included."""
    columns, where = damaged("Jet_quality", bad)
    for event in where:
        columns["Jet_pt"][event][1] = 5.0
        columns["Jet_hadronFlavour"][event][1] = None  # of no object that is left
    path = write_lists(tmp_path / "bad.parquet", columns)
    cuts = [{"field": "quality", "min": 0.5}, {"field": "pt", "min": 20.0}]
    settings = config({"selection": cuts[::-1] if flipped else cuts})
    kept = [[pt >= 20.0 for pt in event] for event in columns["Jet_pt"]]
    assert len(read(settings, path).nodes) == sum(map(sum, kept))
    output = closed(settings, path)
    assert (output.n_damaged, output.n_objects) == (0, sum(map(sum, kept)))
    rows = zip(*columns.values(), strict=True)
    given = ak.Array([dict(zip(columns, row, strict=True)) for row in rows])
    given = ak.with_field(given, ak.from_iter(columns["Jet_score"]), "Jet_known")
    found = FieldEfficiency("known", task=settings.task).evaluate(given)
    assert found.kept.to_list() == kept
    for event in where:
        columns["Jet_pt"][event][1] = 50.0
    path = write_lists(tmp_path / "counts.parquet", columns)
    with pytest.raises(InputError, match=r"quality: 3 of \d+ values"):
        read(settings, path)
    given = ak.with_field(given, ak.from_iter(columns["Jet_pt"]), "Jet_pt")
    with pytest.raises(InputError, match="quality: 3 values are NaN, infinite or missing"):
        FieldEfficiency("known", task=settings.task).evaluate(given)


NEAR = ["pt", "n_close", "hadronFlavour"]


def test_damaged_numbers_count_where_a_cut_depends_on_neighbours(tmp_path: Path) -> None:
    columns, where = damaged("Jet_phi", NAN)
    for event in where:
        columns["Jet_pt"][event][1] = 5.0
    path = write_lists(tmp_path / "bad.parquet", columns)
    plain = config({"selection": [{"field": "pt", "min": 20.0}], "features": NEAR})
    assert len(read(plain, path).nodes) > 0
    cuts = [{"field": "n_close", "max": 9.0}, {"field": "pt", "min": 20.0}]
    with pytest.raises(InputError, match="phi: 3 of"):
        read(config({"selection": cuts, "features": NEAR}), path)
