from __future__ import annotations

import numpy as np
import pytest
from toys import mlp_config

from hepsilon.graphs import capacity_for
from hepsilon.training import recipe
from hepsilon.training.batches import Batches

pytest_plugins = ["trained"]


def batches(columns, seed=0, size=50, **training) -> Batches:
    config = mlp_config(batch_events=size, **training)
    full = recipe(config.model, config.training, columns.n_events)
    return Batches(columns, full, capacity_for(columns.offsets, size), [seed])


def objects(columns, epoch) -> list[bytes]:
    """Features of all objects that an epoch sees."""
    return [row.tobytes() for i in range(len(epoch)) for row in epoch[i][0]["x"] if row.any()]


def test_every_event_is_seen_once_but_for_the_rest_of_the_last_batch(toy_columns):
    epoch = batches(toy_columns)
    assert len(epoch) == toy_columns.n_events // 50
    seen = objects(toy_columns, epoch)
    assert len(seen) == len(set(seen))
    assert set(seen) <= {row.tobytes() for row in toy_columns.nodes}


def test_order_is_a_function_of_the_seed(toy_columns):
    first, again, other = (objects(toy_columns, batches(toy_columns, s)) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_all_batches_have_one_shape(toy_columns):
    epoch = batches(toy_columns)
    shapes = set()
    for i in range(len(epoch)):
        inputs, target, weight = epoch[i]
        shapes.add(tuple(array.shape for array in (*inputs.values(), target, weight)))
    assert len(shapes) == 1


def test_a_batch_that_is_too_large_is_not_cut(toy_columns):
    full = recipe(mlp_config().model, mlp_config().training, toy_columns.n_events)
    epoch = Batches(toy_columns, full, (64, 64), [0])
    inputs, _, _ = epoch[0]
    events = epoch.order[: epoch.size]
    assert np.count_nonzero(inputs["x"].any(axis=1)) == np.diff(toy_columns.offsets)[events].sum()


def test_padding_has_no_weight(toy_columns):
    inputs, target, weight = batches(toy_columns)[0]
    padding = ~inputs["x"].any(axis=1)
    assert padding.any()
    assert not weight[padding].any()
    assert not target[padding].any()


def test_weights_of_a_batch_sum_to_one_on_average(toy_columns):
    """With mu = 1 and equal event weights the loss is the mean over the events."""
    assert batches(toy_columns)[0][2].sum() == pytest.approx(1.0, rel=1e-5)


def test_batch_size_is_limited_by_the_number_of_events(toy_columns):
    few = toy_columns.take(np.arange(7))
    epoch = batches(few)
    assert len(epoch) == 1
    assert len(objects(few, epoch)) == len(few.nodes)
