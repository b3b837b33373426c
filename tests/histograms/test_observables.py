from __future__ import annotations

import pickle

import awkward as ak
import hist
import numpy as np
import pytest

from hepsilon import ConfigError, InputError
from hepsilon.histograms import (
    JET_OBSERVABLES,
    Observable,
    Observable2D,
    category_names,
    differential,
    jets,
    object_categories,
    pair_categories,
    pair_names,
    regular,
)
from tests.helpers.toys import random_jets

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
    assert jets.PAIR_MASS_EDGES[0] == 0.0


def corrected(values, variances) -> hist.Hist:
    """Two bins of different width, with entries outside of them, too."""
    histogram = hist.Hist(
        hist.axis.Variable((0.0, 1.0, 3.0), name="x", label="$M$ [GeV]"),
        storage=hist.storage.Weight(),
    )
    view = histogram.view(flow=True)
    view["value"], view["variance"] = [9.0, *values, 9.0], [9.0, *variances, 9.0]
    return histogram


def test_cross_section_is_divided_by_width_and_luminosity():
    section = differential(corrected([10.0, 10.0], [4.0, 16.0]), luminosity=5.0, unit="pb")
    np.testing.assert_allclose(section.values(), [2.0, 1.0])
    np.testing.assert_allclose(section.variances(), [4.0 / 25.0, 16.0 / 100.0])
    assert section.sum(flow=True).value == section.sum().value
    assert section.label == r"$d\sigma / dM$ [pb / GeV]"


def test_without_luminosity_events_are_divided_by_the_width():
    histogram = corrected([10.0, 10.0], [4.0, 16.0])
    found = differential(histogram, variances=corrected([0.0, 0.0], [1.0, 4.0]))
    np.testing.assert_allclose(found.values(), [10.0, 5.0])
    np.testing.assert_allclose(found.variances(), [1.0, 1.0])
    assert found.label == r"$dN / dM$ [1 / GeV]"
    np.testing.assert_allclose(histogram.values(), [10.0, 10.0])


def test_cross_section_in_two_dimensions_has_both_units():
    axes = [
        hist.axis.Variable((0.0, 2.0), name="x", label="$M$ [GeV]"),
        hist.axis.Variable((0.0, 4.0), name="y", label=r"$\eta$"),
    ]
    histogram = hist.Hist(*axes, storage=hist.storage.Weight())
    histogram.fill(x=[1.0, 1.0], y=[1.0, 9.0], weight=[16.0, 5.0])
    section = differential(histogram, luminosity=1.0)
    assert section.values().tolist() == [[2.0]]
    assert section.label == r"$d^2\sigma / dM\, d\eta$ [nb / GeV]"


@pytest.mark.parametrize("luminosity", [0.0, -1.0, float("nan")])
def test_luminosity_must_be_positive(luminosity):
    with pytest.raises(InputError, match="positive luminosity"):
        differential(corrected([1.0, 1.0], [1.0, 1.0]), luminosity)


def test_axes_of_different_levels_are_refused():
    of_objects = Observable("pt", np.asarray, "object", (0.0, 1.0), "pt")
    of_events = Observable("M", np.asarray, "event", (0.0, 1.0), "M")
    with pytest.raises(ConfigError, match="one axis is of objects"):
        Observable2D("pt_M", of_objects, of_events)
