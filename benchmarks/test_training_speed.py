"""Training: beside Keras' fit on the padded model, the share of the data, ensembles."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import pytest
from padded import padded_columns, padded_model
from shared import NETWORKS, toy_columns

from hepsilon.config import TrainingConfig
from hepsilon.demo import toy_task
from hepsilon.features import fit_features
from hepsilon.models import resolve
from hepsilon.models.engine import start_backend
from hepsilon.training import recipe
from hepsilon.training.members import _Ensemble


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
    made = _Ensemble(architecture, spec, full, sides, states, members > 1)
    return made, made.batches(1, made.members)


def step(made: Any, batches: Any, i: int = 0) -> None:
    """One step, with the making of its graphs."""
    made.step(list(batches.parts(i)), made.members)


def keras_fit(events: int) -> Any:
    """Keras' fit as it comes: the padded model, batches of 32, one epoch."""
    import keras

    columns = toy_columns(events)
    spec = fit_features(toy_task(), columns.nodes, np.ones(events), columns.offsets)
    model = padded_model(resolve(NETWORKS["paper GNN"], toy_task()), spec, 6)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    x = padded_columns(columns.offsets, columns.nodes, 6)
    y = padded_columns(columns.offsets, columns.passed[:, None], 6)
    return partial(model.fit, x, y[..., :1], sample_weight=x[..., -1], verbose=0)


def test_paper_network_beside_keras_fit(compare: Any) -> None:
    """Batches of 512 events, beside Keras' fit with default settings on 1,280."""
    made, batches = ensemble("paper GNN")
    others = {"keras fit": keras_fit(1280)}
    compare(partial(step, made, batches), others, events=512, other_events={"keras fit": 1280})


def test_paper_batch_of_5000_events(compare: Any) -> None:
    """Gradients of the parts are added up: as fast as batches of 512."""
    small, large = ensemble("paper GNN"), ensemble("paper GNN", batch=5000)
    others = {"512": partial(step, *small)}
    compare(partial(step, *large), others, events=5000, other_events={"512": 512}, rounds=3)


def test_paper_network_in_bfloat16(compare: Any) -> None:
    """Slower where no unit of the CPU multiplies in bfloat16."""
    exact, low = ensemble("paper GNN"), ensemble("paper GNN", precision="bfloat16")
    compare(partial(step, *low), {"float32": partial(step, *exact)}, events=512, rounds=3)


@pytest.mark.parametrize("network", ["default GNN", "default MLP"])
def test_default_networks_beside_keras_fit(network: str, compare: Any) -> None:
    """Beside Keras' fit on the same network and batches, compiled by XLA."""
    made, batches = ensemble(network)
    compare(partial(step, made, batches), {"keras fit": fit(made, batches)}, events=512)


def fit(made: Any, batches: Any) -> Any:
    """Keras' own training of the same network, one batch a call."""
    from hepsilon.models.loss import tag_loss
    from hepsilon.training.batches import Batches, Shape
    from hepsilon.training.member import make_optimizer

    model = made.members[0]._model
    whole = Shape(2 * made.shape.nodes, 2 * made.shape.edges)  # the batch in one part
    model.compile(make_optimizer(model, made.recipe, 100), tag_loss(1), jit_compile=True)
    (part,) = Batches(made.train, made.recipe, whole, [1]).parts(0)
    return partial(model.train_on_batch, part.inputs, part.target, sample_weight=part.weights[0])


def test_share_of_the_data(compare: Any) -> None:
    """Making the graphs of a batch, beside the whole step (default MLP, the fastest network)."""
    made, batches = ensemble("default MLP")
    seconds = []
    for i in range(len(batches)):
        start = time.perf_counter()
        list(batches.parts(i))
        seconds.append(time.perf_counter() - start)
    compare(partial(step, made, batches), events=512)
    share = float(np.median(seconds)) / compare.benchmark.stats.stats.median
    compare.note(share_of_making_graphs=share)


def test_ensemble_in_one_pass(compare: Any) -> None:
    """A step of five members, beside five steps of one."""
    five, one = ensemble("default GNN", 5), ensemble("default GNN")

    def one_by_one() -> None:
        for _ in range(5):
            step(*one)

    compare(partial(step, *five), {"one by one": one_by_one}, events=5 * 512)
