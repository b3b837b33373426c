from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from hepsilon import ConfigError
from hepsilon.config import ModelConfig
from hepsilon.data.features import FeatureSpec, fit_features
from hepsilon.networks.architecture import Architecture, resolve
from hepsilon.networks.build import build_model
from tests.helpers.reference import weights_of
from tests.helpers.toys import POINTS, SPEC, TASK


def paper() -> Architecture:
    return resolve(ModelConfig(architecture="gnn", preset="paper"), TASK)


def raw_flavour_spec() -> FeatureSpec:
    """The paper's inputs: pt, eta, phi and the flavour as a number."""
    task = TASK.model_copy(update={"categorical": {}})
    nodes = np.random.default_rng(1).normal(size=(10, 4)).astype(np.float32)
    return fit_features(task, nodes, np.ones(10))


def expected_shapes(d_in: int, d_out: int) -> list[tuple[int, int]]:
    """Kernels of a GN block, Appendix C: pair MLP, summed MLP, object MLP."""
    h = d_out // 2
    m1, m2 = (2 * d_in + h) // 2, (d_in + h) // 2
    chains = [2 * d_in, m1, m1, h], [h, h, h], [d_in, m2, h]
    return [shape for chain in chains for shape in pairwise(chain)]


def block_shapes(model, number: int) -> list[tuple[int, ...]]:
    """Kernels of a GN block as built."""
    names = ["pair_first", "pair_0", "pair_1", "summed_0", "summed_1", "object_0", "object_1"]
    weights = weights_of(model)
    return [weights[f"block_{number}.{name}.kernel"].shape for name in names]


@pytest.fixture(scope="module")
def paper_model():
    return build_model(paper(), raw_flavour_spec(), seed=1)


@pytest.mark.parametrize(("block", "d_in"), [(0, 4), (1, 260), (2, 260), (3, 260)])
def test_paper_preset_has_the_widths_of_appendix_c(paper_model, block, d_in):
    assert block_shapes(paper_model, block) == expected_shapes(d_in, 256)


def test_paper_preset_has_the_head_of_appendix_c(paper_model):
    weights = weights_of(paper_model)
    names = ["head_0", "head_1", "head_2", "logit"]
    shapes = [weights[f"{name}.kernel"].shape for name in names]
    assert shapes == [(260, 256), (256, 128), (128, 50), (50, 1)]


def test_paper_preset_has_the_papers_number_of_parameters(paper_model):
    def parameters(shapes):
        return sum((rows + 1) * columns for rows, columns in shapes)

    blocks = parameters(expected_shapes(4, 256)) + 3 * parameters(expected_shapes(260, 256))
    head = parameters(pairwise([260, 256, 128, 50, 1]))
    assert paper_model.count_params() == blocks + head == 1_435_245


def test_paper_preset_is_relu_without_pair_features_and_with_a_plain_angle():
    architecture = paper()
    assert architecture.activation == "relu"
    assert not architecture.pair_features
    assert not architecture.periodic_angles


def test_one_hot_flavour_makes_the_papers_input_six_wide():
    model = build_model(paper(), SPEC, seed=1)
    assert block_shapes(model, 0) == expected_shapes(6, 256)
    assert block_shapes(model, 1) == expected_shapes(262, 256)


def test_fast_preset_is_64_wide_with_two_blocks_and_pair_features():
    architecture = resolve(ModelConfig(architecture="gnn"), TASK)
    assert architecture.blocks == (64, 64)
    assert architecture.pair_features
    shapes = block_shapes(build_model(architecture, SPEC, seed=1), 0)
    assert shapes[0] == (2 * 7 + 3, (2 * 7 + 32) // 2)


def task_with(*features):
    categorical = {name: values for name, values in TASK.categorical.items() if name in features}
    return TASK.model_copy(update={"features": features, "categorical": categorical})


def test_fast_preset_without_angles_leaves_pair_features_out():
    assert not resolve(
        ModelConfig(architecture="gnn"), task_with("pt", "hadronFlavour")
    ).pair_features


def test_sizes_in_the_configuration_override_the_preset():
    architecture = resolve(ModelConfig(architecture="gnn", width=10, blocks=3), TASK)
    assert architecture.blocks == (10, 10, 10)
    architecture = resolve(ModelConfig(architecture="mlp", width=7), TASK)
    assert architecture.head == (7, 7, 7)
    assert architecture.blocks == ()


@pytest.mark.parametrize(
    ("config", "features", "message"),
    [
        ({"architecture": "gnn", "width": 7}, TASK.features, "even width"),
        ({"architecture": "gnn", "pair_features": True}, ("pt",), "eta and phi"),
        ({"architecture": "mlp", "pair_features": True}, TASK.features, "gnn"),
    ],
)
def test_impossible_architectures_are_refused(config, features, message):
    with pytest.raises(ConfigError, match=message):
        resolve(ModelConfig(**config), task_with(*features))


@pytest.mark.parametrize("name", ["gnn", "mlp"])
def test_initial_weights_are_a_function_of_the_seed(name):
    architecture = resolve(ModelConfig(architecture=name, width=8, blocks=1), TASK)
    first, again, other = (weights_of(build_model(architecture, SPEC, s)) for s in (1, 1, 2))
    for key, weight in first.items():
        np.testing.assert_array_equal(weight, again[key])
        if key.endswith("kernel"):
            assert not np.array_equal(weight, other[key])


def test_kernels_of_one_network_differ_from_each_other():
    """Layers of one shape do not start from the same numbers."""
    weights = weights_of(build_model(paper(), SPEC, seed=1))
    assert not np.array_equal(weights["block_1.pair_0.kernel"], weights["block_2.pair_0.kernel"])
    assert not np.array_equal(
        weights["block_1.summed_0.kernel"], weights["block_1.summed_1.kernel"]
    )


def test_building_leaves_keras_global_random_state_alone():
    import keras

    def draw(build: bool):
        keras.utils.set_random_seed(5)
        if build:
            build_model(paper(), SPEC, seed=1)
        return keras.ops.convert_to_numpy(keras.random.uniform((3,)))

    np.testing.assert_array_equal(draw(build=True), draw(build=False))


@pytest.mark.parametrize("name", ["gnn", "mlp"])
@pytest.mark.parametrize(("task", "outputs"), [(TASK, 1), (POINTS, 3)])
def test_there_is_one_output_for_each_working_point(name, task, outputs):
    config = ModelConfig(architecture=name, width=8, blocks=1)
    architecture = resolve(config, task)
    assert architecture.working_points == outputs
    model = build_model(architecture, SPEC, seed=1)
    assert model.output.shape == (None, outputs)
    kernels = {key: w.shape for key, w in weights_of(model).items()}
    others = weights_of(build_model(resolve(config, TASK), SPEC, seed=1))
    changed = {key for key, w in others.items() if w.shape != kernels[key]}
    last = {"logit.kernel", "logit.bias", *({"rates.table"} & set(kernels))}
    assert changed == (last if outputs > 1 else set())
