r"""Replicas of networks by draws of their last layers: the hidden layers are shared by all.

The logits of a network are linear in its last layer, :math:`z = W h + b`. Of a product of factors
they are so to first order, and h is the derivative. With the covariance C of the last layers (see
:mod:`hepsilon.uncertainty.last_layer`), which an artifact keeps as its factor, :math:`C = A A^T`,
replica k has the logits :math:`z + (A \xi_k) h` with Gaussian numbers :math:`\xi_k`, equal for all
objects. One pass through the network gives all replicas.

The mean of M networks moves by the mean of what they move by: their last layers are drawn together,
since they have seen the same events. What trainings on the same events differ by is added: the
differences of the networks to their mean, times Gaussian numbers of the variance 1 / (M (M - 1)),
which is that of the mean by their spread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepsilon._system.resources import threaded, usable_cpus
from hepsilon.arrays.batches import ROWS_AT_ONCE, filled
from hepsilon.arrays.kernels import njit
from hepsilon.arrays.types import Array
from hepsilon.errors import ArtifactError

__all__ = ["LAST_LAYER", "LastLayer", "between_members"]

LAST_LAYER = "last-layer"
"""Array group with the factor of the covariance."""
SEED = 1
MEMBERS = 2
"""Second number of the seed for the differences between members."""
ROWS = 2048
"""Rows of a block, whose replicas stay in the cache."""
ONE_THREAD = 1 << 18
"""Multiplications up to which BLAS uses the thread that it is called from: more of them would wait
for each other, since the blocks are shared among threads already."""
TINY, BELOW_ONE = np.finfo(float).tiny, 1.0 - np.finfo(float).epsneg
LARGEST_LOGIT, LARGEST_CHANGE = 300.0, 80.0
"""Beyond them a probability is zero or one in any case; below them no product overflows."""


@njit
def _probabilities(odds: Array, factors: Array, out: Array) -> None:
    """Probabilities to pass each working point from the odds of the bins between them.

    Parameters
    ----------
    odds : ndarray of float64, shape (n, n_working_points)
        Odds of each bin, relative to that of what passes none.
    factors : ndarray of float32, shape (n, n_working_points, n_replicas)
        What each replica multiplies them with.
    out : ndarray of float64, shape of factors
        Where the probabilities are put.
    """
    points, replicas = factors.shape[1:]
    total = np.empty(replicas)
    for i in range(len(odds)):
        total[:] = 0.0
        for point in range(points - 1, -1, -1):
            for k in range(replicas):
                total[k] += odds[i, point] * factors[i, point, k]
                out[i, point, k] = total[k]
        for point in range(points):
            for k in range(replicas):
                value = out[i, point, k] / (1.0 + total[k])
                out[i, point, k] = min(max(value, TINY), BELOW_ONE)


@njit
def _probability(odds: Array, factors: Array, out: Array) -> None:
    """Probabilities to pass a single working point.

    Parameters
    ----------
    odds : ndarray of float64, shape (n,)
        Odds of each object.
    factors : ndarray of float32, shape (n, n_replicas)
        What each replica multiplies them with.
    out : ndarray of float64, shape of factors
        Where the probabilities are put.
    """
    for i in range(len(odds)):
        for k in range(factors.shape[1]):
            moved = odds[i] * factors[i, k]
            out[i, k] = min(max(moved / (1.0 + moved), TINY), BELOW_ONE)


@dataclass(frozen=True)
class LastLayer:
    """Last layers of the networks whose mean is an efficiency, with the error of their weights.

    Attributes
    ----------
    factor : ndarray of float32, shape (n_networks, n_working_points, n_inputs + 1, n_directions)
        Factor of the covariance: the change of all weights (the bias is the last input) for each of
        its directions, from the one that changes the most.
    """

    factor: Array

    def __post_init__(self) -> None:
        if self.factor.ndim != 4 or not np.isfinite(self.factor).all():
            raise ArtifactError(
                "the last layer: expected finite numbers of four dimensions, received "
                f"{self.factor.shape}"
            )

    def draws(self, n_replicas: int) -> Array:
        """Gaussian numbers of all replicas; fewer replicas are the first ones of more.

        Parameters
        ----------
        n_replicas : int
            Number of replicas.

        Returns
        -------
        ndarray of float64, shape (n_replicas, n_directions)
            One row for each replica.
        """
        return np.random.default_rng(SEED).standard_normal((n_replicas, self.factor.shape[-1]))

    def replicas(
        self,
        logits: Array,
        features: Array,
        n_replicas: int,
        members: Array,
        shifts: Array | None = None,
    ) -> Array:
        """Efficiencies of all objects in all replicas.

        Parameters
        ----------
        logits : ndarray of float64, shape (n, n_working_points)
            Logits of the efficiency itself.
        features : ndarray of float32, shape (n, n_networks * n_inputs)
            What the last layers see, of all networks side by side.
        n_replicas : int
            Number of replicas.
        members : ndarray of float64, shape (n, n_working_points, n_networks)
            Logits of the networks whose mean is the efficiency.
        shifts : ndarray of float32, shape (n, n_working_points, n_replicas), optional
            What else is added to the logits (see :mod:`hepsilon.efficiencies.bias`).

        Returns
        -------
        ndarray of float64, shape (n, n_working_points, n_replicas)
            Values in (0, 1), which fall from one working point to the next.
        """
        directions = self.draws(n_replicas)
        kernel, constant = self._layer_of(directions)
        few = max(1, ONE_THREAD // max(1, kernel.size * ROWS_AT_ONCE)) * ROWS_AT_ONCE
        between = between_members(n_replicas, members.shape[-1])
        odds = np.exp(np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT))
        out = np.empty((*logits.shape, n_replicas))

        def run(start: int) -> None:
            rows = slice(start, start + ROWS)
            given = filled(features[rows])
            flat = np.empty((len(given), len(constant)), np.float32)
            for first in range(0, len(flat), few):
                part = slice(first, first + few)
                np.matmul(given[part], kernel, out=flat[part])
            flat += constant
            moved = flat[: len(out[rows])].reshape(out[rows].shape)
            if between is not None:
                moved += np.einsum("npm,mk->npk", members[rows].astype(np.float32), between)
            if shifts is not None:
                moved += shifts[rows]
            np.clip(moved, -LARGEST_CHANGE, LARGEST_CHANGE, out=moved)
            np.exp(moved, out=moved)
            if logits.shape[1] == 1:
                _probability(odds[rows, 0], moved[:, 0], out[rows, 0])
            else:
                _probabilities(odds[rows], moved, out[rows])

        for _ in threaded(run, range(0, len(out), ROWS), usable_cpus()):
            pass
        return out

    def _layer_of(self, directions: Array) -> tuple[Array, Array]:
        """Last layer of all changes of the mean logits: kernel (inputs, points * n) and bias."""
        networks, points, inputs, _ = self.factor.shape
        change = (self.factor @ directions.T / networks).astype(np.float32)
        by_input = np.moveaxis(change[:, :, :-1], 1, 2)  # networks, inputs, points, changes
        kernel = by_input.reshape(networks * (inputs - 1), points * len(directions))
        return np.ascontiguousarray(kernel), change[:, :, -1].sum(axis=0).ravel()


def between_members(n_replicas: int, networks: int) -> Array | None:
    """Share of each network in the changes by what trainings on the same events differ by.

    Parameters
    ----------
    n_replicas : int
        Number of replicas.
    networks : int
        Number of networks.

    Returns
    -------
    ndarray of float32, shape (n_networks, n_replicas), or None
        Factors of their logits, which sum to zero in each replica; None for a single network.
    """
    if networks == 1:
        return None
    drawn = np.random.default_rng([SEED, MEMBERS]).standard_normal((n_replicas, networks))
    drawn -= drawn.mean(axis=1, keepdims=True)
    return np.asarray(drawn.T / np.sqrt(networks * (networks - 1.0)), np.float32)
