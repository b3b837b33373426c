"""The same artifact and the same code on other backends of Keras, in a process of their own."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from scipy.special import logit

from tests.helpers.processes import python
from tests.helpers.toys import random_jets
from tests.helpers.track_toys import random_tracks

pytestmark = pytest.mark.slow

COUNTS = [0, 1, 2, 5, 15, 3]

SCRIPT = """
import sys
import awkward as ak, keras, numpy as np
import hepsilon
from hepsilon.training import train
from tests.helpers.toys import mlp_config, random_jets
from tests.helpers.track_toys import random_tracks

backend, model, points, product, graph, data, out = sys.argv[1:]
assert keras.backend.backend() == backend
before = hepsilon.load(model)
config = mlp_config(epochs=1).model_copy(
    update={"model": before.card.model, "training": before.card.training})
eps = before(random_jets([0, 1, 2, 5, 15, 3]))
after = train(config, [data], out + ".hepsilon").efficiency
bins = hepsilon.load(points).evaluate(random_jets([0, 1, 2, 5, 15, 3])).replicas
tracks = [hepsilon.load(path)(random_tracks([2] * 9)) for path in (product, graph)]
assert "tensorflow" not in sys.modules
trained = after(random_jets([0, 1, 2, 5, 15, 3]))
assert "tensorflow" not in after.card.versions and backend in after.card.versions
loss = after.card.members[0].history[0].validation_loss
np.savez(out, eps=ak.flatten(eps), trained=ak.flatten(trained), loss=loss,
    product=tracks[0], graph=tracks[1], bins=ak.flatten(bins))
"""


@pytest.fixture(scope="module", params=["jax", "torch"])
def elsewhere(request, gnn, points_network, track_product, track_gnn, toy_file, tmp_path_factory):
    """What another backend says."""
    backend = request.param
    pytest.importorskip(backend)
    out = tmp_path_factory.mktemp(backend) / "out.npz"
    networks = [n.path for n in (gnn, points_network, track_product, track_gnn)]
    arguments = [backend, *networks, str(toy_file), str(out)]
    python(SCRIPT, *arguments, KERAS_BACKEND=backend, JAX_PLATFORMS="cpu")
    with np.load(out) as arrays:
        return dict(arrays)


def test_logits_are_the_same(gnn, elsewhere):
    here = ak.to_numpy(ak.flatten(gnn(random_jets(COUNTS))))
    np.testing.assert_allclose(logit(elsewhere["eps"]), logit(here), atol=1e-5)


def test_efficiencies_of_working_points_are_the_same(points_network, elsewhere):
    here = ak.to_numpy(ak.flatten(points_network.replicas(random_jets(COUNTS))))
    assert here.shape == (26, 3, 20)
    np.testing.assert_allclose(logit(elsewhere["bins"]), logit(here), atol=1e-5)


def test_efficiencies_of_events_are_the_same(track_product, track_gnn, elsewhere):
    for name, network in (("product", track_product), ("graph", track_gnn)):
        here = ak.to_numpy(network(random_tracks([2] * 9)))
        np.testing.assert_allclose(logit(elsewhere[name]), logit(here), atol=1e-5)


def test_training_works(gnn, elsewhere):
    """Keras draws other initial weights on another backend, so the network is another one."""
    (here,) = gnn.card.members[0].history
    assert np.all((elsewhere["trained"] > 0.0) & (elsewhere["trained"] < 1.0))
    assert elsewhere["loss"] == pytest.approx(here.validation_loss, abs=0.1)
