"""Tasks of events: configuration, features, reading and training columns."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import Config, ConfigError, InputError, Task, load_config
from hepsilon.arrays.fields import field
from hepsilon.config import Cut, Fiducial, InputConfig, validate
from hepsilon.data.dataset import load_columns, read_columns
from hepsilon.data.events import EventChunk
from hepsilon.data.features import event_matrix, feature_matrix
from hepsilon.data.parts import check_file
from hepsilon.data.reading import read_chunks
from hepsilon.data.selection import ordered
from tests.helpers.track_toys import (
    PAIRS,
    TRACKS,
    Sample,
    branches_of,
    chunk_of,
    columns_of,
    draw,
    random_tracks,
    task_with,
    write_branches,
    write_sample,
)

RECIPE = Path(__file__).parents[2] / "training" / "tracks.toml"
CARTESIAN, SPHERICAL = ("px", "py", "pz"), ("pt", "eta", "phi")
INPUT = InputConfig()


@pytest.fixture(scope="module")
def sample() -> Sample:
    """Thirty events with two tracks and different weights."""
    return replace(draw([2] * 30, seed=3), weights=np.linspace(-0.5, 2.0, 30))


def flat(values: ak.Array) -> Any:
    return ak.to_numpy(ak.flatten(values))


# configuration


def test_the_recipe_for_tracks_is_a_task_of_events() -> None:
    assert load_config(RECIPE).task == PAIRS


def test_a_task_of_events_survives_the_round_trip_through_json() -> None:
    config = Config(task=PAIRS)
    assert Config.model_validate_json(config.model_dump_json(by_alias=True)) == config


def test_an_event_outside_is_an_error_unless_asked_otherwise() -> None:
    assert Fiducial(cuts=(Cut(field="pt", min=0.2),)).outside == "raise"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cuts": []}, r"task\.fiducial\.cuts: .*at least 1 item"),
        ({"outside": "ignore"}, r"task\.fiducial\.outside: .*'raise' or 'drop'.*'ignore'"),
        ({"cut": []}, r"task\.fiducial\.cut: unknown key; did you mean 'cuts'"),
        ({"cuts": [{"field": "pt"}]}, "expected at least one of min, max, abs_max"),
    ],
)
def test_a_wrong_fiducial_region_is_explained(change: dict[str, Any], message: str) -> None:
    data = {"cuts": [{"field": "pt", "min": 0.2}]} | change
    task = PAIRS.model_dump() | {"fiducial": data}
    with pytest.raises(ConfigError, match=message):
        validate(Config, {"task": task}, "config")


@pytest.mark.parametrize("objects", [0, -2, 2.0, "two"])
def test_the_number_of_objects_is_a_positive_integer(objects: Any) -> None:
    with pytest.raises(ConfigError, match="objects"):
        task_with(objects=objects)


@pytest.mark.parametrize(
    "own",
    [
        {"objects": 2},
        {"order_by": "charge"},
        {"fiducial": {"cuts": [{"field": "pt", "min": 0.2}]}},
    ],
    ids=lambda own: next(iter(own)),
)
def test_what_belongs_to_events_is_refused_for_objects(own: dict[str, Any]) -> None:
    task = {"features": ["pt"], "passed": {"field": "tag"}} | own
    with pytest.raises(ConfigError, match=rf"\['{next(iter(own))}'\] are for level = \"event\""):
        validate(Config, {"task": task}, "config")


def test_a_misspelt_level_is_explained() -> None:
    with pytest.raises(ConfigError, match=r"level: .*'object' or 'event'"):
        task_with(level="events")


@pytest.mark.parametrize("branches", [{"px": []}, {"px": ["px1", 2]}])
def test_lists_of_branches_are_names(branches: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="branches"):
        validate(InputConfig, {"branches": branches}, "input")


# kinematics


def spherical(tracks: ak.Array) -> ak.Array:
    """The same tracks in the other notation."""
    names = (*SPHERICAL, "charge", "mass")
    return ak.zip({name: field(tracks, name) for name in names})


@given(pt=st.floats(0.05, 50.0), eta=st.floats(-4.0, 4.0), phi=st.floats(-3.14159, 3.14159))
def test_momenta_survive_the_way_to_the_other_notation_and_back(
    pt: float, eta: float, phi: float
) -> None:
    given_ = dict(zip(SPHERICAL, (pt, eta, phi), strict=True))
    tracks = ak.Array([[given_]])
    cartesian = ak.zip({name: field(tracks, name) for name in CARTESIAN})
    assert cartesian.px[0, 0] == pytest.approx(pt * np.cos(phi), abs=1e-12)
    assert cartesian.py[0, 0] == pytest.approx(pt * np.sin(phi), abs=1e-12)
    assert cartesian.pz[0, 0] == pytest.approx(pt * np.sinh(eta), rel=1e-12)
    for name, value in given_.items():
        assert field(cartesian, name)[0, 0] == pytest.approx(value, rel=1e-9, abs=1e-9)


def test_a_field_of_the_records_comes_before_what_would_be_computed() -> None:
    tracks = random_tracks([2, 2])
    with_pt = ak.with_field(tracks, ak.ones_like(tracks.px), "pt")
    assert flat(field(with_pt, "pt")).tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("name", "needed"), [("eta", "pz"), ("pt", "py"), ("phi", "px"), ("mass", "mass")]
)
def test_a_field_that_cannot_be_computed_is_named(name: str, needed: str) -> None:
    tracks = ak.without_field(random_tracks([2]), needed)
    with pytest.raises(InputError, match=f"expected the field '{name}'.*, received .*'charge'"):
        field(tracks, name)


# matrix


def test_the_matrix_has_the_objects_in_order() -> None:
    tracks = random_tracks([2] * 9, seed=4)
    offsets, nodes = event_matrix(tracks, PAIRS, PAIRS.features)
    assert offsets.tolist() == list(range(0, 19, 2))
    expected = feature_matrix(ordered(tracks, PAIRS), PAIRS.features)[1]
    np.testing.assert_array_equal(nodes, expected)
    assert nodes.dtype == np.float32


def test_the_matrix_of_either_notation_is_the_same() -> None:
    tracks = random_tracks([2] * 9, seed=4)
    here, there = (event_matrix(t, PAIRS, PAIRS.features)[1] for t in (tracks, spherical(tracks)))
    np.testing.assert_allclose(here, there, rtol=1e-6, atol=1e-7)


def test_the_matrix_of_no_events_is_empty() -> None:
    offsets, nodes = event_matrix(random_tracks([2])[:0], PAIRS, PAIRS.features)
    assert offsets.tolist() == [0]
    assert nodes.shape == (0, 4)


@pytest.mark.parametrize(
    ("counts", "wrong"), [([2, 1, 2], 1), ([0, 2, 3], 2), ([1], 1), ([0, 0], 2)]
)
def test_events_with_another_number_of_objects_are_counted(counts: list[int], wrong: int) -> None:
    message = f"expected 2 Track objects in every event, but {wrong} of {len(counts)} events"
    with pytest.raises(InputError, match=message):
        event_matrix(random_tracks(counts), PAIRS, PAIRS.features)


def test_any_number_but_none_is_accepted_where_the_task_leaves_it_open() -> None:
    offsets, _ = event_matrix(random_tracks([1, 4, 2]), TRACKS, TRACKS.features)
    assert offsets.tolist() == [0, 1, 5, 7]
    with pytest.raises(InputError, match=r"one or more Track objects .* 1 of 3 events"):
        event_matrix(random_tracks([1, 0, 2]), TRACKS, TRACKS.features)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (ak.flatten, "expected a jagged array"),
        (lambda tracks: ak.mask(tracks, [True, False]), "option-typed"),
        (lambda tracks: ak.with_field(tracks, np.nan, "px"), "px: 4 of 4 values are NaN"),
    ],
    ids=["not jagged", "missing events", "not finite"],
)
def test_records_that_are_no_objects_of_events_are_an_input_error(
    change: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        event_matrix(change(random_tracks([2, 2])), PAIRS, PAIRS.features)


# reading


def only(chunks: Any) -> EventChunk:
    (chunk,) = chunks
    return chunk


def test_events_are_read_as_written(tmp_path: Path, sample: Sample) -> None:
    path = write_sample(tmp_path / "tracks.root", sample)
    chunk = only(read_chunks([path], PAIRS, INPUT))
    assert chunk.events is not None
    assert chunk.events.reco.to_list() == sample.reco.tolist()
    np.testing.assert_allclose(chunk.weights, sample.weights, rtol=1e-6)
    for name in PAIRS.features:
        assert chunk.records[name].to_list() == sample.tracks[name].to_list()


def test_tracks_may_be_one_nested_column(tmp_path: Path, sample: Sample) -> None:
    path = tmp_path / "nested.parquet"
    ak.to_parquet(ak.zip(branches_of(sample), depth_limit=1), path)
    read, expected = load_columns(read_chunks([path], PAIRS, INPUT), PAIRS), columns_of(sample)
    np.testing.assert_array_equal(read.nodes, expected.nodes)
    np.testing.assert_array_equal(read.passed, expected.passed)


def test_the_response_is_no_field_of_the_objects() -> None:
    assert PAIRS.object_fields == ("px", "py", "pz", "charge", "pt", "eta")


def test_chunks_of_any_size_hold_the_same_responses(tmp_path: Path, sample: Sample) -> None:
    path = write_sample(tmp_path / "tracks.root", sample)
    chunks = list(read_chunks([path], PAIRS, INPUT, step=7))
    assert len(chunks) == 5
    responses = [reco for chunk in chunks for reco in chunk.events.reco.to_list()]
    assert responses == sample.reco.tolist()


@pytest.mark.parametrize(
    ("fields", "task"),
    [
        (CARTESIAN, task_with(features=(*SPHERICAL, "charge"))),
        (SPHERICAL, PAIRS),
    ],
    ids=["cartesian", "spherical"],
)
def test_momenta_are_computed_where_a_file_has_the_other_notation(
    tmp_path: Path, sample: Sample, fields: tuple[str, ...], task: Task
) -> None:
    names = (*fields, "charge")
    tracks = ak.zip({name: field(sample.tracks, name) for name in names})
    path = write_branches(tmp_path / "x.root", branches_of(sample) | {"Track": tracks})
    check_file(path, task, INPUT)
    chunk = only(read_chunks([path], task, INPUT))
    _, nodes = event_matrix(chunk.records, task, task.features)
    expected = event_matrix(sample.tracks, task, task.features)[1]
    np.testing.assert_allclose(nodes, expected, rtol=1e-5, atol=1e-6)


def flat_branches(sample: Sample, fields: tuple[str, ...] = (*CARTESIAN, "charge")) -> Any:
    """One branch for each track: px1, px2, ..."""
    columns = {n: v for n, v in branches_of(sample).items() if n != "Track"}
    for name in fields:
        columns |= {f"{name}{i + 1}": ak.to_numpy(sample.tracks[name][:, i]) for i in range(2)}
    return columns


PAIRED = {name: (f"{name}1", f"{name}2") for name in (*CARTESIAN, "charge")}


def test_flat_branches_make_objects(tmp_path: Path, sample: Sample) -> None:
    path = write_branches(tmp_path / "flat.root", flat_branches(sample))
    config = InputConfig(branches=PAIRED)
    check_file(path, PAIRS, config)
    chunk = only(read_chunks([path], PAIRS, config))
    for name in PAIRED:
        assert chunk.records[name].to_list() == sample.tracks[name].to_list()
    read = load_columns([chunk], PAIRS)
    np.testing.assert_array_equal(read.nodes, columns_of(sample).nodes)


def test_flat_branches_may_be_parquet(tmp_path: Path, sample: Sample) -> None:
    path = tmp_path / "flat.parquet"
    pq.write_table(pa.table({n: pa.array(v) for n, v in flat_branches(sample).items()}), path)
    read = load_columns(read_chunks([path], PAIRS, InputConfig(branches=PAIRED)), PAIRS)
    expected = columns_of(sample)
    np.testing.assert_array_equal(read.nodes, expected.nodes)
    np.testing.assert_array_equal(read.passed, expected.passed)


@pytest.mark.parametrize("missing", ["px2", "charge1"])
def test_a_missing_one_of_flat_branches_is_named(
    tmp_path: Path, sample: Sample, missing: str
) -> None:
    branches = {n: v for n, v in flat_branches(sample).items() if n != missing}
    path = write_branches(tmp_path / "flat.root", branches)
    with pytest.raises(InputError, match=f"expected the column '{missing}' for the field"):
        list(read_chunks([path], PAIRS, InputConfig(branches=PAIRED)))


@pytest.mark.parametrize(
    ("branches", "message"),
    [
        ({"px": ("px1",)}, "'px'.* do not have the same number of objects"),
        ({"px": ("px1", "Track_px")}, "expected one number per event in 'Track_px'"),
        ({"reco": ("px1", "px2")}, "reco: expected one branch"),
        ({"genWeight": ("px1", "px2")}, "genWeight: expected one branch"),
    ],
    ids=["too few", "jagged", "response", "weight"],
)
def test_lists_of_branches_that_make_no_objects_are_an_input_error(
    tmp_path: Path, sample: Sample, branches: dict[str, Any], message: str
) -> None:
    columns = flat_branches(sample) | {"Track": sample.tracks[["px"]]}
    path = write_branches(tmp_path / "flat.root", columns)
    with pytest.raises(InputError, match=message):
        list(read_chunks([path], PAIRS, InputConfig(branches=PAIRED | branches)))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("reco", r"expected the column 'reco' \(reco\)"),
        ("genWeight", r"expected the column 'genWeight' \(genWeight\)"),
        ("event", r"expected the column 'event' \(event\)"),
    ],
)
def test_a_missing_number_of_the_event_is_named(
    tmp_path: Path, sample: Sample, missing: str, message: str
) -> None:
    branches = {n: v for n, v in branches_of(sample).items() if n != missing}
    path = write_branches(tmp_path / "x.root", branches)
    with pytest.raises(InputError, match=message):
        list(read_chunks([path], PAIRS, INPUT))


@pytest.mark.parametrize("missing", ["charge", "pz"])
def test_a_missing_field_of_the_objects_is_named(
    tmp_path: Path, sample: Sample, missing: str
) -> None:
    tracks = ak.without_field(sample.tracks, missing)
    path = write_branches(tmp_path / "x.root", branches_of(sample) | {"Track": tracks})
    with pytest.raises(InputError, match=f"expected the column 'Track_{missing}' for the field"):
        list(read_chunks([path], PAIRS, INPUT))
    with pytest.raises(InputError, match=f"'Track_{missing}'"):
        check_file(path, PAIRS, INPUT)


def test_the_check_looks_for_the_truth_of_the_event(tmp_path: Path, sample: Sample) -> None:
    path = write_sample(tmp_path / "tracks.root", sample)
    check_file(path, PAIRS, INPUT)
    with pytest.raises(InputError, match=r"expected the column 'truth' \(truth\)"):
        check_file(path, task_with(truth="truth"), INPUT)
    config = InputConfig(branches={"truth": "trueEfficiency"})
    check_file(path, task_with(truth="truth"), config)


def test_a_response_per_object_is_an_input_error(tmp_path: Path, sample: Sample) -> None:
    path = write_sample(tmp_path / "tracks.root", sample)
    task = task_with(passed={"field": "Track_px"})
    with pytest.raises(InputError, match="expected one number per event in 'Track_px'"):
        list(read_chunks([path], task, INPUT))


def nullable(path: Path, sample: Sample, reco: list[Any]) -> Path:
    """A parquet file in which every column may have missing values."""
    branches = {n: pa.array(np.asarray(v)) for n, v in branches_of(sample).items() if n != "Track"}
    tracks = {f"Track_{n}": pa.array(sample.tracks[n].to_list()) for n in sample.tracks.fields}
    pq.write_table(pa.table(branches | tracks | {"reco": pa.array(reco)}), path)
    return path


def test_responses_may_be_in_a_nullable_column(tmp_path: Path, sample: Sample) -> None:
    path = nullable(tmp_path / "x.parquet", sample, sample.reco.tolist())
    read = load_columns(read_chunks([path], PAIRS, INPUT), PAIRS)
    assert type(read.passed) is np.ndarray
    np.testing.assert_array_equal(read.passed, columns_of(sample).passed)


def test_missing_responses_are_counted(tmp_path: Path, sample: Sample) -> None:
    reco: list[Any] = sample.reco.tolist()
    reco[3] = reco[9] = None
    path = nullable(tmp_path / "x.parquet", sample, reco)
    with pytest.raises(InputError, match=r"x\.parquet: numbers are NaN.* missing in reco: 2 of 30"):
        list(read_chunks([path], PAIRS, INPUT))


# training columns


def test_the_response_is_repeated_for_each_object(sample: Sample) -> None:
    chunk = chunk_of(sample)
    columns = load_columns([chunk], PAIRS)
    by_weight = dict(zip(sample.weights.tolist(), sample.reco.tolist(), strict=True))
    for i, weight in enumerate(columns.weights):
        response = columns.passed[columns.offsets[i] : columns.offsets[i + 1]]
        assert response.tolist() == [float(by_weight[weight])] * 2
    assert columns.passed.dtype == np.float32


def test_the_objects_of_the_columns_are_in_order(sample: Sample) -> None:
    charge = columns_of(sample).nodes[:, PAIRS.features.index("charge")]
    assert charge.tolist() == [1.0, -1.0] * 30


def test_any_numbers_of_objects_stand_beside_each_other() -> None:
    counts = [1, 3, 2, 4]
    columns = columns_of(draw(counts), TRACKS)
    assert sorted(np.diff(columns.offsets).tolist()) == sorted(counts)


def test_events_without_objects_are_an_error() -> None:
    """Unlike in a task of objects: the event exists, and its efficiency is asked for."""
    with pytest.raises(InputError, match="1 of 3 events have another number"):
        columns_of(draw([1, 0, 2]), TRACKS)


def test_objects_that_fail_the_selection_do_not_count(sample: Sample) -> None:
    task = task_with(objects=1, selection=({"field": "charge", "min": 0.0},))
    columns = columns_of(sample, task)
    assert np.diff(columns.offsets).tolist() == [1] * 30
    assert (columns.nodes[:, 3] == 1.0).all()


def test_joined_columns_have_one_row_per_event(sample: Sample) -> None:
    columns = columns_of(sample)
    joined = columns.joined(2)
    assert joined.offsets.tolist() == list(range(31))
    assert joined.nodes.shape == (30, 8)
    np.testing.assert_array_equal(joined.nodes[:, :4], columns.nodes[::2])
    np.testing.assert_array_equal(joined.nodes[:, 4:], columns.nodes[1::2])
    np.testing.assert_array_equal(joined.passed, columns.passed[::2])
    np.testing.assert_array_equal(joined.weights, columns.weights)
    np.testing.assert_array_equal(joined.keys, columns.keys)


def test_joined_columns_can_be_chosen_from(sample: Sample) -> None:
    columns, chosen = columns_of(sample), np.array([4, 0, 17])
    there = columns.take(chosen).joined(2)
    np.testing.assert_array_equal(columns.joined(2).take(chosen).nodes, there.nodes)
    assert columns.take(chosen[:0]).joined(2).nodes.shape == (0, 8)


def partly_outside(outside: str) -> tuple[Task, Sample, Any]:
    """A region that some events of a sample leave, and which ones stay."""
    cuts = [{"field": "pt", "min": 0.2, "max": 1.5}]
    task = task_with(fiducial={"cuts": cuts, "outside": outside})
    sample = draw([2] * 40, seed=5)
    stay = ak.to_numpy(ak.all(np.hypot(sample.tracks.px, sample.tracks.py) <= 1.5, axis=1))
    assert 0 < stay.sum() < 40
    return task, sample, stay


def test_events_outside_the_region_are_an_error_with_the_count() -> None:
    task, sample, stay = partly_outside("raise")
    message = f'{40 - stay.sum()} of 40 events are outside the fiducial region.*outside = "drop"'
    with pytest.raises(InputError, match=message):
        columns_of(sample, task)


def test_events_outside_the_region_are_dropped_where_asked_for() -> None:
    task, sample, stay = partly_outside("drop")
    numbered = replace(sample, weights=np.arange(40.0))
    found = np.sort(columns_of(numbered, task).weights)
    assert found.tolist() == np.flatnonzero(stay).tolist()


def test_dropped_events_are_logged_with_the_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task, sample, stay = partly_outside("drop")
    path = write_sample(tmp_path / "tracks.root", sample)
    with caplog.at_level(logging.WARNING, "hepsilon"):
        columns = read_columns([path], Config(task=task))
    assert columns.n_events == stay.sum()
    assert f"{40 - stay.sum()} of 40 events are outside the fiducial region" in caplog.text


def test_nothing_is_logged_where_all_events_are_inside(
    tmp_path: Path, sample: Sample, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_sample(tmp_path / "tracks.root", sample)
    assert read_columns([path], Config(task=PAIRS)).n_events == 30
    assert "outside" not in caplog.text


def test_wrong_numbers_of_objects_are_an_error_also_where_events_are_dropped() -> None:
    task, _, _ = partly_outside("drop")
    with pytest.raises(InputError, match="2 of 4 events have another number"):
        columns_of(draw([2, 1, 2, 3]), task)


def test_a_damaged_number_of_an_event_that_a_sound_one_places_outside_is_no_damage() -> None:
    """The event is outside, whatever the other number is; inside it is an error."""
    task, sample, stay = partly_outside("drop")
    expected = columns_of(sample, task)
    px = ak.to_numpy(sample.tracks.px).copy()
    fails = np.hypot(px, ak.to_numpy(sample.tracks.py)) > 1.5
    one = np.flatnonzero(fails.sum(axis=1) == 1)
    assert len(one) > 3

    def found() -> Any:
        return columns_of(replace(sample, tracks=ak.with_field(sample.tracks, px, "px")), task)

    px[one, np.argmin(fails[one], axis=1)] = np.nan
    np.testing.assert_array_equal(found().nodes, expected.nodes)
    np.testing.assert_array_equal(found().keys, expected.keys)
    px[np.flatnonzero(stay)[0], 0] = np.nan
    with pytest.raises(InputError, match="pt: 1 values are NaN"):
        found()
