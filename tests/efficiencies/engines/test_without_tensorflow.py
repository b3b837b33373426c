"""Export and loading where one other backend of Keras is installed, and none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.processes import python

CODE = """
import importlib.abc, importlib.util, sys

BACKEND = sys.argv[2]
MISSING = {"tensorflow", "jax", "torch"} - {BACKEND}
found = importlib.util.find_spec


def find_spec(name, package=None):
    return None if name.partition(".")[0] in MISSING else found(name, package)


class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


importlib.util.find_spec = find_spec
sys.meta_path.insert(0, Missing())

from pathlib import Path
import awkward as ak, numpy as np
import hepsilon
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.export import formats

start_backend()
from tests.helpers.toys import random_jets
from tests.helpers.network_toys import write_untrained

folder = Path(sys.argv[1])
made = write_untrained(folder / "bare.hepsilon", architecture="gnn", width=4, blocks=1)
jets = random_jets([2, 0, 3])
bare = hepsilon.load(made.path)(jets, out_of_domain="ignore")  # by this backend
formats.export(made.path, "hepsilon", folder / "full.hepsilon")
for backend in ("auto", BACKEND, "onnxruntime"):
    full = hepsilon.load(folder / "full.hepsilon", backend=backend)
    np.testing.assert_allclose(
        ak.flatten(full(jets, out_of_domain="ignore")), ak.flatten(bare), rtol=0, atol=1e-6
    )
import keras
assert keras.backend.backend() == BACKEND
assert not MISSING & set(sys.modules)
try:
    formats.export(made.path, "savedmodel", folder / "saved")
except hepsilon.ConfigError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_backend_that_is_installed_is_taken(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend, reason="'make backends' has an environment with torch")
    said = python(CODE, str(tmp_path), backend, JAX_PLATFORMS="cpu", KERAS_BACKEND="")
    assert "a SavedModel needs the extra 'train'" in said
