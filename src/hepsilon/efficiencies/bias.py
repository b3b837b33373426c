"""Bias of networks by region, as shifts of the logits of replicas.

What :mod:`hepsilon.uncertainty.bias` has found is kept as the factor of the second moment of all
shifts, F: in replica k region r has the shift ``F[r] @ xi_k`` with Gaussian numbers that depend on
the number of the replica alone. An entry gets the sum of the shifts of its regions, one for each
input. The efficiency itself is not changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.task import Task
from hepsilon.data.features import FeatureSpec
from hepsilon.efficiencies.draws import LARGEST_LOGIT, tempered
from hepsilon.efficiencies.logits import logits_of, probabilities_of
from hepsilon.efficiencies.regions import Regions, categories_of
from hepsilon.efficiencies.tree_inputs import input_names, tree_inputs
from hepsilon.errors import ArtifactError

__all__ = ["BIAS", "BiasTerm", "Shifts", "region_inputs", "region_names", "shifted"]

BIAS = "bias"
"""Array group with the regions and their shifts."""
SEED = 1
SHIFTS = 3
"""Second number of the seed for the shifts."""


def region_names(task: Task, partners: bool) -> tuple[str, ...]:
    """Name the inputs that have regions: those of trees, and one that is equal for all entries.

    Parameters
    ----------
    task : Task
        The task.
    partners : bool
        Whether to look at the other objects of an event.

    Returns
    -------
    tuple of str
        Names for people; the last one is ``"all"``.
    """
    return (*input_names(task, partners), "all")


def region_inputs(task: Task, partners: bool, offsets: Offsets, nodes: Nodes) -> Array:
    """Compute the inputs of all entries.

    Parameters
    ----------
    task : Task
        The task.
    partners : bool
        Whether to look at the other objects of an event.
    offsets : ndarray of int64, shape (n_events + 1,)
        Event i has the objects ``offsets[i]:offsets[i + 1]``.
    nodes : ndarray of float32, shape (n_objects, n_features)
        Raw features of the task.

    Returns
    -------
    ndarray of float32, shape (n_entries, n_inputs)
        Columns in the order of :func:`region_names`.
    """
    inputs = tree_inputs(task, partners, offsets, nodes)
    return np.concatenate([inputs, np.zeros((len(inputs), 1), np.float32)], axis=1)


def shifted(eps: Array, drawn: Array, shifts: Array) -> Array:
    """Efficiencies of some networks whose logits are shifted, each by a draw of its own.

    Parameters
    ----------
    eps : ndarray of float64, shape (n, [n_working_points,])
        The efficiency itself.
    drawn : ndarray of float64, shape (n, [n_working_points,] n_networks)
        Efficiencies of the networks in (0, 1).
    shifts : ndarray of float32, shape (n, n_working_points, n_draws)
        Gaussian changes of the logits of the bins between working points, relative to what passes
        none: as many as show how large they are (see :mod:`hepsilon.efficiencies.draws`), and one
        for each network. They are overwritten.

    Returns
    -------
    ndarray of float64, shape of ``drawn``
        In (0, 1), falling from one working point to the next.
    """
    n, points = shifts.shape[:2]
    logits = np.clip(logits_of(eps.reshape(n, points), 1.0), -LARGEST_LOGIT, LARGEST_LOGIT)
    tempered(shifts, np.exp(logits))
    networks = drawn.reshape(n, points, -1)
    changed = logits_of(networks, 1.0) + shifts[..., : networks.shape[2]]
    return probabilities_of(changed, 1.0).reshape(drawn.shape)


@dataclass(frozen=True)
class Shifts:
    """Shifts of the logits of some entries in all replicas, which are looked up as they are needed.

    Attributes
    ----------
    regions : Regions
        The regions.
    table : ndarray of float32, shape (n_regions, n_working_points, n_replicas)
        Shifts of each region.
    inputs : ndarray of float32, shape (n, n_inputs)
        Inputs of the entries.
    categories : ndarray of int64, shape (n,)
        Category of each entry.
    """

    regions: Regions
    table: Array
    inputs: Array
    categories: Array

    def numbers(self, rows: slice) -> Array:
        """Regions of some entries.

        Parameters
        ----------
        rows : slice
            The entries.

        Returns
        -------
        ndarray of int64, shape (n_rows, n_families)
            Rows of the table that are summed.
        """
        return self.regions.numbers(self.inputs[rows], self.categories[rows])

    def all(self) -> Array:
        """Sums over the regions that each entry is in.

        Returns
        -------
        ndarray of float32, shape (n, n_working_points, n_replicas)
            Shifts of all entries.
        """
        found = np.zeros((len(self.inputs), *self.table.shape[1:]), np.float32)
        for family in self.numbers(slice(None)).T:
            found += self.table[family]
        return found


@dataclass(frozen=True)
class BiasTerm:
    """Shifts of logits by region.

    Attributes
    ----------
    regions : Regions
        The regions.
    factor : ndarray of float32, shape (n_regions, n_working_points, n_directions)
        Factor of the second moment of the shifts.
    partners : bool
        Whether the inputs look at the other objects of an event.
    """

    regions: Regions
    factor: Array
    partners: bool

    def __post_init__(self) -> None:
        shape, kind = self.factor.shape, self.factor.dtype
        fits = len(shape) == 3 and shape[0] == self.regions.size and kind == np.float32
        if not (fits and np.isfinite(self.factor).all()):
            raise ArtifactError(
                f"the bias: expected finite float32 shifts of {self.regions.size} regions, "
                f"received {shape} of {kind}"
            )

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array], partners: bool) -> BiasTerm:
        """Take the arrays of an artifact.

        Parameters
        ----------
        arrays : dict of str to ndarray
            ``columns``, ``edges``, ``bounds`` and ``factor``.
        partners : bool
            Whether the inputs look at the other objects of an event.

        Returns
        -------
        BiasTerm
            The like.

        Raises
        ------
        ArtifactError
            If they are no shifts by region.
        """
        names = ("columns", "edges", "bounds", "factor")
        if set(arrays) != set(names):
            raise ArtifactError(f"the bias: expected {names}, received {tuple(arrays)}")
        columns, edges, bounds, factor = (arrays[name] for name in names)
        return cls(Regions(columns, edges, bounds), factor, partners)

    def shifts(
        self,
        task: Task,
        spec: FeatureSpec,
        offsets: Offsets,
        nodes: Nodes,
        n_replicas: int,
    ) -> Shifts:
        """Shifts of the logits of all entries.

        Parameters
        ----------
        task : Task
            The task.
        spec : FeatureSpec
            Features with their categories.
        offsets : ndarray of int64, shape (n_events + 1,)
            Event i has the objects ``offsets[i]:offsets[i + 1]``.
        nodes : ndarray of float32, shape (n_objects, n_features)
            Raw features.
        n_replicas : int
            Number of replicas; fewer are the first ones of more.

        Returns
        -------
        Shifts
            What the logits of each entry are shifted by.
        """
        inputs = region_inputs(task, self.partners, offsets, nodes)
        categories, _ = categories_of(None if task.of_events else spec, inputs)
        drawn = np.random.default_rng([SEED, SHIFTS]).standard_normal(
            (n_replicas, self.factor.shape[2])
        )
        table = (self.factor.astype(np.float64) @ drawn.T).astype(np.float32)
        return Shifts(self.regions, table, inputs, categories)
