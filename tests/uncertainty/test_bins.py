from __future__ import annotations

from typing import Any

import hist
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import InputError
from hepsilon.uncertainty import (
    bin_variations,
    check_covariance,
    histogram_band,
    histogram_covariance,
    replica_values,
    replica_variations,
)

Array = npt.NDArray[Any]


def drawn(n_replicas: int, n_bins: int, seed: int) -> Array:
    """Replicas with correlated bins of very different sizes."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n_replicas, 1))
    return (10.0 ** rng.uniform(-2, 4, n_bins)) * (
        1.0 + 0.05 * common + 0.02 * rng.normal(size=(n_replicas, n_bins))
    )


def filled(values: Array) -> hist.Hist[Any]:
    """Histogram with an axis of replicas behind that of the bins."""
    n_replicas, n_bins = values.shape
    histogram = hist.Hist(
        hist.axis.Regular(n_bins, 0, 1, name="x"),
        hist.axis.Integer(0, n_replicas, name="replica", flow=False),
        storage=hist.storage.Double(),
    )
    histogram.view()[...] = values.T
    return histogram


SIZES = st.tuples(st.integers(2, 12), st.integers(1, 8), st.integers(0, 10**6))


@given(SIZES)
def test_covariance_is_that_of_the_replicas(sizes: tuple[int, int, int]) -> None:
    values = drawn(*sizes)
    expected = np.atleast_2d(np.cov(values, rowvar=False))
    found = histogram_covariance(filled(values))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * expected.max())


def test_histograms_together_have_one_covariance() -> None:
    a, b = drawn(7, 3, 1), drawn(7, 2, 2)
    found = histogram_covariance(filled(a), filled(b))
    np.testing.assert_allclose(found, np.cov(np.hstack([a, b]), rowvar=False), rtol=1e-12)


def test_axes_of_two_dimensions_are_flattened_in_order() -> None:
    values = drawn(5, 6, 3)
    histogram = hist.Hist(
        hist.axis.Integer(0, 5, name="replica", flow=False),
        hist.axis.Regular(2, 0, 1, name="x"),
        hist.axis.Regular(3, 0, 1, name="y"),
        storage=hist.storage.Double(),
    )
    histogram.view()[...] = values.reshape(5, 2, 3)
    np.testing.assert_allclose(
        histogram_covariance(histogram), np.cov(values, rowvar=False), rtol=1e-12
    )


def test_band_of_a_gaussian() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal([100.0, 5.0], [10.0, 0.5], (20_000, 2))
    low, high = histogram_band(filled(values), np.array([100.0, 5.0]), level=0.95)
    np.testing.assert_allclose(high - 100.0 * np.array([1, 0.05]), [19.6, 0.98], rtol=0.03)
    np.testing.assert_allclose((low + high) / 2.0, [100.0, 5.0])
    middle = filled(values).project("x")
    assert histogram_band(filled(values), middle)[0].shape == (2,)


@given(SIZES, st.floats(0.3, 1.0), st.integers(1, 12))
def test_squares_of_the_shifts_are_the_variances(
    sizes: tuple[int, int, int], share: float, at_most: int
) -> None:
    values = drawn(*sizes)
    covariance = np.atleast_2d(np.cov(values, rowvar=False))
    found = bin_variations(covariance, np.sqrt(values.mean(axis=0)), share=share, at_most=at_most)
    squares = sum(shift**2 for shift in found.shifts.values())
    np.testing.assert_allclose(squares, np.diag(covariance), rtol=1e-6)
    numbered = [name for name in found.shifts if name != "rest"]
    assert numbered == [str(i) for i in range(len(numbered))]
    assert len(numbered) <= at_most
    held = sum(found.shares[name] for name in numbered)
    assert held >= share - 1e-9 or len(numbered) == at_most
    assert sum(found.shares.values()) == pytest.approx(1.0, abs=1e-6)


@given(SIZES)
def test_all_of_them_are_the_covariance(sizes: tuple[int, int, int]) -> None:
    covariance = np.atleast_2d(np.cov(drawn(*sizes), rowvar=False))
    found = bin_variations(covariance, share=1.0, at_most=100)
    together = sum(np.outer(s, s) for n, s in found.shifts.items() if n != "rest")
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    np.testing.assert_allclose(together / scale, covariance / scale, atol=1e-6)


@given(SIZES, st.floats(0.3, 1.0))
def test_replicas_lead_to_the_same_as_their_covariance(
    sizes: tuple[int, int, int], share: float
) -> None:
    values = drawn(*sizes)
    errors = np.sqrt(np.abs(values[0]))
    covariance = np.atleast_2d(np.cov(values, rowvar=False))
    a = bin_variations(covariance, errors, share=share, at_most=3)
    b = replica_variations(values, errors, share=share, at_most=3)
    squares = [sum(shift**2 for shift in found.shifts.values()) for found in (a, b)]
    np.testing.assert_allclose(*squares, rtol=1e-6)
    assert a.shares["0"] == pytest.approx(b.shares["0"], rel=1e-6)


def test_many_bins_are_no_matter() -> None:
    values = drawn(20, 20_000, 1)
    found = replica_variations(values)
    assert sum(found.shares.values()) == pytest.approx(1.0)


def test_what_can_be_seen_comes_first() -> None:
    covariance = np.diag([1.0, 4.0])
    by_size = bin_variations(covariance, np.ones(2)).shifts["0"]
    assert by_size.tolist() == [0.0, 2.0]
    by_error = bin_variations(covariance, np.array([0.1, 10.0])).shifts["0"]
    assert by_error.tolist() == [1.0, 0.0]


def test_nothing_varies_without_covariance() -> None:
    found = bin_variations(np.zeros((3, 3)))
    assert (found.shifts, found.shares) == ({}, {})
    found = bin_variations(np.diag([0.0, 4.0]), np.array([0.0, 1.0]))  # and no bin in vain
    assert found.shifts["0"].tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    ("matrix", "text"),
    [
        (np.ones((2, 3)), "square"),
        (np.array([[np.nan, 0], [0, 1]]), "1 of 4 elements are NaN"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
        (np.diag([1.0, -1.0]), r"bins \[1\] are negative"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "no negative eigenvalue"),
    ],
)
def test_no_covariance_is_refused(matrix: Array, text: str) -> None:
    with pytest.raises(InputError, match=text):
        check_covariance(matrix)
    with pytest.raises(InputError, match=text):
        bin_variations(matrix)


def test_six_digits_are_enough() -> None:
    covariance = np.cov(drawn(4, 8, 5), rowvar=False)  # of rank 3
    rounded = np.array([float(f"{x:.6g}") for x in covariance.ravel()]).reshape(8, 8)
    np.testing.assert_allclose(check_covariance(rounded), rounded)


@pytest.mark.parametrize("options", [{"share": 0.0}, {"share": 1.1}, {"at_most": 0}])
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected a share"):
        bin_variations(np.eye(2), **options)


@pytest.mark.parametrize("errors", [[1.0], [1.0, -1.0], [1.0, np.nan]])
def test_errors_are_those_of_the_bins(errors: list[float]) -> None:
    with pytest.raises(InputError, match="2 finite numbers"):
        bin_variations(np.eye(2), np.array(errors))


def test_replicas_are_needed() -> None:
    plain = hist.new.Reg(2, 0, 1, name="x").Double()
    with pytest.raises(InputError, match=r"axis 'replica', received axes \['x'\]"):
        replica_values(plain)
    with pytest.raises(InputError, match="two or more replicas, received 1"):
        histogram_band(filled(drawn(3, 2, 1)[:1]))
    values = drawn(3, 2, 1)
    values[1, 1] = np.nan
    with pytest.raises(InputError, match="1 of 6 contents are NaN"):
        replica_values(filled(values))
    with pytest.raises(InputError, match="equally many replicas"):
        histogram_covariance(filled(drawn(3, 2, 1)), filled(drawn(4, 2, 1)))
    with pytest.raises(InputError, match="received no histogram"):
        histogram_covariance()


def test_bands_of_other_bins_are_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(2,\), received \(3,\)"):
        histogram_band(filled(drawn(3, 2, 1)), np.ones(3))
    with pytest.raises(InputError, match="level in"):
        histogram_band(filled(drawn(3, 2, 1)), level=1.0)
