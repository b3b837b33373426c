from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import vector
from hypothesis import example, given, settings

from hepsilon import InputError
from hepsilon.arrays import geometry
from tests.helpers import strategies as sts

PER_OBJECT: dict[str, Callable[[ak.Array], ak.Array]] = {
    "delta_r_to_nearest": geometry.delta_r_to_nearest,
    "proximity": geometry.proximity,
    "count_close": geometry.count_close,
}
ALL: dict[str, Callable[[ak.Array], Any]] = PER_OBJECT | {
    "delta_r_to_all": geometry.delta_r_to_all,
    "pair_masses": geometry.pair_masses,
    "leading_pair_mass": geometry.leading_pair_mass,
    "leading_pair_delta_r": geometry.leading_pair_delta_r,
}

OPPOSITE = ak.Array(
    [[{"eta": 0.0, "phi": phi} for phi in (-2.3400688376806325, 0.8015238159091601)]]
)
"""Two jets whose difference of angles and its negative were once wrapped to other last digits."""


def with_vector(jets: ak.Array) -> ak.Array:
    return vector.zip({name: jets[name] for name in ("pt", "eta", "phi", "mass")})


# angles


def test_delta_phi_of_jagged_angles_keeps_the_events(jets: ak.Array) -> None:
    difference = geometry.delta_phi(jets.phi, jets.phi)
    assert difference.to_list() == [[0.0] * n for n in (3, 0, 1, 4, 2)]


def test_delta_phi_broadcasts_an_angle_per_event(jets: ak.Array) -> None:
    met_phi = np.array([3.0, 0.0, 1.0, -2.0, 2.0])
    expected = with_vector(jets).deltaphi(vector.array({"pt": np.ones(5), "phi": met_phi}))
    difference = geometry.delta_phi(jets.phi, met_phi)
    np.testing.assert_allclose(ak.flatten(difference), ak.flatten(expected), atol=1e-12)
    assert ak.num(difference).to_list() == [3, 0, 1, 4, 2]


def test_delta_phi_per_event_is_flat() -> None:
    difference = geometry.delta_phi(np.array([3.0, 0.0]), np.array([-3.0, 1.0]))
    assert difference.to_list() == pytest.approx([6.0 - 2.0 * np.pi, -1.0])


# distances


def test_delta_r_to_all_agrees_with_vector(jets: ak.Array) -> None:
    first, second = ak.unzip(ak.cartesian([with_vector(jets)] * 2, nested=True))
    itself = ak.local_index(jets.pt)
    others = ak.local_index(second.pt, axis=2) != itself[:, :, np.newaxis]
    expected = first.deltaR(second)[others]
    ours = geometry.delta_r_to_all(jets)
    assert ak.num(ours, axis=2).to_list() == ak.num(expected, axis=2).to_list()
    np.testing.assert_allclose(ak.flatten(ours, None), ak.flatten(expected, None), atol=1e-12)


def test_lone_object_has_no_distances() -> None:
    lone = ak.Array([[{"eta": 0.5, "phi": 0.5}]])
    assert geometry.delta_r_to_all(lone).to_list() == [[[]]]
    assert geometry.delta_r_to_nearest(lone).to_list() == [[math.inf]]
    assert geometry.proximity(lone).to_list() == [[0.0]]
    assert geometry.count_close(lone).to_list() == [[0]]


@given(jets=sts.jet_records())
@example(jets=OPPOSITE)
def test_nearest_distance_is_the_smallest_of_all(jets: ak.Array) -> None:
    smallest = ak.fill_none(ak.min(geometry.delta_r_to_all(jets), axis=2), np.inf)
    assert geometry.delta_r_to_nearest(jets).to_list() == smallest.to_list()


@given(jets=sts.jet_records())
def test_count_close_counts_distances_below_the_radius(jets: ak.Array) -> None:
    close = ak.sum(geometry.delta_r_to_all(jets) < 1.5, axis=2)
    assert geometry.count_close(jets, radius=1.5).to_list() == close.to_list()


@given(jets=sts.jet_records())
def test_proximity_falls_with_the_nearest_distance(jets: ak.Array) -> None:
    expected = ak.flatten(np.exp(-geometry.delta_r_to_nearest(jets)))
    np.testing.assert_allclose(ak.flatten(geometry.proximity(jets)), expected)


# pairs


def test_pair_masses_agree_with_vector(jets: ak.Array) -> None:
    first, second = ak.unzip(ak.combinations(with_vector(jets), 2))
    ours, expected = geometry.pair_masses(jets), (first + second).mass
    assert ak.num(ours).to_list() == [3, 0, 0, 6, 1]
    np.testing.assert_allclose(ak.flatten(ours), ak.flatten(expected), rtol=1e-9)


def test_leading_pair_mass_is_the_first_of_the_pair_masses(jets: ak.Array) -> None:
    first = ak.to_numpy(ak.fill_none(ak.firsts(geometry.pair_masses(jets)), np.nan))
    np.testing.assert_array_equal(geometry.leading_pair_mass(jets), first)


def test_leading_pair_delta_r_is_that_of_the_first_two_objects(jets: ak.Array) -> None:
    first = ak.firsts(ak.flatten(geometry.delta_r_to_all(jets), axis=2))
    expected = ak.to_numpy(ak.fill_none(first, np.nan))
    np.testing.assert_array_equal(geometry.leading_pair_delta_r(jets), expected)


# all functions


@pytest.mark.parametrize("name", PER_OBJECT)
@settings(max_examples=25)
@given(pair=sts.jets_and_order())
def test_reordering_objects_reorders_results(name: str, pair: tuple[ak.Array, ak.Array]) -> None:
    jets, order = pair
    permuted, original = PER_OBJECT[name](jets[order]), PER_OBJECT[name](jets)[order]
    np.testing.assert_allclose(ak.flatten(permuted), ak.flatten(original), rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=15)
@given(jets=sts.jet_records(), cut=sts.BOUND)
def test_results_do_not_depend_on_the_chunks(name: str, jets: ak.Array, cut: int) -> None:
    parts = [ak.Array(ALL[name](part)) for part in (jets[:cut], jets[cut:])]
    together = ak.Array(ALL[name](jets))
    assert ak.array_equal(ak.concatenate(parts), together, equal_nan=True)


@pytest.mark.parametrize("name", ALL)
def test_sliced_and_masked_records_are_those_of_a_fresh_array(name: str, jets: ak.Array) -> None:
    chosen = jets[1:][jets.pt[1:] > 40.0]
    fresh = ak.Array(chosen.to_list())
    assert ak.array_equal(ALL[name](chosen), ALL[name](fresh), equal_nan=True)


@pytest.fixture(scope="module")
def fresh(nanoaod_path: Path) -> ak.Array:
    """The jets of a NanoAOD file, read without coffea."""
    with uproot.open(nanoaod_path) as file:
        columns = file["Events"].arrays([f"Jet_{name}" for name in sts.KINEMATICS])
    return ak.zip({name: columns[f"Jet_{name}"] for name in sts.KINEMATICS})


@pytest.mark.parametrize("name", ALL)
def test_virtual_records_are_those_of_a_fresh_array(
    name: str, fresh: ak.Array, nanoaod_path: Path, open_nanoaod: Callable[[Path], ak.Array]
) -> None:
    jets = open_nanoaod(nanoaod_path).Jet
    assert ak.array_equal(ALL[name](jets), ALL[name](fresh), equal_nan=True)


@pytest.mark.parametrize("name", ALL)
def test_input_is_not_changed(name: str, jets: ak.Array) -> None:
    before = ak.copy(jets)
    ALL[name](jets)
    assert ak.array_equal(jets, before)


@pytest.mark.parametrize("name", ALL)
def test_missing_fields_are_named(name: str, jets: ak.Array) -> None:
    with pytest.raises(InputError, match=r"\['phi'\] are not among \['pt', 'eta', 'mass'\]"):
        ALL[name](jets[["pt", "eta", "mass"]])


@pytest.mark.parametrize("name", ALL)
def test_option_typed_events_are_refused(name: str, jets: ak.Array) -> None:
    with pytest.raises(InputError, match="option-typed"):
        ALL[name](jets.mask[ak.num(jets) > 1])
