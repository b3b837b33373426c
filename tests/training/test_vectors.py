from __future__ import annotations

import numpy as np
import pytest

from hepsilon.config import ModelConfig
from hepsilon.data.features import fit_features
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.networks.architecture import resolve
from hepsilon.networks.build import build_model
from hepsilon.training.vectors import Vectors
from tests.helpers.reference import randomise
from tests.helpers.toys import SPEC, TASK
from tests.helpers.track_toys import PAIRS, columns_of, draw


@pytest.fixture(scope="module")
def model():
    start_backend()
    config = ModelConfig(architecture="gnn", width=4, blocks=1)
    model = build_model(resolve(config, TASK), SPEC, seed=1)
    randomise(model, 1)
    return model


def test_splitting_undoes_joining(model):
    vectors = Vectors(model)
    for found, weight in zip(
        vectors.split(vectors.join(model.get_weights())), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, weight)


def test_tensors_are_split_alike(model):
    import keras

    vectors = Vectors(model)
    joined = map(keras.ops.convert_to_tensor, vectors.join(model.get_weights()))
    for found, weight in zip(
        vectors.split(list(joined), keras.ops.reshape), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), weight)


def test_first_vector_has_the_kernels_and_the_second_the_rest(model):
    kernels, rest = Vectors(model).join(model.get_weights())
    sizes = {True: 0, False: 0}
    for variable in model.trainable_variables:
        sizes[variable.path.endswith("/kernel")] += int(np.prod(variable.shape))
    assert (len(kernels), len(rest)) == (sizes[True], sizes[False])
    assert min(sizes.values()) > 0


def test_another_number_of_weights_is_refused(model):
    with pytest.raises(ValueError, match="zip"):
        Vectors(model).join(model.get_weights()[1:])


def test_a_plain_product_has_no_kernels_that_decay() -> None:
    """Its factors are the assumption that other networks are added to: joined and split alike."""
    architecture = resolve(ModelConfig(architecture="product"), PAIRS)
    nodes = columns_of(draw([2] * 20)).nodes
    spec = fit_features(PAIRS, nodes, np.ones(len(nodes)))
    plain = build_model(architecture.model_copy(update={"general": ()}), spec, seed=1)
    vectors, weights = Vectors(plain), plain.get_weights()
    joined = vectors.join(weights)
    assert len(joined[0]) == 0
    for found, weight in zip(vectors.split(joined), weights, strict=True):
        np.testing.assert_array_equal(found, weight)
    full = build_model(architecture, spec, seed=1)
    assert len(Vectors(full).join(full.get_weights())[0]) > 0
