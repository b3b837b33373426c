from __future__ import annotations

import pickle

import awkward as ak
import hist
import numpy as np
import pytest
from toys import random_jets

from hepsilon import histograms
from hepsilon.histograms import (
    ALL,
    JET_OBSERVABLES,
    Observable,
    book,
    category_names,
    fill,
    object_categories,
    pair_categories,
    pair_names,
    regular,
)

VALUES = (5, 4, 0)


def test_names_of_hadron_flavours():
    assert category_names(VALUES) == ["b", "c", "light"]
    assert category_names((1, 2)) == ["1", "2"]
    assert category_names((5, 1)) == ["5", "1"]


def test_pairs_are_unordered():
    assert pair_names(VALUES) == ["b-b", "b-c", "b-light", "c-c", "c-light", "light-light"]


def test_objects_are_sorted_into_categories():
    codes = ak.Array([[5, 0], [], [4, 7, 5]])
    np.testing.assert_array_equal(object_categories(codes, VALUES), [0, 2, 1, -1, 0])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_leading_pairs_are_sorted_into_categories(dtype):
    codes = ak.values_astype(
        ak.Array([[5, 0, 4], [0, 5], [], [4], [4, 4], [5, 7], [7, 5], [0, 0, 5]]), dtype
    )
    found = pair_categories(codes, VALUES)
    names = [*pair_names(VALUES), "none"]
    expected = ["b-light", "b-light", "none", "none", "c-c", "none", "none", "light-light"]
    assert [names[i] for i in found] == expected


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_every_pair_has_its_own_name(n):
    values = tuple(range(1, n + 1))
    codes = ak.Array([[a, b] for a in values for b in values])
    names = pair_names(values)
    for (a, b), number in zip(ak.to_list(codes), pair_categories(codes, values), strict=True):
        assert names[number] == f"{min(a, b)}-{max(a, b)}"


def test_no_events_have_no_pairs():
    codes = ak.Array([[5, 4]])[:0]
    assert len(pair_categories(codes, VALUES)) == 0
    assert len(object_categories(codes, VALUES)) == 0


def test_filling_agrees_with_numpy():
    observable = Observable("x", abs, "object", (0.0, 1.0, 3.0), "x")
    histogram = book(observable, ["all", "direct"], ["b", "c"])
    values = np.array([0.5, 2.0, 2.5, -1.0, 9.0, 0.1])
    weights = np.array([1.0, 2.0, -1.0, 1.0, 1.0, 0.5])
    categories = np.array([0, 1, 1, 0, 0, -1])
    fill(histogram, "direct", values, weights, categories, ["b", "c"])
    filled = histogram[{"method": "direct"}]
    np.testing.assert_allclose(filled[{"category": ALL}].values(flow=True), [1, 1.5, 1, 1])
    np.testing.assert_allclose(filled[{"category": ALL}].variances(flow=True), [1, 1.25, 5, 1])
    np.testing.assert_allclose(filled[{"category": "b"}].values(flow=True), [1, 1, 0, 1])
    np.testing.assert_allclose(filled[{"category": "c"}].values(flow=True), [0, 0, 1, 0])
    assert not histogram[{"method": "all"}].values(flow=True).any()


def test_quantities_that_do_not_exist_are_left_out():
    observable = Observable("x", abs, "event", (0.0, 1.0), "x")
    histogram = book(observable, ["direct"], [])
    fill(histogram, "direct", np.array([np.nan, 0.5]), np.ones(2), np.full(2, -1), [])
    assert histogram.sum(flow=True).value == 1.0


def test_booked_histogram_has_weight_storage():
    histogram = book(JET_OBSERVABLES[0], ["direct"], ["b"])
    assert histogram.storage_type is hist.storage.Weight
    assert histogram.axes.name == ("method", "category", "x")


@pytest.mark.parametrize("observable", JET_OBSERVABLES, ids=lambda o: o.name)
def test_observables_pickle_and_give_one_number_each(observable):
    observable = pickle.loads(pickle.dumps(observable))
    jets = random_jets([2, 0, 1, 5])
    values = observable.function(jets)
    if observable.level == "object":
        assert ak.num(values).tolist() == [2, 0, 1, 5]
    else:
        np.testing.assert_array_equal(np.isnan(values), [False, True, True, False])


@pytest.mark.parametrize("observable", JET_OBSERVABLES, ids=lambda o: o.name)
def test_edges_of_the_observables_increase(observable):
    assert all(np.diff(observable.edges) > 0)


def test_regular_edges():
    assert regular(3, 0.0, 0.9) == pytest.approx((0.0, 0.3, 0.6, 0.9))
    assert histograms.PAIR_MASS_EDGES[0] == 0.0
