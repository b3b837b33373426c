from __future__ import annotations

import numpy as np
import pytest

from hepsilon.config import ModelConfig
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.networks.architecture import resolve
from hepsilon.networks.build import build_model
from hepsilon.training import recipe
from hepsilon.training.batches import Batches, Shape
from hepsilon.training.gradients import Gradients, compile_step
from hepsilon.training.member import make_optimizer
from hepsilon.training.vectors import Vectors
from tests.helpers.reference import Counting, randomise
from tests.helpers.toys import POINTS, SPEC, TASK, mlp_config

SIZE = 72
"""Events of a batch."""
GNN = ModelConfig(architecture="gnn", width=4, blocks=1)


def network(task=TASK, seed=1):
    start_backend()
    model = build_model(resolve(GNN, task), SPEC, seed)
    randomise(model, seed)
    return model


def full_recipe(columns: TrainingColumns, **training):
    config = mlp_config(batch_events=SIZE, **training)
    return recipe(config.model, config.training, columns.n_events)


def vectors_of(model):
    """As variables of the backend."""
    import keras

    joined = Vectors(model).join(model.get_weights())
    return [keras.Variable(vector).value for vector in joined]


def shape_of(parts: int) -> Shape:
    return {1: Shape(512, 4096), 2: Shape(128, 640), 4: Shape(64, 192)}[parts]


def test_gradient_is_traced_once_for_all_members_and_batches(toy_columns):
    """Also where a batch needs another part than the others."""
    full = full_recipe(toy_columns, l2=0.01)
    members, counting = [network(seed=seed) for seed in (1, 2, 3)], Counting(network())
    gradients = Gradients(counting, full, jit=False)
    epoch = Batches(toy_columns, full, Shape(128, 4096), [1], (None, 1, 2))
    numbers = set()
    for i in range(len(epoch)):
        parts = list(epoch.parts(i))
        numbers.add(len(parts))
        for part in parts:
            for member, model in enumerate(members):
                gradients(vectors_of(model), part, member, 1.0 / len(parts))
    assert numbers == {2, 3}
    assert counting.traces == 1


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("task", [TASK, POINTS], ids=["one", "points"])
def test_parts_of_a_batch_add_up_to_the_whole(toy_columns, points_columns, task, parts):
    """Loss and gradients, with penalties on the weights."""
    columns = toy_columns if task is TASK else points_columns
    full = full_recipe(columns, l1=0.01, l2=0.02, mu=2.0)
    model = network(task)
    gradients, results = Gradients(model, full, jit=False), []
    for number in (1, parts):
        cut = list(Batches(columns, full, shape_of(number), [1], (None, 4)).parts(0))
        assert len(cut) >= number
        found = [gradients(vectors_of(model), part, 1, 1.0 / len(cut)) for part in cut]
        loss = sum(value for value, _ in found)
        results.append((loss, [sum(arrays) for arrays in zip(*(g for _, g in found), strict=True)]))
    (whole, expected), (total, sums) = results
    assert total == pytest.approx(whole, rel=1e-5)
    for found, there in zip(sums, expected, strict=True):
        scale = np.abs(there).max()
        assert scale > 1e-4
        np.testing.assert_allclose(found, there, rtol=0, atol=1e-4 * scale)


def test_gradient_is_that_of_the_loss(toy_columns):
    """By differences of the loss in a random direction."""
    import keras

    full = full_recipe(toy_columns)
    model = network()
    gradients = Gradients(model, full, jit=False)
    (part,) = Batches(toy_columns, full, shape_of(1), [1]).parts(0)
    weights = Vectors(model).join(model.get_weights())
    _, found = gradients(vectors_of(model), part, 0, 1.0)
    rng = np.random.default_rng(1)
    direction = [rng.normal(size=w.shape).astype(np.float32) for w in weights]

    def at(step):
        moved = [w + step * d for w, d in zip(weights, direction, strict=True)]
        return gradients(list(map(keras.ops.convert_to_tensor, moved)), part, 0, 1.0)[0]

    slope = sum(float(np.sum(g * d)) for g, d in zip(found, direction, strict=True))
    assert (at(1e-3) - at(-1e-3)) / 2e-3 == pytest.approx(slope, rel=0.02)


def test_compiled_gradients_are_the_interpreted_ones(toy_columns):
    """XLA, as the training uses it; of a network without pairs, which compiles in no time."""
    full = full_recipe(toy_columns)
    config = mlp_config().model
    model = build_model(resolve(config, TASK), SPEC, 1)
    part = next(Batches(toy_columns, full, Shape(256, 0), [1]).parts(0))
    (value, found), (there, expected) = (
        Gradients(model, full, jit=jit)(vectors_of(model), part, 0, 1.0) for jit in (True, False)
    )
    assert value == pytest.approx(there, rel=1e-5)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_step_is_that_of_the_optimizer(toy_columns):
    """On the two vectors and, uncompiled, on the variables one by one."""
    import keras

    full = full_recipe(toy_columns, epochs=1, weight_decay=0.1)
    rng = np.random.default_rng(1)
    model, started = network(), network().get_weights()
    vectors = Vectors(model)
    joined = [
        keras.Variable(vector, name=name)
        for vector, name in zip(vectors.join(started), ("kernel", "rest"), strict=True)
    ]
    step = compile_step(joined, make_optimizer(joined, full, 10))
    optimizer = make_optimizer(model.trainable_variables, full, 10)
    for _ in range(3):
        new = [rng.normal(size=w.shape).astype(np.float32) for w in started]
        step(vectors.join(new))
        optimizer.apply(list(map(keras.ops.convert_to_tensor, new)), model.trainable_variables)
    found = vectors.split([v.numpy() for v in joined])
    for a, b, before in zip(found, model.get_weights(), started, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
        assert np.abs(a - before).min() > 0.0
