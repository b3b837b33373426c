"""Every statistical test here has a false-alarm rate of 1e-6, and a fixed seed."""

from __future__ import annotations

import itertools
import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from hepsilon.simulation import ALICE_LIKE, Detector, Sector, Tracks

Array = npt.NDArray[Any]

FALSE_ALARM = 1e-6
PLAIN = Detector(sectors=(), merging=0.0, trigger_floor=1.0)  # nothing joins the tracks


def tracks_of(pt: Any, eta: Any, phi: Any, charge: Any) -> Tracks:
    """Events with the given tracks; numbers stand for one event with one track."""
    pt, eta, phi, charge = np.broadcast_arrays(*map(np.atleast_2d, (pt, eta, phi, charge)))
    return Tracks(pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), charge)


def rotated(tracks: Tracks, angle: float) -> Tracks:
    return tracks_of(tracks.pt, tracks.eta, tracks.phi + angle, tracks.charge)


def columns_of(tracks: Tracks) -> list[Array]:
    return [tracks.px, tracks.py, tracks.pz, tracks.charge]


@st.composite
def events(draw: st.DrawFn, low: int = 2, high: int = 4) -> Tracks:
    """Some events, inside of the acceptance and somewhat outside of it."""
    shape = draw(st.integers(1, 5)), draw(st.integers(low, high))

    def column(lowest: float, highest: float) -> Array:
        elements = st.floats(lowest, highest)
        return draw(hnp.arrays(np.float64, shape, elements=elements, fill=st.nothing()))

    charge = draw(hnp.arrays(np.int64, shape, elements=st.sampled_from([-1, 1])))
    return tracks_of(column(0.03, 5.0), column(-1.3, 1.3), column(-3.1, 3.1), charge)


# tracks


@given(tracks=events())
def test_tracks_know_their_spherical_momenta(tracks: Tracks) -> None:
    again = tracks_of(tracks.pt, tracks.eta, tracks.phi, tracks.charge)
    for ours, expected in zip(columns_of(again), columns_of(tracks), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


def test_events_are_taken_in_the_given_order() -> None:
    tracks = tracks_of(np.arange(1.0, 9.0).reshape(4, 2), 0.5, 0.1, [1, -1])
    chosen = tracks.take(np.array([3, 0]))
    np.testing.assert_allclose(chosen.pt, [[7.0, 8.0], [1.0, 2.0]])
    assert chosen.charge.tolist() == [[1, -1]] * 2
    np.testing.assert_allclose(tracks.take(tracks.pt[:, 0] > 4.0).pt, [[5.0, 6.0], [7.0, 8.0]])


def test_detectors_are_compared_and_pickled_by_their_constants() -> None:
    assert Detector() == ALICE_LIKE == pickle.loads(pickle.dumps(ALICE_LIKE))
    assert Detector(merging=0.1) != ALICE_LIKE


# the formula


def plain_logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def plain_distance(first: float, second: float) -> float:
    return abs(math.remainder(first - second, 2.0 * math.pi))


def plain_efficiency(tracks: list[tuple[float, float, float, int]], d: Detector) -> float:
    """The documented formula of one event with plain numbers."""
    exits = [phi - q * math.asin(min(d.bending / pt, 1.0)) for pt, _, phi, q in tracks]
    out = 1.0
    for (pt, eta, _, _), azimuth in zip(tracks, exits, strict=True):
        out *= d.plateau * plain_logistic(math.log(pt / d.pt_half) / d.pt_width)
        out *= plain_logistic((d.eta_half - abs(eta)) / d.eta_width)
        for s in d.sectors:
            depth = (0.5 * s.width - plain_distance(azimuth, s.centre)) / d.sector_edge
            out *= 1.0 - (1.0 - s.efficiency) * plain_logistic(depth)
    openings = []
    for i, j in itertools.combinations(range(len(tracks)), 2):
        openings.append(plain_distance(exits[i], exits[j]))
        pull_eta = (tracks[i][1] - tracks[j][1]) / d.merging_eta
        pull_phi = openings[-1] / d.merging_phi
        out *= 1.0 - d.merging * math.exp(-0.5 * (pull_eta**2 + pull_phi**2))
    wide = plain_logistic((max(openings) - d.opening) / d.opening_width)
    hard = plain_logistic((sum(t[0] for t in tracks) - d.sum_pt_half) / d.sum_pt_width)
    return out * (d.trigger_floor + (1.0 - d.trigger_floor) * wide * hard)


@given(tracks=events())
def test_the_efficiency_is_the_documented_formula(tracks: Tracks) -> None:
    efficiency = ALICE_LIKE.efficiency(tracks)
    assert efficiency.shape == tracks.px.shape[:1]
    columns = [c.tolist() for c in (tracks.pt, tracks.eta, tracks.phi, tracks.charge)]
    expected = [
        plain_efficiency(list(zip(*event, strict=True)), ALICE_LIKE)
        for event in zip(*columns, strict=True)
    ]
    np.testing.assert_allclose(efficiency, expected, rtol=1e-9)


@given(tracks=events())
def test_every_part_of_the_efficiency_lies_inside_the_unit_interval(tracks: Tracks) -> None:
    single, pair = ALICE_LIKE.track_efficiency(tracks), ALICE_LIKE.pair_efficiency(tracks)
    trigger, efficiency = ALICE_LIKE.trigger_efficiency(tracks), ALICE_LIKE.efficiency(tracks)
    assert single.shape == tracks.px.shape
    assert ((single > 0.0) & (single < ALICE_LIKE.plateau)).all()
    assert ((pair >= (1.0 - ALICE_LIKE.merging) ** 6) & (pair <= 1.0)).all()
    assert ((trigger >= ALICE_LIKE.trigger_floor) & (trigger <= 1.0)).all()
    assert ((efficiency > 0.0) & (efficiency < 1.0)).all()
    np.testing.assert_allclose(efficiency, single.prod(axis=1) * pair * trigger, rtol=1e-14)


# symmetries


@given(tracks=events(), data=st.data())
def test_the_efficiency_does_not_depend_on_the_order_of_the_tracks(
    tracks: Tracks, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(tracks.px.shape[1])))
    permuted = Tracks(*(column[:, order] for column in columns_of(tracks)))
    ours, expected = ALICE_LIKE.efficiency(permuted), ALICE_LIKE.efficiency(tracks)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


@given(tracks=events())
def test_the_efficiency_does_not_depend_on_the_other_events(tracks: Tracks) -> None:
    whole = ALICE_LIKE.efficiency(tracks)
    alone = [ALICE_LIKE.efficiency(tracks.take(np.array([i]))).item() for i in range(len(whole))]
    np.testing.assert_allclose(alone, whole, rtol=1e-14)


@given(tracks=events())
def test_the_two_ends_of_the_detector_are_alike(tracks: Tracks) -> None:
    mirrored = Tracks(tracks.px, tracks.py, -tracks.pz, tracks.charge)
    ours, expected = ALICE_LIKE.efficiency(mirrored), ALICE_LIKE.efficiency(tracks)
    np.testing.assert_allclose(ours, expected, rtol=1e-14)


@given(tracks=events())
def test_mirrored_charges_see_mirrored_sectors(tracks: Tracks) -> None:
    mirror = replace(
        ALICE_LIKE, sectors=tuple(replace(s, centre=-s.centre) for s in ALICE_LIKE.sectors)
    )
    conjugated = Tracks(tracks.px, -tracks.py, tracks.pz, -tracks.charge)
    ours, expected = mirror.efficiency(conjugated), ALICE_LIKE.efficiency(tracks)
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


@given(tracks=events(), angle=st.floats(-6.0, 6.0))
def test_without_sectors_all_azimuths_are_alike(tracks: Tracks, angle: float) -> None:
    detector = Detector(sectors=())
    ours, expected = detector.efficiency(rotated(tracks, angle)), detector.efficiency(tracks)
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


@given(tracks=events(), angle=st.floats(-6.0, 6.0))
def test_sectors_turn_with_the_tracks(tracks: Tracks, angle: float) -> None:
    turned = replace(
        ALICE_LIKE, sectors=tuple(replace(s, centre=s.centre + angle) for s in ALICE_LIKE.sectors)
    )
    ours, expected = turned.efficiency(rotated(tracks, angle)), ALICE_LIKE.efficiency(tracks)
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


def test_sectors_tell_azimuths_and_charges_apart() -> None:
    pair = tracks_of([0.5, 0.6], [0.1, -0.3], [0.5, 0.5 - 2.5], [1, -1])
    conjugated = Tracks(pair.px, pair.py, pair.pz, -pair.charge)
    expected = ALICE_LIKE.efficiency(pair)
    for other in (rotated(pair, 0.6), conjugated):
        assert not np.allclose(ALICE_LIKE.efficiency(other), expected, rtol=0.1)


# single tracks


def test_the_turn_on_is_half_of_the_plateau_at_its_middle() -> None:
    pt = np.array([[0.05], [PLAIN.pt_half], [0.5], [50.0]])
    efficiency = PLAIN.track_efficiency(tracks_of(pt, 0.0, 0.0, 1)).ravel()
    assert (np.diff(efficiency) > 0.0).all()
    assert efficiency[1] == pytest.approx(0.5 * PLAIN.plateau, rel=1e-6)
    assert efficiency[-1] == pytest.approx(PLAIN.plateau, rel=1e-6)


def test_the_edges_in_eta_are_half_of_the_plateau_at_their_middle() -> None:
    eta = np.array([[0.0], [0.8], [PLAIN.eta_half], [1.3]])
    efficiency = PLAIN.track_efficiency(tracks_of(50.0, eta, 0.0, 1)).ravel()
    assert (np.diff(efficiency) < 0.0).all()
    assert efficiency[2] == pytest.approx(0.5 * PLAIN.plateau, rel=1e-6)
    assert efficiency[3] < 1e-3


@pytest.mark.parametrize("charge", [-1, 1])
def test_tracks_bend_with_their_charge(charge: int) -> None:
    azimuth = ALICE_LIKE.exit_azimuth(tracks_of([0.15, 0.3, 1e6], 0.2, 1.0, charge))
    bend = np.array([[math.pi / 6.0, math.asin(0.25), 0.0]])
    np.testing.assert_allclose(azimuth, 1.0 - charge * bend, atol=1e-6)


def test_the_exit_azimuth_goes_over_the_seam() -> None:
    azimuth = ALICE_LIKE.exit_azimuth(tracks_of(0.15, 0.0, [3.1, -3.1], [-1, 1]))
    turned = 2.0 * math.pi - 3.1 - math.pi / 6.0
    np.testing.assert_allclose(azimuth, [[-turned, turned]], rtol=1e-12)


def test_tracks_that_curl_up_leave_at_a_right_angle() -> None:
    azimuth = ALICE_LIKE.exit_azimuth(tracks_of([0.074, 0.01], 0.0, 0.0, 1))
    np.testing.assert_allclose(azimuth, -0.5 * math.pi, rtol=1e-12)


@pytest.mark.parametrize("sector", ALICE_LIKE.sectors)
@pytest.mark.parametrize("charge", [-1, 1])
def test_dead_sectors_are_seen_by_the_bent_track(sector: Sector, charge: int) -> None:
    # A track of 0.3 GeV bends by 0.25 rad: half the width of the sectors, or more.
    pt = 0.3
    bend = charge * math.asin(ALICE_LIKE.bending / pt)
    towards, straight = (
        tracks_of(pt, 0.0, sector.centre + angle, charge) for angle in (bend, -1.5 * bend)
    )
    healthy = Detector(sectors=()).track_efficiency(towards).item()
    loss = ALICE_LIKE.track_efficiency(towards).item() / healthy
    depth = 1.0 / (1.0 + math.exp(-0.5 * sector.width / ALICE_LIKE.sector_edge))
    assert loss == pytest.approx(1.0 - (1.0 - sector.efficiency) * depth)
    assert ALICE_LIKE.track_efficiency(straight).item() > 0.95 * healthy
    # of the other charge, the same direction at the vertex is bent away from it
    other = tracks_of(pt, 0.0, sector.centre + bend, -charge)
    assert ALICE_LIKE.track_efficiency(other).item() > 0.95 * healthy


def test_a_sector_is_as_wide_as_it_says() -> None:
    detector = Detector(sectors=(Sector(3.0, 0.4, 0.0),), sector_edge=1e-3)
    phi = np.array([[2.75, 2.85, 3.15, -2.0 * math.pi + 3.19, 3.25]])
    alive = detector.track_efficiency(tracks_of(1e5, 0.0, phi, 1)) / detector.plateau
    np.testing.assert_allclose(alive, [[1.0, 0.0, 0.0, 0.0, 1.0]], atol=1e-3)


# pairs and the trigger


def far_apart(n: int) -> Tracks:
    """One event of stiff tracks, spread over the azimuth."""
    return tracks_of(np.full(n, 5.0), np.zeros(n), 2.0 * np.pi * np.arange(n) / n, 1)


def test_two_tracks_that_leave_together_are_merged() -> None:
    together = ALICE_LIKE.pair_efficiency(tracks_of([1.0, 1.0], 0.3, 0.5, 1))
    assert together.tolist() == pytest.approx([1.0 - ALICE_LIKE.merging])
    assert ALICE_LIKE.pair_efficiency(far_apart(2)).tolist() == pytest.approx([1.0])


@pytest.mark.parametrize(("eta", "phi"), [(0.1, 0.0), (0.0, 0.2), (0.07, -0.14)])
def test_the_merging_fades_with_the_distance(eta: float, phi: float) -> None:
    scale = np.arange(5.0)[:, None] * [0.0, 1.0]
    tracks = tracks_of(2.0, 0.3 + eta * scale, 3.1 + phi * scale, 1)  # over the seam
    efficiency = ALICE_LIKE.pair_efficiency(tracks)
    pull = np.arange(5.0) ** 2 * ((eta / 0.10) ** 2 + (phi / 0.20) ** 2)
    np.testing.assert_allclose(efficiency, 1.0 - 0.7 * np.exp(-0.5 * pull), rtol=1e-9)
    assert (np.diff(efficiency) > 0.0).all()


def test_merging_is_decided_where_the_tracks_leave() -> None:
    # Opposite charges of 0.3 GeV open by half a radian: one pair starts as it ends.
    bend = math.asin(ALICE_LIKE.bending / 0.3)
    parting = tracks_of(0.3, 0.0, [0.0, 0.0], [1, -1])
    meeting = tracks_of(0.3, 0.0, [bend, -bend], [1, -1])
    assert ALICE_LIKE.pair_efficiency(meeting).tolist() == pytest.approx([0.3])
    assert ALICE_LIKE.pair_efficiency(parting).item() > 0.9


@given(tracks=events(3, 4))
def test_the_pair_efficiency_is_the_product_over_all_pairs(tracks: Tracks) -> None:
    expected = np.ones(len(tracks.px))
    for pair in itertools.combinations(range(tracks.px.shape[1]), 2):
        chosen = Tracks(*(column[:, pair] for column in columns_of(tracks)))
        expected *= ALICE_LIKE.pair_efficiency(chosen)
    np.testing.assert_allclose(ALICE_LIKE.pair_efficiency(tracks), expected, rtol=1e-12)


@given(tracks=events(3, 4))
def test_the_trigger_takes_the_widest_pair(tracks: Tracks) -> None:
    by_opening = Detector(sum_pt_half=-1e3)
    pairs = [
        by_opening.trigger_efficiency(Tracks(*(column[:, pair] for column in columns_of(tracks))))
        for pair in itertools.combinations(range(tracks.px.shape[1]), 2)
    ]
    np.testing.assert_allclose(by_opening.trigger_efficiency(tracks), np.max(pairs, axis=0))


def test_the_trigger_asks_for_a_wide_angle_and_enough_momentum() -> None:
    pt = np.array([[0.9, 0.9], [0.9, 0.9], [0.05, 0.05]])
    phi = np.array([[0.0, 3.0], [1.0, 1.1], [0.0, 3.0]])
    straight = Detector(bending=0.0)
    hard_and_wide, narrow, soft = straight.trigger_efficiency(tracks_of(pt, 0.0, phi, 1))
    assert hard_and_wide == pytest.approx(1.0, abs=1e-4)
    assert narrow == pytest.approx(straight.trigger_floor, abs=2e-3)
    assert soft == pytest.approx(straight.trigger_floor, abs=4e-3)


@pytest.mark.parametrize("n", [2, 4])
def test_the_trigger_sums_the_momenta_of_all_tracks(n: int) -> None:
    tracks = far_apart(n)
    half = Detector(sum_pt_half=5.0 * n, opening=-1e3, bending=0.0, trigger_floor=0.2)
    assert half.trigger_efficiency(tracks).tolist() == pytest.approx([0.2 + 0.8 * 0.5])


@pytest.mark.parametrize(
    ("detector", "factorises"),
    [
        (ALICE_LIKE, False),
        (replace(ALICE_LIKE, merging=0.0), False),
        (replace(ALICE_LIKE, trigger_floor=1.0), False),
        (replace(ALICE_LIKE, merging=0.0, trigger_floor=1.0), True),
    ],
)
def test_the_efficiency_factorises_only_without_pairs_and_trigger(
    detector: Detector, factorises: bool
) -> None:
    # E(a, b) E(c, d) = E(a, d) E(c, b) for a product over the tracks; a and b are close
    pt, eta = np.array([0.8, 0.7, 0.6, 0.9]), np.array([0.0, 0.05, 0.3, -0.4])
    phi, pairs = np.array([1.0, 1.05, -0.3, 2.7]), [[0, 1], [2, 3], [0, 3], [2, 1]]
    ab, cd, ad, cb = detector.efficiency(tracks_of(pt[pairs], eta[pairs], phi[pairs], 1))
    assert (ab * cd / (ad * cb) == pytest.approx(1.0, rel=1e-9)) == factorises


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_perfect_tracks_are_lost_only_by_the_plateau(n: int) -> None:
    tracks = far_apart(n)
    detector = replace(ALICE_LIKE, sectors=())
    pt, eta = (5.0 / 0.22) ** 4.0, math.exp(0.92 / 0.05)
    expected = (0.95 * pt / (1.0 + pt) * eta / (1.0 + eta)) ** n
    # the trigger has no part in it: even three tracks open by 2.1 rad
    assert detector.efficiency(tracks).item() == pytest.approx(expected, rel=1e-4)


# reconstruction


@pytest.fixture(scope="module")
def sample() -> Tracks:
    rng, shape = np.random.default_rng(31), (4000, 2)
    pt, eta = rng.uniform(0.2, 8.0, shape), rng.uniform(-0.9, 0.9, shape)
    return tracks_of(pt, eta, rng.uniform(-np.pi, np.pi, shape), rng.choice([-1, 1], shape))


@pytest.fixture(scope="module")
def pulls(sample: Tracks) -> dict[str, Array]:
    """Residuals of reconstructed tracks, over the documented resolution."""
    detector = Detector(pt_resolution=(0.02, 0.01), angle_resolution=0.003)
    smeared = detector.smear(np.random.default_rng(32), sample)
    relative = np.hypot(0.02, 0.01 * sample.pt)
    return {
        "pt": np.log(smeared.pt / sample.pt) / relative,
        "eta": (smeared.eta - sample.eta) / 0.003,
        "phi": np.angle(np.exp(1j * (smeared.phi - sample.phi))) / 0.003,
    }


@pytest.mark.parametrize("name", ["pt", "eta", "phi"])
def test_the_resolution_is_the_documented_one(pulls: dict[str, Array], name: str) -> None:
    assert stats.kstest(pulls[name].ravel(), stats.norm.cdf).pvalue > FALSE_ALARM


def test_the_resolution_is_that_of_single_tracks(pulls: dict[str, Array], sample: Tracks) -> None:
    # Spearman's correlations of the six pulls of an event, and of a pull with pt: 18 tests.
    columns = [*np.concatenate(list(pulls.values()), axis=1).T]
    pairs = [*itertools.combinations(columns, 2)]
    pairs += [(np.abs(columns[i]), sample.pt[:, i % 2]) for i in (0, 2, 4)]
    assert len(pairs) == 18
    pvalues = [stats.spearmanr(first, second).pvalue for first, second in pairs]
    assert min(pvalues) > FALSE_ALARM / 18


def test_reconstruction_keeps_the_charge_and_the_generated_tracks(sample: Tracks) -> None:
    before = [column.copy() for column in columns_of(sample)]
    smeared = ALICE_LIKE.smear(np.random.default_rng(1), sample)
    np.testing.assert_array_equal(smeared.charge, sample.charge)
    for ours, expected in zip(columns_of(sample), before, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_reconstruction_is_repeated_by_its_seed(sample: Tracks) -> None:
    first, second, other = (
        ALICE_LIKE.smear(np.random.default_rng(seed), sample).px for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).all()


def test_a_perfect_detector_reconstructs_what_was_generated(sample: Tracks) -> None:
    perfect = Detector(pt_resolution=(0.0, 0.0), angle_resolution=0.0)
    smeared = perfect.smear(np.random.default_rng(1), sample)
    for ours, expected in zip(columns_of(smeared), columns_of(sample), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


def test_a_coarse_detector_keeps_momenta_positive(sample: Tracks) -> None:
    coarse = Detector(pt_resolution=(2.0, 0.0))
    assert (coarse.smear(np.random.default_rng(1), sample).pt > 0.0).all()
