"""numba kernels on flat NumPy buffers: no awkward, no coffea.

Jagged data are given as ``offsets`` (int64, ``n_events + 1``) and flat content. The kernels are
cached on disk and release the GIL; none uses ``parallel=True``, because workers are already
parallel and several threads on numba's workqueue layer abort the process.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from hepsilon.arrays.types import Array, Offsets

__all__ = [
    "bins_between",
    "count_within",
    "delta_phi",
    "delta_r_to_all",
    "delta_r_to_nearest",
    "leading_pair_mass",
    "njit",
    "pair_masses",
]

njit = nb.njit(cache=True, nogil=True)
TWO_PI = 2.0 * math.pi


@njit
def _wrap(delta: float) -> float:
    """Wrap an angle difference into [-pi, pi)."""
    wrapped = delta - TWO_PI * math.floor((delta + math.pi) / TWO_PI)
    return wrapped if -math.pi <= wrapped < math.pi else -math.pi  # round-off at the seam


@njit
def delta_phi(phi1: Array, phi2: Array) -> Array:
    """``phi1 - phi2`` element by element, wrapped into [-pi, pi) [rad].

    Parameters
    ----------
    phi1, phi2 : ndarray of float, shape (n,), rad
        Azimuthal angles.

    Returns
    -------
    ndarray of float64, shape (n,), rad
        Differences.
    """
    out = np.empty(phi1.size, np.float64)
    for i in range(phi1.size):
        out[i] = _wrap(np.float64(phi1[i]) - np.float64(phi2[i]))
    return out


@njit
def _delta_r(eta: Array, phi: Array, i: int, j: int) -> float:
    # the magnitude is wrapped: a distance is that of i to j and of j to i in its last digit, too
    d_phi = abs(np.float64(phi[i]) - np.float64(phi[j]))
    return math.hypot(np.float64(eta[i]) - np.float64(eta[j]), _wrap(d_phi))


@njit
def delta_r_to_all(offsets: Offsets, eta: Array, phi: Array) -> Array:
    """Delta R of every object to each other object of its event, in the objects' order.

    The result is flat, object by object: an object of an event with n objects owns n - 1 entries.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Bounds of the objects of each event.
    eta : ndarray of float, shape (n_objects,)
        Pseudorapidity of each object.
    phi : ndarray of float, shape (n_objects,), rad
        Azimuthal angle of each object.

    Returns
    -------
    ndarray of float64, shape (sum of n (n - 1) over the events,)
        Distances ``hypot(d_eta, d_phi)``.
    """
    counts = np.diff(offsets)
    out = np.empty(int(np.sum(counts * (counts - 1))), np.float64)
    k = 0
    for event in range(offsets.size - 1):
        for i in range(offsets[event], offsets[event + 1]):
            for j in range(offsets[event], offsets[event + 1]):
                if i != j:
                    out[k] = _delta_r(eta, phi, i, j)
                    k += 1
    return out


@njit
def delta_r_to_nearest(offsets: Offsets, eta: Array, phi: Array) -> Array:
    """Delta R of every object to the nearest other object of its event.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Bounds of the objects of each event.
    eta : ndarray of float, shape (n_objects,)
        Pseudorapidity of each object.
    phi : ndarray of float, shape (n_objects,), rad
        Azimuthal angle of each object.

    Returns
    -------
    ndarray of float64, shape (n_objects,)
        Distances; infinity for an object that is alone.
    """
    out = np.full(eta.size, np.inf)
    for event in range(offsets.size - 1):
        for i in range(offsets[event], offsets[event + 1]):
            for j in range(i + 1, offsets[event + 1]):
                distance = _delta_r(eta, phi, i, j)
                out[i] = min(out[i], distance)
                out[j] = min(out[j], distance)
    return out


@njit
def count_within(offsets: Offsets, eta: Array, phi: Array, radius: float) -> Array:
    """Number of other objects of the event within a radius.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Bounds of the objects of each event.
    eta : ndarray of float, shape (n_objects,)
        Pseudorapidity of each object.
    phi : ndarray of float, shape (n_objects,), rad
        Azimuthal angle of each object.
    radius : float
        Delta R below which another object counts.

    Returns
    -------
    ndarray of int64, shape (n_objects,)
        Number of other objects for each object.
    """
    out = np.zeros(eta.size, np.int64)
    for event in range(offsets.size - 1):
        for i in range(offsets[event], offsets[event + 1]):
            for j in range(i + 1, offsets[event + 1]):
                if _delta_r(eta, phi, i, j) < radius:
                    out[i] += 1
                    out[j] += 1
    return out


@njit
def _pair_mass(pt: Array, eta: Array, phi: Array, mass: Array, i: int, j: int) -> float:
    """Invariant mass without cancellation: every term of m^2 is non-negative.

    E1 E2 - p1.p2 is split into (E1 E2 - |p1||p2|) + (|p1||p2| - p1.p2), both written as sums of
    squares, so collinear and massless pairs keep their full precision.
    """
    pt1, pt2 = np.float64(pt[i]), np.float64(pt[j])
    m1, m2 = np.float64(mass[i]) ** 2, np.float64(mass[j]) ** 2
    p1 = pt1 * math.cosh(np.float64(eta[i]))
    p2 = pt2 * math.cosh(np.float64(eta[j]))
    e1, e2 = math.sqrt(p1 * p1 + m1), math.sqrt(p2 * p2 + m2)
    half_eta = 0.5 * (np.float64(eta[i]) - np.float64(eta[j]))
    half_phi = 0.5 * (np.float64(phi[i]) - np.float64(phi[j]))
    angular = 2.0 * pt1 * pt2 * (math.sinh(half_eta) ** 2 + math.sin(half_phi) ** 2)
    energies = e1 * e2 + p1 * p2
    massive = (p1 * p1 * m2 + p2 * p2 * m1 + m1 * m2) / energies if energies > 0.0 else 0.0
    return math.sqrt(m1 + m2 + 2.0 * (massive + angular))


@njit
def pair_masses(offsets: Offsets, pt: Array, eta: Array, phi: Array, mass: Array) -> Array:
    """Invariant masses of all pairs i < j of objects of every event [GeV].

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Bounds of the objects of each event.
    pt : ndarray of float, shape (n_objects,), GeV
        Transverse momentum of each object.
    eta : ndarray of float, shape (n_objects,)
        Pseudorapidity of each object.
    phi : ndarray of float, shape (n_objects,), rad
        Azimuthal angle of each object.
    mass : ndarray of float, shape (n_objects,), GeV
        Mass of each object.

    Returns
    -------
    ndarray of float64, shape (sum of n (n - 1) / 2 over the events,), GeV
        Masses, event by event, in lexicographic order of the pairs.
    """
    counts = np.diff(offsets)
    out = np.empty(int(np.sum(counts * (counts - 1) // 2)), np.float64)
    k = 0
    for event in range(offsets.size - 1):
        for i in range(offsets[event], offsets[event + 1]):
            for j in range(i + 1, offsets[event + 1]):
                out[k] = _pair_mass(pt, eta, phi, mass, i, j)
                k += 1
    return out


@njit
def leading_pair_mass(offsets: Offsets, pt: Array, eta: Array, phi: Array, mass: Array) -> Array:
    """Invariant mass of the first two objects of every event [GeV].

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Bounds of the objects of each event.
    pt : ndarray of float, shape (n_objects,), GeV
        Transverse momentum of each object.
    eta : ndarray of float, shape (n_objects,)
        Pseudorapidity of each object.
    phi : ndarray of float, shape (n_objects,), rad
        Azimuthal angle of each object.
    mass : ndarray of float, shape (n_objects,), GeV
        Mass of each object.

    Returns
    -------
    ndarray of float64, shape (n_events,), GeV
        Masses; NaN for an event with fewer than two objects.
    """
    out = np.full(offsets.size - 1, np.nan)
    for event in range(offsets.size - 1):
        first = offsets[event]
        if offsets[event + 1] - first >= 2:
            out[event] = _pair_mass(pt, eta, phi, mass, first, first + 1)
    return out


@njit
def bins_between(eps: Array, tolerance: float) -> tuple[Array, int]:
    """Probabilities of the bins between working points, from cumulative efficiencies.

    Parameters
    ----------
    eps : ndarray of float64, shape (n_jets, n_points)
        Efficiencies, from the loosest to the tightest working point.
    tolerance : float
        Tighter working points may be above looser ones by this round-off (taken as 0).

    Returns
    -------
    bins : ndarray of float64, shape (n_jets, n_points + 1)
        Probability of every bin.
    rising : int
        Number of jets with a larger difference.
    """
    n_jets, n_points = eps.shape
    bins = np.empty((n_jets, n_points + 1), np.float64)
    rising = 0
    for i in range(n_jets):
        bins[i, 0] = 1.0 - eps[i, 0]
        wrong = False
        for k in range(n_points - 1):
            difference = eps[i, k] - eps[i, k + 1]
            wrong |= difference < -tolerance
            bins[i, k + 1] = max(difference, 0.0)
        bins[i, n_points] = eps[i, n_points - 1]
        rising += wrong
    return bins, rising
