"""Anything that users have their objects in: one answer, in the form of the question."""

from __future__ import annotations

import pickle
import types
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from coffea.analysis_tools import Weights
from coffea.nanoevents import NanoEventsFactory
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import (
    Config,
    DomainError,
    EfficiencyMap,
    FieldEfficiency,
    InputError,
    Task,
    load,
    truth_tag_weight,
)
from hepsilon.analysis_tools import add_truth_tag
from hepsilon.arrays.fields import field
from hepsilon.config import (
    Cut,
    Fiducial,
    InputConfig,
    MapConfig,
    ModelConfig,
    Passed,
    TrainingConfig,
)
from hepsilon.data.dataset import load_columns, read_columns
from hepsilon.data.events import EventChunk
from hepsilon.data.features import Multiplicity
from hepsilon.efficiencies.factorised import FactorisedMap
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.processors import TaskSchema
from hepsilon.training import train
from tests.helpers.toys import POINTS, TASK, events_of, mlp_config, random_jets
from tests.helpers.track_toys import TRACKS, random_tracks

pd = pytest.importorskip("pandas")

COUNTS = [3, 0, 2, 3, 2]
NAMES = ["pt", "eta", "phi", "hadronFlavour"]


@pytest.fixture
def records() -> ak.Array:
    return random_jets(COUNTS, seed=3)


@pytest.fixture(scope="module")
def points_map(toy_file: Path) -> EfficiencyMap:
    axes = MapConfig.model_validate({"axes": {"pt": {"edges": (20.0, 200.0, 600.0)}}})
    return EfficiencyMap.fit(POINTS, read_columns([toy_file], mlp_config(POINTS)), axes)


def flat(jagged: ak.Array) -> Any:
    return ak.to_numpy(ak.flatten(jagged, axis=1))


def frame_of(records: ak.Array, *, grouped: bool) -> Any:
    """One object a row; the index tells the events, or only numbers the rows."""
    columns = {name: flat(records[name]) for name in ak.fields(records)}
    if not grouped:
        return pd.DataFrame(columns, index=np.arange(sum(COUNTS)) * 7 + 3)
    event = np.repeat(np.arange(len(COUNTS)), COUNTS)
    number = np.concatenate([np.arange(n) for n in COUNTS])
    index = pd.MultiIndex.from_arrays([event * 10, number], names=["entry", "subentry"])
    return pd.DataFrame(columns, index=index)


# tables without events


def test_flat_records_give_one_number_each(toy_map: EfficiencyMap, records: ak.Array) -> None:
    eps = toy_map(ak.flatten(records, axis=1))
    assert str(eps.type) == "10 * float64"
    assert eps.to_list() == flat(toy_map(records)).tolist()


def test_a_data_frame_gives_a_series_with_its_index(
    toy_map: EfficiencyMap, records: ak.Array
) -> None:
    frame = frame_of(records, grouped=False)
    evaluation = toy_map.evaluate(frame)
    assert isinstance(evaluation.eps, pd.Series)
    assert evaluation.eps.index.equals(frame.index)
    np.testing.assert_array_equal(evaluation.eps, flat(toy_map(records)))
    assert evaluation.in_domain.dtype == bool
    assert evaluation.in_domain.all()
    assert evaluation.replicas.shape == (10, 20)
    assert evaluation.records is frame
    assert evaluation.kept is None
    assert frame.assign(eps=evaluation.eps).eps.notna().all()


def test_several_working_points_of_a_data_frame_are_columns(
    points_map: EfficiencyMap, records: ak.Array
) -> None:
    frame = frame_of(records, grouped=False)
    found = points_map.evaluate(frame)
    expected = points_map.evaluate(records)
    assert found.eps.shape == (10, 3)
    np.testing.assert_array_equal(found.eps, flat(expected.eps))
    np.testing.assert_array_equal(found.replicas, flat(expected.replicas))


def test_columns_of_any_container_are_the_same_objects(
    toy_map: EfficiencyMap, records: ak.Array
) -> None:
    columns = {name: flat(records[name]) for name in ak.fields(records)}
    structured = np.zeros(10, [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        structured[name] = column
    plain = np.stack([columns[f] for f in TASK.features], axis=1)
    expected = flat(toy_map(records))
    for table in (structured, plain, plain.astype(np.float32)):
        found = toy_map(table)
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, expected)
    for table in (columns, {name: column.tolist() for name, column in columns.items()}):
        np.testing.assert_array_equal(toy_map(table), expected)
    listed = ak.flatten(records, axis=1).to_list()
    np.testing.assert_array_equal(toy_map(listed), expected)


def test_columns_of_a_plain_array_are_those_of_the_task_for_any_efficiency(
    toy_map: EfficiencyMap, ensemble: NetworkEfficiency, records: ak.Array
) -> None:
    """Whatever order the efficiency has them in itself: a map has its categories first."""
    assert toy_map.features.names != TASK.features
    plain = np.stack([flat(records[name]) for name in TASK.features], axis=1)
    for efficiency in (toy_map, ensemble):
        np.testing.assert_array_equal(efficiency(plain), flat(efficiency(records)))


def test_no_objects_have_no_numbers(toy_map: EfficiencyMap, records: ak.Array) -> None:
    frame = frame_of(records, grouped=False)
    assert len(toy_map(frame[:0])) == 0
    assert len(toy_map(frame_of(records, grouped=True)[:0])) == 0
    assert toy_map(np.zeros((0, 4))).shape == (0,)
    assert toy_map(ak.flatten(records, axis=1)[:0]).to_list() == []


# tables with events


def test_lists_and_dicts_of_lists_are_jagged(gnn: NetworkEfficiency, records: ak.Array) -> None:
    expected = gnn(records).to_list()
    assert gnn(records.to_list()).to_list() == expected
    assert gnn({name: records[name] for name in NAMES}).to_list() == expected
    assert gnn({name: records[name].to_list() for name in NAMES}).to_list() == expected
    columns = ak.zip({name: records[name] for name in NAMES}, depth_limit=1)
    assert gnn(columns).to_list() == expected


def test_regular_arrays_stay_regular(gnn: NetworkEfficiency) -> None:
    jets = random_jets([3, 3, 3, 3], seed=1)
    expected = gnn(jets).to_list()
    regular = ak.to_regular(jets, axis=1)
    assert str(gnn(regular).type) == "4 * 3 * float64"
    assert gnn(regular).to_list() == expected
    plain = np.stack([ak.to_numpy(regular[name]) for name in NAMES], axis=2)
    assert gnn(plain).tolist() == expected
    structured = np.zeros((4, 3), [(name, "f8") for name in NAMES])
    for name in NAMES:
        structured[name] = ak.to_numpy(regular[name])
    assert gnn(structured).tolist() == expected
    assert isinstance(gnn(structured), np.ndarray)


def test_an_index_of_events_gives_objects_their_partners(
    gnn: NetworkEfficiency, records: ak.Array
) -> None:
    frame = frame_of(records, grouped=True)
    expected = pd.Series(flat(gnn(records)), frame.index)
    pd.testing.assert_series_equal(gnn(frame), expected)
    mixed = frame.sample(frac=1.0, random_state=2)  # rows of an event need not be neighbours
    found = gnn(mixed)
    assert found.index.equals(mixed.index)
    np.testing.assert_allclose(found.loc[frame.index], expected, rtol=0, atol=2e-6)
    files = pd.concat([frame, frame], keys=["a", "b"])
    np.testing.assert_allclose(gnn(files), np.tile(expected, 2), rtol=0, atol=2e-6)


def test_the_same_index_twice_is_refused(gnn: NetworkEfficiency, records: ak.Array) -> None:
    frame = frame_of(records, grouped=True)
    with pytest.raises(InputError, match=r"10 of 20 rows have the index .*keys"):
        gnn(pd.concat([frame, frame]))


def test_a_data_frame_of_tracks_gives_one_number_for_each_event() -> None:
    tracks = random_tracks([2, 2, 2], seed=2)
    track_map = FactorisedMap.fit(*_track_sample())
    index = pd.MultiIndex.from_product([["x", "y", "z"], [0, 1]])
    names = ("pt", "eta", "phi", "charge")
    frame = pd.DataFrame({name: flat(field(tracks, name)) for name in names}, index)
    found = track_map(frame, out_of_domain="ignore")
    assert list(found.index) == ["x", "y", "z"]
    np.testing.assert_array_equal(found, track_map(tracks, out_of_domain="ignore"))


def _track_sample() -> Any:
    from hepsilon.efficiencies.factorised import with_axes
    from tests.helpers.track_toys import columns_of, draw, track_config

    config = with_axes(track_config())
    return config.task, columns_of(draw([2] * 300, 1), config.task), config.map


# refusals


@pytest.mark.parametrize("make", ["records", "frame", "structured", "plain"])
def test_flat_tables_are_refused_where_partners_matter(
    make: str, gnn: NetworkEfficiency, records: ak.Array
) -> None:
    given: Any = {
        "records": ak.flatten(records, axis=1),
        "frame": frame_of(records, grouped=False),
        "structured": frame_of(records, grouped=False).to_records(index=False),
        "plain": frame_of(records, grouped=False)[NAMES].to_numpy(),
    }[make]
    with pytest.raises(InputError, match="depends on the other objects of the event"):
        gnn(given)


def test_an_array_with_other_columns_is_refused(toy_map: EfficiencyMap) -> None:
    with pytest.raises(InputError, match=r"\['pt', 'eta', 'phi', 'hadronFlavour'\] in this order"):
        toy_map(np.zeros((5, 2)))


@pytest.mark.parametrize("given", [3, "jets", None, {"pt": [1.0], "eta": [1.0, 2.0]}, [1.0, "a"]])
def test_what_holds_no_objects_is_refused(given: Any, toy_map: EfficiencyMap) -> None:
    with pytest.raises(InputError):
        toy_map(given)


@pytest.mark.parametrize("kind", ["object", "U4", "complex"])
def test_an_array_of_no_numbers_is_refused(kind: str, toy_map: EfficiencyMap) -> None:
    with pytest.raises(InputError, match="expected an array of numbers"):
        toy_map(np.zeros((5, 4)).astype(kind))


def test_missing_values_of_a_data_frame_are_refused(
    toy_map: EfficiencyMap, records: ak.Array
) -> None:
    frame = frame_of(records, grouped=False).astype({"hadronFlavour": "Int64"})
    np.testing.assert_array_equal(toy_map(frame), flat(toy_map(records)))
    frame.loc[frame.index[0], "hadronFlavour"] = pd.NA
    with pytest.raises(InputError, match="hadronFlavour: 1 of 10 values are NaN"):
        toy_map(frame)


def test_lazy_arrays_are_refused_with_the_way_out(toy_map: EfficiencyMap) -> None:
    module = types.ModuleType("dask_awkward.lib.core")
    lazy = type("Array", (), {"__module__": module.__name__})()
    with pytest.raises(InputError, match=r"dak\.map_partitions\(efficiency, events\.Jet\)"):
        toy_map(lazy)


# events


CUT = Task(
    features=("pt",),
    passed=Passed(field="tag"),
    selection=(Cut(field="pt", min=100.0), Cut(field="eta", abs_max=1.0)),
)


@pytest.fixture
def cut_map(toy_map: EfficiencyMap) -> EfficiencyMap:
    task = toy_map.task.model_copy(update={"selection": CUT.selection})
    return EfficiencyMap(toy_map.card.model_copy(update={"task": task}), toy_map._arrays)


def test_events_are_selected_as_in_the_training(cut_map: EfficiencyMap, records: ak.Array) -> None:
    kept = (records.pt >= 100.0) & (abs(records.eta) <= 1.0)
    assert 0 < ak.sum(kept) < 10
    found = cut_map.evaluate(events_of(records), out_of_domain="raise")
    assert found.kept.to_list() == kept.to_list()
    assert found.records.to_list() == records[kept].to_list()
    assert found.eps.to_list() == cut_map(records[kept]).to_list()
    assert found.in_domain.to_list() == ak.ones_like(records.pt[kept], dtype=bool).to_list()
    assert ak.num(found.replicas).to_list() == ak.num(found.records).to_list()
    assert cut_map.select(records).to_list() == found.records.to_list()
    assert cut_map.select(events_of(records)).to_list() == found.records.to_list()


def test_branches_of_flat_events_are_found(cut_map: EfficiencyMap, records: ak.Array) -> None:
    branches = {f"Jet_{name}": records[name] for name in ak.fields(records)}
    events = ak.zip({"event": np.arange(5), **branches}, depth_limit=1)
    expected = cut_map.evaluate(events_of(records))
    for table in (events, {name: events[name] for name in events.fields}):
        assert cut_map.evaluate(table).eps.to_list() == expected.eps.to_list()
        assert cut_map.evaluate(table).kept.to_list() == expected.kept.to_list()


def test_objects_that_fail_the_selection_are_counted(
    cut_map: EfficiencyMap, records: ak.Array
) -> None:
    low, far = int(ak.sum(records.pt < 100.0)), int(ak.sum(abs(records.eta) > 1.0))
    text = (
        f"{low} of 10 objects fail the selection pt >= 100 of the training; "
        rf"{far} of 10 objects fail the selection \|eta\| <= 1 of the training: pass events"
    )
    with pytest.raises(DomainError, match=text):
        cut_map(records, out_of_domain="raise")
    with pytest.warns(UserWarning, match=text):
        found = cut_map.evaluate(records)
    kept = (records.pt >= 100.0) & (abs(records.eta) <= 1.0)
    assert found.in_domain.to_list() == kept.to_list()
    assert found.records is records
    other = ak.with_field(records, ak.full_like(records.pt, 0.125), "known")
    replaced = cut_map(other, out_of_domain=FieldEfficiency("known"))
    assert replaced.to_list() == ak.where(kept, found.eps, 0.125).to_list()


def test_a_cut_that_cannot_be_checked_is_said_once(
    toy_map: EfficiencyMap, records: ak.Array
) -> None:
    cut = Cut(field="jetIdOfThisTest", min=2.0)
    task = toy_map.task.model_copy(update={"selection": (cut,)})
    efficiency = EfficiencyMap(toy_map.card.model_copy(update={"task": task}), toy_map._arrays)
    expected = toy_map(records).to_list()
    for policy in ("ignore", "raise"):
        assert efficiency(records, out_of_domain=policy).to_list() == expected
    with pytest.warns(UserWarning, match="jetIdOfThisTest >= 2 of the training cannot be checked"):
        efficiency(records)
    assert efficiency(records).to_list() == expected  # warnings are errors here
    with pytest.raises(InputError, match="jetIdOfThisTest"):
        efficiency.evaluate(events_of(records))


def test_a_field_needs_its_task_to_find_its_objects(records: ak.Array) -> None:
    records = ak.with_field(records, ak.full_like(records.pt, 0.25), "known")
    with pytest.raises(InputError, match="received events"):
        FieldEfficiency("known")(events_of(records))
    found = FieldEfficiency("known", task=CUT).evaluate(events_of(records))
    kept = (records.pt >= 100.0) & (abs(records.eta) <= 1.0)
    assert found.eps.to_list() == ak.full_like(records.pt[kept], 0.25).to_list()
    assert found.kept.to_list() == kept.to_list()
    frame = frame_of(records, grouped=False)
    assert FieldEfficiency("known")(frame).to_list() == [0.25] * 10


def test_events_of_tracks_are_ordered_and_inside_the_region() -> None:
    task, columns, axes = _track_sample()
    region = Fiducial(cuts=(Cut(field="pt", min=0.5),), outside="drop")
    task = task.model_copy(update={"fiducial": region, "order_by": "pt"})
    efficiency = FactorisedMap.fit(task, columns, axes)
    tracks = random_tracks([2] * 40, seed=5)
    inside = ak.all(field(tracks, "pt") >= 0.5, axis=1)
    assert 0 < ak.sum(inside) < 40
    events = ak.zip({task.collection: tracks}, depth_limit=1)
    found = efficiency.evaluate(events, out_of_domain="ignore")
    assert found.kept.to_list() == inside.to_list()
    assert found.eps.to_list() == efficiency(tracks[inside], out_of_domain="ignore").to_list()
    pt = field(found.records, "pt")
    assert ak.all(pt[:, 0] >= pt[:, 1])
    outside = int(ak.sum(~inside))
    with pytest.raises(DomainError, match=f"{outside} of 40 events fail the fiducial region pt >="):
        efficiency(tracks, out_of_domain="raise")
    strict = task.model_copy(update={"fiducial": region.model_copy(update={"outside": "raise"})})
    with pytest.raises(InputError, match=f"{outside} of 40 events are outside the fiducial"):
        FactorisedMap.fit(strict, columns, axes).evaluate(events)


@pytest.mark.parametrize("branches", [False, True])
def test_events_that_the_training_did_not_select_keep_no_objects(
    branches: bool, cut_map: EfficiencyMap, records: ak.Array
) -> None:
    fired = np.array([True, True, False, True, False])
    cut = Cut(field="HLT_IsoMu24", equals=True)
    task = cut_map.task.model_copy(update={"event_selection": (cut,)})
    efficiency = EfficiencyMap(cut_map.card.model_copy(update={"task": task}), cut_map._arrays)
    content = {"Jet": records} if not branches else {f"Jet_{n}": records[n] for n in NAMES}
    events = ak.zip({"HLT_IsoMu24": fired, **content}, depth_limit=1)
    kept = (records.pt >= 100.0) & (abs(records.eta) <= 1.0) & fired
    found = efficiency.evaluate(events)
    assert found.kept.to_list() == kept.to_list()
    assert found.records.pt.to_list() == records.pt[kept].to_list()
    assert ak.num(found.eps).to_list() == ak.num(found.records).to_list()
    with pytest.raises(InputError, match="HLT_IsoMu24"):
        efficiency.evaluate(events_of(records))


def test_events_of_tracks_that_the_training_did_not_select_have_no_answer() -> None:
    task, columns, axes = _track_sample()
    cut = Cut(field="nPV", min=2.0)
    task = task.model_copy(update={"event_selection": (cut,), "fiducial": None})
    efficiency = FactorisedMap.fit(task, columns, axes)
    tracks = random_tracks([2] * 4, seed=5)
    events = ak.zip({task.collection: tracks, "nPV": [3, 1, 2, 0]}, depth_limit=1)
    found = efficiency.evaluate(events, out_of_domain="ignore")
    assert found.kept.to_list() == [True, False, True, False]
    expected = efficiency(tracks, out_of_domain="ignore")
    assert found.eps.to_list() == expected[[0, 2]].to_list()


def test_nanoevents_of_a_file_are_found(
    toy_map: EfficiencyMap, toy_file: Path, toy_jets: ak.Array, open_nanoaod: Any
) -> None:
    events = open_nanoaod(toy_file)
    found = toy_map.evaluate(events, out_of_domain="ignore")
    assert found.eps.to_list() == toy_map(toy_jets, out_of_domain="ignore").to_list()
    assert found.records.nearest is not None  # coffea's jets keep their behaviour
    cut = toy_map.task.model_copy(update={"selection": CUT.selection})
    efficiency = EfficiencyMap(toy_map.card.model_copy(update={"task": cut}), toy_map._arrays)
    found = efficiency.evaluate(events, out_of_domain="ignore")
    kept = (toy_jets.pt >= 100.0) & (abs(toy_jets.eta) <= 1.0)
    assert found.kept.to_list() == kept.to_list()
    assert found.records.pt.to_list() == toy_jets.pt[kept].to_list()
    flat_jets = ak.flatten(events.Jet, axis=1)
    assert len(toy_map(flat_jets, out_of_domain="ignore")) == ak.sum(ak.num(toy_jets))


@pytest.mark.parametrize("mode", ["eager", "virtual"])
@pytest.mark.parametrize("half", [False, True])
def test_nanoevents_get_the_weight_of_plain_arrays(
    mode: str, half: bool, toy_map: EfficiencyMap, toy_file: Path, toy_jets: ak.Array
) -> None:
    """Through a call of the jets, evaluate, and the weight with its variation."""
    opened = NanoEventsFactory.from_root(
        {str(toy_file): "Events"}, schemaclass=TaskSchema, mode=mode
    )
    events, jets = opened.events(), toy_jets
    if half:
        chosen = np.asarray(events.event) % 2 == 0
        events, jets = events[chosen], jets[chosen]
    expected = toy_map.evaluate(jets, out_of_domain="ignore")
    eps = toy_map(events.Jet, out_of_domain="ignore")
    found = toy_map.evaluate(events, out_of_domain="ignore")
    assert eps.to_list() == found.eps.to_list() == expected.eps.to_list()
    weights, plain = (Weights(len(jets), storeIndividual=True) for _ in range(2))
    tag = add_truth_tag(weights, "tags", eps, 2, replicas=found.replicas)
    known = add_truth_tag(plain, "tags", expected.eps, 2, replicas=expected.replicas)
    assert tag.variations == known.variations == ("tags_efficiency",)
    np.testing.assert_array_equal(weights.weight(), truth_tag_weight(expected.eps, 2))
    for side in ("tags_efficiencyUp", "tags_efficiencyDown"):
        np.testing.assert_array_equal(weights.weight(side), plain.weight(side))
    assert 0.0 < weights.weight().sum() < len(jets)


# the number of objects


@pytest.fixture(scope="module")
def multijets(toy_file: Path, tmp_path_factory: pytest.TempPathFactory) -> NetworkEfficiency:
    """A graph network of events with two to six jets."""
    config = Config(
        task=TASK,
        model=ModelConfig(architecture="gnn", width=4, blocks=1),
        training=TrainingConfig(epochs=1, batch_events=100, seed=3),
    )
    out = tmp_path_factory.mktemp("multijets") / "gnn.hepsilon"
    return train(config, [toy_file], out).efficiency


def test_a_number_of_objects_that_the_sample_did_not_have_is_out_of_domain(
    multijets: NetworkEfficiency,
) -> None:
    numbers = multijets.features.multiplicity
    assert numbers is not None
    assert (numbers.low, numbers.high, numbers.gaps) == (2, 6, ())
    jets = random_jets([1, 2, 6, 7, 0], seed=1)
    inside = [[False], [True] * 2, [True] * 6, [False] * 7, []]
    assert multijets.in_domain(jets).to_list() == inside
    assert multijets.evaluate(jets, out_of_domain="ignore").in_domain.to_list() == inside
    text = "8 of 16 objects are outside .*8 in the number of Jet objects"
    with pytest.raises(DomainError, match=text):
        multijets(jets, out_of_domain="raise")
    with pytest.warns(UserWarning, match=text):
        own = multijets(jets)
    jets = ak.with_field(jets, ak.full_like(jets.pt, 0.125), "known")
    replaced = multijets(jets, out_of_domain=FieldEfficiency("known"))
    assert replaced.to_list() == ak.where(ak.Array(inside), own, 0.125).to_list()
    again = load(multijets.path)
    assert again.features.multiplicity == numbers
    assert pickle.loads(pickle.dumps(again)).in_domain(jets).to_list() == inside


@given(counts=st.lists(st.integers(0, 300), min_size=1), asked=st.integers(0, 310))
def test_numbers_that_never_occurred_are_not_covered(counts: list[int], asked: int) -> None:
    offsets = np.concatenate([[0], np.cumsum(counts)])
    numbers = Multiplicity.of(offsets)
    assert numbers.covers(np.array([asked])).tolist() == [asked in counts]
    assert set(numbers.gaps) == set(range(min(counts), max(counts))) - set(counts)


def test_of_too_many_different_numbers_the_range_is_covered() -> None:
    numbers = Multiplicity.of(np.concatenate([[0], np.cumsum(np.arange(3, 1000, 2))]))
    assert (numbers.low, numbers.high, numbers.seen, numbers.gaps) == (3, 999, (), ())
    assert numbers.covers(np.array([2, 3, 4, 999, 1000])).tolist() == [False, *[True] * 3, False]


def test_a_network_of_single_objects_does_not_care_for_their_number(
    ensemble: NetworkEfficiency, toy_map: EfficiencyMap
) -> None:
    jets = random_jets([1, 20], seed=1)
    for efficiency in (ensemble, toy_map):
        assert efficiency.features.multiplicity is None
        assert ak.all(efficiency.in_domain(jets))
        assert not efficiency.needs_partners


def test_a_map_in_a_derived_axis_knows_the_number_of_objects(toy_file: Path) -> None:
    task = mlp_config().task.model_copy(update={"features": ("pt", "hadronFlavour", "n_close")})
    axes = {"pt": {"edges": (20.0, 600.0)}, "n_close": {"bins": 6, "min": 0.0, "max": 6.0}}
    config = MapConfig.model_validate({"axes": axes})
    efficiency = EfficiencyMap.fit(task, read_columns([toy_file], mlp_config(task)), config)
    assert efficiency.needs_partners
    assert efficiency.in_domain(random_jets([1, 2], seed=1)).to_list() == [[False], [True, True]]
    assert "n_close" not in TRACKS.features


MAPPED = InputConfig(schema="base", branches={"pt": "Jet_pt_nom", "mass": 5.0})


@pytest.fixture(scope="module")
def mapped():
    """A map of jets whose pt was another branch than that of the pattern."""
    task = Task(features=("pt",), passed=Passed(field="tag", above=(0.5,)))
    rng = np.random.default_rng(1)
    pt = rng.uniform(0.0, 100.0, 4000)
    jets = ak.zip({"pt": pt, "tag": (pt > 50.0) * 1.0})
    jets = ak.unflatten(jets, np.full(2000, 2))
    ids = np.arange(2000, dtype=np.uint64)
    columns = load_columns([EventChunk(jets, np.ones(2000), ids, ids, ids)], task)
    axes = MapConfig.model_validate({"axes": {"pt": {"edges": [0.0, 50.0, 100.0]}}})
    return EfficiencyMap.fit(task, columns, axes).described(Config(task=task, input=MAPPED))


@pytest.mark.parametrize("nested", [True, False])
def test_events_are_read_by_the_branches_of_the_training(mapped, nested):
    """The corrected pt that the training took is not exchanged for another one in silence."""
    jets = ak.Array([[{"pt": 10.0, "pt_nom": 90.0}], [{"pt": 90.0, "pt_nom": 10.0}], []])
    flat = {f"Jet_{name}": jets[name] for name in jets.fields}
    events = ak.zip({"Jet": jets} if nested else flat, depth_limit=1)
    eps = mapped.evaluate(events).eps
    assert (eps > 0.5).to_list() == [[True], [False], []]
    assert (mapped.select(events)["pt"] == jets["pt_nom"]).to_list() == [[True], [True], []]


def test_events_without_the_branches_of_the_training_are_read_by_their_own_names(mapped):
    jets = ak.Array([[{"pt": 90.0}], [{"pt": 10.0}]])
    eps = mapped.evaluate(ak.zip({"Jet": jets}, depth_limit=1)).eps
    assert (eps > 0.5).to_list() == [[True], [False]]


def test_numbered_branches_of_the_training_make_events(mapped):
    config = InputConfig(schema="base", branches={"pt": ("pt1", "pt2")})
    numbered = mapped.described(Config(task=mapped.task, input=config))
    eps = numbered.evaluate(ak.zip({"pt1": [90.0, 10.0], "pt2": [10.0, 90.0]})).eps
    assert (eps > 0.5).to_list() == [[True, False], [False, True]]


def test_the_schema_of_physlite_leaves_a_part_of_the_name_out() -> None:
    """Its events have Jets where the file has AnalysisJets; their pt is in MeV."""
    task = Task(
        collection="AnalysisJets",
        features=("pt",),
        passed=Passed(field="tag"),
        selection=(Cut(field="pt", min=20_000.0),),
        unit="MeV",
    )
    efficiency = FieldEfficiency("known", task=task)
    jets = ak.Array([[{"pt": 5e4, "known": 0.7}, {"pt": 1e4, "known": 0.2}], []])
    evaluation = efficiency.evaluate(ak.zip({"Jets": jets}, depth_limit=1))
    assert evaluation.eps.to_list() == [[0.7], []]
    both = ak.zip({"Jets": jets[:, :0], "AnalysisJets": jets}, depth_limit=1)
    assert efficiency.evaluate(both).eps.to_list() == [[0.7], []]
