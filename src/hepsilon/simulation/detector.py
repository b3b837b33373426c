r"""A parametrised detector whose true event efficiency is known in closed form.

The efficiency of an event with N charged tracks is

.. math:: E = T(\Delta\phi^*_{max}, {\textstyle\sum} p_T)
          \prod_i \epsilon(p_{T,i}, \eta_i, \phi^*_i)
          \prod_{i<j} m(\Delta\eta_{ij}, \Delta\phi^*_{ij})

with the azimuth at which a track of charge q leaves the tracker,
:math:`\phi^* = \phi - q \arcsin(\kappa / p_T)`, so that everything azimuthal depends on the charge:

- :math:`\epsilon`: turn-on in log pt, loss towards the edges in eta, and dead sectors in
  :math:`\phi^*` that keep a small efficiency;
- :math:`m`: two tracks that leave the tracker close to each other are merged;
- :math:`T`: a trigger that asks for a wide opening angle and enough transverse momentum. It
  correlates the tracks: E does not factorise.

Angles in rad, momenta in GeV. The constants are fields of :class:`Detector`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import expit

from hepsilon.arrays.kernels import delta_phi
from hepsilon.arrays.types import Array

__all__ = ["ALICE_LIKE", "Detector", "Sector", "Tracks"]


@dataclass(frozen=True)
class Tracks:
    """Tracks of events with a fixed number of them: arrays of shape (events, tracks).

    Momenta in GeV, charge in units of e.
    """

    px: Array
    py: Array
    pz: Array
    charge: Array

    @property
    def pt(self) -> Array:
        """Transverse momentum [GeV]."""
        return np.hypot(self.px, self.py)

    @property
    def eta(self) -> Array:
        """Pseudorapidity."""
        return np.arcsinh(self.pz / self.pt)

    @property
    def phi(self) -> Array:
        """Azimuth [rad]."""
        return np.arctan2(self.py, self.px)

    def take(self, index: Array) -> Tracks:
        """The chosen events, in the given order."""
        return Tracks(self.px[index], self.py[index], self.pz[index], self.charge[index])


@dataclass(frozen=True)
class Sector:
    """Dead sector of the tracker: centre and width [rad], and the efficiency that is left."""

    centre: float
    width: float
    efficiency: float


@dataclass(frozen=True)
class Detector:
    """Constants of the detector.

    Attributes
    ----------
    plateau : float
        Efficiency of a perfect track.
    pt_half, pt_width : float
        Turn-on: the logistic function of ``ln(pt / pt_half) / pt_width``.
    eta_half, eta_width : float
        Edges: the logistic function of ``(eta_half - |eta|) / eta_width``.
    bending : float
        Kappa, half the track's sagitta angle at 1 GeV (0.15 B r, in GeV).
    sectors : tuple of Sector
        Dead ones, in the azimuth where the track leaves the tracker.
    sector_edge : float
        Width of their logistic edges [rad].
    merging, merging_eta, merging_phi : float
        Largest loss of a pair, and its Gaussian widths.
    trigger_floor : float
        Efficiency of the trigger for collinear tracks.
    opening, opening_width : float
        Angle of its turn-on and the width [rad].
    sum_pt_half, sum_pt_width : float
        Turn-on in the sum of pt [GeV].
    pt_resolution : tuple of (float, float)
        Relative resolution of pt: constant term, and term linear in pt [1/GeV].
    angle_resolution : float
        Resolution of eta and of phi [rad].
    """

    plateau: float = 0.95
    pt_half: float = 0.22
    pt_width: float = 0.25
    eta_half: float = 0.92
    eta_width: float = 0.05
    bending: float = 0.075
    sectors: tuple[Sector, ...] = (
        Sector(-2.2, 0.35, 0.15),
        Sector(0.4, 0.50, 0.12),
        Sector(1.9, 0.25, 0.30),
    )
    sector_edge: float = 0.03
    merging: float = 0.70
    merging_eta: float = 0.10
    merging_phi: float = 0.20
    trigger_floor: float = 0.20
    opening: float = 0.95
    opening_width: float = 0.12
    sum_pt_half: float = 0.60
    sum_pt_width: float = 0.08
    pt_resolution: tuple[float, float] = (0.010, 0.005)
    angle_resolution: float = 0.002

    def exit_azimuth(self, tracks: Tracks) -> Array:
        """Azimuth at which the tracks leave the tracker, in [-pi, pi) (events, tracks)."""
        bend = tracks.charge * np.arcsin(np.minimum(self.bending / tracks.pt, 1.0))
        return _difference(tracks.phi, bend)

    def track_efficiency(self, tracks: Tracks) -> Array:
        """Efficiency of each track by itself (events, tracks)."""
        turn_on = expit(np.log(tracks.pt / self.pt_half) / self.pt_width)
        edges = expit((self.eta_half - np.abs(tracks.eta)) / self.eta_width)
        azimuth = self.exit_azimuth(tracks)
        sectors = np.ones_like(azimuth)
        for sector in self.sectors:
            distance = np.abs(_difference(azimuth, np.full_like(azimuth, sector.centre)))
            inside = expit((0.5 * sector.width - distance) / self.sector_edge)
            sectors *= 1.0 - (1.0 - sector.efficiency) * inside
        result: Array = self.plateau * turn_on * edges * sectors
        return result

    def pair_efficiency(self, tracks: Tracks) -> Array:
        """Probability that no pair of tracks is merged (events)."""
        azimuth, eta = self.exit_azimuth(tracks), tracks.eta
        out = np.ones(len(eta))
        for i, j in combinations(range(eta.shape[1]), 2):
            pull_phi = _difference(azimuth[:, i], azimuth[:, j]) / self.merging_phi
            pull_eta = (eta[:, i] - eta[:, j]) / self.merging_eta
            out *= 1.0 - self.merging * np.exp(-0.5 * (pull_eta**2 + pull_phi**2))
        return out

    def trigger_efficiency(self, tracks: Tracks) -> Array:
        """Efficiency of the topology trigger (events)."""
        azimuth = self.exit_azimuth(tracks)
        pairs = combinations(range(azimuth.shape[1]), 2)
        opening = np.max(
            [np.abs(_difference(azimuth[:, i], azimuth[:, j])) for i, j in pairs], axis=0
        )
        wide = expit((opening - self.opening) / self.opening_width)
        hard = expit((tracks.pt.sum(axis=1) - self.sum_pt_half) / self.sum_pt_width)
        return np.asarray(self.trigger_floor + (1.0 - self.trigger_floor) * wide * hard)

    def efficiency(self, tracks: Tracks) -> Array:
        """True efficiency of the events (events), for two or more tracks each."""
        singles = self.track_efficiency(tracks).prod(axis=1)
        result: Array = singles * self.pair_efficiency(tracks) * self.trigger_efficiency(tracks)
        return result

    def smear(self, rng: np.random.Generator, tracks: Tracks) -> Tracks:
        """Reconstructed momenta: Gaussian in relative pt, eta and phi."""
        pt = tracks.pt
        constant, linear = self.pt_resolution
        spread = np.hypot(constant, linear * pt)
        noise = rng.standard_normal((3, *pt.shape))
        pt = pt * np.exp(spread * noise[0])  # log-normal: a pt stays positive
        eta = tracks.eta + self.angle_resolution * noise[1]
        phi = tracks.phi + self.angle_resolution * noise[2]
        return Tracks(pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), tracks.charge)


ALICE_LIKE = Detector()
"""Half a tesla, a metre, and tracks from 0.2 GeV: central exclusive production at the LHC."""


def _difference(first: Array, second: Array) -> Array:
    """``first - second`` wrapped into [-pi, pi)."""
    return np.asarray(delta_phi(first.ravel(), second.ravel()).reshape(first.shape))
