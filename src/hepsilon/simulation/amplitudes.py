r"""Centrally produced systems that decay to charged mesons, with different amplitudes.

A system has a mass, a transverse momentum and a rapidity of its own spectrum, and decays to pairs
of oppositely charged mesons: by pure phase space (the sample to train on, spread out over all
that may be seen, most of it at low mass and pt), or with the angular distribution of

- ``rho``: photoproduction of the rho0, transversely polarised in the helicity frame:
  :math:`\sin^2\theta`;
- ``pomeron``: a double-Pomeron continuum, with an S and a D wave along the beam:
  :math:`(1 + P_2(\cos\theta))^2`;
- ``tensor``: the spin-2 resonance f2(1270) with helicity zero along the beam:
  :math:`P_2(\cos\theta)^2`.

The angle is that of the first meson in the system's rest frame. The n-body decay is that of the
phasespace package (Raubold and Lynch), masses and widths are those of the particle package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
import vector
from scipy.special import eval_legendre

from hepsilon._system.extras import needs
from hepsilon.arrays.types import Array
from hepsilon.simulation.detector import Tracks

__all__ = [
    "AMPLITUDES",
    "FINAL_STATES",
    "Amplitude",
    "FiducialRegion",
    "check_final_state",
    "generate_tracks",
    "masses",
    "meson_mass",
]

FINAL_STATES: dict[str, tuple[str, ...]] = {
    "pipi": ("pi+", "pi-"),
    "KK": ("K+", "K-"),
    "4pi": ("pi+", "pi-", "pi+", "pi-"),
}
GEV = 1e-3  # the particle package has masses in MeV
BATCH = 50_000  # events per call of phasespace, which compiles for each number of events


@dataclass(frozen=True)
class FiducialRegion:
    """Fiducial region in which all tracks of an event have to be.

    Attributes
    ----------
    pt_min : float, GeV, default 0.2
        Lower bound on the transverse momentum.
    eta_max : float, default 0.9
        Upper bound on the absolute pseudorapidity.
    """

    pt_min: float = 0.2
    eta_max: float = 0.9

    def contains(self, tracks: Tracks) -> Array:
        """Find the events inside the region.

        Parameters
        ----------
        tracks : Tracks
            Tracks of events.

        Returns
        -------
        ndarray of bool, shape (n_events,)
            True where all tracks of the event are inside.
        """
        inside = (tracks.pt > self.pt_min) & (np.abs(tracks.eta) < self.eta_max)
        return np.asarray(inside.all(axis=1))


@dataclass(frozen=True)
class Amplitude:
    """Spectra of the system and the angular distribution of its decay.

    Attributes
    ----------
    mass_shape : {"logarithmic", "resonance", "continuum"}
        Mass spectrum: uniform in the logarithm, the Breit-Wigner of a named particle, or a
        continuum ``x exp(-x / 0.4 GeV)`` in the distance x to the threshold.
    mass_range : tuple of (float, float), GeV
        Range of the mass; the lower end is raised to the threshold of the decay. With more than two
        mesons the mean weight of the phase space multiplies the spectrum.
    pt_shape : {"root", "exponential"}
        Spectrum of the transverse momentum: uniform in the square root of pt up to ``pt_scale``, or
        exponential in pt^2 with the mean ``pt_scale^2``, cut at :data:`PT_MAX`.
    pt_scale : float, GeV
        Scale of this spectrum.
    rapidity_max : float
        Largest absolute rapidity; the spectrum within is uniform.
    particle : str, default ""
        Name of the particle of the Breit-Wigner in the particle package.
    axis : {"flight", "beam"}, default "flight"
        Direction from which the polar angle is measured in the system's rest frame: its direction
        of flight, or the beam.
    angular : callable or None, default None
        Distribution of the cosine of that angle, at most one; None for an isotropic decay.
    """

    mass_shape: Literal["logarithmic", "resonance", "continuum"]
    mass_range: tuple[float, float]
    pt_shape: Literal["root", "exponential"]
    pt_scale: float
    rapidity_max: float
    particle: str = ""
    axis: Literal["flight", "beam"] = "flight"
    angular: Callable[[Array], Array] | None = None


def _transverse(cosine: Array) -> Array:
    return 1.0 - cosine**2


def _s_and_d_wave(cosine: Array) -> Array:
    return np.asarray(0.25 * (1.0 + eval_legendre(2, cosine)) ** 2)


def _d_wave(cosine: Array) -> Array:
    return np.asarray(eval_legendre(2, cosine) ** 2)


PT_MAX = 2.0
AMPLITUDES: dict[str, Amplitude] = {
    "phasespace": Amplitude("logarithmic", (0.0, 3.0), "root", PT_MAX, 1.2),
    "rho": Amplitude(
        "resonance", (0.0, 1.6), "exponential", 0.35, 0.9, "rho(770)0", "flight", _transverse
    ),
    "pomeron": Amplitude(
        "continuum", (0.0, 2.8), "exponential", 0.7, 0.9, axis="beam", angular=_s_and_d_wave
    ),
    "tensor": Amplitude(
        "resonance", (0.0, 2.4), "exponential", 0.5, 0.9, "f(2)(1270)", "beam", _d_wave
    ),
}


def check_final_state(final_state: str) -> None:
    """Refuse an unknown final state.

    Parameters
    ----------
    final_state : str
        Name of a final state.

    Raises
    ------
    ValueError
        If it is not in :data:`FINAL_STATES`.
    """
    if final_state not in FINAL_STATES:
        raise ValueError(
            f"expected a final state of {list(FINAL_STATES)}, received {final_state!r}"
        )


@cache
def _particle(name: str) -> Any:
    needs("the mass of a particle", "particle")
    from particle import Particle

    return Particle.from_name(name)


def meson_mass(name: str) -> float:
    """Mass of a particle.

    Parameters
    ----------
    name : str
        Name in the particle package, such as ``"pi+"``.

    Returns
    -------
    float, GeV
        Mass.

    Raises
    ------
    ConfigError
        If the particle package is not installed.
    """
    return float(_particle(name).mass * GEV)


def masses(final_state: str) -> Array:
    """Masses of the mesons of a final state.

    Parameters
    ----------
    final_state : str
        Name in :data:`FINAL_STATES`.

    Returns
    -------
    ndarray of float64, shape (n_mesons,), GeV
        Masses.

    Raises
    ------
    ConfigError
        If the particle package is not installed.
    """
    return np.array([meson_mass(name) for name in FINAL_STATES[final_state]])


def _system_mass(rng: np.random.Generator, amplitude: Amplitude, n: int, threshold: float) -> Array:
    low, high = max(amplitude.mass_range[0], 1.001 * threshold), amplitude.mass_range[1]
    if not low < high:
        raise ValueError(
            f"expected a mass range above the threshold {threshold:.3f} GeV of the decay, "
            f"received {amplitude.mass_range}"
        )
    uniform = rng.uniform(size=n)
    if amplitude.mass_shape == "logarithmic":
        return np.asarray(low * (high / low) ** uniform)
    if amplitude.mass_shape == "resonance":  # inverse of the cumulative Breit-Wigner
        if not amplitude.particle:
            raise ValueError("the mass shape 'resonance' needs the name of a particle")
        resonance = _particle(amplitude.particle)
        mean, half_width = resonance.mass * GEV, 0.5 * resonance.width * GEV
        first, last = np.arctan((np.array([low, high]) - mean) / half_width)
        return np.asarray(mean + half_width * np.tan(first + (last - first) * uniform))
    grid = np.linspace(low, high, 2001)
    distance = (grid - threshold) / 0.4
    cumulative = np.concatenate([[0.0], np.cumsum((distance * np.exp(-distance))[:-1])])
    return np.interp(uniform, cumulative / cumulative[-1], grid)


def _system(rng: np.random.Generator, amplitude: Amplitude, n: int, threshold: float) -> Array:
    """Four-momenta (px, py, pz, E) of systems, shape (n, 4)."""
    mass = _system_mass(rng, amplitude, n, threshold)
    uniform = rng.uniform(size=n)
    if amplitude.pt_shape == "root":
        pt = amplitude.pt_scale * uniform**2
    else:
        square = amplitude.pt_scale**2
        pt = np.sqrt(-square * np.log1p(-uniform * -np.expm1(-(PT_MAX**2) / square)))
    phi = rng.uniform(-np.pi, np.pi, n)
    rapidity = rng.uniform(-amplitude.rapidity_max, amplitude.rapidity_max, n)
    transverse_mass = np.hypot(mass, pt)
    columns = (
        pt * np.cos(phi),
        pt * np.sin(phi),
        transverse_mass * np.sinh(rapidity),
        transverse_mass * np.cosh(rapidity),
    )
    return np.stack(columns, axis=1)


@cache
def _generator(final_state: str) -> tuple[Any, Any]:
    """Decay of phasespace with its random numbers; kept, since a new one is compiled again."""
    needs("simulating tracks", "phasespace")
    import phasespace
    from phasespace.random import get_rng

    return phasespace.nbody_decay(1.0, masses(final_state).tolist()), get_rng(0)


def _decay(rng: np.random.Generator, system: Array, final_state: str) -> tuple[Array, Array]:
    """Momenta of the mesons (n, n_mesons, 4) and the phase-space weights (n,), at most one."""
    decay, uniform = _generator(final_state)
    uniform.reset_from_seed(int(rng.integers(2**31)))  # nothing is carried over between calls
    # the decaying system has the mass of the boost
    weights, particles = decay.generate(len(system), boost_to=system, seed=uniform)
    return np.stack([p.numpy() for p in particles.values()], axis=1), weights.numpy()


def _four_vectors(momenta: Array) -> Any:
    columns = zip(("px", "py", "pz", "E"), momenta.T, strict=True)
    return vector.array({name: np.ascontiguousarray(column) for name, column in columns})


def _cos_theta(system: Array, meson: Array, axis: str) -> Array:
    """Cosine of the meson's polar angle in the system's rest frame."""
    parent, child = _four_vectors(system), _four_vectors(meson)
    reference = parent
    if axis == "beam":
        beam = _four_vectors(np.broadcast_to([0.0, 0.0, 1.0, 1.0], system.shape))
        reference = beam.boostCM_of_p4(parent)
    rest = child.boostCM_of_p4(parent)
    return np.asarray(np.cos(rest.to_xyz().deltaangle(reference.to_xyz())))


def _accepted(
    rng: np.random.Generator, amplitude: Amplitude, system: Array, mesons: Array, weights: Array
) -> Array:
    """Mask of the events kept by accept-reject with phase-space weight and angular distribution."""
    probability = weights
    if amplitude.angular is not None:
        cosine = _cos_theta(system, mesons[:, 0], amplitude.axis)
        probability = probability * amplitude.angular(cosine)
    return np.asarray(rng.uniform(size=len(system)) < probability)


def generate_tracks(
    rng: np.random.Generator,
    n_events: int,
    amplitude: Amplitude,
    final_state: str = "pipi",
    fiducial: FiducialRegion | None = None,
) -> Tracks:
    """Generate events with all tracks inside the fiducial region, tracks ordered by pt.

    Parameters
    ----------
    rng : numpy.random.Generator
        Random numbers.
    n_events : int
        Number of events, one or more.
    amplitude : Amplitude
        Spectra and angular distribution (see :data:`AMPLITUDES`); the latter is left out with more
        than two mesons, where the angle of one does not describe the decay.
    final_state : str, default "pipi"
        Name in :data:`FINAL_STATES`.
    fiducial : FiducialRegion, optional
        Region of the tracks; by default pt above 0.2 GeV and ``|eta|`` below 0.9.

    Returns
    -------
    Tracks
        Tracks of the events, by falling pt.

    Raises
    ------
    ValueError
        If the final state is unknown, the number of events is below one, the mass range is below
        the threshold, or the spectra (almost) never reach the region.
    ConfigError
        If the packages particle and phasespace are not installed.
    """
    check_final_state(final_state)
    if n_events < 1:
        raise ValueError(f"expected at least one event, received {n_events}")
    names = FINAL_STATES[final_state]
    if len(names) > 2:  # the angle of one meson does not describe the decay
        amplitude = replace(amplitude, angular=None)
    fiducial, threshold = fiducial or FiducialRegion(), float(masses(final_state).sum())
    charge = np.array([1 if name.endswith("+") else -1 for name in names])
    kept: list[Tracks] = []
    n_kept = tried = 0
    while n_kept < n_events:
        if tried > 200 * BATCH and n_kept < 1e-5 * tried:
            raise ValueError(f"only {n_kept} of {tried} generated events are in {fiducial}")
        system = _system(rng, amplitude, BATCH, threshold)
        mesons, weights = _decay(rng, system, final_state)
        mesons = mesons[_accepted(rng, amplitude, system, mesons, weights)]
        px, py, pz = (mesons[:, :, axis] for axis in range(3))
        tracks = Tracks(px, py, pz, np.broadcast_to(charge, px.shape))
        kept.append(tracks.take(fiducial.contains(tracks)))
        n_kept, tried = n_kept + len(kept[-1].px), tried + BATCH
    return _ordered(merged(kept).take(np.arange(n_events)))


def merged(parts: list[Tracks]) -> Tracks:
    """Join the events of several parts.

    Parameters
    ----------
    parts : list of Tracks
        Parts with equal numbers of tracks per event.

    Returns
    -------
    Tracks
        Tracks of all events, in the order of the parts.
    """
    px, py, pz, charge = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("px", "py", "pz", "charge")
    )
    return Tracks(px, py, pz, charge)


def _ordered(tracks: Tracks) -> Tracks:
    order = np.argsort(-tracks.pt, axis=1, kind="stable")
    px, py, pz, charge = (
        np.take_along_axis(column, order, axis=1)
        for column in (tracks.px, tracks.py, tracks.pz, tracks.charge)
    )
    return Tracks(px, py, pz, charge)
