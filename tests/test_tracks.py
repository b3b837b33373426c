from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest
import strategies as sts
import vector
from hypothesis import assume, given
from hypothesis import strategies as st

from hepsilon import InputError, tracks
from hepsilon.entries import Entries
from hepsilon.histograms import Observable, Observable2D
from hepsilon.tracks import (
    opening_azimuth,
    rapidity_difference,
    system_mass,
    system_pt,
    system_rapidity,
    track_field,
    track_observables,
)

Array = npt.NDArray[Any]

PION = 0.13957
PT, ETA, MASS = st.floats(0.1, 5.0), st.floats(-2.0, 2.0), st.floats(0.1, 1.0)
SPHERICAL = ["pt", "eta", "phi", "mass"]
CARTESIAN = ["px", "py", "pz", "mass"]
NOTATIONS = pytest.mark.parametrize("notation", [SPHERICAL, CARTESIAN], ids=["pt", "px"])


@st.composite
def vectors(draw: st.DrawFn) -> list[Any]:
    """For each event a vector array of its tracks."""
    offsets, *columns = draw(sts.flat_columns(PT, ETA, sts.PHI, MASS, max_objects=4))
    bounds = zip(offsets[:-1], offsets[1:], strict=True)
    return [
        vector.array({n: c[a:b] for n, c in zip(SPHERICAL, columns, strict=True)})
        for a, b in bounds
    ]


def records_of(events: list[Any], notation: list[str] = SPHERICAL) -> ak.Array:
    """The same tracks as records with the given fields."""
    counts = np.array([len(event) for event in events], np.int64)
    columns = {}
    for name in notation:
        values = [np.asarray(getattr(event, name), float) for event in events]
        columns[name] = ak.unflatten(np.concatenate([np.empty(0), *values]), counts)
    return ak.zip(columns)


def sums_of(events: list[Any]) -> list[Any]:
    """Four-vector of the system of every event; None without tracks."""
    return [event.sum() if len(event) else None for event in events]


def expected_of(sums: list[Any], name: str) -> list[float]:
    return [np.nan if total is None else float(getattr(total, name)) for total in sums]


def close(ours: Array, expected: list[float], atol: float = 1e-9) -> None:
    assert isinstance(ours, np.ndarray)
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, np.array(expected, float), rtol=1e-9, atol=atol)


# systems


@NOTATIONS
@given(events=vectors())
def test_the_system_is_the_sum_of_the_four_vectors(notation: list[str], events: list[Any]) -> None:
    records, sums = records_of(events, notation), sums_of(events)
    close(system_mass(records), expected_of(sums, "mass"), atol=1e-6)  # sqrt of a difference
    close(system_rapidity(records), expected_of(sums, "rapidity"))
    close(system_pt(records), expected_of(sums, "pt"))


@NOTATIONS
def test_two_tracks_back_to_back(notation: list[str]) -> None:
    pair = vector.array(
        {"px": [0.6, -0.6], "py": [0.0, 0.0], "pz": [0.8, -0.8], "mass": [0.0, 0.0]}
    )
    records = records_of([pair], notation)
    close(system_mass(records), [2.0])
    close(system_pt(records), [0.0])
    close(system_rapidity(records), [0.0])
    close(rapidity_difference(records), [2.0 * np.arctanh(0.8)])
    close(opening_azimuth(records), [np.pi])


@NOTATIONS
@given(events=vectors())
def test_a_given_mass_stands_for_the_field(notation: list[str], events: list[Any]) -> None:
    as_pions = [
        vector.array(
            {name: getattr(e, name) for name in SPHERICAL[:3]} | {"mass": 0.0 * e.pt + PION}
        )
        for e in events
    ]
    with_field, without = records_of(as_pions, notation), records_of(events, notation[:3])
    for function in (system_mass, system_rapidity, rapidity_difference):
        np.testing.assert_array_equal(function(without, mass=PION), function(with_field))
        np.testing.assert_array_equal(  # also where there is a field
            function(records_of(events, notation), mass=PION), function(with_field)
        )


def test_no_mass_at_all_is_refused() -> None:
    records = records_of([vector.array({"pt": [1.0], "eta": [0.0], "phi": [0.0], "mass": [0.1]})])
    for function in (system_mass, system_rapidity, rapidity_difference):
        with pytest.raises(InputError, match="expected the field 'mass'"):
            function(records[["pt", "eta", "phi"]])


@given(events=vectors())
def test_the_system_does_not_depend_on_the_order_of_the_tracks(events: list[Any]) -> None:
    records = records_of(events)
    for function in (system_mass, system_rapidity, system_pt):
        backwards, forwards = function(records[:, ::-1]), function(records)
        np.testing.assert_allclose(backwards, forwards, rtol=1e-9, atol=1e-6)


# the leading tracks


@NOTATIONS
@given(events=vectors())
def test_the_difference_of_rapidities_is_that_of_the_first_two(
    notation: list[str], events: list[Any]
) -> None:
    pairs = [e.rapidity[:2] if len(e) > 1 else [np.nan, np.nan] for e in events]
    close(rapidity_difference(records_of(events, notation)), [a - b for a, b in pairs])


@NOTATIONS
@given(events=vectors())
def test_the_opening_azimuth_is_that_of_the_first_two(
    notation: list[str], events: list[Any]
) -> None:
    ours = opening_azimuth(records_of(events, notation))
    close(ours, [abs(e[0].deltaphi(e[1])) if len(e) > 1 else np.nan for e in events])
    known = ours[~np.isnan(ours)]
    assert ((known >= 0.0) & (known <= np.pi)).all()


def test_the_opening_azimuth_goes_over_the_seam() -> None:
    records = ak.Array([[{"phi": 3.1}, {"phi": -3.1}], [{"phi": -0.5}, {"phi": 1.0}]])
    assert opening_azimuth(records).tolist() == pytest.approx([2.0 * np.pi - 6.2, 1.5])


@NOTATIONS
@given(events=vectors(), number=st.integers(0, 3))
def test_a_field_of_one_track(notation: list[str], events: list[Any], number: int) -> None:
    records = records_of(events, notation)
    for name in ("pt", "eta", "phi", "mass"):
        values = [getattr(e, name)[number] if len(e) > number else np.nan for e in events]
        close(track_field(records, name, number), values)


# events with few tracks


ONE = [{"pt": 1.0, "eta": 0.5, "phi": 0.1, "mass": PION}]
PER_EVENT = [
    system_mass,
    system_rapidity,
    system_pt,
    rapidity_difference,
    opening_azimuth,
]


@pytest.mark.parametrize("function", PER_EVENT)
def test_events_with_too_few_tracks_have_no_value(function: Callable[..., Any]) -> None:
    none, one, two = function(ak.Array([[], ONE, ONE * 2]))
    assert np.isnan(none)
    assert np.isnan(one) == (function in (rapidity_difference, opening_azimuth))
    assert np.isfinite(two)


@pytest.mark.parametrize("function", PER_EVENT)
def test_no_events_have_no_values(function: Callable[..., Any]) -> None:
    assert function(ak.Array([ONE])[:0]).shape == (0,)


def test_a_single_track_is_its_own_system() -> None:
    records = ak.Array([ONE])
    assert system_mass(records).tolist() == pytest.approx([PION])
    assert system_pt(records).tolist() == pytest.approx([1.0])


def test_float32_columns_keep_the_mass_near_the_threshold() -> None:
    # Of the square of 2 GeV, float32 keeps 5e-7 GeV^2: 1e-6 of the mass of two pions.
    pair = [{"pt": 1.0, "eta": 0.3, "phi": 0.1, "mass": PION}] * 2
    mass = system_mass(ak.values_astype(ak.Array([pair]), np.float32))
    assert mass.dtype == np.float64
    assert mass.tolist() == pytest.approx([2.0 * PION], rel=1e-5)


# the list of observables


SINGLE = ["M", "Y", "Pt", "pt", "eta", "dy"]
DOUBLE = ["eta_phi", "eta1_eta2", "pt1_pt2", "M_dphi", "M_Pt", "M_pt1"]


def by_name(**options: Any) -> dict[str, Any]:
    return {observable.name: observable for observable in track_observables(**options)}


def test_all_observables_of_the_reference_are_there() -> None:
    observables = track_observables()
    assert [o.name for o in observables] == SINGLE + DOUBLE
    assert all(isinstance(o, Observable) for o in observables[: len(SINGLE)])
    assert all(isinstance(o, Observable2D) for o in observables[len(SINGLE) :])
    objects = [o.name for o in observables if o.level == "object"]
    assert objects == ["pt", "eta", "eta_phi"]


def test_axes_have_the_ranges_of_the_task() -> None:
    options = {"mass_range": (0.5, 3.5), "pt_max": 4.0, "pt_min": 0.3, "eta_max": 2.4}
    observables = by_name(**options, bins=10, bins_2d=4)
    mass, eta, pt, system_pt_range = (0.5, 3.5), (-2.4, 2.4), (0.3, 4.0), (0.0, 4.0)
    expected = {
        "M": [mass],
        "Y": [eta],
        "Pt": [system_pt_range],
        "pt": [pt],
        "eta": [eta],
        "dy": [(-4.8, 4.8)],
        "eta_phi": [eta, (-np.pi, np.pi)],
        "eta1_eta2": [eta, eta],
        "pt1_pt2": [pt, pt],
        "M_dphi": [mass, (0.0, np.pi)],
        "M_Pt": [mass, system_pt_range],
        "M_pt1": [mass, pt],
    }
    for name, ranges in expected.items():
        axes = observables[name].axes
        assert [(axis.edges[0], axis.edges[-1]) for axis in axes] == ranges
        assert {axis.size for axis in axes} == {10 if len(axes) == 1 else 4}
        for axis in axes:
            np.testing.assert_allclose(np.diff(axis.edges), axis.widths.mean(), rtol=1e-12)


def test_the_default_axes_are_those_of_the_simulated_region() -> None:
    observables = by_name()
    (mass,), (pt,), (eta,) = (observables[name].axes for name in ("M", "pt", "eta"))
    assert (mass.edges[0], mass.edges[-1], mass.size) == (0.25, 2.75, 50)
    assert (pt.edges[0], pt.edges[-1]) == (0.2, 2.0)
    assert (eta.edges[0], eta.edges[-1]) == (-0.9, 0.9)
    assert {axis.size for axis in observables["M_Pt"].axes} == {20}


def test_every_axis_of_the_observables_has_a_label() -> None:
    for observable in track_observables():
        assert all(axis.label for axis in observable.axes)


@pytest.mark.parametrize("mass", [None, PION])
@NOTATIONS
def test_observables_evaluate_before_and_after_pickling(
    notation: list[str], mass: float | None
) -> None:
    rng = np.random.default_rng(1)
    events = [
        vector.array(
            {
                "pt": rng.uniform(0.2, 2.0, n),
                "eta": rng.uniform(-0.9, 0.9, n),
                "phi": rng.uniform(-3.1, 3.1, n),
                "mass": np.full(n, PION),
            }
        )
        for n in (2, 0, 4, 1)
    ]
    records = records_of(events, notation if mass is None else notation[:3])
    observables = track_observables(mass)
    restored = pickle.loads(pickle.dumps(observables))
    assert [o.name for o in restored] == [o.name for o in observables]
    for before, after in zip(observables, restored, strict=True):
        ours, again = Entries.of(before, records), Entries.of(after, records)
        np.testing.assert_array_equal(again.values, ours.values)
        few = {"M": 3, "Y": 3, "Pt": 3, "M_Pt": 3, "M_pt1": 3}  # events with a track
        two = dict.fromkeys(["dy", "eta1_eta2", "pt1_pt2", "M_dphi"], 2)  # with two
        assert len(ours.event) == (few | two).get(before.name, 7)


def test_observables_are_what_their_names_say() -> None:
    first, second = (0.9, 0.4, 3.0, PION), (0.5, -0.7, -2.9, PION)
    pair = vector.array(dict(zip(SPHERICAL, np.array([first, second]).T, strict=True)))
    total, opening = pair.sum(), 2.0 * np.pi - 5.9
    expected = {
        "M": [total.mass],
        "Y": [total.rapidity],
        "Pt": [total.pt],
        "pt": [[0.9, 0.5]],
        "eta": [[0.4, -0.7]],
        "dy": [pair.rapidity[0] - pair.rapidity[1]],
        "eta_phi": [[0.4, -0.7], [3.0, -2.9]],
        "eta1_eta2": [0.4, -0.7],
        "pt1_pt2": [0.9, 0.5],
        "M_dphi": [total.mass, opening],
        "M_Pt": [total.mass, total.pt],
        "M_pt1": [total.mass, 0.9],
    }
    observables = by_name()
    for name, values in expected.items():
        found = Entries.of(observables[name], records_of([pair])).values
        for ours, value in zip(found, values, strict=True):
            np.testing.assert_allclose(ours, np.atleast_1d(value), rtol=1e-9)


def test_functions_of_tracks_are_public() -> None:
    assert set(tracks.__all__) <= set(dir(tracks))
    assert all(callable(function) for function in PER_EVENT)


@given(events=vectors(), boost=st.floats(-1.0, 1.0))
def test_mass_and_pt_are_invariant_under_boosts_along_the_beam(
    events: list[Any], boost: float
) -> None:
    assume(any(len(e) for e in events))
    moved = [e.boostZ(beta=boost * 0.5) for e in events]
    before, after = records_of(events, CARTESIAN), records_of(moved, CARTESIAN)
    np.testing.assert_allclose(system_mass(after), system_mass(before), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(system_pt(after), system_pt(before), rtol=1e-9, atol=1e-9)
    shift = system_rapidity(after) - system_rapidity(before)
    np.testing.assert_allclose(shift[~np.isnan(shift)], np.arctanh(boost * 0.5), atol=1e-9)
