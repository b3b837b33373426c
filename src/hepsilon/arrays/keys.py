"""Keys of events: hashes of (run, luminosityBlock, event), for splits, draws and Poisson counts.

A key is made by mixing a salt and the three numbers one after the other with the finaliser of
splitmix64, which maps 64-bit words one to one and changes about half of the bits for every bit of
the input. Further words of a key are the finaliser of the key plus multiples of an odd constant,
as splitmix64 generates them. A uniform number takes the upper 53 bits of a word; a Poisson(1) count
is the number of thresholds, the cumulative probabilities times 2^64, that the word reaches, which
inverts the distribution function with comparisons of integers alone. Every number is thereby a
pure function of the event and its use: chunks, workers and the order of events never change it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hepsilon.arrays.kernels import njit
from hepsilon.arrays.types import Array

__all__ = [
    "EVENT_NAMES",
    "FOLD_SALT",
    "MEMBER_SALT",
    "REPLICA_SALT",
    "SIDE_SALT",
    "SPLIT_SALT",
    "TAG_SALT",
    "event_key",
    "fill_replicas",
    "fold_numbers",
    "key_uniform",
    "mixed",
    "nth_uniform",
    "poisson_counts",
    "poisson_of",
]


EVENT_NAMES = ("run", "luminosityBlock", "event")
"""Numbers that identify an event, by their names in NanoAOD."""

# Salts keep the random numbers of one event for different uses apart. A changed salt changes
# every draw of its use, so that results of earlier versions are not reproduced.
SPLIT_SALT = 1
"""Side of the training and validation split."""
MEMBER_SALT = 2
"""Poisson counts of an event in the bootstrap sample of an ensemble's member."""
REPLICA_SALT = 3
"""Poisson counts of an event in the bootstrap replicas of histograms."""
TAG_SALT = 4
"""Sampled tags of an event's jets."""
FOLD_SALT = 5
"""Fold of an event, on which one network of an ensemble is validated."""
SIDE_SALT = 6
"""Events of the denominator of a ratio: those of equal numbers in the numerator are others."""


def _poisson_thresholds() -> Array:
    """Cumulative Poisson(1) probabilities in units of 2^-64: a count is the number below a key."""
    cumulative, term, thresholds = 0.0, math.exp(-1.0), []
    for k in range(1, 19):  # beyond, less than 2^-53 is left
        cumulative += term
        term /= k
        thresholds.append(min(int(cumulative * 2.0**64), 2**64 - 1))
    return np.array(thresholds, np.uint64)


POISSON = _poisson_thresholds()


@njit
def mixed(z: Any) -> Any:
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection that mixes all bits.

    Parameters
    ----------
    z : uint64
        A number.

    Returns
    -------
    uint64
        Another one; numbers that differ in one bit have nothing in common.
    """
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit
def event_key(run: Array, lumi: Array, event: Array, salt: int) -> Array:
    """64-bit hash of (run, luminosityBlock, event, salt), independent of order and chunking.

    Parameters
    ----------
    run, lumi, event : ndarray of uint64, shape (n_events,)
        Numbers that identify each event.
    salt : int
        Use of the key, such as :data:`SPLIT_SALT`: different uses get independent keys.

    Returns
    -------
    ndarray of uint64, shape (n_events,)
        Key of each event.
    """
    out = np.empty(event.size, np.uint64)
    golden = np.uint64(0x9E3779B97F4A7C15)
    start = mixed(np.uint64(salt) + golden)
    for i in range(event.size):
        z = mixed((start ^ np.uint64(run[i])) + golden)
        z = mixed((z ^ np.uint64(lumi[i])) + golden)
        out[i] = mixed((z ^ np.uint64(event[i])) + golden)
    return out


@njit
def _uniform(bits: Any) -> float:
    """The upper 53 bits as a number in [0, 1)."""
    return np.float64(bits >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit
def key_uniform(key: Array) -> Array:
    """Uniform number in [0, 1) of every key: its upper 53 bits.

    Parameters
    ----------
    key : ndarray of uint64, shape (n,)
        Keys (see :func:`event_key`).

    Returns
    -------
    ndarray of float64, shape (n,)
        One number per key.
    """
    out = np.empty(key.size, np.float64)
    for i in range(key.size):
        out[i] = _uniform(key[i])
    return out


@njit
def _nth_bits(key: Any, n: int) -> Any:
    """The n-th of the 64-bit words that belong to a key (splitmix64)."""
    return mixed(key + np.uint64(n + 1) * np.uint64(0x9E3779B97F4A7C15))


@njit
def nth_uniform(key: Any, n: int) -> float:
    """The n-th of the uniform numbers in [0, 1) that belong to a key.

    Parameters
    ----------
    key : uint64
        Key of an event (see :func:`event_key`).
    n : int
        Position of the number, from 0.

    Returns
    -------
    float
        Upper 53 bits of the n-th word that splitmix64 generates from the key.
    """
    return _uniform(_nth_bits(key, n))


@njit
def _poisson(bits: Any) -> int:
    """Poisson(1) count of a 64-bit word: the number of thresholds that it reaches."""
    # without branches for the first ones, which are met by all but one key in a million
    count = 0
    for k in range(9):
        count += bits >= POISSON[k]
    if count == 9:
        while count < POISSON.size and bits >= POISSON[count]:
            count += 1
    return count


@njit
def poisson_counts(key: Array, n_replicas: int) -> Array:
    """Bootstrap counts of all events in all replicas, each a function of key and replica alone.

    Parameters
    ----------
    key : ndarray of uint64, shape (n_events,)
        Key of each event (see :func:`event_key`).
    n_replicas : int
        Number of replicas.

    Returns
    -------
    ndarray of uint8, shape (n_events, n_replicas)
        Poisson(1) counts.
    """
    out = np.empty((key.size, n_replicas), np.uint8)
    for i in range(key.size):
        for replica in range(n_replicas):
            out[i, replica] = _poisson(_nth_bits(key[i], replica))
    return out


@njit
def poisson_of(words: Array) -> Array:
    """Poisson(1) count of each 64-bit word, such as a key that is used once.

    Parameters
    ----------
    words : ndarray of uint64, shape (n,)
        Words whose bits are uniformly random.

    Returns
    -------
    ndarray of uint8, shape (n,)
        One count per word.
    """
    out = np.empty(words.size, np.uint8)
    for i in range(words.size):
        out[i] = _poisson(words[i])
    return out


def fold_numbers(key: Array, n_folds: int) -> Array:
    """Fold of every event: a pure function of its key and of the number of folds.

    Parameters
    ----------
    key : ndarray of uint64, shape (n_events,)
        Key of each event, of any use: it is mixed anew.
    n_folds : int
        Number of folds.

    Returns
    -------
    ndarray of int64, shape (n_events,)
        Numbers from 0 to ``n_folds - 1``, all equally probable.
    """
    zeros = np.zeros(len(key), np.uint64)
    own = event_key(np.ascontiguousarray(key, np.uint64), zeros, zeros, FOLD_SALT)
    numbers: Array = (key_uniform(own) * n_folds).astype(np.int64)
    return numbers


@njit
def fill_replicas(
    entry_bin: Array, key: Array, weight: Array, n_bins: int, n_replicas: int
) -> Array:
    """Histogram of weights in all bootstrap replicas, in one pass.

    Parameters
    ----------
    entry_bin : ndarray of int64, shape (n,)
        Bin of each entry, in [0, n_bins).
    key : ndarray of uint64, shape (n,)
        Key of the event of each entry (see :func:`event_key`); entries of one event have equal
        keys, and therefore equal counts.
    weight : ndarray of float64, shape (n,)
        Weight of each entry.
    n_bins : int
        Number of bins.
    n_replicas : int
        Number of replicas.

    Returns
    -------
    ndarray of float64, shape (n_bins, n_replicas)
        Sums of weights times Poisson(1) counts.
    """
    out = np.zeros((n_bins, n_replicas), np.float64)
    for i in range(entry_bin.size):
        row = out[entry_bin[i]]
        for replica in range(n_replicas):
            row[replica] += weight[i] * _poisson(_nth_bits(key[i], replica))
    return out
