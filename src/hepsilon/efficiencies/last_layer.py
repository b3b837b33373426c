r"""Replicas of networks by draws of their last layers: the hidden layers are shared by all.

The logits of a network are linear in its last layer, :math:`z = W h + b`. Of a product of factors
they are so to first order, and h is the derivative. With the covariance C of the last layers (see
:mod:`hepsilon.uncertainty.last_layer`), which an artifact keeps as its factor, :math:`C = A A^T`,
replica k has the logits :math:`z + (A \xi_k) h` with Gaussian numbers :math:`\xi_k`, equal for all
objects. One pass through the network gives all replicas. What such changes of logits mean for
efficiencies is in :mod:`hepsilon.efficiencies.draws`.

The mean of M networks moves by the mean of what they move by: their last layers are drawn together,
since they have seen the same events. What trainings on the same events differ by is added: the
differences of the networks to their mean, times Gaussian numbers of the variance 1 / (M (M - 1)),
which is that of the mean by their spread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepsilon._system.resources import threaded, usable_cpus
from hepsilon.arrays.types import Array
from hepsilon.efficiencies.bias import Shifts
from hepsilon.efficiencies.draws import LARGEST_LOGIT, drawn_efficiencies, moved, tempered
from hepsilon.errors import ArtifactError

__all__ = ["LAST_LAYER", "Changes", "LastLayer", "between_members"]

LAST_LAYER = "last-layer"
"""Array group with the factor of the covariance."""
SEED = 1
MEMBERS = 2
"""Second number of the seed for the differences between members."""
ROWS = 2048
"""Rows of a block, whose replicas stay in the cache."""


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
        kind = self.factor.dtype
        if self.factor.ndim != 4 or kind != np.float32 or not np.isfinite(self.factor).all():
            raise ArtifactError(
                "the last layer: expected finite float32 numbers of four dimensions, received "
                f"{self.factor.shape} of {kind}"
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

    def changes(self, n_replicas: int) -> Changes:
        """Changes of the mean logits in all replicas.

        Parameters
        ----------
        n_replicas : int
            Number of replicas.

        Returns
        -------
        Changes
            With the kernel that an engine multiplies what the last layers see with.
        """
        networks, points, inputs, _ = self.factor.shape
        change = (self.factor @ self.draws(n_replicas).T / networks).astype(np.float32)
        by_input = np.moveaxis(change[:, :, :-1], 1, 2)  # networks, inputs, points, replicas
        kernel = by_input.reshape(networks * (inputs - 1), points * n_replicas)
        constant = change[:, :, -1].sum(axis=0).ravel()
        between = between_members(n_replicas, networks)
        return Changes(np.ascontiguousarray(kernel), constant, between)


@dataclass(frozen=True)
class Changes:
    """Changes of the logits in some replicas.

    Attributes
    ----------
    kernel : ndarray of float32, shape (n_networks * n_inputs, n_working_points * n_replicas)
        What multiplies what the last layers see.
    constant : ndarray of float32, shape (n_working_points * n_replicas,)
        Changes of the bias.
    between : ndarray of float32, shape (n_networks, n_replicas), or None
        Factors of the differences between the networks (see :func:`between_members`).
    """

    kernel: Array
    constant: Array
    between: Array | None

    def replicas(
        self, logits: Array, products: Array, members: Array, shifts: Shifts | None = None
    ) -> Array:
        """Efficiencies of all objects in all replicas.

        Parameters
        ----------
        logits : ndarray of float64, shape (n, n_working_points)
            Logits of the efficiency itself.
        products : ndarray of float32, shape (n, n_working_points * n_replicas)
            What the last layers see, times the kernel; it is overwritten. There are as many
            replicas as show how large the changes are (see :mod:`hepsilon.efficiencies.draws`).
        members : ndarray of float64, shape (n, n_working_points, n_networks)
            Logits of the networks whose mean is the efficiency.
        shifts : Shifts, optional
            What else is added to the logits.

        Returns
        -------
        ndarray of float64, shape (n, n_working_points, n_replicas)
            Values in (0, 1), which fall from one working point to the next.
        """
        points = logits.shape[1]
        odds = np.exp(np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT))
        out = np.empty((*logits.shape, products.shape[1] // points))
        table, everywhere = self.constant[None], np.zeros((ROWS, 1), np.int64)
        if shifts is not None:  # each entry is in one region of the first family
            first = slice(0, int(shifts.regions.starts[shifts.regions.n_categories]))
            table = shifts.table.reshape(len(shifts.table), -1).copy()
            table[first] += self.constant

        def run(start: int) -> None:
            rows = slice(start, start + ROWS)
            flat = products[rows]
            changes = flat.reshape(out[rows].shape)
            if self.between is not None:
                own = members[rows].astype(np.float32)
                changes += np.einsum("npm,mk->npk", own, self.between)
            numbers = everywhere[: len(flat)] if shifts is None else shifts.numbers(rows)
            moved(flat, table, numbers)
            tempered(changes, odds[rows])
            drawn_efficiencies(odds[rows], changes, out[rows])

        for _ in threaded(run, range(0, len(out), ROWS), usable_cpus()):
            pass
        return out


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
