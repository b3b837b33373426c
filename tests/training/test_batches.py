from __future__ import annotations

import numpy as np
import pytest

from hepsilon.arrays.keys import fold_numbers
from hepsilon.data import dataset
from hepsilon.training import batches as module
from hepsilon.training import recipe
from hepsilon.training.batches import Batches, Shape, shuffled
from hepsilon.training.loss import bootstrap_counts, object_loss_weights
from hepsilon.training.resampling import Resampling
from tests.helpers.toys import mlp_config


def batches(
    columns, seed=0, size=50, edges=True, networks=(0,), resampling=None, **training
) -> Batches:
    config = mlp_config(batch_events=size, **training)
    full = recipe(config.model, config.training, columns.n_events)
    shape = Shape.of(columns.offsets, min(size, columns.n_events), edges)
    return Batches(columns, full, shape, [seed], networks, resampling)


def rows(part) -> list[bytes]:
    """Features of the objects of a part."""
    return [row.tobytes() for row in part.inputs["x"] if row.any()]


def objects(epoch) -> list[list[bytes]]:
    """Features of all objects that an epoch sees, batch by batch."""
    return [[row for part in epoch.parts(i) for row in rows(part)] for i in range(len(epoch))]


@pytest.mark.parametrize("edges", [True, False])
def test_every_event_is_seen_once_but_for_the_rest_of_the_last_batch(toy_columns, edges):
    epoch = batches(toy_columns, edges=edges)
    assert len(epoch) == toy_columns.n_events // 50
    seen = [row for batch in objects(epoch) for row in batch]
    assert len(seen) == len(set(seen))
    assert set(seen) <= {row.tobytes() for row in toy_columns.nodes}
    counts = np.diff(toy_columns.offsets)[epoch.order[: 50 * len(epoch)]]
    assert len(seen) == counts.sum()


def test_order_is_a_function_of_the_seed(toy_columns):
    first, again, other = (objects(batches(toy_columns, s)) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_batches_do_not_depend_on_how_they_are_cut(toy_columns, monkeypatch):
    """Parts are there for speed: the events of a step are the same."""
    before = [sorted(batch) for batch in objects(batches(toy_columns))]
    monkeypatch.setattr(module, "PART_EVENTS", 10)
    epoch = batches(toy_columns)
    assert len(list(epoch.parts(0))) > 2
    assert [sorted(batch) for batch in objects(epoch)] == before


@pytest.mark.parametrize("edges", [True, False])
def test_all_parts_have_one_shape(toy_columns, edges):
    epoch, shapes = batches(toy_columns, edges=edges), set()
    for i in range(len(epoch)):
        for part in epoch.parts(i):
            arrays = (*part.inputs.values(), part.target, *part.weights)
            shapes.add(tuple(array.shape for array in arrays))
    assert len(shapes) == 1


def test_a_batch_that_is_too_large_gets_another_part(toy_columns):
    epoch = batches(toy_columns)
    epoch.shape = Shape(64, 192)
    parts = list(epoch.parts(0))
    assert len(parts) > 2
    assert sum(len(rows(part)) for part in parts) == len(objects(batches(toy_columns))[0])
    assert {part.inputs["x"].shape for part in parts} == {(64, toy_columns.nodes.shape[1])}


def test_an_event_larger_than_the_shape_is_not_cut(toy_columns):
    epoch = batches(toy_columns)
    epoch.shape = Shape(2, 1)
    found = [len(rows(part)) for part in epoch.parts(0)]
    events = np.sort(epoch.order[:50])
    assert found == np.diff(toy_columns.offsets)[events].tolist()


def test_networks_without_pairs_get_none(toy_columns):
    for part in batches(toy_columns, edges=False).parts(0):
        assert part.inputs["receivers"].shape == part.inputs["senders"].shape == (0,)


def test_padding_has_no_weight(toy_columns):
    for part in batches(toy_columns).parts(0):
        padding = ~part.inputs["x"].any(axis=1)
        assert padding.any()
        assert not part.weights[0][padding].any()
        assert not part.target[padding].any()


def test_weights_of_a_batch_sum_to_one_on_average(toy_columns):
    """With mu = 1 and equal event weights the loss is the mean over the events."""
    total = sum(part.weights[0].sum() for part in batches(toy_columns).parts(0))
    assert total == pytest.approx(1.0, rel=1e-5)


def test_weights_are_those_of_equation_5_times_the_bootstrap_counts(toy_columns):
    rng = np.random.default_rng(3)
    columns = dataset.TrainingColumns(
        toy_columns.offsets,
        toy_columns.nodes,
        toy_columns.passed,
        rng.normal(1.0, 0.5, toy_columns.n_events),
        toy_columns.keys,
    )
    drawing = Resampling("bootstrap", 4)
    epoch = batches(columns, networks=(0, 4), resampling=drawing, mu=2.0)
    counts = np.diff(columns.offsets)
    draws = bootstrap_counts(columns.keys, drawing.seed, 4).astype(float)
    for member, drawn in enumerate((np.ones(len(draws)), draws)):
        weights = columns.weights * drawn
        expected = object_loss_weights(weights, counts, columns.passed, 2.0)
        expected = dict(zip(map(bytes, columns.nodes), expected, strict=True))
        norm = 50 * np.abs(weights).mean()
        for part in epoch.parts(1):
            for row, weight in zip(part.inputs["x"], part.weights[member][:, 0], strict=True):
                if row.any():
                    assert weight == pytest.approx(expected[bytes(row)] / norm, rel=1e-5)


def test_batch_size_is_limited_by_the_number_of_events(toy_columns):
    few = toy_columns.take(np.arange(7))
    epoch = batches(few)
    assert len(epoch) == 1
    assert len(objects(epoch)[0]) == len(few.nodes)


def test_events_of_its_own_fold_have_no_weight_for_a_network(toy_columns):
    folds = Resampling("folds", 3)
    epoch = batches(toy_columns, networks=(0, 1, 2), resampling=folds)
    first = toy_columns.offsets[:-1]
    own = {
        toy_columns.nodes[i].tobytes(): key for i, key in zip(first, toy_columns.keys, strict=True)
    }
    totals, seen = np.zeros(3), 0
    for i in range(len(epoch)):
        for part in epoch.parts(i):
            totals += [weight.sum() for weight in part.weights]
            for number, row in enumerate(part.inputs["x"]):
                if row.tobytes() in own:
                    (fold,) = fold_numbers(np.array([own[row.tobytes()]]), 3)
                    weights = [weight[number, 0] for weight in part.weights]
                    assert [w == 0.0 for w in weights] == [n == fold for n in range(3)]
                    seen += 1
    assert seen > 300
    # the norm is that of what a network sees: one on average
    np.testing.assert_allclose(totals / len(epoch), 1.0, rtol=0.1)


@pytest.mark.parametrize("n", [1, 5, 100, 101])
def test_large_samples_are_shuffled_in_blocks(n, monkeypatch):
    """Each event once, and what is read together was written together."""
    monkeypatch.setattr(module, "SHUFFLED_TOGETHER", 20)
    order = shuffled(n, [1])
    assert sorted(order) == list(range(n))
    if n >= 100:
        spans = [np.ptp(order[i : i + 10]) for i in range(0, n - 20, 20)]
        assert np.median(spans) < 20
        assert min(spans) > 0
        assert not np.array_equal(order, shuffled(n, [2]))
