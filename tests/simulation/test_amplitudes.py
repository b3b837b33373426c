"""Every statistical test here has a false-alarm rate of 1e-6, and a fixed seed.

Each call of the generator makes at least 50,000 events in half a second, so the tests share them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from hepsilon.simulation import (
    AMPLITUDES,
    FINAL_STATES,
    Amplitude,
    FiducialRegion,
    Tracks,
    amplitudes,
    generate_tracks,
)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

Array = npt.NDArray[Any]

FALSE_ALARM = 1e-6
PION, KAON = 0.13957, 0.49368
EVERYWHERE = FiducialRegion(pt_min=0.0, eta_max=100.0)
SIZES = {"phasespace": 8000, "rho": 8000, "pomeron": 8000, "tensor": 12_000}
ALL = pytest.mark.parametrize("name", AMPLITUDES)


@pytest.fixture(scope="module")
def everywhere() -> dict[str, Tracks]:
    """Pairs of pions of every amplitude, without fiducial cuts; the tensor needs two batches."""
    return {
        name: generate_tracks(np.random.default_rng(41), n, AMPLITUDES[name], fiducial=EVERYWHERE)
        for name, n in SIZES.items()
    }


@pytest.fixture(scope="module")
def inside() -> dict[str, Tracks]:
    """Events of all final states inside the default fiducial region."""
    rng = np.random.default_rng(42)
    return {
        "pipi": generate_tracks(rng, 2000, AMPLITUDES["phasespace"]),
        "KK": generate_tracks(rng, 1000, AMPLITUDES["pomeron"], "KK"),
        "4pi": generate_tracks(rng, 150, AMPLITUDES["tensor"], "4pi"),
    }


def four_momenta(tracks: Tracks, mass: float = PION) -> Array:
    """px, py, pz, E of every track (events, tracks, 4)."""
    momentum = np.stack([tracks.px, tracks.py, tracks.pz], axis=-1)
    energy = np.sqrt(np.sum(momentum**2, axis=-1) + mass**2)
    return np.concatenate([momentum, energy[..., None]], axis=-1)


def mass_of(p: Array) -> Array:
    return np.sqrt(p[..., 3] ** 2 - np.sum(p[..., :3] ** 2, axis=-1))


def rapidity_of(p: Array) -> Array:
    return np.arctanh(p[..., 2] / p[..., 3])


def at_rest(p: Array, system: Array) -> Array:
    """Three-momenta in the rest frame of the system."""
    mass, energy = mass_of(system)[:, None], system[:, 3:]
    along = np.sum(p[:, :3] * system[:, :3], axis=1, keepdims=True)
    return p[:, :3] + system[:, :3] * (along / (energy + mass) - p[:, 3:]) / mass


def normalised(v: Array) -> Array:
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def angles(tracks: Tracks, axis: str) -> tuple[Array, Array]:
    """Cosine and azimuth of the positive pion; the azimuth from the plane of beam and flight."""
    p = four_momenta(tracks)
    system, beam = p.sum(axis=1), np.broadcast_to([0.0, 0.0, 1.0, 1.0], (len(p), 4))
    positive = np.take_along_axis(p, np.argmax(tracks.charge, axis=1)[:, None, None], axis=1)[:, 0]
    z = normalised(system[:, :3] if axis == "flight" else at_rest(beam, system))
    y = normalised(np.cross(beam[:, :3], system[:, :3]))
    direction = normalised(at_rest(positive, system))
    x = np.cross(y, z)
    azimuth = np.arctan2(np.sum(direction * y, axis=1), np.sum(direction * x, axis=1))
    return np.sum(direction * z, axis=1), azimuth


def agrees(values: Array, cdf: Callable[[Array], Array]) -> bool:
    return float(stats.kstest(values, cdf).pvalue) > FALSE_ALARM


def uniform(low: float, high: float) -> Callable[[Array], Array]:
    return stats.uniform(low, high - low).cdf


def truncated(cdf: Callable[[Any], Any], low: float, high: float) -> Callable[[Array], Array]:
    return lambda x: (cdf(x) - cdf(low)) / (cdf(high) - cdf(low))


# angular distributions

ANGULAR: dict[str, Callable[[Array], Array]] = {  # cumulative, in the cosine
    "phasespace": lambda c: 0.5 * (c + 1.0),
    "rho": lambda c: 0.25 * (2.0 + 3.0 * c - c**3),
    "pomeron": lambda c: 0.5 + (c + 2.0 * c**3 + 1.8 * c**5) / 9.6,
    "tensor": lambda c: 0.5 + 0.625 * (c - 2.0 * c**3 + 1.8 * c**5),
}


@ALL
def test_the_decay_has_the_angular_distribution_of_its_amplitude(
    everywhere: dict[str, Tracks], name: str
) -> None:
    cosine, _ = angles(everywhere[name], AMPLITUDES[name].axis)
    assert agrees(cosine, ANGULAR[name])
    for other, cdf in ANGULAR.items():
        assert agrees(cosine, cdf) == (other == name)  # such a sample tells them apart


@ALL
def test_the_decay_is_symmetric_around_its_axis(everywhere: dict[str, Tracks], name: str) -> None:
    _, azimuth = angles(everywhere[name], AMPLITUDES[name].axis)
    assert agrees(azimuth, uniform(-np.pi, np.pi))


def test_phase_space_is_flat_around_any_axis(everywhere: dict[str, Tracks]) -> None:
    for axis in ("flight", "beam"):
        cosine, azimuth = angles(everywhere["phasespace"], axis)
        assert agrees(cosine, uniform(-1.0, 1.0))
        assert agrees(azimuth, uniform(-np.pi, np.pi))


@pytest.mark.parametrize(("name", "wrong"), [("rho", "beam"), ("tensor", "flight")])
def test_the_other_axis_has_another_distribution(
    everywhere: dict[str, Tracks], name: str, wrong: str
) -> None:
    cosine, _ = angles(everywhere[name], wrong)
    assert not agrees(cosine, ANGULAR[name])


@ALL
def test_the_decay_does_not_know_how_the_system_moves(
    everywhere: dict[str, Tracks], name: str
) -> None:
    cosine, _ = angles(everywhere[name], AMPLITUDES[name].axis)
    system = four_momenta(everywhere[name]).sum(axis=1)
    for quantity in (mass_of(system), np.hypot(*system[:, :2].T), np.abs(rapidity_of(system))):
        assert stats.spearmanr(np.abs(cosine), quantity).pvalue > FALSE_ALARM


@ALL
def test_angular_distributions_are_probabilities(name: str) -> None:
    angular = AMPLITUDES[name].angular
    values = np.ones(1) if angular is None else angular(np.linspace(-1.0, 1.0, 201))
    assert values.min() >= 0.0
    assert values.max() == pytest.approx(1.0)


# spectra


MASS: dict[str, Callable[[Array], Array]] = {  # cumulative
    "phasespace": truncated(np.log, 1.001 * 2 * PION, 3.0),
    "rho": truncated(stats.cauchy(0.775, 0.5 * 0.148).cdf, 1.001 * 2 * PION, 1.6),
    "pomeron": truncated(stats.gamma(2.0, 2 * PION, 0.4).cdf, 1.001 * 2 * PION, 2.8),
    "tensor": truncated(stats.cauchy(1.2755, 0.5 * 0.187).cdf, 1.001 * 2 * PION, 2.4),
}


@ALL
def test_the_mass_of_the_pair_has_its_spectrum(everywhere: dict[str, Tracks], name: str) -> None:
    mass = mass_of(four_momenta(everywhere[name]).sum(axis=1))
    assert mass.min() > 2 * PION
    assert mass.max() <= AMPLITUDES[name].mass_range[1] * (1.0 + 1e-9)
    assert agrees(mass, MASS[name])


@ALL
def test_the_pt_of_the_pair_has_its_spectrum(everywhere: dict[str, Tracks], name: str) -> None:
    pt = np.hypot(*four_momenta(everywhere[name]).sum(axis=1)[:, :2].T)
    amplitude = AMPLITUDES[name]
    assert pt.max() <= 2.0 * (1.0 + 1e-9)
    if name == "phasespace":
        assert agrees(np.sqrt(pt / amplitude.pt_scale), uniform(0.0, 1.0))
    else:
        cdf = stats.expon(0.0, amplitude.pt_scale**2).cdf
        assert agrees(pt**2, truncated(cdf, 0.0, 4.0))


@ALL
def test_rapidity_and_azimuth_of_the_pair_are_uniform(
    everywhere: dict[str, Tracks], name: str
) -> None:
    system = four_momenta(everywhere[name]).sum(axis=1)
    limit = AMPLITUDES[name].rapidity_max
    assert agrees(rapidity_of(system), uniform(-limit, limit))
    assert agrees(np.arctan2(system[:, 1], system[:, 0]), uniform(-np.pi, np.pi))


# tracks


@pytest.mark.parametrize("final_state", FINAL_STATES)
def test_all_tracks_are_inside_the_fiducial_region(
    inside: dict[str, Tracks], final_state: str
) -> None:
    tracks = inside[final_state]
    assert tracks.pt.shape[1] == len(FINAL_STATES[final_state])
    assert tracks.pt.min() > 0.2
    assert np.abs(tracks.eta).max() < 0.9
    assert FiducialRegion().contains(tracks).all()
    assert (np.diff(tracks.pt, axis=1) <= 0.0).all()


@pytest.mark.parametrize("final_state", FINAL_STATES)
def test_half_of_the_tracks_are_positive(inside: dict[str, Tracks], final_state: str) -> None:
    charge = inside[final_state].charge
    assert set(np.unique(charge)) == {-1, 1}
    assert not charge.sum(axis=1).any()
    # the harder track does not know its charge
    assert stats.binomtest(int(np.sum(charge[:, 0] == 1)), len(charge)).pvalue > FALSE_ALARM


@pytest.mark.parametrize(
    ("final_state", "mass", "amplitude"),
    [("pipi", PION, "phasespace"), ("KK", KAON, "pomeron"), ("4pi", PION, "tensor")],
)
def test_systems_are_physical(
    inside: dict[str, Tracks], final_state: str, mass: float, amplitude: str
) -> None:
    tracks, limits = inside[final_state], AMPLITUDES[amplitude]
    system = four_momenta(tracks, mass).sum(axis=1)
    threshold = mass * tracks.px.shape[1]
    assert mass_of(system).min() > threshold
    assert mass_of(system).max() < limits.mass_range[1] * (1.0 + 1e-9)
    assert np.hypot(system[:, 0], system[:, 1]).max() < 2.0 * (1.0 + 1e-9)
    assert np.abs(rapidity_of(system)).max() < limits.rapidity_max * (1.0 + 1e-9)


def test_four_body_decays_conserve_momentum() -> None:
    rng, n = np.random.default_rng(43), amplitudes.BATCH
    momentum, mass = rng.normal(0.0, 1.0, (n, 3)), rng.uniform(0.6, 3.0, n)
    energy = np.sqrt(np.sum(momentum**2, axis=1) + mass**2)
    system = np.concatenate([momentum, energy[:, None]], axis=1)
    mesons, weights = amplitudes._decay(rng, system, "4pi")
    assert mesons.shape == (n, 4, 4)
    np.testing.assert_allclose(mesons.sum(axis=1), system, atol=1e-12)
    squares = mesons[..., 3] ** 2 - np.sum(mesons[..., :3] ** 2, axis=-1)
    np.testing.assert_allclose(squares, PION**2, atol=1e-5)
    assert ((weights >= 0.0) & (weights <= 1.0 + 1e-12)).all()


def test_mesons_have_the_masses_of_the_particle_package() -> None:
    np.testing.assert_allclose(amplitudes.masses("pipi"), [PION, PION], atol=1e-5)
    np.testing.assert_allclose(amplitudes.masses("KK"), [KAON, KAON], atol=2e-5)
    np.testing.assert_allclose(amplitudes.masses("4pi"), np.full(4, PION), atol=1e-5)


def test_the_fiducial_region_needs_all_tracks_inside() -> None:
    pt, eta = np.array([[0.3, 0.5], [0.1, 0.5], [0.3, 0.5]]), np.array([[0.8, 0], [0, 0], [0, -1]])
    zeros = np.zeros_like(pt)
    tracks = Tracks(pt, zeros, pt * np.sinh(eta), zeros)
    assert FiducialRegion().contains(tracks).tolist() == [True, False, False]
    assert FiducialRegion(0.05, 0.85).contains(tracks).tolist() == [True, True, False]
    assert FiducialRegion(0.4).contains(tracks).tolist() == [False, False, False]


# seeds and bad arguments


def test_the_same_seed_gives_the_same_tracks(everywhere: dict[str, Tracks]) -> None:
    rng = np.random.default_rng(41)
    again = generate_tracks(rng, 500, AMPLITUDES["rho"], fiducial=EVERYWHERE)
    for column in ("px", "py", "pz", "charge"):
        expected = getattr(everywhere["rho"], column)[:500]
        np.testing.assert_array_equal(getattr(again, column), expected)


def test_another_seed_gives_other_tracks(everywhere: dict[str, Tracks]) -> None:
    rng = np.random.default_rng(44)
    other = generate_tracks(rng, 500, AMPLITUDES["rho"], fiducial=EVERYWHERE)
    assert not np.isin(other.px, everywhere["rho"].px).any()


def test_unknown_final_states_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a final state of \['pipi'.*received 'mumu'"):
        generate_tracks(np.random.default_rng(1), 10, AMPLITUDES["rho"], "mumu")


@pytest.mark.parametrize(("final_state", "high"), [("pipi", 0.27), ("KK", 0.9), ("4pi", 0.5)])
def test_a_mass_range_below_the_threshold_is_refused(final_state: str, high: float) -> None:
    amplitude = Amplitude("logarithmic", (0.1, high), "root", 1.0, 1.0)
    with pytest.raises(ValueError, match=r"expected a mass range above the threshold .* received"):
        generate_tracks(np.random.default_rng(1), 10, amplitude, final_state)


def test_spectra_that_never_reach_the_region_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def collinear(rng: Any, system: Array, final_state: str) -> tuple[Array, Array]:
        return np.stack([0.5 * system, 0.5 * system], axis=1), np.ones(len(system))

    monkeypatch.setattr(amplitudes, "BATCH", 10)
    monkeypatch.setattr(amplitudes, "_decay", collinear)
    region = FiducialRegion(pt_min=1.5)
    with pytest.raises(ValueError, match=r"only 0 of 2010 .* are in FiducialRegion\(pt_min=1.5"):
        generate_tracks(np.random.default_rng(1), 5, AMPLITUDES["phasespace"], fiducial=region)
