from __future__ import annotations

from typing import Any

import awkward as ak
import hist
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import ConfigError
from hepsilon.histograms import JET_OBSERVABLES, Observable, Observable2D
from hepsilon.histograms.categories import CategorisedEntries, book_categories
from hepsilon.histograms.entries import Entries
from hepsilon.histograms.methods import ALL
from tests.helpers import strategies as sts

Array = npt.NDArray[Any]

EDGES = (0.0, 1.0, 3.0)
NAMES = ["b", "c"]


def x_of(records: ak.Array) -> ak.Array:
    return records["x"]


X = Observable("x", x_of, "object", EDGES, "x")
XY = Observable2D("xy", X, X)


def entries_of(values: Any, axes: Any = None) -> Entries:
    """One entry for each value, all of the same event."""
    columns = [np.asarray(v) for v in (values if isinstance(values, tuple) else (values,))]
    event = np.zeros(len(columns[0]), int)
    return Entries(axes or [X.axis], columns, event, np.arange(len(event)))


@st.composite
def samples(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """Values (flow included), weights of both signs and categories, some unknown."""
    n = draw(st.integers(0, 30))
    value = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0, np.inf])
    categories = draw(st.lists(st.integers(-1, 1), min_size=n, max_size=n))
    weights = draw(sts.column(n, st.floats(-10.0, 10.0)))
    return draw(sts.column(n, value)), weights, np.array(categories, int)


def row(histogram: hist.Hist[Any], method: str, category: str) -> Any:
    return histogram[{"method": method, "category": category}].view(flow=True)


def assert_filled(found: Any, expected: hist.Hist[Any]) -> None:
    view: Any = expected.view(flow=True)
    for quantity in ("value", "variance"):
        np.testing.assert_allclose(found[quantity], view[quantity], rtol=1e-12, atol=1e-12)


def test_booked_histogram_has_weights_and_everything_first() -> None:
    histogram = book_categories(JET_OBSERVABLES[0].axes, NAMES, methods=["direct", "m"])
    assert histogram.storage_type is hist.storage.Weight
    assert histogram.axes.name == ("method", "category", "x")
    assert list(histogram.axes["category"]) == [ALL, *NAMES]
    assert list(histogram.axes["method"]) == ["direct", "m"]
    assert not histogram.view(flow=True)["value"].any()


def test_booked_replicas_have_sums_only() -> None:
    histogram = book_categories(XY.axes, NAMES, replicas=3)
    assert histogram.storage_type is hist.storage.Double
    assert histogram.axes.name == ("category", "replica", "x", "y")
    assert histogram.axes["replica"].extent == 3  # no flow: replicas are not summed by accident


def test_filling_by_hand() -> None:
    """An unknown category is in everything alone; values outside are flow."""
    entries = entries_of([0.5, 2.0, 2.5, -1.0, 9.0, 0.1])
    weights = np.array([1.0, 2.0, -1.0, 1.0, 1.0, 0.5])
    categories = np.array([0, 1, 1, 0, 0, -1])
    histogram = book_categories(X.axes, NAMES, methods=["all", "direct"])
    CategorisedEntries(entries, categories, NAMES).fill(histogram, "direct", weights)
    filled = histogram[{"method": "direct"}]
    np.testing.assert_allclose(filled[{"category": ALL}].values(flow=True), [1, 1.5, 1, 1])
    np.testing.assert_allclose(filled[{"category": ALL}].variances(flow=True), [1, 1.25, 5, 1])
    np.testing.assert_allclose(filled[{"category": "b"}].values(flow=True), [1, 1, 0, 1])
    np.testing.assert_allclose(filled[{"category": "c"}].values(flow=True), [0, 0, 1, 0])
    assert not histogram[{"method": "all"}].values(flow=True).any()
    assert not histogram.view(flow=True)[:, len(NAMES) + 1 :]["value"].any()  # overflow category


@given(samples())
def test_sums_are_those_of_hist_and_numpy(sample: tuple[Array, Array, Array]) -> None:
    values, weights, categories = sample
    histogram = book_categories(X.axes, NAMES, methods=["m"])
    entries = CategorisedEntries(entries_of(values), categories, NAMES)
    entries.fill(histogram, "m", weights)
    sums = entries.sums(weights)
    assert sums.shape == (3, 4)
    edges = np.array([-np.inf, *EDGES, np.inf])
    bins = np.searchsorted(edges[1:-1], values, side="right")
    for number, name in enumerate([ALL, *NAMES]):
        chosen = categories == number - 1 if number else np.ones(len(values), bool)
        expected = hist.Hist(X.axis, storage=hist.storage.Weight())
        expected.fill(x=values[chosen], weight=weights[chosen])
        assert_filled(row(histogram, "m", name), expected)
        by_hand = [weights[chosen & (bins == b)].sum() for b in range(4)]
        np.testing.assert_allclose(sums[number], by_hand, rtol=1e-12, atol=1e-12)


@given(samples())
def test_others_are_categories_without_their_own(sample: tuple[Array, Array, Array]) -> None:
    values, weights, categories = sample
    others = {"half": 0.5 * weights, "minus": -weights}
    histogram = book_categories(X.axes, [*NAMES, *others], methods=["m"])
    CategorisedEntries(entries_of(values), categories, NAMES).fill(histogram, "m", weights, others)
    for name, other in others.items():
        expected = hist.Hist(X.axis, storage=hist.storage.Weight())
        expected.fill(x=values, weight=other)
        assert_filled(row(histogram, "m", name), expected)


@given(samples())
def test_two_dimensions(sample: tuple[Array, Array, Array]) -> None:
    values, weights, categories = sample
    histogram = book_categories(XY.axes, NAMES, methods=["m"])
    entries = entries_of((values, values[::-1]), XY.axes)
    CategorisedEntries(entries, categories, NAMES).fill(histogram, "m", weights)
    expected = hist.Hist(*XY.axes, storage=hist.storage.Weight())
    chosen = categories == 1
    expected.fill(x=values[chosen], y=values[::-1][chosen], weight=weights[chosen])
    assert_filled(row(histogram, "m", "c"), expected)


@given(samples())
def test_replicas_are_the_sums_of_a_method(sample: tuple[Array, Array, Array]) -> None:
    values, weights, categories = sample
    entries = CategorisedEntries(entries_of(values), categories, NAMES)
    replicas = book_categories(X.axes, [*NAMES, "other"], replicas=2)
    for number, scale in enumerate((2.0, -3.0)):
        others = {"other": scale + weights}
        expected = book_categories(X.axes, [*NAMES, "other"], methods=["m"])
        entries.fill(expected, "m", scale * weights, others)
        entries.fill_replica(replicas, number, scale * weights, others)
        for name in (ALL, *NAMES, "other"):
            np.testing.assert_allclose(
                replicas[{"category": name, "replica": number}].values(flow=True),
                row(expected, "m", name)["value"],
                rtol=1e-12,
                atol=1e-12,
            )


def test_filling_adds_up() -> None:
    histogram = book_categories(X.axes, NAMES, methods=["m"])
    replicas = book_categories(X.axes, NAMES, replicas=1)
    entries = CategorisedEntries(entries_of([0.5, 0.5]), np.array([0, 0]), NAMES)
    for _ in range(2):
        entries.fill(histogram, "m", np.array([1.0, 2.0]))
        entries.fill_replica(replicas, 0, np.array([1.0, 2.0]), {})
    np.testing.assert_allclose(row(histogram, "m", "b")["value"], [0, 6, 0, 0])
    np.testing.assert_allclose(row(histogram, "m", "b")["variance"], [0, 10, 0, 0])
    np.testing.assert_allclose(replicas[{"category": "b"}].values(flow=True), [[0, 6, 0, 0]])


def test_quantities_that_do_not_exist_are_left_out() -> None:
    entries = Entries.of(X, ak.zip({"x": ak.Array([[np.nan, 0.5]])}))
    histogram = book_categories(X.axes, [], methods=["m"])
    CategorisedEntries(entries, np.full(1, -1), []).fill(histogram, "m", np.ones(1))
    assert row(histogram, "m", ALL)["value"].tolist() == [0, 1, 0, 0]


def test_names_may_be_an_axis() -> None:
    axis = hist.axis.StrCategory(["0 tags", "1 tag"], name="tags")
    entries = entries_of(np.array(["1 tag", "0 tags", "1 tag", "1 tag"]), [axis])
    histogram = book_categories([axis], NAMES, methods=["m"])
    weights = np.array([1.0, 2.0, 4.0, 8.0])
    CategorisedEntries(entries, np.array([0, 0, 1, -1]), NAMES).fill(histogram, "m", weights)
    assert row(histogram, "m", ALL)["value"].tolist() == [2, 13, 0]
    assert row(histogram, "m", "b")["value"].tolist() == [2, 1, 0]
    assert histogram[{"method": "m", "category": "c", "tags": "1 tag"}].value == 4.0


def test_unknown_method_is_refused() -> None:
    histogram = book_categories(X.axes, NAMES, methods=["direct"])
    entries = CategorisedEntries(entries_of([0.5]), np.array([0]), NAMES)
    with pytest.raises(ConfigError, match=r"expected a method of.*direct.*'truth'"):
        entries.fill(histogram, "truth", np.ones(1))
    assert not histogram.view(flow=True)["value"].any()
