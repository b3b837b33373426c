from __future__ import annotations

from typing import Any

import awkward as ak
import hist
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import InputError
from hepsilon.errors import ConfigError
from hepsilon.histograms import Observable, Observable2D
from hepsilon.histograms.entries import Entries, book_methods, method_row
from tests.helpers import strategies as sts

Array = npt.NDArray[Any]

EDGES = (0.0, 1.0, 2.5, 3.0)


def x_of(records: ak.Array) -> ak.Array:
    return records["x"]


def y_of(records: ak.Array) -> ak.Array:
    return records["y"]


def first_x(records: ak.Array) -> ak.Array:
    return ak.fill_none(ak.firsts(records["x"]), np.nan)


def multiplicity(records: ak.Array) -> Array:
    return ak.to_numpy(ak.num(records, axis=1))


X = Observable("x", x_of, "object", EDGES, "x")
Y = Observable("y", y_of, "object", (-1.0, 0.0, 1.0), "y")
FIRST = Observable("first", first_x, "event", EDGES, "x")
NUMBER = Observable("number", multiplicity, "event", (0.0, 2.0, 4.0), "n")
XY = Observable2D("xy", X, Y)
FIRST_NUMBER = Observable2D("first_number", FIRST, NUMBER)
OBSERVABLES = [X, FIRST, NUMBER, XY, FIRST_NUMBER]
EVERY = pytest.mark.parametrize("observable", OBSERVABLES, ids=lambda o: o.name)


def records_of(xs: list[list[float]], ys: list[list[float]] | None = None) -> ak.Array:
    counts = [len(x) for x in xs]
    ys = [[0.5] * n for n in counts] if ys is None else ys
    x, y = (np.array([v for event in column for v in event], float) for column in (xs, ys))
    return ak.zip({"x": ak.unflatten(x, counts), "y": ak.unflatten(y, counts)})


# Values on the edges, outside of them, infinite and missing.
VALUE = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.5, 3.0, 4.0, np.inf, -np.inf, np.nan])


@st.composite
def samples(draw: st.DrawFn) -> tuple[ak.Array, Array, Array]:
    """Records, a weight of every event, and a choice of events."""
    offsets, x, y = draw(sts.flat_columns(VALUE, VALUE))
    n = len(offsets) - 1
    records = ak.zip(
        {"x": ak.unflatten(x, np.diff(offsets)), "y": ak.unflatten(y, np.diff(offsets))}
    )
    chosen = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return records, draw(sts.column(n, st.floats(-10.0, 10.0))), np.array(chosen, bool)


def view(histogram: hist.Hist[Any], method: str = "m") -> Any:
    return histogram[{"method": method}].view(flow=True)


RECORDS = records_of(
    [[0.5, 7.0], [], [np.nan], [2.5, -1.0, 0.0]], [[0.1] * 2, [], [0.1], [0.1] * 3]
)


# evaluation


def test_an_observable_of_objects_has_an_entry_for_each_object() -> None:
    entries = Entries.of(X, RECORDS)
    assert entries.event.tolist() == [0, 0, 3, 3, 3]
    assert [v.tolist() for v in entries.values] == [[0.5, 7.0, 2.5, -1.0, 0.0]]
    assert entries.values[0].dtype == np.float64


def test_an_observable_of_events_has_an_entry_for_each_event() -> None:
    entries = Entries.of(NUMBER, RECORDS)
    assert entries.event.tolist() == [0, 1, 2, 3]
    assert entries.values[0].tolist() == [2.0, 0.0, 1.0, 3.0]


def test_entries_without_a_value_are_left_out() -> None:
    entries = Entries.of(FIRST, RECORDS)
    assert entries.event.tolist() == [0, 3]
    assert entries.values[0].tolist() == [0.5, 2.5]


def test_an_entry_needs_a_value_on_both_axes() -> None:
    x, y = [[0.5, np.nan], [1.0, 2.0]], [[np.nan, 0.5], [0.5, -0.5]]
    entries = Entries.of(XY, records_of(x, y))
    assert entries.event.tolist() == [1, 1]
    assert [v.tolist() for v in entries.values] == [[1.0, 2.0], [0.5, -0.5]]


def test_index_is_the_position_among_all_objects_or_events() -> None:
    """What belongs to the objects, such as efficiencies, is looked up with it."""
    xs = [[0.5, np.nan], [], [np.nan], [7.0, -np.inf]]
    entries = Entries.of(X, records_of(xs))
    assert entries.index is not None
    assert entries.index.tolist() == [0, 3, 4]
    assert entries.event.tolist() == [0, 3, 3]
    of_events = Entries.of(FIRST, records_of(xs))
    assert of_events.index is not None
    assert of_events.index.tolist() == of_events.event.tolist() == [0, 3]


def test_category_axis_has_no_underflow() -> None:
    """Bins of names start at zero, those of numbers after the underflow."""
    names = hist.axis.StrCategory(["two", "three"], name="tags")
    values = [np.array(["three", "two", "three"]), np.array([-1.0, 0.5, 9.0])]
    entries = Entries([names, X.axis], values, np.arange(3))
    assert entries.shape == (3, 5)
    assert entries.bins.tolist() == [1 * 5 + 0, 0 * 5 + 1, 1 * 5 + 4]
    histogram = hist.Hist(names, X.axis, storage=hist.storage.Weight())
    histogram.fill(tags=values[0], x=values[1], weight=[1.0, 2.0, 4.0])
    sums = entries.sums(np.array([1.0, 2.0, 4.0]))
    np.testing.assert_array_equal(sums, histogram.values(flow=True))


@EVERY
def test_no_events_have_no_entries(observable: Any) -> None:
    entries = Entries.of(observable, RECORDS[:0])
    histogram = book_methods(observable, ["m"])
    entries.fill(histogram, "m", np.empty(0))
    entries.fill_variance(histogram, "m", np.empty(0))
    assert len(entries.event) == len(entries.bins) == 0
    assert not view(histogram)["value"].any()


def test_infinite_values_and_values_outside_of_the_edges_are_flow() -> None:
    values = [-np.inf, -0.1, 0.0, 0.99, 1.0, 2.5, 2.99, 3.0, 1e30, np.inf]
    entries = Entries.of(X, records_of([values]))
    assert entries.shape == (5,)
    assert entries.bins.tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4, 4]


def test_bins_of_two_dimensions_are_numbered_row_by_row() -> None:
    entries = Entries.of(XY, records_of([[0.5, 2.7, -1.0]], [[-0.5, 7.0, 0.5]]))
    assert entries.shape == (5, 4)
    assert entries.bins.tolist() == [1 * 4 + 1, 3 * 4 + 3, 0 * 4 + 2]


def nothing(records: ak.Array) -> Any:
    return None


def one_number(records: ak.Array) -> Any:
    return 1.0


def too_few(records: ak.Array) -> Any:
    return np.ones(len(records) - 1)


def words(records: ak.Array) -> Any:
    return ak.Array(["word"] * len(records))


def with_none(records: ak.Array) -> Any:
    return ak.firsts(records["x"])


def jagged_with_none(records: ak.Array) -> Any:
    return ak.mask(records["x"], records["x"] > 0.0)


def leading_only(records: ak.Array) -> Any:
    return records["x"][:, :1]


def backwards(records: ak.Array) -> Any:
    return records["x"][::-1]


def whole_records(records: ak.Array) -> Any:
    return records


@pytest.mark.parametrize("function", [nothing, one_number, too_few, words, with_none, x_of])
def test_anything_but_one_number_per_event_is_refused(function: Any) -> None:
    observable = Observable("name", function, "event", EDGES, "")
    with pytest.raises(InputError, match="name: expected one number per event, received"):
        Entries.of(observable, RECORDS)


@pytest.mark.parametrize(
    "function", [nothing, one_number, words, leading_only, backwards, whole_records]
)
def test_anything_but_one_number_per_object_is_refused(function: Any) -> None:
    observable = Observable("name", function, "object", EDGES, "")
    with pytest.raises(InputError, match="name: expected one number per object, received"):
        Entries.of(observable, RECORDS)


@pytest.mark.parametrize("function", [multiplicity, jagged_with_none, with_none])
def test_missing_objects_are_refused(function: Any) -> None:
    with pytest.raises(InputError):
        Entries.of(Observable("name", function, "object", EDGES, ""), RECORDS)


def test_both_axes_are_checked() -> None:
    wrong = Observable("wrong", too_few, "event", EDGES, "")
    with pytest.raises(InputError, match=r"both: expected one number per event.*for 4 of them"):
        Entries.of(Observable2D("both", FIRST, wrong), RECORDS)


def test_objects_and_events_do_not_share_a_histogram() -> None:
    with pytest.raises(ConfigError, match="both: one axis is of objects"):
        Observable2D("both", X, FIRST)


# filling


@EVERY
@given(sample=samples())
def test_filling_entries_is_filling_the_histogram(observable: Any, sample: Any) -> None:
    records, weights, _ = sample
    entries = Entries.of(observable, records)
    ours, expected = (book_methods(observable, ["other", "m"]) for _ in range(2))
    entries.fill(ours, "m", weights[entries.event])
    columns = dict(zip(("x", "y"), entries.values, strict=False))
    expected.fill(method="m", weight=weights[entries.event], **columns)
    for name in ("value", "variance"):
        np.testing.assert_allclose(view(ours)[name], view(expected)[name], rtol=1e-12, atol=1e-12)
        assert not view(ours, "other")[name].any()


@EVERY
@given(sample=samples(), cut=sts.BOUND)
def test_filled_chunks_add_up(observable: Any, sample: Any, cut: int) -> None:
    records, weights, _ = sample
    whole, parts = (book_methods(observable, ["m"]) for _ in range(2))
    for histogram, chunks in ((whole, [slice(None)]), (parts, [slice(cut), slice(cut, None)])):
        for chunk in chunks:
            entries = Entries.of(observable, records[chunk])
            entries.fill(histogram, "m", weights[chunk][entries.event])
            entries.fill_variance(histogram, "m", weights[chunk][entries.event] ** 2)
    for name in ("value", "variance"):
        np.testing.assert_allclose(view(parts)[name], view(whole)[name], rtol=1e-12, atol=1e-12)


def test_entries_of_one_event_in_one_bin_count_squared_in_the_variance() -> None:
    # event 0: three entries in the first bin, one in the second; event 1: one in the first
    entries = Entries.of(X, records_of([[0.1, 1.5, 0.2, 0.3], [0.4]]))
    histogram = book_methods(X, ["m"])
    entries.fill_variance(histogram, "m", np.array([2.0, 0.5])[entries.event])
    assert view(histogram)["variance"].tolist() == [0.0, 9 * 2.0 + 0.5, 2.0, 0.0, 0.0]
    assert not view(histogram)["value"].any()


def test_entries_of_one_event_in_bins_of_two_dimensions_are_apart() -> None:
    entries = Entries.of(XY, records_of([[0.1, 0.2, 0.3]], [[-0.5, -0.5, 0.5]]))
    histogram = book_methods(XY, ["m"])
    entries.fill_variance(histogram, "m", np.full(3, 7.0))
    assert view(histogram)["variance"][1].tolist() == [0.0, 4 * 7.0, 7.0, 0.0]


@EVERY
@given(sample=samples())
def test_the_variance_is_that_of_events_that_come_and_go(observable: Any, sample: Any) -> None:
    records, weights, _ = sample
    entries = Entries.of(observable, records)
    histogram = book_methods(observable, ["m"])
    entries.fill_variance(histogram, "m", weights[entries.event] ** 2)
    expected = np.zeros(int(np.prod(entries.shape)))
    for event, weight in enumerate(weights):
        sums = np.bincount(entries.bins[entries.event == event], minlength=expected.size)
        expected += (weight * sums) ** 2
    np.testing.assert_allclose(view(histogram)["variance"].ravel(), expected, rtol=1e-12)


# choosing events


@EVERY
@given(sample=samples())
def test_entries_of_chosen_events_are_those_of_their_records(observable: Any, sample: Any) -> None:
    records, _, chosen = sample
    ours = Entries.of(observable, records).of_events(chosen)
    expected = Entries.of(observable, records[chosen])
    np.testing.assert_array_equal(ours.event, expected.event)
    np.testing.assert_array_equal(ours.values, expected.values)
    np.testing.assert_array_equal(ours.bins, expected.bins)


def test_choosing_events_leaves_the_entries_as_they_were() -> None:
    entries = Entries.of(X, RECORDS)
    chosen = entries.of_events(np.array([False, True, True, True]))
    assert chosen.event.tolist() == [2, 2, 2]
    assert entries.event.tolist() == [0, 0, 3, 3, 3]


# booking


def test_histograms_keep_squares_of_weights_unless_they_have_other_axes() -> None:
    plain = book_methods(X, ["a", "b"])
    assert [axis.name for axis in plain.axes] == ["method", "x"]
    assert plain.storage_type is hist.storage.Weight
    other = book_methods(XY, ["a"], (hist.axis.Integer(0, 3, name="replica"),))
    assert [axis.name for axis in other.axes] == ["method", "replica", "x", "y"]
    assert other.storage_type is hist.storage.Double


def test_unknown_methods_are_refused():
    observable = Observable("x", np.asarray, "event", (0.0, 1.0), "x")
    histogram = book_methods(observable, ["a"])
    with pytest.raises(ConfigError, match="expected a method of"):
        method_row(histogram, "b")
