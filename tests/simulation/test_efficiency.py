from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon.simulation import FLAVOURS, environment_factor, jet_efficiency
from hepsilon.simulation.efficiency import environment_product
from tests.helpers import strategies as sts

Array = npt.NDArray[Any]


def as_flavours(numbers: Array) -> Array:
    """Map numbers in [0, 3) to flavours."""
    return np.array([0, 4, 5])[numbers.astype(int)]


COLUMNS = sts.flat_columns(sts.ETA, sts.PHI, st.floats(0.0, 2.9))


# one jet


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_efficiency_of_a_jet_is_a_gaussian_in_pt_and_eta(flavour: int) -> None:
    shape, pt, eta = FLAVOURS[flavour], 75.0, -1.3
    expected = (
        shape.peak
        * math.exp(-(((pt - shape.pt_mean) / shape.pt_width) ** 2) / 2.0)
        * math.exp(-((eta / shape.eta_width) ** 2) / 2.0)
    )
    (efficiency,) = jet_efficiency(np.array([pt]), np.array([eta]), np.array([flavour]))
    assert efficiency == pytest.approx(expected)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_efficiency_of_a_jet_is_largest_at_the_peak(flavour: int) -> None:
    shape = FLAVOURS[flavour]
    pt, eta = (x.ravel() for x in np.meshgrid(np.linspace(20, 600, 59), np.linspace(-2.4, 2.4, 9)))
    efficiency = jet_efficiency(pt, eta, np.full(pt.size, flavour))
    assert 0.0 < efficiency.min() <= efficiency.max() <= shape.peak < 1.0
    peak = jet_efficiency(np.array([shape.pt_mean]), np.zeros(1), np.array([flavour]))
    assert peak.tolist() == [shape.peak]


def test_flavours_are_ordered_in_efficiency() -> None:
    flavours = np.array([5, 4, 0])
    b, c, light = jet_efficiency(np.full(3, 100.0), np.zeros(3), flavours)
    assert b > c > light


def test_unsigned_flavours_are_looked_up() -> None:
    pt, eta = np.full(3, 100.0), np.zeros(3)
    unsigned = jet_efficiency(pt, eta, np.array([5, 4, 0], np.uint8))
    np.testing.assert_array_equal(unsigned, jet_efficiency(pt, eta, np.array([5, 4, 0])))


def test_unknown_flavours_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected flavours.*15"):
        jet_efficiency(np.ones(2), np.ones(2), np.array([5, 15]))


# one neighbour


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_neighbour_lowers_the_efficiency_most_at_no_distance(flavour: int) -> None:
    shape = FLAVOURS[flavour]
    distance = np.linspace(0.0, 5.0, 51)
    factor = environment_factor(distance, np.full(51, flavour))
    assert factor[0] == pytest.approx(1.0 - shape.dip)
    assert (np.diff(factor) > 0.0).all()
    assert factor[-1] == pytest.approx(1.0, abs=1e-6)


def test_a_light_neighbour_matters_most() -> None:
    b, c, light = environment_factor(np.full(3, 0.4), np.array([5, 4, 0]))
    assert light < c < b < 1.0


# all neighbours


@given(columns=COLUMNS)
def test_the_environment_is_the_product_over_all_other_jets(columns: tuple[Array, ...]) -> None:
    offsets, eta, phi, numbers = columns
    flavour = as_flavours(numbers)
    expected = np.ones(eta.size)
    for first, last in itertools.pairwise(offsets):
        for i in range(first, last):
            for j in range(first, last):
                if i == j:
                    continue
                d_phi = abs(np.angle(np.exp(1j * (phi[i] - phi[j]))))
                delta_r = math.hypot(eta[i] - eta[j], d_phi)
                shape = FLAVOURS[int(flavour[j])]
                expected[i] *= 1.0 - shape.dip * math.exp(-((delta_r / shape.radius) ** 2) / 2.0)
    ours = environment_product(offsets, eta, phi, flavour)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


@given(columns=COLUMNS)
def test_the_environment_keeps_the_efficiency_inside_the_unit_interval(
    columns: tuple[Array, ...],
) -> None:
    offsets, eta, phi, numbers = columns
    product = environment_product(offsets, eta, phi, as_flavours(numbers))
    assert ((product > 0.0) & (product <= 1.0)).all()


def test_a_lone_jet_has_no_environment() -> None:
    product = environment_product(np.array([0, 1, 1, 2]), np.zeros(2), np.zeros(2), np.zeros(2))
    assert product.tolist() == [1.0, 1.0]


def test_two_jets_see_each_others_flavour() -> None:
    zeros = np.zeros(2)
    product = environment_product(np.array([0, 2]), zeros, zeros, np.array([5, 0]))
    assert product.tolist() == pytest.approx([1.0 - FLAVOURS[0].dip, 1.0 - FLAVOURS[5].dip])
