from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest
import vector
from hypothesis import given, settings
from hypothesis import strategies as st

from hepsilon import InputError
from hepsilon.arrays.fields import DERIVED
from hepsilon.histograms import Observable, Observable2D
from hepsilon.histograms.entries import Entries
from hepsilon.histograms.observables import split_available
from hepsilon.histograms.tracks import (
    TRACK_CATALOGUE,
    opening_azimuth,
    rapidity_difference,
    system_mass,
    system_pt,
    system_rapidity,
    track_field,
    track_observables,
)
from tests.helpers import strategies as sts

Array = npt.NDArray[Any]

PION = 0.13957
PT, ETA, MASS = st.floats(0.1, 5.0), st.floats(-2.0, 2.0), st.floats(0.1, 1.0)
FEWER = settings(max_examples=12)  # of many awkward calls
SPHERICAL = ["pt", "eta", "phi", "mass"]
CARTESIAN = ["px", "py", "pz", "mass"]
NOTATIONS = pytest.mark.parametrize("notation", [SPHERICAL, CARTESIAN], ids=["pt", "px"])


@dataclass
class Sample:
    """Tracks of events as flat four-vectors, whose sums are those of the vector package."""

    counts: Array
    tracks: Any

    def records(self, notation: list[str]) -> ak.Array:
        """Jagged records with the given fields."""
        columns = {name: np.asarray(getattr(self.tracks, name), float) for name in notation}
        return ak.zip({name: ak.unflatten(column, self.counts) for name, column in columns.items()})

    def system(self, name: str) -> Array:
        """A quantity of the sum of all tracks; NaN without tracks."""
        event = np.repeat(np.arange(self.counts.size), self.counts)
        components = {
            c: np.bincount(event, getattr(self.tracks, c), minlength=self.counts.size)
            for c in ("px", "py", "pz", "E")
        }
        exists = self.counts > 0
        total = vector.array({c: column[exists] for c, column in components.items()})
        return self._where(exists, getattr(total, name))

    def of_track(self, name: str, number: int) -> Array:
        """A quantity of one track; NaN with fewer."""
        exists = self.counts > number
        first = np.cumsum(self.counts) - self.counts
        return self._where(exists, getattr(self.tracks, name)[first[exists] + number])

    def _where(self, exists: Array, values: Array) -> Array:
        out = np.full(self.counts.size, np.nan)
        out[exists] = values
        return out


def sample_of(*events: list[tuple[float, float, float, float]]) -> Sample:
    """Events with given pt, eta, phi and mass of every track."""
    columns = np.array([track for event in events for track in event], float).reshape(-1, 4).T
    counts = np.array([len(event) for event in events], np.int64)
    return Sample(counts, vector.array(dict(zip(SPHERICAL, columns, strict=True))))


SAMPLES = sts.flat_columns(PT, ETA, sts.PHI, MASS, max_objects=4).map(
    lambda c: Sample(np.diff(c[0]), vector.array(dict(zip(SPHERICAL, c[1:], strict=True))))
)


def close(ours: Array, expected: Any) -> None:
    assert isinstance(ours, np.ndarray)
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-9)


# systems


@NOTATIONS
@FEWER
@given(sample=SAMPLES)
def test_the_system_is_the_sum_of_the_four_vectors(notation: list[str], sample: Sample) -> None:
    records = sample.records(notation)
    close(system_mass(records), sample.system("mass"))
    close(system_rapidity(records), sample.system("rapidity"))
    close(system_pt(records), sample.system("pt"))


def test_two_tracks_back_to_back() -> None:
    track = {"px": 0.6, "py": 0.0, "pz": 0.8, "mass": 0.0}
    records = ak.Array([[track, track | {"px": -0.6, "pz": -0.8}]])
    close(system_mass(records), [2.0])
    close(system_pt(records), [0.0])
    close(system_rapidity(records), [0.0])
    close(rapidity_difference(records), [2.0 * np.arctanh(0.8)])
    close(opening_azimuth(records), [np.pi])


@NOTATIONS
@FEWER
@given(sample=SAMPLES)
def test_a_given_mass_stands_for_the_field(notation: list[str], sample: Sample) -> None:
    records = sample.records(notation)
    as_pions = ak.with_field(records, ak.full_like(records["mass"], PION), "mass")
    for function in (system_mass, system_rapidity, rapidity_difference):
        expected = function(as_pions)
        for some in (records[notation[:3]], records):  # the oldest vector rounds otherwise
            np.testing.assert_allclose(function(some, mass=PION), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("function", [system_mass, system_rapidity, rapidity_difference])
def test_no_mass_at_all_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="expected the field 'mass'"):
        function(ak.Array([[{"pt": 1.0, "eta": 0.0, "phi": 0.0}]]))


@pytest.mark.parametrize("function", [system_mass, system_rapidity, system_pt])
@FEWER
@given(sample=SAMPLES)
def test_the_system_does_not_depend_on_the_order_of_the_tracks(
    function: Callable[..., Any], sample: Sample
) -> None:
    records = sample.records(SPHERICAL)
    close(function(records[:, ::-1]), function(records))


@FEWER
@given(sample=SAMPLES, beta=st.floats(-0.5, 0.5))
def test_a_boost_along_the_beam_changes_only_the_rapidity(sample: Sample, beta: float) -> None:
    moved = Sample(sample.counts, sample.tracks.boostZ(beta=beta))
    before, after = sample.records(CARTESIAN), moved.records(CARTESIAN)
    close(system_mass(after), system_mass(before))
    close(system_pt(after), system_pt(before))
    close(system_rapidity(after), system_rapidity(before) + np.arctanh(beta))
    close(rapidity_difference(after), rapidity_difference(before))


# the leading tracks


@NOTATIONS
@given(sample=SAMPLES)
def test_the_difference_of_rapidities_is_that_of_the_first_two(
    notation: list[str], sample: Sample
) -> None:
    expected = sample.of_track("rapidity", 0) - sample.of_track("rapidity", 1)
    close(rapidity_difference(sample.records(notation)), expected)


@NOTATIONS
@given(sample=SAMPLES)
def test_the_opening_azimuth_is_that_of_the_first_two(notation: list[str], sample: Sample) -> None:
    ours = opening_azimuth(sample.records(notation))
    difference = sample.of_track("phi", 0) - sample.of_track("phi", 1)
    close(ours, np.abs(np.angle(np.exp(1j * difference))))
    assert (np.isnan(ours) | ((ours >= 0.0) & (ours <= np.pi))).all()


def test_the_opening_azimuth_goes_over_the_seam() -> None:
    records = ak.Array([[{"phi": 3.1}, {"phi": -3.1}], [{"phi": -0.5}, {"phi": 1.0}]])
    assert opening_azimuth(records).tolist() == pytest.approx([2.0 * np.pi - 6.2, 1.5])


@NOTATIONS
@given(sample=SAMPLES, number=st.integers(0, 3))
def test_a_field_of_one_track(notation: list[str], sample: Sample, number: int) -> None:
    for name in SPHERICAL:
        ours = track_field(sample.records(notation), name, number)
        close(ours, sample.of_track(name, number))


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


SINGLE = ["M", "Y", "Pt", "pt", "eta", "dy", "qphi", "bending"]
DOUBLE = ["eta_phi", "eta1_eta2", "pt1_pt2", "M_dphi", "M_Pt", "M_pt1"]


def charged(records: ak.Array) -> ak.Array:
    """The tracks with charges: positive and negative ones in turns."""
    return ak.with_field(records, 1 - 2 * (ak.local_index(records, axis=1) % 2), "charge")


def by_name(**options: Any) -> dict[str, Any]:
    return {observable.name: observable for observable in track_observables(**options)}


def test_all_observables_of_the_reference_are_there() -> None:
    observables = track_observables()
    assert [o.name for o in observables] == SINGLE + DOUBLE
    assert all(isinstance(o, Observable) for o in observables[: len(SINGLE)])
    assert all(isinstance(o, Observable2D) for o in observables[len(SINGLE) :])
    objects = [o.name for o in observables if o.level == "object"]
    assert objects == ["pt", "eta", "qphi", "bending", "eta_phi"]


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


@pytest.mark.parametrize("name", TRACK_CATALOGUE)
@NOTATIONS
def test_observables_need_the_fields_that_they_declare_and_no_others(
    notation: list[str], name: str
) -> None:
    """In both notations: every one of the fields, and nothing beside them."""
    observable = TRACK_CATALOGUE[name]
    records = charged(sample_of(FEW[:2], FEW).records(notation))
    assert observable.fields is not None
    if not observable.fields:
        return
    needed = {each for f in observable.fields for each in inputs_of(f, frozenset(notation))}
    Entries.of(observable, records[[n for n in records.fields if n in needed]])
    for missing in needed:
        kept, left_out = split_available([observable], set(records.fields) - {missing})
        assert kept == ()
        assert list(left_out) == [name]
        with pytest.raises(InputError, match="expected the field"):
            Entries.of(observable, ak.without_field(records, missing))


def inputs_of(name: str, names: frozenset[str]) -> tuple[str, ...]:
    """Fields in the records that a field comes from."""
    return (name,) if name in {*names, "charge"} else DERIVED[name].inputs


def test_every_axis_of_the_observables_has_a_label() -> None:
    for observable in track_observables():
        assert all(axis.label for axis in observable.axes)


FEW = [(0.9, 0.4, 3.0, PION), (0.5, -0.7, -2.9, PION), (0.3, 0.1, 0.2, PION), (0.2, 0.8, 1.0, PION)]


@pytest.mark.parametrize("mass", [None, PION])
@NOTATIONS
def test_observables_evaluate_before_and_after_pickling(
    notation: list[str], mass: float | None
) -> None:
    sample = sample_of(FEW[:2], [], FEW, FEW[:1])
    records = charged(sample.records(notation if mass is None else notation[:3]))
    observables = track_observables(mass)
    restored = pickle.loads(pickle.dumps(observables))
    assert [o.name for o in restored] == [o.name for o in observables]
    of_pairs = ("dy", "eta1_eta2", "pt1_pt2", "M_dphi")
    for before, after in zip(observables, restored, strict=True):
        ours, again = Entries.of(before, records), Entries.of(after, records)
        np.testing.assert_array_equal(again.values, ours.values)
        per_event = 2 if before.name in of_pairs else 3  # events with two tracks, or with one
        assert len(ours.event) == (7 if before.level == "object" else per_event)


def test_observables_are_what_their_names_say() -> None:
    sample = sample_of(FEW[:2])
    mass, pt = sample.system("mass"), sample.system("pt")
    expected = {
        "M": [mass],
        "Y": [sample.system("rapidity")],
        "Pt": [pt],
        "pt": [[0.9, 0.5]],
        "eta": [[0.4, -0.7]],
        "dy": [sample.of_track("rapidity", 0) - sample.of_track("rapidity", 1)],
        "qphi": [[3.0, 2.9]],
        "bending": [[1.0 / 0.9, -1.0 / 0.5]],
        "eta_phi": [[0.4, -0.7], [3.0, -2.9]],
        "eta1_eta2": [[0.4], [-0.7]],
        "pt1_pt2": [[0.9], [0.5]],
        "M_dphi": [mass, [2.0 * np.pi - 5.9]],
        "M_Pt": [mass, pt],
        "M_pt1": [mass, [0.9]],
    }
    observables = by_name()
    assert set(expected) == set(observables)
    for name, values in expected.items():
        found = Entries.of(observables[name], charged(sample.records(CARTESIAN))).values
        for ours, value in zip(found, values, strict=True):
            close(ours, value)
