"""torch on another device than the CPU, which its device ``meta`` plays: it has no data."""

from __future__ import annotations

import pytest

from tests.helpers.processes import python

pytestmark = pytest.mark.slow
pytest.importorskip("torch", reason="'make backends' has an environment with torch")

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


def test_the_cpu_is_used_where_it_is_asked_for(gnn) -> None:
    python(ON_THE_CPU, gnn.path, KERAS_BACKEND="torch", KERAS_TORCH_DEVICE="meta")


def test_tf32_is_off_and_every_batch_has_one_thread() -> None:
    python(SETTINGS, KERAS_BACKEND="torch", warnings="error")
