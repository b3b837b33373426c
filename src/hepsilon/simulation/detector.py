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
    """Tracks of events that all have the same number of tracks.

    Attributes
    ----------
    px, py, pz : ndarray of float64, shape (n_events, n_tracks), GeV
        Momentum of every track.
    charge : ndarray, shape (n_events, n_tracks), e
        Charge of every track.
    """

    px: Array
    py: Array
    pz: Array
    charge: Array

    @property
    def pt(self) -> Array:
        """Transverse momentum [GeV], shape (n_events, n_tracks)."""
        return np.hypot(self.px, self.py)

    @property
    def eta(self) -> Array:
        """Pseudorapidity, shape (n_events, n_tracks)."""
        return np.arcsinh(self.pz / self.pt)

    @property
    def phi(self) -> Array:
        """Azimuth [rad] in [-pi, pi], shape (n_events, n_tracks)."""
        return np.arctan2(self.py, self.px)

    def take(self, index: Array) -> Tracks:
        """Choose events.

        Parameters
        ----------
        index : ndarray of int64 or bool
            Positions of the events in the order wanted, or a mask.

        Returns
        -------
        Tracks
            Tracks of the chosen events.
        """
        return Tracks(self.px[index], self.py[index], self.pz[index], self.charge[index])


@dataclass(frozen=True)
class Sector:
    """Dead sector of the tracker, with the small efficiency that is left in it.

    Attributes
    ----------
    centre : float, rad
        Azimuth of the centre.
    width : float, rad
        Full width in azimuth.
    efficiency : float
        Factor on the efficiency of a track inside.
    """

    centre: float
    width: float
    efficiency: float


@dataclass(frozen=True)
class Detector:
    """Parametrised detector: efficiencies and resolutions of tracks.

    Attributes
    ----------
    plateau : float, default 0.95
        Efficiency of a track that nothing below affects.
    pt_half : float, GeV, default 0.22
        Transverse momentum of half efficiency.
    pt_width : float, default 0.25
        Width of the turn-on, the logistic function of ``ln(pt / pt_half) / pt_width``.
    eta_half : float, default 0.92
        Pseudorapidity of half efficiency at the edges.
    eta_width : float, default 0.05
        Width of the edges, the logistic function of ``(eta_half - |eta|) / eta_width``.
    bending : float, GeV, default 0.075
        Kappa = 0.15 B r (B in T, r in m): a track of charge q is bent by
        ``q arcsin(kappa / pt)`` before it leaves the tracker.
    sectors : tuple of Sector
        Dead sectors, in the azimuth at which the track leaves the tracker.
    sector_edge : float, rad, default 0.03
        Width of the logistic edges of dead sectors.
    merging : float, default 0.7
        Largest loss of a pair of tracks, at zero distance.
    merging_eta : float, default 0.1
        Gaussian width of this loss in pseudorapidity.
    merging_phi : float, rad, default 0.2
        Gaussian width of this loss in azimuth.
    trigger_floor : float, default 0.2
        Efficiency of the trigger for collinear tracks.
    opening : float, rad, default 0.95
        Opening angle in azimuth at half of the trigger's turn-on.
    opening_width : float, rad, default 0.12
        Width of this turn-on.
    sum_pt_half : float, GeV, default 0.6
        Sum of transverse momenta at half of the trigger's turn-on.
    sum_pt_width : float, GeV, default 0.08
        Width of this turn-on.
    pt_resolution : tuple of (float, float), default (0.01, 0.005)
        Relative resolution of pt: the constant term, and the term linear in pt [1/GeV].
    angle_resolution : float, rad, default 0.002
        Resolution of eta and of phi.
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
        """Azimuth at which tracks leave the tracker, bent by the magnetic field.

        Parameters
        ----------
        tracks : Tracks
            Tracks of events.

        Returns
        -------
        ndarray of float64, shape (n_events, n_tracks), rad
            Azimuth in [-pi, pi).
        """
        bend = tracks.charge * np.arcsin(np.minimum(self.bending / tracks.pt, 1.0))
        return _difference(tracks.phi, bend)

    def track_efficiency(self, tracks: Tracks) -> Array:
        """Efficiency of each track by itself: turn-on, edges and dead sectors.

        Parameters
        ----------
        tracks : Tracks
            Tracks of events.

        Returns
        -------
        ndarray of float64, shape (n_events, n_tracks)
            Efficiency of every track.
        """
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
        """Probability that no pair of tracks is merged.

        Parameters
        ----------
        tracks : Tracks
            Tracks of events.

        Returns
        -------
        ndarray of float64, shape (n_events,)
            Product over the pairs of each event.
        """
        azimuth, eta = self.exit_azimuth(tracks), tracks.eta
        out = np.ones(len(eta))
        for i, j in combinations(range(eta.shape[1]), 2):
            pull_phi = _difference(azimuth[:, i], azimuth[:, j]) / self.merging_phi
            pull_eta = (eta[:, i] - eta[:, j]) / self.merging_eta
            out *= 1.0 - self.merging * np.exp(-0.5 * (pull_eta**2 + pull_phi**2))
        return out

    def trigger_efficiency(self, tracks: Tracks) -> Array:
        """Efficiency of the trigger on opening angle and sum of transverse momenta.

        Parameters
        ----------
        tracks : Tracks
            Tracks of events, two or more in each.

        Returns
        -------
        ndarray of float64, shape (n_events,)
            Efficiency of every event.
        """
        azimuth = self.exit_azimuth(tracks)
        pairs = combinations(range(azimuth.shape[1]), 2)
        opening = np.max(
            [np.abs(_difference(azimuth[:, i], azimuth[:, j])) for i, j in pairs], axis=0
        )
        wide = expit((opening - self.opening) / self.opening_width)
        hard = expit((tracks.pt.sum(axis=1) - self.sum_pt_half) / self.sum_pt_width)
        return np.asarray(self.trigger_floor + (1.0 - self.trigger_floor) * wide * hard)

    def efficiency(self, tracks: Tracks) -> Array:
        """True efficiency of events: product of tracks, pairs and trigger.

        Parameters
        ----------
        tracks : Tracks
            Tracks of events, two or more in each.

        Returns
        -------
        ndarray of float64, shape (n_events,)
            Efficiency of every event.
        """
        singles = self.track_efficiency(tracks).prod(axis=1)
        result: Array = singles * self.pair_efficiency(tracks) * self.trigger_efficiency(tracks)
        return result

    def smear(self, rng: np.random.Generator, tracks: Tracks) -> Tracks:
        """Reconstructed tracks: log-normal in pt, Gaussian in eta and phi.

        Parameters
        ----------
        rng : numpy.random.Generator
            Random numbers.
        tracks : Tracks
            Generated tracks.

        Returns
        -------
        Tracks
            Tracks with the resolution of the detector; charges are always right.
        """
        pt = tracks.pt
        constant, linear = self.pt_resolution
        spread = np.hypot(constant, linear * pt)
        noise = rng.standard_normal((3, *pt.shape))
        pt = pt * np.exp(spread * noise[0])  # log-normal: a pt stays positive
        eta = tracks.eta + self.angle_resolution * noise[1]
        phi = tracks.phi + self.angle_resolution * noise[2]
        return Tracks(pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), tracks.charge)


ALICE_LIKE = Detector()
"""Detector with half a tesla over a metre, for central exclusive production at the LHC."""


def _difference(first: Array, second: Array) -> Array:
    """``first - second`` wrapped into [-pi, pi)."""
    return np.asarray(delta_phi(first.ravel(), second.ravel()).reshape(first.shape))
