from __future__ import annotations

import pickle

import awkward as ak
import numpy as np
import pytest
from scipy.special import expit, logit

from hepsilon import ArtifactError, load
from hepsilon.efficiencies.artifact_edits import sample_of
from hepsilon.efficiencies.tree_inputs import tree_inputs
from hepsilon.testing import check_efficiency
from tests.helpers.network_toys import NETWORKS
from tests.helpers.toys import random_jets
from tests.helpers.track_toys import random_tracks
from tests.helpers.tree_toys import followed, refined


@pytest.fixture
def network_named(untrained):
    def make(name: str):
        task, options = NETWORKS[name]
        return untrained(task, **options)

    return make


FOUR = pytest.param("product of four", marks=pytest.mark.slow)
SINGLE = "gnn", "mlp", "product", FOUR, "event gnn", "event mlp"


@pytest.mark.parametrize("name", SINGLE)
def test_trees_add_to_the_logit_of_every_network(name, network_named, tmp_path):
    network = network_named(name)
    found, trees = refined(network, tmp_path / "refined.hepsilon")
    sample = sample_of(network)
    before = network.of_members(sample["offsets"], sample["nodes"])
    after = found.of_members(sample["offsets"], sample["nodes"])
    refinement = found.card.refinement
    inputs = tree_inputs(found.task, refinement.partners, sample["offsets"], sample["nodes"])
    added = followed(trees, inputs, 1)
    assert np.ptp(added) > 0.1
    np.testing.assert_allclose(after, expit(logit(before) + added), rtol=1e-9)


def test_several_working_points_still_fall(network_named, tmp_path):
    network = network_named("points")
    found, _ = refined(network, tmp_path / "refined.hepsilon")
    eps = found(random_jets([2, 3, 4]))
    flat = ak.to_numpy(ak.flatten(eps))
    assert flat.shape == (9, 3)
    assert np.all(np.diff(flat, axis=1) < 0.0)
    assert np.abs(flat - ak.to_numpy(ak.flatten(network(random_jets([2, 3, 4]))))).max() > 0.01


def test_each_network_may_have_trees_of_its_own(network_named, tmp_path):
    network = network_named("mlp")
    found, trees = refined(network, tmp_path / "refined.hepsilon", each=True)
    sample = sample_of(network)
    before = network.of_members(sample["offsets"], sample["nodes"])
    added = followed(trees, sample["nodes"], before.shape[-1])
    after = found.of_members(sample["offsets"], sample["nodes"])
    np.testing.assert_allclose(after, expit(logit(before) + added), rtol=1e-9)


def test_trees_that_are_not_kept_add_nothing(network_named, tmp_path):
    network = network_named("gnn")
    found, _ = refined(network, tmp_path / "refined.hepsilon", kept=False)
    jets = random_jets([2, 3])
    assert ak.array_equal(found(jets), network(jets))


@pytest.mark.parametrize("name", ["gnn", "points", "product", "event gnn"])
def test_a_refined_network_keeps_every_contract(name, network_named, tmp_path):
    found, _ = refined(network_named(name), tmp_path / "refined.hepsilon")
    objects = NETWORKS[name][0].objects
    records = random_jets([0, 1, 2, 3, 5, 4])
    if found.task.of_events:
        records = random_tracks([objects or 2] * 6, seed=2)
    check_efficiency(found, records)


def test_a_refined_network_pickles_and_loads(network_named, tmp_path):
    found, _ = refined(network_named("gnn"), tmp_path / "refined.hepsilon")
    jets = random_jets([2, 3])
    again = pickle.loads(pickle.dumps(found))
    assert ak.array_equal(again(jets), found(jets))
    assert ak.array_equal(load(found.path, backend="tensorflow")(jets), found(jets))


def test_damaged_trees_are_refused_on_the_first_call(network_named, tmp_path):
    network = network_named("gnn")
    _, trees = refined(network, tmp_path / "good.hepsilon")
    wrong = {**trees.arrays, "value": np.full_like(trees.value, np.nan)}
    found, _ = refined(network, tmp_path / "bad.hepsilon", arrays=wrong)
    with pytest.raises(ArtifactError, match="NaN or infinite"):
        found(random_jets([2]))
