"""What the last layers see, against finite differences of their weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from hepsilon.config import ModelConfig
from hepsilon.data.features import fit_features
from hepsilon.efficiencies.engines.keras import Engine
from hepsilon.networks.architecture import resolve
from hepsilon.networks.build import build_model
from hepsilon.networks.last_layer import with_features
from tests.helpers.network_toys import NETWORKS
from tests.helpers.reference import randomise
from tests.helpers.toys import SPEC, random_nodes
from tests.helpers.track_toys import columns_of, draw

MODELS = {name: entry for name, entry in NETWORKS.items() if "paper" not in name}


def last_weights(model: keras.Model) -> list[Any]:
    """Kernels and biases of the last layers, in the order of the columns of the features."""
    by_path = {variable.path: variable for variable in model.trainable_variables}
    if "logit/kernel" in by_path:
        names = ("logit/kernel", "rates/table", "logit/bias")
        return [by_path[name] for name in names if name in by_path]
    number = max(int(path.split("/")[1][-1]) for path in by_path if path.startswith("product/tr"))
    names = [
        f"product/{name}_{number}/{kind}"
        for name in ("track", "more_track", "pair", "more_pair")
        for kind in ("kernel", "bias")
    ]
    kernels = sorted(path for path in by_path if path.startswith("general/") and "kernel" in path)
    return [by_path[name] for name in (*names, *kernels[-1:]) if name in by_path]


@pytest.mark.parametrize("name", MODELS)
def test_features_are_the_derivatives_of_the_logits(name: str) -> None:
    task, options = MODELS[name]
    config = ModelConfig.model_validate({k: v for k, v in options.items() if k != "mu"})
    architecture = resolve(config, task)
    counts = [architecture.objects or 2 + i % 3 for i in range(12)]
    if task.of_events:
        columns = columns_of(draw(counts, 1), task)
        offsets, nodes = columns.offsets, columns.nodes
        spec = fit_features(task, nodes, np.ones(len(nodes)), offsets)
        if architecture.objects:
            nodes = nodes.reshape(len(counts), -1)
            offsets = np.arange(len(counts) + 1)
    else:
        spec, (offsets, nodes) = SPEC, random_nodes(counts, 1)
    model = build_model(architecture, spec, 1)
    randomise(model, 1)
    engine = Engine(model)
    found = engine.with_features(offsets, nodes, 1)
    assert found is not None
    logits, features = found
    np.testing.assert_allclose(logits, engine.logits(offsets, nodes), rtol=1e-6)
    rng = np.random.default_rng(5)
    change = [rng.normal(0.0, 1e-3, v.shape).astype(np.float32) for v in last_weights(model)]
    for variable, step in zip(last_weights(model), change, strict=True):
        variable.assign_add(step)
    moved = engine.logits(offsets, nodes) - logits
    points = architecture.working_points
    flat = np.concatenate([step.reshape(-1, points) for step in change])
    columns_with_bias = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    expected = columns_with_bias[:, : len(flat)] @ flat
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(moved, expected, rtol=0.02, atol=2e-5)


def test_a_network_that_does_not_end_in_a_linear_layer_has_none() -> None:
    x = keras.Input((3,), name="x")
    bent = keras.layers.Dense(1, activation="tanh")(x)
    assert with_features(keras.Model({"x": x}, bent)) is None
    scaled = keras.layers.Rescaling(2.0)(keras.layers.Dense(1)(x))
    assert with_features(keras.Model({"x": x}, scaled)) is None
