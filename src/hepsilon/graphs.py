"""Events as graphs of fixed size: the one input format of all networks, in training and inference.

A batch is one disconnected graph: all objects of its events as nodes, all ordered pairs within an
event as edges. Nodes and edges are padded to a capacity, so a compiled network sees few shapes;
padding edges join the last node, which is always padding, so they cannot change a result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from hepsilon import kernels

__all__ = ["Graph", "capacity_for", "gather", "needed_capacity", "packed_graphs", "packed_rows"]

Array = npt.NDArray[Any]

MAX_NODES = 4096
MAX_EDGES = 12288
MAX_ROWS = 16384
_SMALLEST = 64


@dataclass(frozen=True)
class Graph:
    """One batch.

    Attributes
    ----------
    x : float32 (nodes, features), zero for padding.
    receivers, senders : int32 (edges), sorted by receiver: the pair MLP of edge e updates node
        ``receivers[e]`` with its partner ``senders[e]``.
    index : int64 (nodes), position of the node in the flat columns, -1 for padding.
    """

    x: Array
    receivers: Array
    senders: Array
    index: Array

    @property
    def inputs(self) -> dict[str, Array]:
        """Inputs of a network (see :mod:`hepsilon.models`)."""
        return {"x": self.x, "receivers": self.receivers, "senders": self.senders}


def edge_counts(offsets: Array) -> Array:
    """Number of ordered pairs of each event."""
    counts: Array = np.diff(offsets)
    pairs: Array = counts * (counts - 1)
    return pairs


def gather(offsets: Array, nodes: Array, events: Array, capacity: tuple[int, int]) -> Graph:
    """The chosen events as one graph of the given (node, edge) capacity."""
    return Graph(*kernels.graph_batch(offsets, nodes, events, *capacity))


def capacity_for(offsets: Array, batch_events: int) -> tuple[int, int]:
    """Capacity for batches of ``batch_events`` random events: mean plus six standard deviations.

    Never more than the largest possible batch, so small data sets do not pay for padding.
    """
    sizes = []
    for per_event in (np.diff(offsets), edge_counts(offsets)):
        expected = batch_events * per_event.mean()
        spread = 6.0 * np.sqrt(batch_events) * per_event.std()
        sizes.append(min(int(expected + spread) + 1, int(batch_events * per_event.max(initial=0))))
    return _round_up(sizes[0] + 1, 64), _round_up(max(sizes[1], 1), 64)


def needed_capacity(offsets: Array, events: Array) -> tuple[int, int]:
    """Nodes (with one for padding) and edges of the chosen events, rounded up."""
    counts = offsets[events + 1] - offsets[events]
    edges = int((counts * (counts - 1)).sum())
    return _round_up(int(counts.sum()) + 1, 64), _round_up(edges, 64)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _size_class(nodes: int, edges: int) -> tuple[int, int]:
    """The smallest of a geometric ladder of capacities, so the number of shapes stays bounded."""
    node_capacity, edge_capacity = _SMALLEST, 3 * _SMALLEST
    while node_capacity < nodes or edge_capacity < edges:
        node_capacity, edge_capacity = 4 * node_capacity, 4 * edge_capacity
    return node_capacity, edge_capacity


def packed_graphs(offsets: Array, nodes: Array) -> Iterator[Graph]:
    """All events, in order, packed into graphs of a few fixed capacities (for inference)."""
    bounds = kernels.pack_events(offsets, MAX_NODES - 1, MAX_EDGES)
    pairs = np.concatenate([[0], np.cumsum(edge_counts(offsets))])
    for first, last in pairwise(bounds):
        n_nodes = int(offsets[last] - offsets[first])
        if n_nodes == 0:
            continue
        capacity = _size_class(n_nodes + 1, int(pairs[last] - pairs[first]))
        yield gather(offsets, nodes, np.arange(first, last), capacity)


def packed_rows(nodes: Array) -> Iterator[Graph]:
    """All objects, in order, in batches of a few fixed sizes, for networks without edges."""
    no_edges = np.zeros(0, np.int32)
    for first in range(0, len(nodes), MAX_ROWS):
        batch = nodes[first : first + MAX_ROWS]
        capacity = _SMALLEST
        while capacity < len(batch):
            capacity *= 4
        index = np.full(capacity, -1)
        index[: len(batch)] = np.arange(first, first + len(batch))
        x = np.zeros((capacity, nodes.shape[1]), nodes.dtype)
        x[: len(batch)] = batch
        yield Graph(x, no_edges, no_edges, index)
