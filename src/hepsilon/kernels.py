"""numba kernels on flat NumPy buffers: no awkward, no coffea.

Jagged data are given as ``offsets`` (int64, ``n_events + 1``) and flat content. The kernels are
cached on disk and release the GIL; none uses ``parallel=True``, because workers are already
parallel and several threads on numba's workqueue layer abort the process.
"""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

__all__ = [
    "count_within",
    "delta_phi",
    "delta_r_to_all",
    "delta_r_to_nearest",
    "event_key",
    "fill_replicas",
    "key_uniform",
    "leading_pair_mass",
    "njit",
    "nth_uniform",
    "pair_masses",
    "poisson_counts",
]

Array = npt.NDArray[Any]
njit = nb.njit(cache=True, nogil=True)
_jit = njit
TWO_PI = 2.0 * math.pi


def _poisson_thresholds() -> Array:
    """Cumulative Poisson(1) probabilities in units of 2^-64: a count is the number below a key."""
    cumulative, term, thresholds = 0.0, math.exp(-1.0), []
    for k in range(1, 19):  # beyond, less than 2^-53 is left
        cumulative += term
        term /= k
        thresholds.append(min(int(cumulative * 2.0**64), 2**64 - 1))
    return np.array(thresholds, np.uint64)


POISSON = _poisson_thresholds()


@_jit
def _wrap(delta: float) -> float:
    """Wrap an angle difference into [-pi, pi)."""
    wrapped = delta - TWO_PI * math.floor((delta + math.pi) / TWO_PI)
    return wrapped if -math.pi <= wrapped < math.pi else -math.pi  # round-off at the seam


@_jit
def delta_phi(phi1: Array, phi2: Array) -> Array:
    """``phi1 - phi2`` element by element, wrapped into [-pi, pi) [rad]."""
    out = np.empty(phi1.size, np.float64)
    for i in range(phi1.size):
        out[i] = _wrap(np.float64(phi1[i]) - np.float64(phi2[i]))
    return out


@_jit
def _delta_r(eta: Array, phi: Array, i: int, j: int) -> float:
    return math.hypot(
        np.float64(eta[i]) - np.float64(eta[j]), _wrap(np.float64(phi[i]) - np.float64(phi[j]))
    )


@_jit
def delta_r_to_all(offsets: Array, eta: Array, phi: Array) -> Array:
    """Delta R of every object to each other object of its event, in the objects' order.

    The result is flat, object by object: an object of an event with n objects owns n - 1 entries.
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


@_jit
def delta_r_to_nearest(offsets: Array, eta: Array, phi: Array) -> Array:
    """Delta R to the nearest other object of the event; infinity for an object that is alone."""
    out = np.full(eta.size, np.inf)
    for event in range(offsets.size - 1):
        for i in range(offsets[event], offsets[event + 1]):
            for j in range(i + 1, offsets[event + 1]):
                distance = _delta_r(eta, phi, i, j)
                out[i] = min(out[i], distance)
                out[j] = min(out[j], distance)
    return out


@_jit
def count_within(offsets: Array, eta: Array, phi: Array, radius: float) -> Array:
    """Number of other objects of the event with delta R below ``radius``."""
    out = np.zeros(eta.size, np.int64)
    for event in range(offsets.size - 1):
        for i in range(offsets[event], offsets[event + 1]):
            for j in range(i + 1, offsets[event + 1]):
                if _delta_r(eta, phi, i, j) < radius:
                    out[i] += 1
                    out[j] += 1
    return out


@_jit
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


@_jit
def pair_masses(offsets: Array, pt: Array, eta: Array, phi: Array, mass: Array) -> Array:
    """Invariant masses of all pairs i < j of every event, flat, in lexicographic order [GeV]."""
    counts = np.diff(offsets)
    out = np.empty(int(np.sum(counts * (counts - 1) // 2)), np.float64)
    k = 0
    for event in range(offsets.size - 1):
        for i in range(offsets[event], offsets[event + 1]):
            for j in range(i + 1, offsets[event + 1]):
                out[k] = _pair_mass(pt, eta, phi, mass, i, j)
                k += 1
    return out


@_jit
def leading_pair_mass(offsets: Array, pt: Array, eta: Array, phi: Array, mass: Array) -> Array:
    """Invariant mass of the first two objects of every event; NaN where there are fewer [GeV]."""
    out = np.full(offsets.size - 1, np.nan)
    for event in range(offsets.size - 1):
        first = offsets[event]
        if offsets[event + 1] - first >= 2:
            out[event] = _pair_mass(pt, eta, phi, mass, first, first + 1)
    return out


@_jit
def _mix(z: Any) -> Any:
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection that mixes all bits."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@_jit
def event_key(run: Array, lumi: Array, event: Array, salt: int) -> Array:
    """64-bit hash of (run, luminosityBlock, event, salt): the same for any order or chunking."""
    out = np.empty(event.size, np.uint64)
    golden = np.uint64(0x9E3779B97F4A7C15)
    start = _mix(np.uint64(salt) + golden)
    for i in range(event.size):
        z = _mix((start ^ np.uint64(run[i])) + golden)
        z = _mix((z ^ np.uint64(lumi[i])) + golden)
        out[i] = _mix((z ^ np.uint64(event[i])) + golden)
    return out


@_jit
def _uniform(bits: Any) -> float:
    """The upper 53 bits as a number in [0, 1)."""
    return np.float64(bits >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@_jit
def key_uniform(key: Array) -> Array:
    """The upper 53 bits of a key as a uniform number in [0, 1)."""
    out = np.empty(key.size, np.float64)
    for i in range(key.size):
        out[i] = _uniform(key[i])
    return out


@_jit
def _nth_bits(key: Any, n: int) -> Any:
    """The n-th of the 64-bit words that belong to a key (splitmix64)."""
    return _mix(key + np.uint64(n + 1) * np.uint64(0x9E3779B97F4A7C15))


@_jit
def nth_uniform(key: Any, n: int) -> float:
    """The n-th of the uniform numbers in [0, 1) that belong to a key."""
    return _uniform(_nth_bits(key, n))


@_jit
def _poisson(key: Any, replica: int) -> int:
    """Poisson(1) count of one replica: the number of thresholds that its hash reaches."""
    bits = _nth_bits(key, replica)
    # without branches for the first ones, which are met by all but one key in a million
    count = 0
    for k in range(9):
        count += bits >= POISSON[k]
    if count == 9:
        while count < POISSON.size and bits >= POISSON[count]:
            count += 1
    return count


@_jit
def poisson_counts(key: Array, n_replicas: int) -> Array:
    """Bootstrap counts (events, replicas): Poisson(1), a pure function of key and replica."""
    out = np.empty((key.size, n_replicas), np.uint8)
    for i in range(key.size):
        for replica in range(n_replicas):
            out[i, replica] = _poisson(key[i], replica)
    return out


@_jit
def fill_replicas(
    entry_bin: Array, key: Array, weight: Array, n_bins: int, n_replicas: int
) -> Array:
    """Histogram of weights in all bootstrap replicas in one pass (bins, replicas).

    Parameters
    ----------
    entry_bin : bin of each entry, in [0, n_bins).
    key : of the event of each entry (see :func:`event_key`); entries of one event share it, so
        their counts are the same.
    weight : of each entry.
    """
    out = np.zeros((n_bins, n_replicas), np.float64)
    for i in range(entry_bin.size):
        row = out[entry_bin[i]]
        for replica in range(n_replicas):
            row[replica] += weight[i] * _poisson(key[i], replica)
    return out
