from __future__ import annotations

import numpy as np
import pytest

from hepsilon import ConfigError
from hepsilon.efficiencies.artifact_edits import sample_of
from hepsilon.efficiencies.network import to_probability
from hepsilon.export import formats
from hepsilon.networks.graphs import neighbour_batches, row_batches
from tests.export.test_onnx import evaluated
from tests.helpers.network_toys import NETWORKS
from tests.helpers.toys import TASK, random_nodes
from tests.helpers.tree_toys import refined

pytest.importorskip("onnxruntime")


def same(found, path, offsets, nodes) -> None:
    """The graph alone gives the efficiencies of all networks, trees included."""
    card = found.card
    batches = list(row_batches(nodes))
    if card.architecture.blocks:
        batches = list(neighbour_batches(offsets, nodes))
    logits, index = evaluated(path, batches)
    points = card.architecture.working_points
    parts = np.split(logits[np.argsort(index)], len(card.networks), axis=1)
    eps = [to_probability(x[:, 0] if points == 1 else x, card.training.mu) for x in parts]
    expected = found.of_members(offsets, nodes)
    np.testing.assert_allclose(np.stack(eps, -1), expected, atol=1e-5)


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("name", ["gnn", "points", "mlp"])
def test_the_graph_has_the_trees(name, each, untrained, tmp_path):
    task, options = NETWORKS[name]
    network = untrained(task, **options)
    found, _ = refined(network, tmp_path / "net.hepsilon", each=each)
    path = formats.export(found.path, "onnx", tmp_path / "net.onnx")
    counts = [1, 3, 0, 2, 1, 5, 4, 9]  # lone jets among them, of which the sample has none
    offsets, nodes = random_nodes(counts, seed=8)
    same(found, path, offsets, nodes)
    moved = found.of_members(offsets, nodes) - network.of_members(offsets, nodes)
    assert np.abs(moved).max() > 0.01


def test_trees_that_are_not_kept_are_not_in_the_graph(untrained, tmp_path):
    network = untrained(TASK, architecture="mlp", width=4, blocks=1)
    found, _ = refined(network, tmp_path / "net.hepsilon", kept=False)
    path = formats.export(found.path, "onnx", tmp_path / "net.onnx")
    assert b"TreeEnsembleRegressor" not in path.read_bytes()


@pytest.mark.parametrize("name", ["product", "event gnn"])
def test_trees_of_events_are_refused_by_name(name, untrained, tmp_path):
    task, options = NETWORKS[name]
    found, _ = refined(untrained(task, **options), tmp_path / "net.hepsilon")
    with pytest.raises(ConfigError, match="trees whose inputs have no form in ONNX"):
        formats.export(found.path, "onnx", tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_a_server_gets_the_networks_alone_and_the_client_adds_the_trees(untrained, tmp_path):
    task, options = NETWORKS["gnn"]
    found, _ = refined(untrained(task, **options), tmp_path / "net.hepsilon")
    formats.export(found.path, "triton", tmp_path / "models")
    graph = tmp_path / "models" / "net" / "1" / "model.onnx"
    assert b"TreeEnsembleRegressor" not in graph.read_bytes()


def test_the_artifact_keeps_its_trees_when_a_graph_is_added(untrained, tmp_path):
    task, options = NETWORKS["mlp"]
    found, _ = refined(untrained(task, **options), tmp_path / "net.hepsilon")
    formats.export(found.path, "hepsilon", tmp_path / "full.hepsilon")
    full = type(found).load(tmp_path / "full.hepsilon")
    sample = sample_of(found)
    np.testing.assert_allclose(
        full.of_members(sample["offsets"], sample["nodes"]),
        found.of_members(sample["offsets"], sample["nodes"]),
        atol=1e-5,
    )
    assert full.card.refinement == found.card.refinement
