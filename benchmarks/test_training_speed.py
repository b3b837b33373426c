"""Training: beside Keras' fit on the padded model, the share of the data, ensembles."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from padded import operations, padded_columns, padded_model
from shared import FLOP_PER_EVENT, NETWORKS, toy_columns

from hepsilon.config import TrainingConfig
from hepsilon.data.features import fit_features
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.networks.architecture import resolve
from hepsilon.networks.build import build_model
from hepsilon.simulation import toy_task
from hepsilon.training import recipe
from hepsilon.training.ensemble import Ensemble
from hepsilon.training.resampling import Resampling


def ensemble(network: str, members: int = 1, batch: int = 512, precision: str = "float32") -> Any:
    """Networks in training on toy events, and the parts of one batch."""
    start_backend()
    columns = toy_columns(max(4 * batch, 4096))
    sides = columns.split(0.1)
    options: Any = {"batch_events": batch, "epochs": 10, "precision": precision}
    full = recipe(NETWORKS[network], TrainingConfig(**options), columns.n_events)
    spec = fit_features(toy_task(), columns.nodes, np.ones(columns.n_events), columns.offsets)
    architecture = resolve(NETWORKS[network], toy_task())
    states = dict.fromkeys(range(members))
    kind = "bootstrap" if members > 1 else "none"
    resampling = Resampling(kind, members - 1 or 1, full.seed)
    made = Ensemble(architecture, spec, full, sides, states, resampling)
    return made, made.batches(1, made.members)


def steps(made: Any, batches: Any, number: int = 1) -> None:
    """Steps on the first batch, with the making of its graphs."""
    for _ in range(number):
        made.step(list(batches.parts(0)), made.members)


STEPS = 20
"""Of a small network in each round: single ones are too short to be timed."""


def padded_in_training() -> Any:
    """The padded model as one would train it in Keras."""
    import keras

    columns = toy_columns(1000)
    spec = fit_features(toy_task(), columns.nodes, np.ones(1000), columns.offsets)
    model = padded_model(resolve(NETWORKS["paper GNN"], toy_task()), spec, 6)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def keras_fit(model: Any, events: int) -> Any:
    """Keras' fit as it comes: batches of 32, one epoch."""
    columns = toy_columns(events)
    x = padded_columns(columns.offsets, columns.nodes, 6)
    y = padded_columns(columns.offsets, columns.passed[:, None], 6)
    return partial(model.fit, x, y[..., :1], sample_weight=x[..., -1], verbose=0)


def test_paper_network_beside_keras_fit(compare: Any) -> None:
    """Batches of 512 events, beside Keras' fit with default settings on 1,280."""
    (made, batches), padded = ensemble("paper GNN"), padded_in_training()
    others = {"keras fit": keras_fit(padded, 1280)}
    compare(partial(steps, made, batches), others, events=512, other_events={"keras fit": 1280})
    compare.note(operations_of_padded=operations(padded) / FLOP_PER_EVENT)


def test_paper_batch_of_5000_events(compare: Any) -> None:
    """Gradients of the parts are added up: as fast as batches of 512."""
    small, large = ensemble("paper GNN"), ensemble("paper GNN", batch=5000)
    others = {"512": partial(steps, *small)}
    compare(partial(steps, *large), others, events=5000, other_events={"512": 512}, rounds=3)


def test_paper_network_in_bfloat16(compare: Any) -> None:
    """No faster where no unit of the CPU multiplies in bfloat16."""
    exact, low = ensemble("paper GNN"), ensemble("paper GNN", precision="bfloat16")
    compare(partial(steps, *low), {"float32": partial(steps, *exact)}, events=512, rounds=3)


@pytest.mark.parametrize("network", ["default GNN", "default MLP"])
def test_default_networks_beside_keras(network: str, compare: Any) -> None:
    """Beside Keras' ``train_on_batch`` on a prepared batch of the same network, with XLA."""
    made, batches = ensemble(network)
    others = {"train_on_batch": train_on_batch(network, made)}
    compare(partial(steps, made, batches, STEPS), others, events=STEPS * 512)


def train_on_batch(network: str, made: Any) -> Any:
    """Keras' own training of the same network, one batch a call."""
    from hepsilon.networks.losses import tag_loss
    from hepsilon.training.batches import Batches, Shape
    from hepsilon.training.member import make_optimizer

    spec = fit_features(
        toy_task(), made.train.nodes, np.ones(made.train.n_events), made.train.offsets
    )
    model = build_model(resolve(NETWORKS[network], toy_task()), spec, seed=1)
    whole = Shape(2 * made.shape.nodes, 2 * made.shape.edges)  # the batch in one part
    optimizer = make_optimizer(model.trainable_variables, made.recipe, 100)
    model.compile(optimizer, tag_loss(1), jit_compile=True)
    (part,) = Batches(made.train, made.recipe, whole, [1]).parts(0)

    def run() -> None:
        for _ in range(STEPS):
            model.train_on_batch(part.inputs, part.target, sample_weight=part.weights[0])

    return run


def test_share_of_the_data(compare: Any) -> None:
    """Making the graphs of batches, beside whole steps (default MLP, the fastest network)."""
    made, batches = ensemble("default MLP")

    def make() -> None:
        for _ in range(STEPS):
            list(batches.parts(0))

    compare(partial(steps, made, batches, STEPS), {"making graphs": make}, events=STEPS * 512)


def test_ensemble_in_one_pass(compare: Any) -> None:
    """Steps of five members, beside five times as many of one."""
    five, one = ensemble("default GNN", 5), ensemble("default GNN")
    others = {"one by one": partial(steps, *one, 5 * STEPS)}
    compare(partial(steps, *five, STEPS), others, events=5 * STEPS * 512)
