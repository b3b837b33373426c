from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon.networks import graphs
from tests.helpers import strategies as sts

Array = npt.NDArray[Any]


def nodes_of(offsets: Array) -> Array:
    """Two features that identify each object; none is zero."""
    return np.arange(1, 2 * offsets[-1] + 1, dtype=np.float32).reshape(-1, 2)


def real_pairs(graph: graphs.Graph) -> list[tuple[int, int]]:
    """Edges between objects, by their positions in the flat columns."""
    receivers, senders = graph.index[graph.receivers], graph.index[graph.senders]
    real = receivers >= 0
    return list(zip(receivers[real].tolist(), senders[real].tolist(), strict=True))


def pairs_of(offsets: Array) -> list[tuple[int, int]]:
    events = itertools.pairwise(offsets.tolist())
    return [pair for event in events for pair in itertools.permutations(range(*event), 2)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets so small that a few events need several graphs."""
    monkeypatch.setattr(graphs, "MAX_NODES", 8)


@given(n=sts.counts(30))
def test_packed_graphs_hold_every_object_once_and_in_order(n: list[int]) -> None:
    offsets = sts.offsets(n)
    packed = list(graphs.packed_graphs(offsets, nodes_of(offsets)))
    index = [i for graph in packed for i in graph.index.tolist() if i >= 0]
    assert index == list(range(sum(n)))


@given(n=sts.counts(30))
def test_packed_graphs_hold_every_pair_once(n: list[int]) -> None:
    offsets = sts.offsets(n)
    packed = graphs.packed_graphs(offsets, nodes_of(offsets))
    assert [pair for graph in packed for pair in real_pairs(graph)] == pairs_of(offsets)


@given(n=sts.counts(30))
def test_features_follow_their_objects_and_padding_is_zero(n: list[int]) -> None:
    offsets = sts.offsets(n)
    nodes = nodes_of(offsets)
    for graph in graphs.packed_graphs(offsets, nodes):
        real = graph.index >= 0
        np.testing.assert_array_equal(graph.x[real], nodes[graph.index[real]])
        assert not graph.x[~real].any()


@given(n=sts.counts(30))
def test_padding_edges_never_touch_an_object(n: list[int]) -> None:
    offsets = sts.offsets(n)
    for graph in graphs.packed_graphs(offsets, nodes_of(offsets)):
        assert graph.index[-1] == -1
        padded = (graph.index[graph.receivers] < 0) | (graph.index[graph.senders] < 0)
        loops = graph.receivers[padded] == graph.senders[padded]
        assert (graph.receivers[padded] == len(graph.x) - 1).all()
        assert loops.all()


@given(n=sts.counts(30))
def test_edges_are_sorted_by_receiver(n: list[int]) -> None:
    offsets = sts.offsets(n)
    for graph in graphs.packed_graphs(offsets, nodes_of(offsets)):
        assert (np.diff(graph.receivers) >= 0).all()


@pytest.mark.usefixtures("small")
def test_small_budgets_make_several_graphs_without_losing_objects() -> None:
    offsets = sts.offsets([3, 0, 4, 2, 5, 1, 0, 9, 2])
    packed = list(graphs.packed_graphs(offsets, nodes_of(offsets)))
    assert len(packed) > 3
    assert [i for graph in packed for i in graph.index.tolist() if i >= 0] == list(range(26))


@pytest.mark.usefixtures("small")
def test_batches_without_objects_are_skipped() -> None:
    offsets = sts.offsets([0, 0, 9, 0, 0])
    assert len(list(graphs.packed_graphs(offsets, nodes_of(offsets)))) == 1


def test_no_objects_make_no_graphs() -> None:
    for offsets in (np.array([0]), np.array([0, 0, 0])):
        assert list(graphs.packed_graphs(offsets, np.empty((0, 2), np.float32))) == []


def test_an_event_beyond_the_budget_is_one_graph() -> None:
    budget = graphs.EDGES_PER_NODE * graphs.MAX_NODES
    n = int(np.sqrt(budget)) + 10
    (graph,) = graphs.packed_graphs(np.array([0, n]), np.ones((n, 2), np.float32))
    assert len(real_pairs(graph)) == n * (n - 1) > budget


def test_many_samples_share_few_shapes() -> None:
    rng = np.random.default_rng(1)
    shapes = set()
    for size in range(0, 3000, 77):
        offsets = sts.offsets(rng.integers(0, 8, size).tolist())
        packed = graphs.packed_graphs(offsets, nodes_of(offsets))
        shapes |= {(g.x.shape, g.receivers.shape) for g in packed}
    assert len(shapes) <= 5


def test_only_events_beyond_the_budget_need_larger_graphs() -> None:
    for n in ([1] * 10_000, [4] * 5000):
        offsets = sts.offsets(n)
        for graph in graphs.packed_graphs(offsets, nodes_of(offsets)):
            assert len(graph.x) <= graphs.MAX_NODES
            assert len(graph.receivers) <= graphs.EDGES_PER_NODE * graphs.MAX_NODES


def test_types_are_those_of_the_networks() -> None:
    (graph,) = graphs.packed_graphs(np.array([0, 2]), np.ones((2, 3), np.float32))
    assert graph.inputs.keys() == {"x", "receivers", "senders"}
    assert [a.dtype for a in graph.inputs.values()] == [np.float32, np.int32, np.int32]
    assert graph.index.dtype == np.int64


# training batches


@st.composite
def events_and_choice(draw: st.DrawFn) -> tuple[Array, Array]:
    n = draw(st.lists(st.integers(0, 9), min_size=1, max_size=40))
    return sts.offsets(n), np.array(draw(st.permutations(range(len(n)))), np.int64)


@given(sample=events_and_choice())
def test_needed_capacity_is_enough_with_one_padding_node(sample: tuple[Array, Array]) -> None:
    offsets, order = sample
    chosen = order[: len(order) // 2 + 1]
    n = np.diff(offsets)[chosen]
    nodes, edges = graphs.needed_capacity(n)
    assert n.sum() + 1 <= nodes < n.sum() + 1 + 64
    assert (n * (n - 1)).sum() <= edges < (n * (n - 1)).sum() + 64


@given(sample=events_and_choice(), size=st.integers(1, 10))
def test_capacity_never_exceeds_the_largest_possible_batch(
    sample: tuple[Array, Array], size: int
) -> None:
    offsets, _ = sample
    nodes, edges = graphs.capacity_for(offsets, size)
    assert nodes <= size * np.diff(offsets).max() + 1 + 63
    assert edges <= max(size * graphs.edge_counts(offsets).max(), 1) + 63


def test_capacity_holds_random_batches() -> None:
    # Mean plus three standard deviations: 0.13 % of the batches are larger (Gaussian limit), so
    # more than two of a hundred have a false-alarm rate of 3e-4.
    rng = np.random.default_rng(2)
    offsets = sts.offsets(rng.integers(2, 7, 5000).tolist())
    capacity = graphs.capacity_for(offsets, 500)
    counts = np.diff(offsets)
    drawn = [counts[rng.choice(5000, 500, replace=False)] for _ in range(100)]
    too_large = [graphs.needed_capacity(n) > capacity for n in drawn]
    assert sum(too_large) <= 2


def test_capacity_of_events_of_one_size_has_no_slack() -> None:
    assert graphs.capacity_for(sts.offsets([3] * 1000), 100) == (320, 640)


@given(sample=events_and_choice())
def test_gather_keeps_the_chosen_order(sample: tuple[Array, Array]) -> None:
    offsets, order = sample
    capacity = graphs.needed_capacity(np.diff(offsets)[order])
    graph = graphs.gather(offsets, nodes_of(offsets), order, capacity)
    expected = [i for event in order for i in range(offsets[event], offsets[event + 1])]
    assert graph.index[graph.index >= 0].tolist() == expected
    assert sorted(real_pairs(graph)) == pairs_of(offsets)
    assert (len(graph.x), len(graph.receivers)) == capacity


# events of equal multiplicity


def partners(batch: graphs.Neighbours) -> list[tuple[int, int]]:
    """Pairs of objects, by their positions in the flat columns."""
    own = np.arange(len(batch.x))[:, None]
    rows, columns = np.nonzero(batch.senders != own)
    senders = batch.index[batch.senders[rows, columns]]
    return list(zip(batch.index[rows].tolist(), senders.tolist(), strict=True))


@given(n=sts.counts(30), max_pairs=st.sampled_from([1, 12, 1024]))
def test_neighbours_hold_every_object_and_every_pair_once(n: list[int], max_pairs: int) -> None:
    offsets = sts.offsets(n)
    nodes = nodes_of(offsets)
    batches = list(graphs.neighbour_batches(offsets, nodes, max_pairs))
    assert sorted(i for batch in batches for i in batch.index.tolist()) == list(range(sum(n)))
    assert sorted(pair for b in batches for pair in partners(b)) == sorted(pairs_of(offsets))
    for batch in batches:
        np.testing.assert_array_equal(batch.x, nodes[batch.index])


@given(n=sts.counts(30), max_pairs=st.sampled_from([1, 12, 1024]))
def test_neighbours_are_of_one_multiplicity_and_within_the_budget(
    n: list[int], max_pairs: int
) -> None:
    offsets = sts.offsets(n)
    event = np.repeat(np.arange(len(n)), n)
    for batch in graphs.neighbour_batches(offsets, nodes_of(offsets), max_pairs):
        events, counts = np.unique(event[batch.index], return_counts=True)
        assert set(counts) == {np.diff(offsets)[events[0]]}
        assert batch.senders.shape == (len(batch.x), max(1, counts[0] - 1))
        assert len(partners(batch)) <= max_pairs or len(events) == 1


def test_an_object_alone_has_its_own_row() -> None:
    """No array of no columns, which not every runtime takes."""
    (batch,) = graphs.neighbour_batches(np.arange(4), np.ones((3, 2), np.float32))
    np.testing.assert_array_equal(batch.senders, [[0], [1], [2]])
    assert partners(batch) == []


def test_no_objects_make_no_neighbours() -> None:
    for offsets in (np.array([0]), np.array([0, 0, 0])):
        assert list(graphs.neighbour_batches(offsets, np.empty((0, 2), np.float32))) == []
    assert list(graphs.row_batches(np.empty((0, 2), np.float32))) == []


def test_types_of_neighbours_are_those_of_the_networks() -> None:
    nodes = np.ones((2, 3), np.float32)
    for batch in (*graphs.neighbour_batches(np.array([0, 2]), nodes), *graphs.row_batches(nodes)):
        assert (batch.x.dtype, batch.senders.dtype) == (np.float32, np.int32)
        assert batch.index.dtype == np.int64


@pytest.mark.parametrize("n", [1, 6, 7, 8, 20])
def test_rows_are_cut_in_order(n: int) -> None:
    nodes = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    batches = list(graphs.row_batches(nodes, 7))
    assert max(len(batch.x) for batch in batches) <= 7
    np.testing.assert_array_equal(np.concatenate([b.x for b in batches]), nodes)
    np.testing.assert_array_equal(np.concatenate([b.index for b in batches]), np.arange(n))


# packing and gathering


def loads(offsets: Array, bounds: list[int]) -> list[tuple[int, int]]:
    """Nodes and edges of each batch."""
    n = np.diff(offsets)
    return [
        (int(n[a:b].sum()), int((n * (n - 1))[a:b].sum())) for a, b in itertools.pairwise(bounds)
    ]


BUDGETS = {"max_nodes": st.integers(1, 12), "max_edges": st.integers(0, 40)}


@given(n=sts.counts(20), **BUDGETS)
def test_packed_batches_cover_all_events_in_order(
    n: list[int], max_nodes: int, max_edges: int
) -> None:
    bounds = graphs.pack_events(sts.offsets(n), max_nodes, max_edges)
    assert bounds[0] == 0
    assert bounds[-1] == len(n)
    assert (np.diff(bounds) > 0).all()


@given(n=sts.counts(20), **BUDGETS)
def test_packed_batches_respect_the_budgets_or_hold_one_event(
    n: list[int], max_nodes: int, max_edges: int
) -> None:
    offsets = sts.offsets(n)
    bounds = graphs.pack_events(offsets, max_nodes, max_edges)
    for size, (nodes, edges) in zip(np.diff(bounds), loads(offsets, bounds), strict=True):
        assert size == 1 or (nodes <= max_nodes and edges <= max_edges)


@given(n=sts.counts(20), **BUDGETS)
def test_packed_batches_are_cut_only_where_the_next_event_does_not_fit(
    n: list[int], max_nodes: int, max_edges: int
) -> None:
    offsets = sts.offsets(n)
    bounds = graphs.pack_events(offsets, max_nodes, max_edges)
    for (nodes, edges), end in zip(loads(offsets, bounds)[:-1], bounds[1:-1], strict=True):
        following = n[end]
        assert nodes + following > max_nodes or edges + following * (following - 1) > max_edges


@st.composite
def chosen_events(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """Offsets, node features and a choice of events, in any order."""
    n = draw(sts.counts())
    nodes = np.arange(1, 2 * sum(n) + 1, dtype=np.float32).reshape(sum(n), 2)
    chosen = draw(st.lists(st.sampled_from(range(len(n))), unique=True)) if n else []
    return sts.offsets(n), nodes, np.array(chosen, np.int64)


def gathered(graph: tuple[Array, Array, Array]) -> tuple[graphs.Graph, list[int]]:
    """A batch with 3 nodes and 5 edges of padding, and the positions of its nodes."""
    offsets, nodes, chosen = graph
    positions = [i for event in chosen for i in range(offsets[event], offsets[event + 1])]
    n = np.diff(offsets)[chosen]
    capacity = len(positions) + 3, int((n * (n - 1)).sum()) + 5
    return graphs.gather(offsets, nodes, chosen, capacity), positions


@given(graph=chosen_events())
def test_graph_batch_gathers_the_nodes_of_the_chosen_events(
    graph: tuple[Array, Array, Array],
) -> None:
    batch, positions = gathered(graph)
    assert batch.index.tolist() == [*positions, -1, -1, -1]
    np.testing.assert_array_equal(batch.x[:-3], graph[1][positions])
    assert batch.x.dtype == graph[1].dtype


@given(graph=chosen_events())
def test_graph_batch_joins_all_ordered_pairs_within_events(
    graph: tuple[Array, Array, Array],
) -> None:
    batch, _ = gathered(graph)
    index, (receivers, senders) = batch.index, (batch.receivers, batch.senders)
    pairs = list(zip(index[receivers[:-5]], index[senders[:-5]], strict=True))
    chosen = set(graph[2].tolist())
    expected = [
        pair
        for event, (first, end) in enumerate(itertools.pairwise(graph[0].tolist()))
        if event in chosen
        for pair in itertools.permutations(range(first, end), 2)
    ]
    assert sorted(pairs) == expected


@given(graph=chosen_events())
def test_graph_batch_pads_with_zeros_and_loops_on_the_last_node(
    graph: tuple[Array, Array, Array],
) -> None:
    batch, _ = gathered(graph)
    assert not batch.x[-3:].any()
    last = {len(batch.x) - 1}
    assert set(batch.receivers[-5:].tolist()) == set(batch.senders[-5:].tolist()) == last
