from __future__ import annotations

import pickle

import pytest

import hepsilon
from hepsilon import errors
from tests.helpers.processes import python


def test_import_is_light():
    heavy = "'tensorflow', 'keras', 'jax', 'torch', 'matplotlib', 'mplhep', 'dask', 'coffea'"
    code = f"import sys, hepsilon; print([m for m in ({heavy}) if m in sys.modules])"
    assert python(code).strip() == "[]"


def test_command_line_starts_light():
    code = "import sys, hepsilon.cli; print('keras' in sys.modules, 'matplotlib' in sys.modules)"
    assert python(code).split() == ["False", "False"]


def test_network_handle_is_lazy(gnn):
    """Loading, the card, the domain and pickling need no TensorFlow."""
    code = """
import pickle, sys, hepsilon
from tests.helpers.toys import random_jets
handle = pickle.loads(pickle.dumps(hepsilon.load(sys.argv[1])))
handle.in_domain(random_jets([1, 0, 2]))
assert "keras" not in sys.modules and "tensorflow" not in sys.modules
"""
    python(code, gnn.path)


def test_a_worker_imports_what_a_network_needs_and_no_more(gnn):
    """With ONNX Runtime: slow imports would be most of its start."""
    pytest.importorskip("onnxruntime")
    code = """
import sys, hepsilon, awkward as ak
jet = {"pt": 50.0, "eta": 0.1, "phi": 0.2, "hadronFlavour": 5}
eps = hepsilon.load(sys.argv[1], backend="onnxruntime")(ak.Array([[jet, jet], []]))
assert 0.0 < eps[0, 0] < 1.0
print([m for m in ("tensorflow", "keras", "hist", "uproot", "scipy.stats") if m in sys.modules])
"""
    assert python(code, gnn.path).strip() == "[]"


def test_all_names_exist():
    assert sorted(hepsilon.__all__) == hepsilon.__all__
    for name in hepsilon.__all__:
        assert getattr(hepsilon, name) is not None
    assert dir(hepsilon) == hepsilon.__all__


def test_design_names_are_there():
    wanted = {"load", "train", "truth_tag_weight", "EfficiencyMap", "TrainingResult", "Task"}
    assert wanted <= set(hepsilon.__all__)


def test_every_error_is_exported():
    assert set(errors.__all__) <= set(hepsilon.__all__)


def test_installed_version_is_the_packages():
    from importlib.metadata import version

    assert hepsilon.__version__ == version("hepsilon")


ERRORS = [getattr(errors, name) for name in errors.__all__ if name.endswith("Error")]


@pytest.mark.parametrize("error", ERRORS)
def test_errors_are_no_os_errors_and_pickle(error):
    """coffea drops a chunk for an OSError; a worker's error must reach the client."""
    assert issubclass(error, hepsilon.HepsilonError)
    assert not issubclass(error, OSError)
    assert str(pickle.loads(pickle.dumps(error("message")))) == "message"


TAGS = """
import sys
import awkward as ak, numpy as np
before = set(sys.modules)
import hepsilon
eps, ids = ak.Array([[0.5, 0.2], [0.7]]), [np.arange(2, dtype=np.uint64)] * 3
hepsilon.sample_tags(eps, ids, 1), hepsilon.truth_tag_weight(eps, 1)
hepsilon.inversion_weight(np.array([0.5]))
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
"""


def test_weights_need_no_file_formats_and_no_frameworks():
    """Compared with awkward alone, which imports pyarrow."""
    heavy = {"uproot", "coffea", "keras", "tensorflow", "pydantic", "hist", "correctionlib"}
    imported = set(python(TAGS).split())
    assert "hepsilon" in imported
    assert not imported & (heavy | {"pyarrow"})
