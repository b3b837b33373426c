"""Events as graphs, in the two layouts that networks take.

Flat (:class:`Graph`): a batch is one disconnected graph with all objects of its events as nodes
and all ordered pairs within an event as edges. Nodes and edges are padded to a capacity, so a
compiled network sees few shapes; padding edges join the last node, which is always padding, so
they cannot change a result. Any mixture of multiplicities: for what is compiled per shape.

Neighbours (:class:`Neighbours`): events of equal multiplicity n, and for each node the row of its
n - 1 partners. Nothing is padded, and the sum over partners is over an axis: for runtimes that
take any shape.

How events are packed. Events keep their order and are cut greedily: a batch takes events until
the next one would exceed its budget of nodes or of edges (:func:`pack_events`, a binary search in
the running sums, so that a chunk costs one search per batch). A batch with N nodes and E edges is
then padded to the smallest capacity (64 * 4^k nodes, three times as many edges) that holds N + 1
nodes and E edges: a chunk of any size leads to a handful of shapes, each of which a network is
compiled for once. The one node more is what makes padding harmless: every padding edge joins that
last node with itself, so its messages are summed where no object is, and rows of padding are
dropped by ``index``. Within a batch the edges are sorted by receiver, object after object with
all its partners in order, which makes the sum over partners a sum over contiguous segments, in
the same order whatever else is in the batch: chunks change results by round-off at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hepsilon.arrays.columns import object_rows
from hepsilon.arrays.types import Array, Nodes, Offsets

__all__ = [
    "MAX_NODES",
    "MAX_ROWS",
    "Graph",
    "Neighbours",
    "capacity_for",
    "gather",
    "needed_capacity",
    "neighbour_batches",
    "pack_events",
    "packed_graphs",
    "packed_rows",
    "row_batches",
]

MAX_NODES = 1024
"""Nodes of a batch on a CPU: its activations stay in the cache. A GPU wants more."""
EDGES_PER_NODE = 3
MAX_ROWS = 16384
MAX_PAIRS = 1024
_SMALLEST = 64


@dataclass(frozen=True)
class Graph:
    """A batch of events as one disconnected graph, padded to a capacity.

    Attributes
    ----------
    x : ndarray of float32, shape (n_nodes, n_features)
        Raw features, zero for padding.
    receivers : ndarray of int32, shape (n_edges,)
        Node that each edge updates, in rising order.
    senders : ndarray of int32, shape (n_edges,)
        Partner that it is updated with: the pair MLP of edge e updates node ``receivers[e]`` with
        ``senders[e]``.
    index : ndarray of int64, shape (n_nodes,)
        Position of the node in the flat columns, -1 for padding.
    """

    x: Array
    receivers: Array
    senders: Array
    index: Array

    @property
    def inputs(self) -> dict[str, Array]:
        """Inputs of a network by name (see :mod:`hepsilon.networks`)."""
        return {"x": self.x, "receivers": self.receivers, "senders": self.senders}


def edge_counts(offsets: Offsets) -> Array:
    """Number of ordered pairs of each event."""
    counts: Array = np.diff(offsets)
    pairs: Array = counts * (counts - 1)
    return pairs


def gather(offsets: Offsets, nodes: Nodes, events: Array, capacity: tuple[int, int]) -> Graph:
    """Make one graph of chosen events, padded to a capacity.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Event i has the objects ``offsets[i]:offsets[i + 1]``.
    nodes : ndarray, shape (n_objects, n_features)
        Raw features of all objects.
    events : ndarray of int64
        Numbers of the chosen events.
    capacity : tuple of int
        Number of nodes, of which one more than the objects, and of edges; zero edges for networks
        without them.

    Returns
    -------
    Graph
        The batch.
    """
    counts = offsets[events + 1] - offsets[events]
    total, padding = int(counts.sum()), capacity[0] - 1
    index = np.full(capacity[0], -1)
    index[:total] = object_rows(offsets[events], counts)
    x = np.zeros((capacity[0], nodes.shape[1]), nodes.dtype)
    x[:total] = nodes[index[:total]]
    receivers, senders = (np.full(capacity[1], padding, np.int32) for _ in range(2))
    if capacity[1]:
        first, partners = (np.repeat(n, counts) for n in (np.cumsum(counts) - counts, counts - 1))
        others, edges = object_rows(first, partners), slice(0, int(partners.sum()))
        receivers[edges] = np.repeat(np.arange(total), partners)
        senders[edges] = others + (others >= receivers[edges])
    return Graph(x, receivers, senders, index)


def pack_events(offsets: Offsets, max_nodes: int, max_edges: int | None = None) -> list[int]:
    """Cut events, in order, into batches within a budget of nodes and of edges.

    A batch holds at least one event, so an event beyond the budget stands alone.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Event i has the objects ``offsets[i]:offsets[i + 1]``.
    max_nodes : int
        Most nodes of a batch.
    max_edges : int, optional
        Most edges of a batch; any number by default.

    Returns
    -------
    list of int
        Bounds: batch b holds the events ``bounds[b]:bounds[b + 1]``.
    """
    bounds, budgets = [0], [(offsets, max_nodes)]
    if max_edges is not None:
        budgets.append((np.concatenate([[0], np.cumsum(edge_counts(offsets))]), max_edges))
    while (first := bounds[-1]) < len(offsets) - 1:
        ends = [np.searchsorted(sums, sums[first] + most, "right") for sums, most in budgets]
        bounds.append(max(int(min(ends)) - 1, first + 1))
    return bounds


def capacity_for(offsets: Offsets, batch_events: int, parts: int = 1) -> tuple[int, int]:
    """Capacity that holds nearly every batch of random events, cut into parts.

    It is the mean plus three standard deviations of the batch, shared by the parts, and one large
    event for what is left at the end of each; never more than the largest possible batch needs.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        All events that batches are drawn from.
    batch_events : int
        Number of events of a batch.
    parts : int, default 1
        Number of parts of a batch.

    Returns
    -------
    tuple of int
        Nodes and edges of a part, rounded up to multiples of 64.
    """
    counts = np.diff(offsets)
    sizes = []
    for per_event in (counts, counts * (counts - 1)):
        largest = int(per_event.max(initial=0))
        expected = batch_events * per_event.mean() + 3.0 * np.sqrt(batch_events) * per_event.std()
        share = int(min(expected, batch_events * largest) / parts) + 1
        rest = int(np.quantile(per_event, 0.99)) if parts > 1 else 0
        sizes.append(min(share + rest, batch_events * largest))
    return _round_up(sizes[0] + 1, 64), _round_up(max(sizes[1], 1), 64)


def needed_capacity(counts: Array) -> tuple[int, int]:
    """Capacity of one graph of given events.

    Parameters
    ----------
    counts : ndarray of int64, shape (n_events,)
        Number of objects of each event.

    Returns
    -------
    tuple of int
        Nodes (with one for padding) and edges, rounded up to multiples of 64.
    """
    edges = int((counts * (counts - 1)).sum())
    return _round_up(int(counts.sum()) + 1, 64), _round_up(edges, 64)


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _size_class(nodes: int, edges: int) -> tuple[int, int]:
    """The smallest of a geometric ladder of capacities, so the number of shapes stays bounded."""
    capacity = _SMALLEST
    while capacity < nodes or EDGES_PER_NODE * capacity < edges:
        capacity *= 4
    return capacity, EDGES_PER_NODE * capacity


def packed_graphs(offsets: Offsets, nodes: Nodes, max_nodes: int | None = None) -> Iterator[Graph]:
    """Pack all events, in order, into graphs of a few fixed capacities (for inference).

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Event i has the objects ``offsets[i]:offsets[i + 1]``.
    nodes : ndarray of float32, shape (n_objects, n_features)
        Raw features.
    max_nodes : int, optional
        Most nodes of a graph; 1024 by default.

    Yields
    ------
    Graph
        Batches that hold every object once.
    """
    max_nodes = max_nodes or MAX_NODES
    bounds = pack_events(offsets, max_nodes - 1, EDGES_PER_NODE * max_nodes)
    for first, last in pairwise(bounds):
        n_nodes = int(offsets[last] - offsets[first])
        if n_nodes == 0:
            continue
        pairs = int(edge_counts(offsets[first : last + 1]).sum())
        capacity = _size_class(n_nodes + 1, pairs)
        yield gather(offsets, nodes, np.arange(first, last), capacity)


def packed_rows(nodes: Nodes, max_rows: int = MAX_ROWS) -> Iterator[Graph]:
    """Pack all objects, in order, into batches of a few fixed sizes, for networks without edges.

    Parameters
    ----------
    nodes : ndarray of float32, shape (n_objects, n_features)
        Raw features.
    max_rows : int, default 16384
        Most objects of a batch.

    Yields
    ------
    Graph
        Batches without edges that hold every object once.
    """
    no_edges = np.zeros(0, np.int32)
    for batch in row_batches(nodes, max_rows):
        capacity = _SMALLEST
        while capacity < len(batch.x):
            capacity *= 4
        index = np.full(capacity, -1)
        index[: len(batch.x)] = batch.index
        x = np.zeros((capacity, nodes.shape[1]), nodes.dtype)
        x[: len(batch.x)] = batch.x
        yield Graph(x, no_edges, no_edges, index)


@dataclass(frozen=True)
class Neighbours:
    """A batch of events of equal multiplicity, without padding.

    Attributes
    ----------
    x : ndarray of float32, shape (n_nodes, n_features)
        Raw features.
    senders : ndarray of int32, shape (n_nodes, n_partners)
        For each node the rows of the other objects of its event; its own row stands for no partner,
        so that no array is ever empty.
    index : ndarray of int64, shape (n_nodes,)
        Position of the node in the flat columns.
    """

    x: Array
    senders: Array
    index: Array


def neighbour_batches(
    offsets: Offsets, nodes: Nodes, max_pairs: int = MAX_PAIRS
) -> Iterator[Neighbours]:
    """Batch all events with objects by their multiplicity.

    An event beyond the budget of pairs stands alone.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_events + 1,)
        Event i has the objects ``offsets[i]:offsets[i + 1]``.
    nodes : ndarray of float32, shape (n_objects, n_features)
        Raw features.
    max_pairs : int, default 1024
        Most ordered pairs of a batch.

    Yields
    ------
    Neighbours
        Batches that hold every object once.
    """
    counts = np.diff(offsets)
    if not counts.any():
        return
    order = np.argsort(counts, kind="stable")
    multiplicities, first = np.unique(counts[order], return_index=True)
    for n, events in zip(multiplicities.tolist(), np.split(order, first[1:]), strict=True):
        size = max(1, max_pairs // max(1, n * (n - 1)))
        partners = _partners(n)
        for start in range(0, len(events), size) if n else ():
            batch = events[start : start + size]
            index = (offsets[batch, None] + np.arange(n)).ravel()
            rows = n * np.arange(len(batch), dtype=np.int32)[:, None, None] + partners
            yield Neighbours(nodes[index], rows.reshape(len(index), -1), index)


def _partners(n: int) -> Array:
    """Numbers of the partners of each of ``n`` objects, in order; a single object has itself."""
    if n < 2:
        return np.zeros((n, 1), np.int32)
    others = np.arange(n - 1, dtype=np.int32)
    return others + (others >= np.arange(n)[:, None])


def row_batches(nodes: Nodes, max_rows: int = MAX_ROWS) -> Iterator[Neighbours]:
    """Batch all objects, in order, for networks that do not look at partners.

    Parameters
    ----------
    nodes : ndarray of float32, shape (n_objects, n_features)
        Raw features.
    max_rows : int, default 16384
        Most objects of a batch.

    Yields
    ------
    Neighbours
        Batches without partners that hold every object once.
    """
    for first in range(0, len(nodes), max_rows):
        x = nodes[first : first + max_rows]
        yield Neighbours(x, np.zeros((len(x), 0), np.int32), np.arange(first, first + len(x)))
