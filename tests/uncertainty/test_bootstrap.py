"""Statistical tests state their false-alarm rate; keys are pure functions, so runs are alike."""

from __future__ import annotations

import itertools
from typing import Any

import awkward as ak
import hist
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hepsilon.arrays.keys import REPLICA_SALT, SPLIT_SALT, event_key
from hepsilon.histograms import Observable, Observable2D, replica_axis
from hepsilon.histograms.entries import Entries, book_methods
from hepsilon.uncertainty import bootstrap_counts, bootstrap_key, covariance, fill_replicas
from tests.helpers import strategies as sts

Array = npt.NDArray[Any]


def x_of(records: ak.Array) -> ak.Array:
    return records["x"]


def y_of(records: ak.Array) -> ak.Array:
    return records["y"]


def first_x(records: ak.Array) -> ak.Array:
    return ak.fill_none(ak.firsts(records["x"]), np.nan)


X = Observable("x", x_of, "object", (0.0, 1.0, 2.0, 3.0), "x")
XY = Observable2D("xy", X, Observable("y", y_of, "object", (0.0, 0.5, 1.0), "y"))
FIRST = Observable("first", first_x, "event", (0.0, 1.0, 2.0, 3.0), "x")
EVERY = pytest.mark.parametrize("observable", [X, XY, FIRST], ids=lambda o: o.name)


def ids(n: int, first: int = 0) -> tuple[Array, Array, Array]:
    """Run, luminosity block and number of ``n`` events."""
    event = np.arange(first, first + n)
    return np.full(n, 1), event // 1000 + 1, event


def keys(n: int) -> Array:
    return bootstrap_key(*ids(n))


def random_records(n: int, seed: int) -> ak.Array:
    """Up to three objects in each event; some values are missing or outside of the bins."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, n)
    x, y = rng.uniform(-0.5, 3.5, counts.sum()), rng.uniform(-0.2, 1.2, counts.sum())
    x[rng.uniform(size=x.size) < 0.1] = np.nan
    return ak.zip({"x": ak.unflatten(x, counts), "y": ak.unflatten(y, counts)})


def filled(
    observable: Any, records: ak.Array, key: Array, weights: Array, replicas: int
) -> hist.Hist[Any]:
    """Replicas of the method ``m``, with a weight of each event."""
    histogram = book_methods(observable, ["other", "m"], (replica_axis(replicas),))
    entries = Entries.of(observable, records)
    fill_replicas(histogram, "m", entries, key, weights[entries.event])
    return histogram


def content(histogram: hist.Hist[Any], method: str = "m") -> Array:
    """Replicas, and all bins with flow."""
    result: Array = histogram[{"method": method}].view(flow=True)
    return result


# keys and counts


def test_the_bootstrap_has_a_salt_of_its_own() -> None:
    columns = [column.astype(np.uint64) for column in ids(100)]
    np.testing.assert_array_equal(bootstrap_key(*columns), event_key(*columns, REPLICA_SALT))
    assert not np.isin(keys(100), event_key(*columns, SPLIT_SALT)).any()


@pytest.mark.parametrize("dtype", [np.uint32, np.int32, np.int64, np.uint64])
def test_a_bootstrap_key_does_not_depend_on_the_integer_type(dtype: type) -> None:
    np.testing.assert_array_equal(bootstrap_key(*(c.astype(dtype) for c in ids(50))), keys(50))


def test_bootstrap_keys_are_made_of_awkward_columns_too() -> None:
    np.testing.assert_array_equal(bootstrap_key(*map(ak.Array, ids(50))), keys(50))


def test_every_event_has_its_own_bootstrap_key() -> None:
    columns = [c.ravel() for c in np.meshgrid(np.arange(3), np.arange(4), np.arange(500))]
    key = bootstrap_key(*columns)
    assert key.dtype == np.uint64
    assert np.unique(key).size == key.size


@given(order=st.permutations(range(12)), cut=st.integers(0, 12))
def test_bootstrap_counts_depend_neither_on_order_nor_on_chunks(order: list[int], cut: int) -> None:
    expected = bootstrap_counts(keys(12), 5)
    columns = [column[order] for column in ids(12)]
    parts = [
        bootstrap_counts(bootstrap_key(*(column[part] for column in columns)), 5)
        for part in (slice(cut), slice(cut, None))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), expected[order])


def test_bootstrap_counts_of_events_in_a_row_are_poisson_distributed() -> None:
    # Chi-squared test of the counts 0 to 5 and of those above, false-alarm rate 1e-6.
    counts = bootstrap_counts(keys(20_000), 10)
    assert counts.shape == (20_000, 10)
    observed = np.bincount(np.minimum(counts.ravel(), 6), minlength=7)
    expected = stats.poisson.pmf(np.arange(6), 1.0)
    expected = counts.size * np.append(expected, 1.0 - expected.sum())
    assert stats.chisquare(observed, expected).pvalue > 1e-6


# histograms


@EVERY
def test_a_replica_is_a_histogram_of_counted_events(observable: Any) -> None:
    records, key = random_records(60, seed=1), keys(60)
    weights = np.random.default_rng(2).uniform(-1.0, 3.0, 60)
    replicas = filled(observable, records, key, weights, 7)
    counts = bootstrap_counts(key, 7)
    for replica in range(7):
        expected = book_methods(observable, ["m"])
        entries = Entries.of(observable, records)
        entries.fill(expected, "m", (weights * counts[:, replica])[entries.event])
        expected = expected[{"method": "m"}].view(flow=True)["value"]
        np.testing.assert_allclose(content(replicas)[replica], expected, rtol=1e-12, atol=1e-12)


@EVERY
def test_replicas_of_one_method_leave_the_others_alone(observable: Any) -> None:
    replicas = filled(observable, random_records(60, seed=1), keys(60), np.ones(60), 7)
    assert content(replicas).any()
    assert not content(replicas, "other").any()


@EVERY
@given(cuts=st.lists(st.integers(0, 60), max_size=3))
def test_replicas_do_not_depend_on_the_chunks(observable: Any, cuts: list[int]) -> None:
    records, key = random_records(60, seed=3), keys(60)
    weights = np.random.default_rng(4).integers(1, 5, 60).astype(float)  # sums are exact
    whole = content(filled(observable, records, key, weights, 4))
    bounds = [0, *sorted(cuts), 60]
    parts = [
        content(filled(observable, records[a:b], key[a:b], weights[a:b], 4))
        for a, b in itertools.pairwise(bounds)
    ]
    np.testing.assert_array_equal(sum(parts), whole)


def test_missing_values_are_in_no_replica() -> None:
    x = ak.unflatten(np.array([0.5, np.nan, np.nan, 1.5]), [2, 1, 1])
    records = ak.zip({"x": x, "y": ak.ones_like(x)})
    counts = bootstrap_counts(keys(3), 20)
    found = content(filled(X, records, keys(3), np.array([1.0, 100.0, 1.0]), 20))
    np.testing.assert_array_equal(found[:, 1], counts[0])
    np.testing.assert_array_equal(found[:, 2], counts[2])
    np.testing.assert_array_equal(found.sum(axis=1), counts[0] + counts[2])


def test_entries_of_one_event_share_their_counts() -> None:
    records = ak.zip({"x": [[0.5, 0.6, 1.5], [2.5]], "y": [[0.1, 0.1, 0.1], [0.1]]})
    found = content(filled(X, records, keys(2), np.ones(2), 50))
    np.testing.assert_array_equal(found[:, 1], 2.0 * found[:, 2])
    assert len(np.unique(found[:, 2])) > 2
    assert (found[:, 3] != found[:, 2]).any()


def test_an_event_without_entries_is_in_no_bin() -> None:
    records = ak.zip({"x": ak.Array([[], []]) * 1.0, "y": ak.Array([[], []]) * 1.0})
    assert not content(filled(X, records, keys(2), np.ones(2), 5)).any()


def test_two_histograms_have_the_same_replicas_of_an_event() -> None:
    records = random_records(200, seed=5)
    whole = content(filled(X, records, keys(200), np.ones(200), 6))
    both = content(filled(XY, records, keys(200), np.ones(200), 6))
    np.testing.assert_array_equal(both.sum(axis=2), whole)


@given(weights=sts.column(30, st.floats(0.0, 10.0)))
def test_replicas_are_linear_in_the_weights(weights: Array) -> None:
    records, key = random_records(30, seed=6), keys(30)
    single = content(filled(X, records, key, weights, 5))
    double = content(filled(X, records, key, 2.0 * weights, 5))
    np.testing.assert_array_equal(double, 2.0 * single)


# covariance


def test_the_covariance_is_that_of_the_bins_over_the_replicas() -> None:
    histogram = filled(XY, random_records(100, seed=7), keys(100), np.ones(100), 9)
    values = content(histogram)[:, 1:-1, 1:-1].reshape(9, 6)
    centred = values - values.mean(axis=0)
    np.testing.assert_allclose(covariance(histogram, "m"), centred.T @ centred / 8.0, atol=1e-12)


def test_the_covariance_of_a_single_bin_is_a_matrix() -> None:
    one = Observable("one", first_x, "event", (0.0, 3.0), "x")
    histogram = filled(one, random_records(100, seed=7), keys(100), np.ones(100), 9)
    assert covariance(histogram, "m").shape == (1, 1)


N_REPLICAS = 600
RECORDS, WEIGHTS = random_records(6000, seed=8), np.random.default_rng(9).uniform(0.5, 3.0, 6000)


@pytest.fixture(scope="module")
def large() -> hist.Hist[Any]:
    """Three bins with thousands of objects each, so that their sums are Gaussian."""
    return filled(X, RECORDS, keys(6000), WEIGHTS, N_REPLICAS)


def exact_covariance() -> Array:
    """Sum over the events of the products of what they put into two bins."""
    entries = Entries.of(X, RECORDS)
    per_event = np.zeros((6000, 5))
    np.add.at(per_event, (entries.event, entries.bins), WEIGHTS[entries.event])
    result: Array = per_event[:, 1:-1].T @ per_event[:, 1:-1]
    return result


def test_the_bootstrap_spread_is_the_root_of_the_sum_of_squared_weights() -> None:
    # The relative error of a spread of 600 replicas is 1/sqrt(1200) = 2.9%. Five of them, for
    # three bins and two flow bins: false-alarm rate 3e-6.
    histogram = filled(FIRST, RECORDS, keys(6000), WEIGHTS, N_REPLICAS)
    entries, expected = Entries.of(FIRST, RECORDS), book_methods(FIRST, ["m"])
    entries.fill(expected, "m", WEIGHTS[entries.event])
    spread = content(histogram).std(axis=0, ddof=1)
    errors = np.sqrt(expected[{"method": "m"}].view(flow=True)["variance"])
    np.testing.assert_allclose(spread, errors, rtol=5.0 / np.sqrt(2.0 * N_REPLICAS))


def test_the_mean_of_the_replicas_is_the_nominal_histogram(large: hist.Hist[Any]) -> None:
    # Chi-squared test of the means of three bins, which have a covariance, false-alarm rate 1e-6.
    entries, nominal = Entries.of(X, RECORDS), book_methods(X, ["m"])
    entries.fill(nominal, "m", WEIGHTS[entries.event])
    difference = content(large)[:, 1:-1].mean(axis=0) - nominal[{"method": "m"}].values()
    chi2 = N_REPLICAS * difference @ np.linalg.solve(exact_covariance(), difference)
    assert stats.chi2.sf(chi2, 3) > 1e-6


def test_bins_that_share_events_are_correlated_as_they_should_be(large: hist.Hist[Any]) -> None:
    # With the exact covariance C, the variance of an element of the estimate is
    # (C_ij^2 + C_ii C_jj) / (replicas - 1). Six elements within five sigma: rate 3e-6.
    exact = exact_covariance()
    sigma = np.sqrt((exact**2 + np.outer(exact.diagonal(), exact.diagonal())) / (N_REPLICAS - 1))
    assert (np.abs(covariance(large, "m") - exact) < 5.0 * sigma).all()
    correlation = exact[0, 1] / np.sqrt(exact[0, 0] * exact[1, 1])
    assert exact[0, 1] > 5.0 * sigma[0, 1]  # so the test sees it
    assert correlation > 0.2
