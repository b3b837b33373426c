"""Backends of Keras: everything works on each of them, and they agree on each other's networks.

Each one runs in processes of its own. torch is a large package: ``make backends`` has an
environment for it.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import logit

from hepsilon._system.extras import is_installed
from hepsilon.efficiencies.engines.keras import KERAS
from tests.backends.round import write_samples
from tests.helpers.processes import python

pytestmark = pytest.mark.slow

HERE = [name for name in KERAS if is_installed(name)]
CODE = "import runpy; runpy.run_module('tests.backends.round', run_name='__main__')"
OTHER_STEPS = "exports", "goes_on", "in_processes", "chooses", "in_bfloat16", "refuses"
needs_two = pytest.mark.skipif(len(HERE) < 2, reason="only one backend of Keras is installed")


def run(folder: Path, backend: str, *steps: str) -> None:
    python(CODE, str(folder), *steps, KERAS_BACKEND=backend, JAX_PLATFORMS="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples, and the networks that every backend has trained on them."""
    made = tmp_path_factory.mktemp("backends")
    write_samples(made)
    for backend in HERE:
        run(made, backend, "trains")
    return made


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, dict[str, Any]]:
    """Numbers of all networks, by each backend."""
    found = {}
    for backend in HERE:
        run(folder, backend, "evaluates")
        with np.load(folder / f"{backend}.npz") as arrays:
            found[backend] = dict(arrays)
    return found


@needs_two
@pytest.mark.parametrize(("one", "other"), list(combinations(KERAS, 2)))
def test_backends_agree_on_each_others_networks(
    one: str, other: str, answers: dict[str, dict[str, Any]]
) -> None:
    for backend in (one, other):
        if backend not in HERE:
            pytest.skip(f"{backend} is not installed: 'make backends' has an environment")
    assert set(answers[one]) == set(answers[other])
    trained = {key.partition("-")[0] for key in answers[one]}
    assert trained == set(HERE)
    for key, here in answers[one].items():
        there = answers[other][key]
        assert len(here) >= 600, key
        if key.endswith("gradient"):
            scale = np.abs(here).max()
            np.testing.assert_allclose(there / scale, here / scale, rtol=0, atol=1e-4, err_msg=key)
        elif key.endswith("ratio"):
            np.testing.assert_allclose(there, here, rtol=1e-5, err_msg=key)
        else:  # a replica moves a logit by several units, in float32
            far = 1e-4 if key.endswith("replicas") else 1e-5
            np.testing.assert_allclose(logit(there), logit(here), rtol=0, atol=far, err_msg=key)


@pytest.mark.parametrize("backend", [name for name in KERAS if name != "tensorflow"])
def test_everything_works(backend: str, folder: Path) -> None:
    if "torch" not in HERE or backend not in HERE:
        pytest.skip("takes minutes: 'make backends' has an environment with torch, and runs it")
    run(folder, backend, *OTHER_STEPS)
