from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import InputError
from hepsilon.arrays.columns import flat, flat_rows, object_rows, offsets_of, shortened, unflatten
from tests.helpers import strategies as sts

PLAIN = ak.Array([[1.5, 2.5, 3.5], [], [4.5], [5.5, 6.5], [7.5, 8.5], [], [9.5], [10.5, 11.5]])


def list_array() -> ak.Array:
    """Lists that are out of order, overlap, and leave content unused."""
    starts, stops = ak.index.Index64([4, 0, 2, 0]), ak.index.Index64([6, 0, 5, 2])
    content = ak.contents.NumpyArray(np.arange(8) * 1.5)
    return ak.Array(ak.contents.ListArray(starts, stops, content))


def list_offset_array_32() -> ak.Array:
    """32-bit offsets that start behind unused content."""
    content = ak.contents.NumpyArray(np.arange(8) * 1.5)
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index32([2, 3, 3, 7]), content))


def indexed_events() -> ak.Array:
    index = ak.index.Index64([3, 0, 0, 1])
    return ak.Array(ak.contents.IndexedArray(index, PLAIN.layout))


def indexed_objects() -> ak.Array:
    content = ak.contents.NumpyArray(np.arange(5) * 1.5)
    content = ak.contents.IndexedArray(ak.index.Index64([4, 0, 2, 2]), content)
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64([0, 1, 1, 4]), content))


LAYOUTS: dict[str, Callable[[], ak.Array]] = {
    "plain": lambda: PLAIN,
    "sliced": lambda: PLAIN[3:7],
    "strided": lambda: PLAIN[::2],
    "reversed": lambda: PLAIN[::-1],
    "chosen events": lambda: PLAIN[[3, 0, 3]],
    "masked events": lambda: PLAIN[ak.num(PLAIN) > 1],
    "masked objects": lambda: PLAIN[PLAIN > 3.0],
    "sliced, then masked": lambda: PLAIN[2:7][PLAIN[2:7] > 5.0],
    "leading objects": lambda: PLAIN[:, :1],
    "reordered objects": lambda: PLAIN[ak.argsort(PLAIN, ascending=False)],
    "dropped objects": lambda: ak.drop_none(PLAIN.mask[PLAIN > 3.0]),
    "concatenated": lambda: ak.concatenate([PLAIN[:2], PLAIN[5:]]),
    "ListArray": list_array,
    "ListOffsetArray32": list_offset_array_32,
    "RegularArray": lambda: ak.to_regular(ak.Array([[1.5, 2.5], [3.5, 4.5]]), axis=1),
    "RegularArray of size zero": lambda: ak.to_regular(ak.Array([[1.5], [2.5]])[:, :0], axis=1),
    "IndexedArray of events": indexed_events,
    "IndexedArray of objects": indexed_objects,
    "integers": lambda: ak.Array([[1, 2], [], [3]]),
    "booleans": lambda: ak.Array([[True, False], [], [True]]),
    "no events": lambda: PLAIN[:0],
    "no objects": lambda: PLAIN[[1, 5]],
    "no objects of known type": lambda: ak.Array([[], []]),
}

layouts = pytest.mark.parametrize("layout", LAYOUTS)


@layouts
def test_flat_is_the_content_in_order(layout: str) -> None:
    array = LAYOUTS[layout]()
    values = flat(array)
    assert values.tolist() == list(itertools.chain.from_iterable(array.to_list()))
    assert values.dtype == np.float64
    assert values.flags.c_contiguous


@layouts
def test_offsets_cut_where_the_events_end(layout: str) -> None:
    array = LAYOUTS[layout]()
    offsets = offsets_of(array)
    assert np.diff(offsets).tolist() == [len(event) for event in array.to_list()]
    assert offsets[0] == 0
    assert offsets.dtype == np.int64


@layouts
def test_unflatten_inverts_flat(layout: str) -> None:
    array = LAYOUTS[layout]()
    assert unflatten(flat(array), offsets_of(array)).to_list() == array.to_list()


@layouts
def test_input_is_not_changed(layout: str) -> None:
    array = LAYOUTS[layout]()
    before = ak.copy(array)
    unflatten(flat(array), offsets_of(array))
    assert ak.array_equal(array, before)


@given(columns=sts.flat_columns(st.floats(allow_nan=False)))
def test_flat_inverts_unflatten(columns: tuple[Any, ...]) -> None:
    offsets, content = columns
    array = unflatten(content, offsets)
    np.testing.assert_array_equal(flat(array), content)
    np.testing.assert_array_equal(offsets_of(array), offsets)


@given(columns=sts.flat_columns(st.floats(allow_nan=False)), bounds=st.tuples(*[sts.BOUND] * 2))
def test_slices_commute_with_flattening(columns: tuple[Any, ...], bounds: tuple[int, int]) -> None:
    offsets, content = columns
    first, last = np.minimum(sorted(bounds), len(offsets) - 1)
    part = unflatten(content, offsets)[first:last]
    np.testing.assert_array_equal(flat(part), content[offsets[first] : offsets[last]])
    np.testing.assert_array_equal(offsets_of(part), offsets[first : last + 1] - offsets[first])


def test_unflatten_keeps_trailing_axes() -> None:
    content = np.arange(12.0).reshape(4, 3)
    array = unflatten(content, np.array([0, 3, 3, 4]))
    assert array.to_list() == [content[:3].tolist(), [], content[3:].tolist()]


def test_unflatten_without_events_has_the_type_of_the_content() -> None:
    assert str(unflatten(np.empty(0), np.array([0])).type) == "0 * var * float64"


def test_two_dimensional_numpy_arrays_are_regular_arrays() -> None:
    array = ak.Array(np.array([[1.5, 2.5], [3.5, 4.5]]))
    assert str(array.type) == str(LAYOUTS["RegularArray"]().type)
    assert flat(array).tolist() == [1.5, 2.5, 3.5, 4.5]
    assert offsets_of(array).tolist() == [0, 2, 4]


def test_offsets_of_records(jets: ak.Array) -> None:
    assert offsets_of(jets).tolist() == [0, 3, 3, 4, 8, 10]


# types of numbers


def test_uint8_flavours_become_signed_on_demand(jets: ak.Array) -> None:
    flavour = flat(jets.hadronFlavour, np.int32)
    assert flavour.dtype == np.int32
    assert (flavour - 6).tolist() == [-1, -2, -6, -1, -6, -6, -2, -1, -1, -2]


def test_int8_values_keep_their_sign() -> None:
    assert flat(ak.Array([np.array([-5, 4], np.int8)]), np.int32).tolist() == [-5, 4]


def test_missing_values_that_are_filled_are_accepted() -> None:
    filled = ak.fill_none(ak.Array([[1.0, None], [], [2.0]]), 0.0)
    assert flat(filled).tolist() == [1.0, 0.0, 2.0]


def test_option_type_without_missing_objects_is_accepted() -> None:
    assert flat(PLAIN.mask[PLAIN > 0.0]).tolist() == flat(PLAIN).tolist()


# refusals


def test_option_typed_events_are_refused() -> None:
    with pytest.raises(InputError, match=r"option-typed event axis.*drop the missing events"):
        offsets_of(PLAIN.mask[ak.num(PLAIN) > 0])


@pytest.mark.parametrize("function", [offsets_of, flat])
def test_missing_events_are_refused(function: Callable[[ak.Array], Any]) -> None:
    with pytest.raises(InputError, match="option-typed"):
        function(ak.Array([[1.0], None, [2.0]]))


def test_missing_objects_are_counted_in_the_refusal() -> None:
    array = ak.Array([[1.0, None], [], [None, 2.0, 3.0]])
    with pytest.raises(InputError, match="btag: 2 of 5 objects are missing"):
        flat(array, name="btag")


@pytest.mark.parametrize(
    "array",
    [
        ak.Array([1.0, 2.0]),
        ak.Array([]),
        ak.Array([{"pt": 1.0}]),
        ak.zip({"pt": PLAIN}, depth_limit=1),
    ],
    ids=["numbers", "unknown", "records", "records of lists"],
)
def test_arrays_without_objects_are_refused(array: ak.Array) -> None:
    with pytest.raises(InputError, match="expected a jagged array"):
        offsets_of(array)


@pytest.mark.parametrize(
    "array",
    [
        ak.Array([[[1.0], [2.0]], []]),
        ak.Array(["four", "five"]),
        ak.Array([["b", "c"], []]),
        ak.Array([["1", "2"], []]),
        ak.Array([[1.0, "b"]]),
        ak.zip({"pt": PLAIN}),
        ak.zip({"pt": PLAIN, "eta": PLAIN}),
        ak.Array([[1.0 + 2.0j]]),
        ak.Array([[np.datetime64("2020-01-01")]]),
    ],
    ids=[
        "nested",
        "string",
        "strings",
        "numeric strings",
        "mixed",
        "records of one field",
        "records",
        "complex",
        "dates",
    ],
)
def test_entries_that_are_not_numbers_are_refused(array: ak.Array) -> None:
    with pytest.raises(InputError, match=r"jet: expected one number per object"):
        flat(array, name="jet")


# rows of numbers


ROWS = np.arange(8.0).reshape(4, 2)
REGULAR = unflatten(ROWS, np.array([0, 3, 3, 4]))
ROW_LAYOUTS: dict[str, Callable[[], ak.Array]] = {
    "regular": lambda: REGULAR,
    "lists": lambda: ak.from_regular(REGULAR, axis=2),
    "regular of lists": lambda: ak.to_regular(ak.from_regular(REGULAR, axis=2), axis=2),
    "from lists": lambda: ak.Array([ROWS[:3].tolist(), [], ROWS[3:].tolist()]),
    "integers": lambda: ak.values_astype(REGULAR, np.int32),
    "chosen events": lambda: ak.concatenate([REGULAR, REGULAR[::-1]])[[0, 1, 2]],
    "reordered": lambda: REGULAR[:, ::-1][:, ::-1],
    "masked objects": lambda: ak.concatenate([REGULAR, REGULAR * 9.0], axis=1)[
        ak.Array([[True] * 3 + [False] * 3, [], [True, False]])
    ],
    "no missing objects": lambda: ak.drop_none(REGULAR.mask[REGULAR[..., 0] >= 0.0]),
}


@pytest.mark.parametrize("layout", ROW_LAYOUTS)
def test_flat_rows_are_those_of_the_objects(layout: str) -> None:
    offsets, rows = flat_rows(ROW_LAYOUTS[layout]())
    assert offsets.tolist() == [0, 3, 3, 4]
    assert rows.tolist() == ROWS.tolist()
    assert rows.dtype == np.float64


@layouts
def test_one_number_per_object_is_a_row_of_one(layout: str) -> None:
    array = LAYOUTS[layout]()
    offsets, rows = flat_rows(array)
    assert rows.shape == (len(flat(array)), 1)
    assert rows[:, 0].tolist() == flat(array).tolist()
    assert offsets.tolist() == offsets_of(array).tolist()


@given(columns=sts.flat_columns(st.floats(-1e9, 1e9)), width=st.integers(1, 4))
def test_flat_rows_invert_unflatten(columns: tuple[Any, ...], width: int) -> None:
    offsets, content = columns
    content = content[:, None] * np.arange(1.0, width + 1.0)
    array = unflatten(content, offsets)
    found, rows = flat_rows(array)
    np.testing.assert_array_equal(found, offsets)
    np.testing.assert_array_equal(rows, content)
    if len(content):
        found, rows = flat_rows(ak.from_regular(array, axis=2))
        np.testing.assert_array_equal(found, offsets)
        np.testing.assert_array_equal(rows, content)


@pytest.mark.parametrize(
    "nothing",
    [REGULAR[:0], REGULAR[1:2], REGULAR[REGULAR[..., 0] > 99.0], REGULAR[[1, 1]], REGULAR[:, :0]],
    ids=["no events", "no objects", "masked", "chosen", "sliced"],
)
def test_no_objects_of_a_regular_axis_have_its_width(nothing: ak.Array) -> None:
    offsets, rows = flat_rows(nothing)
    assert rows.shape == (0, 2)
    assert offsets.tolist() == [0] * (len(nothing) + 1)


@pytest.mark.parametrize("events", [slice(0, 0), slice(1, 2)])
def test_no_objects_of_no_known_width_have_one_column(events: slice) -> None:
    assert flat_rows(ak.from_regular(REGULAR, axis=2)[events])[1].shape == (0, 1)


@pytest.mark.parametrize(
    "ragged",
    [
        ak.Array([[[1.0, 2.0], [1.0]], []]),
        ak.Array([[[1.0, 2.0]], [[1.0]]]),
        ak.Array([[[], []], []]),
        ak.Array([[[1.0], []]]),
    ],
    ids=["in an event", "between events", "empty", "some empty"],
)
def test_ragged_rows_are_refused(ragged: ak.Array) -> None:
    with pytest.raises(InputError, match="eps: expected as many numbers for each object"):
        flat_rows(ragged, name="eps")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (ak.Array([[[1.0, None]]]), "eps: 1 of 2 objects are missing"),
        (ak.Array([[[1.0, 2.0]], None]), "option-typed event axis"),
        (ak.Array([[[1.0, 2.0], None]]), "eps: expected as many numbers|option-typed"),
        (ak.Array([[["a", "b"]]]), "eps: expected one number per object"),
        (ak.Array([[[[1.0]]]]), "eps: expected one number per object"),
        (ak.Array([1.0]), "expected a jagged array"),
        (ak.zip({"pt": PLAIN}), "eps: expected one number per object"),
    ],
    ids=["number", "event", "row", "strings", "four axes", "flat", "records"],
)
def test_rows_of_anything_else_are_refused(array: ak.Array, message: str) -> None:
    with pytest.raises(InputError, match=message):
        flat_rows(array, name="eps")


# names in errors


def test_names_that_resemble_the_wanted_one_come_first() -> None:
    assert shortened(["eta", "phi", "btagDeepFlavB"], "btagDeepFlav") == str(
        ["btagDeepFlavB", "eta", "phi"]
    )


def test_many_names_are_cut_to_a_dozen() -> None:
    names = [f"branch{i}" for i in range(1500)]
    assert shortened(names) == f"{names[:12]} and 1488 more"


def test_few_names_are_shown_in_their_order() -> None:
    assert shortened(iter(["eta", "phi"])) == "['eta', 'phi']"


# virtual arrays of NanoEvents


@pytest.fixture
def events(nanoaod_path: Path, open_nanoaod: Callable[[Path], ak.Array]) -> ak.Array:
    return open_nanoaod(nanoaod_path)


def test_virtual_columns_are_those_of_the_file(events: ak.Array, nanoaod_path: Path) -> None:
    import uproot

    with uproot.open(nanoaod_path) as file:
        pt = file["Events/Jet_pt"].array()
    assert not events.Jet.pt.layout.is_any_materialized
    np.testing.assert_array_equal(flat(events.Jet.pt), ak.to_numpy(ak.flatten(pt)))
    np.testing.assert_array_equal(np.diff(offsets_of(events.Jet)), ak.num(pt))


def test_virtual_flavours_are_read(events: ak.Array) -> None:
    assert set(flat(events.Jet.hadronFlavour, np.int32).tolist()) == {0, 4, 5}


@pytest.mark.parametrize(
    "select",
    [
        lambda jets: jets[3:7],
        lambda jets: jets[::2],
        lambda jets: jets[jets.pt > 30.0],
        lambda jets: jets[10:90][jets.pt[10:90] > 30.0],
        lambda jets: jets[ak.num(jets) > 3],
        lambda jets: jets[:, :2],
        lambda jets: jets[:0],
    ],
    ids=["slice", "stride", "mask", "slice and mask", "events", "leading", "nothing"],
)
def test_selected_virtual_columns_survive_the_round_trip(
    events: ak.Array, select: Callable[[ak.Array], ak.Array]
) -> None:
    eta = select(events.Jet).eta
    assert unflatten(flat(eta), offsets_of(eta)).to_list() == eta.to_list()


def test_offsets_read_no_column_of_the_objects(events: ak.Array) -> None:
    offsets_of(events.Jet)
    assert not events.Jet.pt.layout.content.is_any_materialized


def test_rows_of_events() -> None:
    rows = object_rows(np.array([2, 2, 0, 2]), np.array([3, 0, 2, 3]))
    assert rows.tolist() == [2, 3, 4, 0, 1, 2, 3, 4]
    assert object_rows(np.array([], np.int64), np.array([], np.int64)).tolist() == []
