"""torch on another device than the CPU, which its device ``meta`` plays: it has no data."""

from __future__ import annotations

import pytest

from tests.helpers.processes import python

pytestmark = pytest.mark.slow
pytest.importorskip("torch", reason="'make backends' has an environment with torch")

MADE = """
import sys
from pathlib import Path
import numpy as np
import hepsilon
from hepsilon.efficiencies.engines.keras import Engine, start_backend
start_backend()
import keras
from tests.helpers.network_toys import NETWORKS, write_untrained
assert keras.backend.backend() == "torch"
folder = Path(sys.argv[1])
"""

ELSEWHERE = (
    MADE
    + """
from hepsilon.config import TrainingConfig
from hepsilon.efficiencies.engines.slopes import slopes_of
from hepsilon.networks.build import build_model
from hepsilon.networks.graphs import packed_rows
from hepsilon.training import recipe
from hepsilon.training.gradients import Gradients
from hepsilon.training.vectors import Vectors
from tests.helpers.toys import random_nodes

for name in ("mlp", "points mlp"):  # sums over partners need data
    task, options = NETWORKS[name]
    card = write_untrained(folder / f"{name}.hepsilon", task, **options).card
    (graph,) = packed_rows(random_nodes([2, 3, 1])[1])
    rows = len(graph.inputs["x"])
    with keras.device("meta"):
        model = build_model(card.architecture, card.features, seed=1)
        weights = [keras.ops.convert_to_tensor(w) for w in Vectors(model).join(
            [np.zeros(w.shape, np.float32) for w in model.trainable_variables])]
        settings = recipe(card.model, TrainingConfig(l2=0.1), 30)
        call = Gradients(model, settings)._call
        ones = np.ones((rows, 1), np.float32)
        value, gradients = call(weights, graph.inputs, ones, ones[:, 0], np.float32(1.0))
        assert {t.device.type for t in (value, *gradients)} == {"meta"}
        slopes = slopes_of(model)(list(model.trainable_variables), graph.inputs, ones[:, 0])
        assert {t.device.type for t in slopes} == {"meta"}
        assert slopes[0].shape == graph.inputs["x"].shape
"""
)

ON_THE_CPU = """
import sys
import awkward as ak, numpy as np
import hepsilon
from tests.helpers.toys import random_jets

jets = random_jets([2, 0, 3, 5])
eps = hepsilon.load(sys.argv[1], backend="torch", device="cpu")(jets)
import torch
from keras import ops
assert ops.convert_to_tensor(1.0).device.type == "meta", "the default device is another one"
expected = hepsilon.load(sys.argv[1], backend="onnxruntime")(jets)
np.testing.assert_allclose(ak.flatten(eps), ak.flatten(expected), rtol=0, atol=1e-5)
"""

SETTINGS = """
import torch
torch.set_num_threads(3)
torch.set_float32_matmul_precision("high")
torch.backends.cudnn.allow_tf32 = True
from hepsilon.efficiencies.engines.keras import start_backend
start_backend()
assert torch.get_float32_matmul_precision() == "highest"
assert not torch.backends.cuda.matmul.allow_tf32
assert not torch.backends.cudnn.allow_tf32
assert torch.get_num_threads() == 1
"""


def test_losses_and_gradients_stay_on_the_device_of_keras(tmp_path) -> None:
    python(ELSEWHERE, str(tmp_path), KERAS_BACKEND="torch")


def test_the_cpu_is_used_where_it_is_asked_for(gnn) -> None:
    python(ON_THE_CPU, gnn.path, KERAS_BACKEND="torch", KERAS_TORCH_DEVICE="meta")


def test_tf32_is_off_and_every_batch_has_one_thread() -> None:
    python(SETTINGS, KERAS_BACKEND="torch", warnings="error")
