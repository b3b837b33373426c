"""Artifacts of networks with random weights: nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hepsilon import Task
from hepsilon.config import ModelConfig, TrainingConfig
from hepsilon.data.features import fit_features
from hepsilon.efficiencies.artifact import write_artifact
from hepsilon.efficiencies.artifact_edits import SAMPLE
from hepsilon.efficiencies.bias import BIAS, region_inputs, region_names
from hepsilon.efficiencies.cards import LastLayerCard, NetworkCard
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.efficiencies.held_out_cards import BiasCard
from hepsilon.efficiencies.last_layer import LAST_LAYER
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.efficiencies.regions import Regions, categories_of
from hepsilon.networks.architecture import resolve
from hepsilon.networks.build import build_model
from hepsilon.networks.last_layer import with_features
from hepsilon.training import recipe
from hepsilon.training.resampling import Resampling
from tests.helpers.reference import randomise
from tests.helpers.toys import POINTS, SPEC, TASK, random_nodes
from tests.helpers.track_toys import PAIRS, TRACKS, columns_of, draw, task_with

NETWORKS: dict[str, tuple[Task, dict[str, Any]]] = {
    "gnn": (TASK, {"architecture": "gnn"}),
    "paper gnn": (TASK, {"architecture": "gnn", "preset": "paper", "width": 16, "blocks": 1}),
    "mlp": (TASK, {"architecture": "mlp", "members": 3, "mu": 2.0}),
    "paper mlp": (TASK, {"architecture": "mlp", "preset": "paper"}),
    "points": (POINTS, {"architecture": "gnn", "width": 8, "blocks": 1, "members": 2}),
    "points mlp": (POINTS, {"architecture": "mlp", "width": 8}),
    "product": (PAIRS, {"architecture": "product"}),
    "product of one": (task_with(objects=1, order_by=None), {"architecture": "product"}),
    "product of four": (task_with(objects=4, order_by=None), {"architecture": "product"}),
    "event gnn": (TRACKS, {"architecture": "gnn", "width": 8, "blocks": 1}),
    "event paper gnn": (TRACKS, {"architecture": "gnn", "preset": "paper", "blocks": 1}),
    "event mlp": (PAIRS, {"architecture": "mlp", "members": 2}),
    "event paper mlp": (PAIRS, {"architecture": "mlp", "preset": "paper"}),
}
"""One of every architecture that a task can have."""


def _last_layer(network: Any, networks: int) -> tuple[dict[str, Any], LastLayerCard]:
    """Factor of a small random covariance."""
    both = with_features(network)
    inputs, directions = int(both.output[1].shape[-1]), 5
    shape = networks, int(both.output[0].shape[-1]), inputs + 1, directions
    factor = np.random.default_rng(3).normal(0.0, 0.02, shape).astype(np.float32)
    card = LastLayerCard(
        n_events=30, inputs=inputs, directions=directions, share=1.0, total_error=0.01
    )
    return {"factor": factor}, card


def _bias(task: Task, spec: Any, offsets: Any, nodes: Any) -> tuple[dict[str, Any], BiasCard]:
    """Random shifts in a few regions of every input."""
    partners = True
    inputs = region_inputs(task, partners, offsets, nodes)
    categories, names = categories_of(None if task.of_events else spec, inputs)
    columns = range(inputs.shape[1])
    regions = Regions.of(inputs, columns, categories, [3] * len(names))
    shape = regions.size, len(task.passed.working_points), 4
    factor = np.random.default_rng(5).normal(0.0, 0.05, shape).astype(np.float32)
    card = BiasCard(
        spread=dict.fromkeys(region_names(task, partners), 0.1),
        total_error=0.02,
        n_events=30,
        partners=partners,
        regions=shape[0],
        directions=shape[2],
    )
    arrays = {"columns": regions.columns, "edges": regions.edges, "bounds": regions.bounds}
    return arrays | {"factor": factor}, card


def write_untrained(
    path: Path,
    task: Task = TASK,
    *,
    seed: int = 1,
    mu: float = 1.0,
    sample: bool = True,
    last_layer: bool = False,
    bias: bool = False,
    **model: Any,
) -> NetworkEfficiency:
    """An artifact as the training writes it before it adds a graph."""
    config = ModelConfig.model_validate(model)
    counts = [task.objects or 2 + i % 3 for i in range(30)]
    if task.level == "object":
        spec, (offsets, nodes) = SPEC, random_nodes(counts, seed)
    else:
        columns = columns_of(draw(counts, seed), task)
        offsets, nodes = columns.offsets, columns.nodes
        spec = fit_features(task, nodes, np.ones(len(nodes)), offsets)
    start_backend()
    architecture, arrays = resolve(config, task), {}
    for member in range(Resampling.of(config, 1).networks):
        network = build_model(architecture, spec, seed)
        randomise(network, seed + member)
        named = {v.path.replace("/", "."): v.numpy() for v in network.weights}
        arrays[f"member-{member}"] = named
    if sample:
        arrays[SAMPLE] = {"offsets": offsets, "nodes": nodes, "weights": np.ones(len(counts))}
    known: dict[str, Any] = {}
    if last_layer:
        averaged = 1 if config.resampling == "bootstrap" else config.members
        arrays[LAST_LAYER], known["last_layer"] = _last_layer(network, averaged)
    if bias:
        arrays[BIAS], known["bias"] = _bias(task, spec, offsets, nodes)
    card = NetworkCard(
        task=task,
        features=spec,
        n_events=len(counts),
        n_objects=len(nodes),
        passed_rate=0.5,
        files=(),
        versions={},
        arrays=tuple(arrays),
        model=config,
        architecture=architecture,
        training=recipe(config, TrainingConfig(mu=mu), len(counts)),
        members=(),
        **known,
    )
    return NetworkEfficiency.load(write_artifact(path, card, arrays))
