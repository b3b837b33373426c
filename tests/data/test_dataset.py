from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hepsilon import InputError, Task, TrainingError
from hepsilon.arrays.keys import key_uniform
from hepsilon.config import Config, Cut, InputConfig, Passed
from hepsilon.data import training_columns
from hepsilon.data.dataset import load_columns, read_columns
from hepsilon.data.events import EventChunk
from hepsilon.data.reading import read_chunks
from hepsilon.data.sample_checks import check_response
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.networks import graphs
from hepsilon.simulation import write_jets
from hepsilon.simulation.writer import jet_events
from tests.helpers.track_toys import PAIRS, TRACKS, chunk_of
from tests.helpers.track_toys import draw as draw_tracks

Array = npt.NDArray[Any]

TASK = Task(
    features=("pt", "eta", "hadronFlavour"),
    categorical={"hadronFlavour": (5, 4, 0)},
    passed=Passed(field="discriminant", above=(0.0,)),
)
POINTS = TASK.model_copy(update={"passed": Passed(field="tagger", above=(0.5, 1.0, 2.0))})


def simulated(n_events: int) -> EventChunk:
    """Events, of which every fifth has no jet."""
    events = jet_events("jets", 0, n_events, seed=4)
    keep = ak.Array(np.arange(n_events) % 5 != 2)
    jets = events["Jet"][ak.broadcast_arrays(keep, events["Jet"].pt)[0]]
    weights = np.linspace(-0.5, 2.0, n_events)
    return EventChunk(jets, weights, events["run"], events["luminosityBlock"], events["event"])


def part(chunk: EventChunk, which: Any) -> EventChunk:
    names = [field.name for field in dataclasses.fields(EventChunk)][:5]
    return EventChunk(*(getattr(chunk, name)[which] for name in names))


def assert_same(first: TrainingColumns, second: TrainingColumns) -> None:
    for field in dataclasses.fields(TrainingColumns):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))


@pytest.fixture(scope="module")
def chunk() -> EventChunk:
    return simulated(60)


@pytest.fixture(scope="module")
def columns(chunk: EventChunk) -> TrainingColumns:
    return load_columns([chunk], TASK)


# loading


def test_columns_hold_the_objects_of_each_event(
    chunk: EventChunk, columns: TrainingColumns
) -> None:
    by_weight = dict(zip(chunk.weights, chunk.records, strict=True))
    for i, weight in enumerate(columns.weights):
        jets = by_weight[weight]
        nodes = columns.nodes[columns.offsets[i] : columns.offsets[i + 1]]
        expected = np.stack([ak.to_numpy(jets[name]) for name in TASK.features], axis=1)
        np.testing.assert_array_equal(nodes, expected.astype(np.float32))
        response = columns.passed[columns.offsets[i] : columns.offsets[i + 1]]
        np.testing.assert_array_equal(response, ak.to_numpy(jets.discriminant > 0.0))


def test_events_without_objects_are_left_out(columns: TrainingColumns) -> None:
    assert columns.n_events == 48
    assert (np.diff(columns.offsets) > 0).all()


def test_objects_that_fail_the_selection_do_not_exist(chunk: EventChunk) -> None:
    task = TASK.model_copy(update={"selection": (Cut(field="pt", min=100.0),)})
    pt = chunk.records.pt
    selected = load_columns([chunk], task)
    assert selected.n_events == ak.sum(ak.any(pt >= 100.0, axis=1))
    assert len(selected.nodes) == ak.sum(pt >= 100.0)


def test_types_are_those_documented(columns: TrainingColumns) -> None:
    types = [getattr(columns, f.name).dtype for f in dataclasses.fields(TrainingColumns)]
    assert types == [np.int64, np.float32, np.float32, np.float64, np.uint64]


def test_events_are_sorted_by_their_keys(columns: TrainingColumns) -> None:
    assert (np.diff(columns.keys.astype(object)) > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_events_and_chunks_does_not_matter(
    chunk: EventChunk, columns: TrainingColumns, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    order = rng.permutation(60)
    cuts = np.sort(rng.integers(0, 61, 4))
    assert_same(load_columns([part(chunk, p) for p in np.split(order, cuts)], TASK), columns)


def read(*paths: Path) -> TrainingColumns:
    return load_columns(read_chunks(paths, TASK, InputConfig()), TASK)


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    first = write_jets(tmp_path / "first.root", 30, kind="jets", seed=1)
    second = write_jets(tmp_path / "second.root", 20, kind="jets-alternative", seed=2)
    assert_same(read(first, second), read(second, first))


def test_simulated_files_of_different_seeds_share_no_event(tmp_path: Path) -> None:
    paths = [write_jets(tmp_path / f"{seed}.root", 30, seed=seed) for seed in (1, 2)]
    assert np.unique(read(*paths).keys).size == 60


def test_progress_counts_all_events(chunk: EventChunk) -> None:
    done: list[int] = []
    load_columns([part(chunk, slice(0, 20)), part(chunk, slice(20, 60))], TASK, done.append)
    assert done == [20, 40]


def test_object_weights_repeat_those_of_the_events(columns: TrainingColumns) -> None:
    expected = [
        w for w, n in zip(columns.weights, np.diff(columns.offsets), strict=True) for _ in range(n)
    ]
    assert columns.object_weights.tolist() == expected


# on disk


def spooled(chunks: list[EventChunk], task: Task = TASK) -> TrainingColumns:
    columns = load_columns(chunks, task, memory_limit=0)
    for field in dataclasses.fields(TrainingColumns):
        assert isinstance(getattr(columns, field.name), np.memmap)
    return columns


@pytest.mark.parametrize("seed", range(3))
def test_columns_on_disk_are_those_in_memory(
    chunk: EventChunk, columns: TrainingColumns, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, 61, 4))
    found = spooled([part(chunk, p) for p in np.split(rng.permutation(60), cuts)])
    assert_same(found, columns)
    types = [getattr(found, f.name).dtype for f in dataclasses.fields(TrainingColumns)]
    assert types == [np.int64, np.float32, np.float32, np.float64, np.uint64]


def test_working_points_and_weights_are_kept_on_disk(chunk: EventChunk) -> None:
    found = spooled([part(chunk, slice(0, 30)), part(chunk, slice(30, 60))], POINTS)
    assert_same(found, load_columns([chunk], POINTS))
    assert set(found.passed) == {0, 1, 2, 3}


@pytest.mark.parametrize("task", [PAIRS, TRACKS], ids=["pairs", "tracks"])
def test_tasks_of_events_are_kept_on_disk(task: Task) -> None:
    counts = [2] * 30 if task is PAIRS else [1, 2, 3] * 10
    events = chunk_of(draw_tracks(counts))
    # the response of an event is a record of its own
    halves = [
        dataclasses.replace(part(events, which), events=events.events[which])
        for which in (slice(0, 11), slice(11, 30))
    ]
    assert_same(spooled(halves, task), load_columns([events], task))


def test_events_with_equal_numbers_keep_the_order_of_reading(chunk: EventChunk) -> None:
    one = np.ones(60, np.uint64)
    same = dataclasses.replace(chunk, run=one, luminosity_block=one, event=one)
    parts = [part(same, slice(0, 25)), part(same, slice(25, 60))]
    with_jets = ak.to_numpy(ak.num(chunk.records.pt)) > 0
    for columns in (load_columns(parts, TASK), spooled(parts)):
        np.testing.assert_array_equal(columns.weights, chunk.weights[with_jets])


def test_files_are_read_to_disk_as_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jets(tmp_path / "jets.root", 30)
    folder = tmp_path / "columns"
    columns = read_columns([path], Config(task=TASK), folder=folder, memory_limit=0)
    assert isinstance(columns.nodes, np.memmap)
    assert list(folder.iterdir()) == []
    assert_same(columns, read(path))
    assert not isinstance(read(path).nodes, np.memmap)
    monkeypatch.setattr("hepsilon.data.dataset.usable_memory", lambda: 4 * 1000)
    assert isinstance(read(path).nodes, np.memmap)


def test_what_a_training_does_with_columns_works_from_disk(
    chunk: EventChunk, columns: TrainingColumns
) -> None:
    found = spooled([chunk])
    check_response(found, TASK)
    assert found.passed_rate == columns.passed_rate
    for side, expected in zip(found.split(0.3), columns.split(0.3), strict=True):
        assert_same(side, expected)
        assert isinstance(side.nodes, np.memmap)
        assert_same(side.take(np.array([2, 0])), expected.take(np.array([2, 0])))
        batches = [
            graphs.gather(c.offsets, c.nodes, np.array([3, 1]), (64, 64)) for c in (side, expected)
        ]
        np.testing.assert_array_equal(batches[0].x, batches[1].x)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_blocks_are_all_events_in_order(
    columns: TrainingColumns, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_columns, "BLOCK_OBJECTS", size)
    blocks = list(columns.blocks())
    assert [event for block in blocks for event in events_of(block)] == list(events_of(columns))
    assert [key for block in blocks for key in block.keys] == columns.keys.tolist()
    largest = np.diff(columns.offsets).max()
    assert max(len(block.nodes) for block in blocks) < size + largest
    assert (len(blocks) == 1) == (size == 1000)


def test_the_share_that_passes_is_weighted(
    columns: TrainingColumns, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = np.average(columns.passed > 0.5, weights=columns.object_weights)
    for size in (1, 10, 1000):
        monkeypatch.setattr(training_columns, "BLOCK_OBJECTS", size)
        assert columns.passed_rate == pytest.approx(expected, rel=1e-12)


def test_the_response_is_checked_in_all_blocks(
    columns: TrainingColumns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_columns, "BLOCK_OBJECTS", 5)
    for only in (0, len(columns.passed) - 1):
        response = np.zeros_like(columns.passed)
        response[only] = 1.0
        check_response(dataclasses.replace(columns, passed=response), TASK)
        check_response(dataclasses.replace(columns, passed=1 - response), TASK)
    with pytest.raises(InputError, match=f"every one of {len(columns.passed)} Jet objects"):
        check_response(dataclasses.replace(columns, passed=response * 0 + 1), TASK)


def test_loading_does_not_change_the_records(chunk: EventChunk) -> None:
    before = ak.copy(chunk.records)
    load_columns([chunk], TASK)
    assert ak.array_equal(chunk.records, before)


# choosing events


def events_of(columns: TrainingColumns) -> Iterator[tuple[float, list[list[float]], list[float]]]:
    for i, weight in enumerate(columns.weights):
        objects = slice(columns.offsets[i], columns.offsets[i + 1])
        yield weight, columns.nodes[objects].tolist(), columns.passed[objects].tolist()


@pytest.mark.parametrize("chosen", [[3, 0, 7], [5, 5, 5], [], list(range(48))[::-1]])
def test_take_gives_the_events_in_the_given_order(
    columns: TrainingColumns, chosen: list[int]
) -> None:
    taken = columns.take(np.array(chosen, np.int64))
    everything = list(events_of(columns))
    assert list(events_of(taken)) == [everything[i] for i in chosen]
    assert taken.keys.tolist() == columns.keys[chosen].tolist()


def test_a_split_keeps_every_event_once(columns: TrainingColumns) -> None:
    train, validation = columns.split(0.3)
    keys = np.concatenate([train.keys, validation.keys])
    assert sorted(keys.tolist()) == columns.keys.tolist()


def test_a_split_is_made_by_the_event_key(columns: TrainingColumns) -> None:
    train, validation = columns.split(0.3)
    assert (key_uniform(validation.keys) < 0.3).all()
    assert (key_uniform(train.keys) >= 0.3).all()


def test_an_event_stays_on_its_side_whatever_else_is_in_the_sample(
    columns: TrainingColumns,
) -> None:
    some = columns.take(np.arange(0, 48, 2))
    for part_of, whole in zip(some.split(0.3), columns.split(0.3), strict=True):
        assert set(part_of.keys.tolist()) <= set(whole.keys.tolist())


def test_a_larger_share_keeps_the_events_of_a_smaller_one(columns: TrainingColumns) -> None:
    small, large = (columns.split(share)[1].keys.tolist() for share in (0.2, 0.4))
    assert set(small) < set(large)


def test_the_share_is_that_of_the_events() -> None:
    # Two-sided binomial test, false-alarm rate 1e-6.
    columns = load_columns([simulated(5000)], TASK)
    validation = columns.split(0.1)[1].n_events
    assert stats.binomtest(validation, columns.n_events, 0.1).pvalue > 1e-6


@given(st.floats(0.0, 1.0), st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=30))
def test_sides_of_sorted_columns_are_views_of_what_is_chosen(
    fraction: float, keys: list[int]
) -> None:
    counts = np.arange(len(keys)) % 3 + 1
    offsets = np.concatenate([[0], np.cumsum(counts)])
    nodes = np.arange(offsets[-1] * 2, dtype=np.float32).reshape(-1, 2)
    columns = TrainingColumns(
        offsets, nodes, nodes[:, 0], counts / 2, np.array(sorted(keys), np.uint64)
    )
    validation = key_uniform(columns.keys) < fraction
    expected = [columns.take(np.flatnonzero(side)) for side in (~validation, validation)]
    if not all(side.n_events for side in expected):
        with pytest.raises(TrainingError, match=f"{expected[0].n_events} to train"):
            columns.split(fraction)
        return
    for side, copy in zip(columns.split(fraction), expected, strict=True):
        assert_same(side, copy)
        for name in ("nodes", "passed", "weights", "keys"):
            assert np.shares_memory(getattr(side, name), getattr(columns, name))


def test_events_in_another_order_are_split_alike(columns: TrainingColumns) -> None:
    order = np.random.default_rng(1).permutation(48)
    mixed = columns.take(order).split(0.3)
    for side, found in zip(columns.split(0.3), mixed, strict=True):
        assert found.keys.tolist() == [k for k in columns.keys[order] if k in side.keys]
        assert_same(found.take(np.argsort(found.keys)), side)


@pytest.mark.parametrize("key", [0, 3 << 11, (3 << 11) + 2047, 4 << 11, 2**64 - 1])
def test_the_border_is_that_of_the_upper_bits_of_a_key(key: int) -> None:
    # the share is the number of the key itself, and the next one above it
    keys = np.array([0, key, 2**64 - 1], np.uint64)
    columns = TrainingColumns(
        np.arange(4), np.zeros((3, 1), np.float32), np.zeros(3), np.ones(3), keys
    )
    for fraction in (x := key_uniform(keys)[1], np.nextafter(x, 1.0)):
        n_validation = np.count_nonzero(key_uniform(keys) < fraction)
        if 0 < n_validation < 3:
            assert columns.split(fraction)[1].n_events == n_validation


def test_too_few_events_to_split_are_refused(columns: TrainingColumns) -> None:
    with pytest.raises(TrainingError, match="1 events with objects are too few"):
        columns.take(np.array([0])).split(0.5)


def test_files_are_read_as_configured(tmp_path: Path) -> None:
    path = write_jets(tmp_path / "jets.root", 30)
    assert_same(read_columns([path], Config(task=TASK)), read(path))


# refusals


@pytest.mark.parametrize("response", [0.0, 1.0])
@pytest.mark.parametrize("cut", [None, (0.5,)])
def test_a_response_that_never_varies_is_refused(
    columns: TrainingColumns, response: float, cut: tuple[float] | None
) -> None:
    task = TASK.model_copy(update={"passed": Passed(field="btag", above=cut)})
    constant = dataclasses.replace(columns, passed=np.full_like(columns.passed, response))
    with pytest.raises(InputError, match=r"btag.*expected some that pass and some that do not"):
        check_response(constant, task)


def test_a_response_that_varies_is_accepted(columns: TrainingColumns) -> None:
    check_response(columns, TASK)


def test_no_events_are_refused() -> None:
    with pytest.raises(InputError, match="no events"):
        load_columns([], TASK)


def test_no_objects_are_refused(chunk: EventChunk) -> None:
    task = TASK.model_copy(update={"selection": (Cut(field="pt", min=1e6),)})
    with pytest.raises(InputError, match="no event has a Jet object that passes the selection"):
        load_columns([chunk], task)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_counted(chunk: EventChunk, bad: float) -> None:
    weights = chunk.weights.copy()
    weights[[3, 5]] = bad
    task = TASK.model_copy(update={"weight": "genWeight"})
    with pytest.raises(InputError, match="genWeight: 2 of 60 values are NaN or infinite"):
        load_columns([dataclasses.replace(chunk, weights=weights)], task)


def test_missing_responses_are_refused(chunk: EventChunk) -> None:
    tag = ak.mask(chunk.records.discriminant, chunk.records.pt > 30.0)
    records = ak.with_field(chunk.records, tag, "discriminant")
    with pytest.raises(InputError, match=r"discriminant: \d+ of \d+ objects are missing"):
        load_columns([dataclasses.replace(chunk, records=records)], TASK)


def test_responses_that_are_not_numbers_are_refused(chunk: EventChunk) -> None:
    tag = ak.where(chunk.records.pt > 30.0, np.nan, chunk.records.discriminant)
    records = ak.with_field(chunk.records, tag, "discriminant")
    with pytest.raises(InputError, match="discriminant"):
        load_columns([dataclasses.replace(chunk, records=records)], TASK)


# several working points


def test_the_response_is_the_number_of_working_points(chunk: EventChunk) -> None:
    columns = load_columns([chunk], POINTS)
    by_weight = dict(zip(chunk.weights, chunk.records, strict=True))
    tagger = np.concatenate([ak.to_numpy(by_weight[w].tagger) for w in columns.weights])
    expected = np.searchsorted([0.5, 1.0, 2.0], tagger, side="left")
    assert set(expected) == {0, 1, 2, 3}
    np.testing.assert_array_equal(columns.passed, expected)
    assert columns.passed.dtype == np.float32
    check_response(columns, POINTS)


def test_missing_discriminants_are_refused(chunk: EventChunk) -> None:
    tagger = ak.mask(chunk.records.tagger, chunk.records.pt > 30.0)
    records = ak.with_field(chunk.records, tagger, "tagger")
    with pytest.raises(InputError, match=r"tagger: \d+ of \d+ objects are missing"):
        load_columns([dataclasses.replace(chunk, records=records)], POINTS)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([1, 2, 3], r"every one of .* Jet objects has tagger above 0\.5;"),
        ([2, 3], r"every one of .* Jet objects has tagger above 0\.5;"),
        ([0, 1, 2], r"no one of .* Jet objects has tagger above 2\.0;"),
        ([0, 1], r"no one of .* Jet objects has tagger above 1\.0;"),
        ([0], r"no one of .* Jet objects has tagger above 0\.5;"),
    ],
)
def test_every_working_point_needs_jets_that_pass_and_that_do_not(
    columns: TrainingColumns, numbers: list[int], message: str
) -> None:
    response = np.resize(np.array(numbers, np.float32), len(columns.passed))
    with pytest.raises(InputError, match=message):
        check_response(dataclasses.replace(columns, passed=response), POINTS)


def test_nothing_between_two_working_points_is_no_error(columns: TrainingColumns) -> None:
    response = np.resize(np.array([0.0, 3.0], np.float32), len(columns.passed))
    check_response(dataclasses.replace(columns, passed=response), POINTS)
