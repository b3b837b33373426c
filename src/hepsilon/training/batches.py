"""Shuffled training batches, cut into graphs of one shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hepsilon.arrays.types import Array, Offsets
from hepsilon.config.learning import Recipe
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.networks import graphs
from hepsilon.training.loss import object_loss_weights
from hepsilon.training.resampling import Resampling

__all__ = ["BatchPart", "Batches", "Shape"]

PART_EVENTS = 256
"""Events of a part on a CPU: its activations stay in the cache."""
LARGE_PART = 8192
"""Events of a part on a GPU, and for networks without pairs, whose steps are short."""
SHUFFLED_TOGETHER = 1 << 21
"""Events that are shuffled as a whole; larger samples in blocks of them, for locality on disk."""


@dataclass(frozen=True)
class Shape:
    """Capacity of the graphs into which batches are cut.

    A batch of many events is evaluated in parts whose gradients are added up, so that its size
    costs no memory. Batches of graph networks on a CPU are cut into at least two parts, so that
    two threads have work. A batch that does not fit into them gets a further part of equal shape.
    Only an event that is larger than a part gets a graph of its own shape; nothing else is
    compiled twice.

    Attributes
    ----------
    nodes : int
        Number of objects that a graph has room for, one of them for padding.
    edges : int
        Largest number of ordered pairs of objects; 0 for a network without pairs.
    """

    nodes: int
    edges: int

    @classmethod
    def of(cls, offsets: Offsets, batch_events: int, has_edges: bool, gpu: bool = False) -> Shape:
        """Capacity that most batches of random events fit into without waste.

        Parameters
        ----------
        offsets : ndarray of int64, shape (n_events + 1,)
            Bounds of the objects of all events that batches are drawn from.
        batch_events : int
            Events of a batch.
        has_edges : bool
            Whether the network has pairs of objects.
        gpu : bool, default False
            Whether it is trained on a GPU, which gets larger parts.

        Returns
        -------
        Shape
            Capacity of each graph.
        """
        parts = -(-batch_events // (PART_EVENTS if has_edges and not gpu else LARGE_PART))
        if has_edges and not gpu:
            parts = max(2, parts)
        nodes, edges = graphs.capacity_for(offsets, batch_events, parts)
        return cls(nodes, edges if has_edges else 0)


@dataclass(frozen=True)
class BatchPart:
    """One graph of a batch.

    Attributes
    ----------
    inputs : dict of str to ndarray
        Inputs of a network, by name.
    target : ndarray of float32, shape (nodes, 1)
        Response of each object; 0 for padding.
    weights : tuple of ndarray of float32, shape (nodes, 1)
        Weight of every object in the loss, one array for each member; zero for padding.
    """

    inputs: dict[str, Array]
    target: Array
    weights: tuple[Array, ...]


def shuffled(n_events: int, seed: list[int]) -> Array:
    """Events in random order; those of large samples block by block, the blocks in random order.

    Parameters
    ----------
    n_events : int
        Number of events.
    seed : list of int
        Seed of the order.

    Returns
    -------
    ndarray of int64, shape (n_events,)
        Numbers of the events.
    """
    rng = np.random.default_rng(seed)
    n_blocks = -(-n_events // SHUFFLED_TOGETHER)
    if n_blocks == 1:
        return rng.permutation(n_events)
    bounds = np.linspace(0, n_events, n_blocks + 1).astype(np.int64)
    order = rng.permutation(n_blocks)
    return np.concatenate([rng.permutation(np.arange(*bounds[b : b + 2])) for b in order])


class Batches:
    """One epoch of shuffled batches; the order is a function of the seed.

    The number of batches is ``len(batches)``; events left over at the end of the order are not used
    in this epoch.

    Parameters
    ----------
    columns : TrainingColumns
        Events of the training.
    recipe : Recipe
        Complete configuration of the training.
    shape : Shape
        Capacity of the graphs.
    seed : list of int
        Seed of the order of events.
    networks : tuple of int, default (0,)
        Numbers of the networks in training, each of which gets weights of its own.
    resampling : Resampling, optional
        How often each network sees each event; by default once.
    """

    def __init__(
        self,
        columns: TrainingColumns,
        recipe: Recipe,
        shape: Shape,
        seed: list[int],
        networks: tuple[int, ...] = (0,),
        resampling: Resampling | None = None,
    ) -> None:
        self.columns, self.recipe, self.shape, self.networks = columns, recipe, shape, networks
        self.resampling = resampling or Resampling()
        self.size = min(recipe.batch_events, columns.n_events)
        self.order = shuffled(columns.n_events, seed)
        self._norms = [self._norm(network) for network in networks]

    def __len__(self) -> int:
        return len(self.order) // self.size

    def _norm(self, network: int) -> float:
        """Size of a batch in units of the mean weight, of what the network sees."""
        total = 0.0
        for block in self.columns.blocks():
            total += np.abs(block.weights * self.resampling.counts(block.keys, network)).sum()
        return float(self.size * total / self.columns.n_events)

    def parts(self, i: int) -> Iterator[BatchPart]:
        """Graphs of one batch, in a fixed order.

        Parameters
        ----------
        i : int
            Number of the batch, from 0.

        Yields
        ------
        BatchPart
            Next graph of the batch.
        """
        # sorted: neighbours in memory, or on disk
        events = np.sort(self.order[i * self.size : (i + 1) * self.size])
        counts = self.columns.offsets[events + 1] - self.columns.offsets[events]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        bounds = graphs.pack_events(offsets, self.shape.nodes - 1, self.shape.edges or None)
        for first, last in pairwise(bounds):
            yield self._part(events[first:last])

    def _part(self, events: Array) -> BatchPart:
        columns = self.columns
        counts = columns.offsets[events + 1] - columns.offsets[events]
        needed = graphs.needed_capacity(counts)
        capacity = (
            max(self.shape.nodes, needed[0]),
            self.shape.edges and max(self.shape.edges, needed[1]),
        )
        graph = graphs.gather(columns.offsets, columns.nodes, events, capacity)
        real = slice(0, int(counts.sum()))
        target = np.zeros((len(graph.x), 1), np.float32)
        target[real, 0] = columns.passed[graph.index[real]]
        per_object = object_loss_weights(
            columns.weights[events], counts, target[real, 0], self.recipe.mu
        )
        weights = []
        for network, norm in zip(self.networks, self._norms, strict=True):
            weight = np.zeros((len(graph.x), 1), np.float32)
            drawn = self.resampling.counts(columns.keys[events], network)
            weight[real, 0] = per_object * np.repeat(drawn, counts) / norm
            weights.append(weight)
        return BatchPart(graph.inputs, target, tuple(weights))
