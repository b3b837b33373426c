from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsilon import ArtifactError
from hepsilon.efficiencies.trees import Trees
from tests.helpers.tree_toys import followed, random_trees


def random_inputs(seed: int, n: int = 40, columns: int = 3) -> np.ndarray:
    # few different values: many are equal to a threshold
    return np.random.default_rng(seed).integers(-3, 4, (n, columns)).astype(np.float32)


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_the_kernel_follows_every_tree(seed, n_outputs):
    inputs = random_inputs(seed)
    trees = random_trees(seed, inputs, n_outputs, n_trees=7)
    expected = followed(trees, inputs, n_outputs)
    np.testing.assert_allclose(trees(inputs, n_outputs), expected, rtol=1e-12, atol=1e-15)


@given(st.integers(0, 2**32))
def test_joined_trees_have_outputs_beside_each_other(seed):
    inputs = random_inputs(seed)
    parts = [random_trees(seed + i, inputs, 2) for i in range(3)]
    together = Trees.joined(parts, 2)
    expected = np.concatenate([part(inputs, 2) for part in parts], axis=1)
    np.testing.assert_array_equal(together(inputs, 6), expected)
    assert Trees.from_arrays(together.arrays, 3, 6, "file").n_trees == 15


def test_no_entries_and_no_trees():
    inputs = random_inputs(1)
    trees = random_trees(1, inputs, 1)
    assert trees(inputs[:0], 1).shape == (0, 1)
    empty = random_trees(1, inputs, 1, n_trees=0)
    np.testing.assert_array_equal(empty(inputs, 2), np.zeros((40, 2)))


def damaged(trees: Trees, key: str, change) -> dict[str, np.ndarray]:
    arrays = {name: array.copy() for name, array in trees.arrays.items()}
    arrays[key] = change(arrays[key])
    return arrays


def at_first(value):
    def change(array):
        array[0] = value
        return array

    return change


@pytest.mark.parametrize(
    ("key", "change", "match"),
    [
        ("left", at_first(0), "behind their parents"),  # would never end
        ("right", at_first(10_000), "behind their parents"),
        ("feature", at_first(3), "inputs other than the 3"),
        ("feature", at_first(-2), "inputs other than the 3"),
        ("roots", at_first(-1), "start at nodes that do not exist"),
        ("roots", at_first(10_000), "start at nodes that do not exist"),
        ("outputs", at_first(1), "outputs other than the 1"),
        ("value", at_first(np.nan), "NaN or infinite"),
        ("threshold", at_first(np.inf), "NaN or infinite"),
        ("value", lambda x: x[:-1], "different lengths"),
        ("outputs", lambda x: x[:-1], "different lengths"),
        ("value", lambda x: x.astype(np.float32), "expected value of trees as one row of float64"),
        ("left", lambda x: x.astype(np.int64), "expected left of trees as one row of int32"),
        ("left", lambda x: x[:, None], "expected left of trees as one row of int32"),
    ],
)
def test_arrays_that_are_no_trees_are_refused(key, change, match):
    trees = next(
        found
        for seed in range(100)
        if (found := random_trees(seed, random_inputs(seed), 1)).feature[0] >= 0
    )
    assert Trees.from_arrays(trees.arrays, 3, 1, "file").n_trees == trees.n_trees
    with pytest.raises(ArtifactError, match=match):
        Trees.from_arrays(damaged(trees, key, change), 3, 1, "file")


def test_missing_and_unknown_arrays_are_refused():
    arrays = random_trees(1, random_inputs(1), 1).arrays
    for wrong in ({**arrays, "code": arrays["left"]}, {"left": arrays["left"]}):
        with pytest.raises(ArtifactError, match="expected the arrays"):
            Trees.from_arrays(wrong, 3, 1, "file")
