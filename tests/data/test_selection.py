"""Order, selection, fiducial region and response of the objects of a task."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import InputError
from hepsilon.arrays import geometry
from hepsilon.arrays.fields import field
from hepsilon.config import Cut, Fiducial, Passed
from hepsilon.data.selection import inside_fiducial, ordered, passed, select
from tests.helpers import strategies as sts
from tests.helpers.toys import task_of
from tests.helpers.track_toys import PAIRS, TRACKS, random_tracks, shuffled, task_with

# selection and response of objects


def test_selection_keeps_what_passes_all_cuts(jets: ak.Array) -> None:
    cuts = (Cut(field="pt", min=30.0, max=120.0), Cut(field="eta", abs_max=1.2))
    selected = select(jets, task_of("pt", selection=cuts))
    assert selected.pt.to_list() == [[120.0, 60.5], [], [45.0], [90.0], [80.0]]


@given(jets=sts.jet_records())
def test_selection_keeps_the_events(jets: ak.Array) -> None:
    selected = select(jets, task_of("pt", selection=(Cut(field="pt", min=500.0),)))
    assert selected.pt.to_list() == [[pt for pt in event if pt >= 500.0] for event in jets.pt]


def test_missing_and_nan_values_have_no_answer(jets: ak.Array) -> None:
    """An object is not deleted because a number of it is damaged."""
    quality = ak.mask(ak.where(jets.pt > 100.0, np.nan, jets.pt), jets.pt > 40.0)
    records = ak.with_field(jets, quality, "quality")
    wrong = ak.sum((jets.pt > 100.0) | (jets.pt <= 40.0))
    with pytest.raises(InputError, match=f"quality: {wrong} values are NaN, infinite or missing"):
        select(records, task_of("pt", selection=(Cut(field="quality", min=-1e9),)))


def test_cuts_apply_to_neighbour_summaries(jets: ak.Array) -> None:
    selected = select(jets, task_of("pt", selection=(Cut(field="n_close", min=1.0),)))
    expected = jets[geometry.count_close(jets) >= 1]
    assert selected.pt.to_list() == expected.pt.to_list()


def test_cuts_on_unknown_fields_are_refused(jets: ak.Array) -> None:
    with pytest.raises(InputError, match="'jetId'"):
        select(jets, task_of("pt", selection=(Cut(field="jetId", min=1.0),)))


def test_above_is_strict() -> None:
    records = ak.Array([[{"tag": 0.25}, {"tag": 0.5}, {"tag": 0.75}], []])
    response = passed(records, task_of("pt", passed=Passed(field="tag", above=(0.5,))))
    assert response.to_list() == [[False, False, True], []]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float32])
def test_a_boolean_response_may_have_any_type(dtype: type) -> None:
    tag = ak.unflatten(np.array([0, 1, 1], dtype), [2, 0, 1])
    response = passed(ak.zip({"tag": tag}), task_of("pt"))
    assert response.to_list() == [[False, True], [], [True]]


# several working points

THREE = Passed(field="tag", above=(0.5, 1.0, 2.0))
VALUES = [-np.inf, 0.5, np.nextafter(0.5, 1.0), 1.0, 1.5, 2.0, 3.0, np.inf]
NUMBERS = [0, 0, 1, 1, 2, 2, 3, 3]


def test_several_cuts_count_the_working_points_that_are_passed() -> None:
    records = ak.zip({"tag": ak.unflatten(np.array(VALUES), [3, 0, 5])})
    response = passed(records, task_of("pt", passed=THREE))
    assert response.to_list() == [NUMBERS[:3], [], NUMBERS[3:]]
    assert ak.to_numpy(ak.flatten(response)).dtype.kind == "i"


@given(tag=sts.flat_columns(st.floats(-1.0, 4.0) | st.sampled_from(VALUES)))
def test_the_number_is_the_sum_over_the_single_cuts(tag: tuple[np.ndarray, ...]) -> None:
    records = ak.zip({"tag": ak.unflatten(tag[1], np.diff(tag[0]))})
    single = [
        passed(records, task_of("pt", passed=Passed(field="tag", above=(cut,))))
        for cut in THREE.above
    ]
    assert all(str(ak.type(one)).endswith("* bool") for one in single)
    together = passed(records, task_of("pt", passed=THREE))
    assert together.to_list() == sum(ak.values_astype(one, np.int64) for one in single).to_list()


@pytest.mark.parametrize("cuts", [None, (0.5,), (0.5, 1.0, 2.0)], ids=str)
def test_a_response_that_is_not_a_number_is_refused(cuts: tuple[float, ...] | None) -> None:
    records = ak.Array([[{"tag": 0.25}, {"tag": np.nan}], [], [{"tag": np.nan}]])
    with pytest.raises(InputError, match="tag: 2 values are NaN"):
        passed(records, task_of("pt", passed=Passed(field="tag", above=cuts)))


# order


def test_objects_are_ordered_by_the_field_descending() -> None:
    tracks = random_tracks([2] * 20, seed=1)
    assert len({tuple(event) for event in tracks.charge.to_list()}) == 2
    assert ordered(tracks, PAIRS).charge.to_list() == [[1, -1]] * 20


@pytest.mark.parametrize("order_by", ["charge", "pt", "px", "eta"])
def test_the_order_forgets_the_order_of_the_records(order_by: str) -> None:
    task, tracks = task_with(order_by=order_by), random_tracks([2] * 20, seed=1)
    found, again = (ordered(records, task) for records in (tracks, shuffled(tracks, seed=2)))
    assert ak.array_equal(found, again)
    assert ak.all(field(found, order_by)[:, :-1] >= field(found, order_by)[:, 1:])


def test_without_an_order_the_records_stay_as_they_are() -> None:
    tracks = random_tracks([1, 3])
    assert ordered(tracks, TRACKS) is tracks


def test_equal_objects_keep_their_order() -> None:
    tracks = ak.with_field(random_tracks([40] * 5), 1, "charge")
    assert ak.array_equal(ordered(tracks, PAIRS), tracks)


@pytest.mark.parametrize(("bad", "message"), [(None, "missing"), (np.nan, "NaN")])
def test_an_order_by_values_that_are_none_is_an_input_error(bad: Any, message: str) -> None:
    tracks = ak.with_field(random_tracks([2]), ak.Array([[1.0, bad]]), "quality")
    with pytest.raises(InputError, match=f"quality: 1 of 2 .*{message}"):
        ordered(tracks, task_with(order_by="quality"))


def test_an_order_by_a_missing_field_is_an_input_error() -> None:
    with pytest.raises(InputError, match="expected the field 'quality'"):
        ordered(random_tracks([2]), task_with(order_by="quality"))


# fiducial region


def tracks_of(pt: list[list[float]], eta: list[list[float]]) -> ak.Array:
    return ak.zip({"pt": pt, "eta": eta, "phi": ak.zeros_like(ak.Array(pt))})


OUTSIDE = tracks_of(
    [[0.3, 0.2], [0.3, 0.1], [0.5, 0.5], [0.1, 0.1], [0.2]],
    [[0.0, -0.9], [0.1, 0.2], [0.0, 0.91], [2.0, 2.0], [0.9]],
)


def test_all_objects_of_an_event_are_inside() -> None:
    assert inside_fiducial(OUTSIDE, PAIRS).tolist() == [True, False, False, False, True]


def test_the_region_may_be_of_fields_that_are_computed() -> None:
    tracks = random_tracks([2, 2, 2], pt_max=2.0)
    narrow = Fiducial(cuts=(Cut(field="pt", max=1.0),))
    expected = ak.all(np.hypot(tracks.px, tracks.py) <= 1.0, axis=1)
    task = task_with(fiducial=narrow.model_dump())
    assert inside_fiducial(tracks, task).tolist() == expected.to_list()


def test_without_a_region_every_event_is_inside() -> None:
    assert inside_fiducial(OUTSIDE, task_with(fiducial=None)).all()


def test_a_region_of_a_missing_field_is_an_input_error() -> None:
    task = task_with(fiducial={"cuts": [{"field": "chi2", "max": 3.0}]})
    with pytest.raises(InputError, match="expected the field 'chi2'"):
        inside_fiducial(OUTSIDE, task)


# response of events


@pytest.mark.parametrize("reco", [[True, False, True], [1, 0, 1], [1.0, 0.0, 1.0]])
def test_the_response_is_one_of_the_event(reco: list[Any]) -> None:
    assert passed(ak.zip({"reco": reco}), PAIRS).to_list() == [True, False, True]


def test_the_response_may_be_a_cut_on_a_number_of_the_event() -> None:
    task = task_with(passed=Passed(field="score", above=(0.5,)).model_dump())
    assert passed(ak.zip({"score": [0.4, 0.5, 0.6]}), task).to_list() == [False, False, True]


def test_responses_that_are_not_numbers_are_counted() -> None:
    with pytest.raises(InputError, match="reco: 1 values are NaN"):
        passed(ak.zip({"reco": [1.0, np.nan]}), PAIRS)
