from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import skhep_testdata
from coffea.nanoevents import NanoEventsFactory
from hypothesis import settings

from hepsilon.cli import parser as cli

# The same examples in every run; kernels may be compiled on their first call, hence no deadline.
settings.register_profile("hepsilon", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("hepsilon")

# XLA compiles longer than any test computes; processes that tests start inherit it
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")

pytest_plugins = [
    "tests.helpers.trained",
    "tests.helpers.trained_points",
    "tests.helpers.trained_ratios",
    "tests.helpers.trained_tracks",
    "tests.helpers.untrained",
]

NANOAOD = "nanoAOD_2015_CMS_Open_Data_ttbar.root"
RNTUPLE = "cmsopendata2015_ttbar_19980_NANOAOD_RNTupleImporter_rntuple_v1-0-0-1.root"


@pytest.fixture
def jets() -> ak.Array:
    """Five events with 3, 0, 1, 4 and 2 jets."""
    counts = [3, 0, 1, 4, 2]
    flat = {
        "pt": [120.0, 60.5, 30.0, 45.0, 200.0, 90.0, 55.0, 22.0, 80.0, 25.0],
        "eta": [0.1, -1.2, 2.3, 0.0, -0.7, 0.6, 1.9, -2.1, 1.0, 1.3],
        "phi": [0.2, 3.0, -3.1, 1.5, -2.0, 0.4, 2.7, -0.9, -3.0, 3.1],
        "mass": [12.0, 7.5, 5.0, 6.0, 20.0, 0.0, 8.0, 4.5, 10.0, 3.0],
    }
    flavour = np.array([5, 4, 0, 5, 0, 0, 4, 5, 5, 4], np.uint8)
    columns = {name: ak.unflatten(np.array(values), counts) for name, values in flat.items()}
    return ak.zip(columns | {"hadronFlavour": ak.unflatten(flavour, counts)})


def _test_file(name: str) -> Path:
    return Path(skhep_testdata.data_path(name, cache_dir=os.environ.get("SKHEP_DATA")))


@pytest.fixture(scope="session")
def nanoaod_path() -> Path:
    """200 events of CMS Open Data NanoAOD."""
    return _test_file(NANOAOD)


@pytest.fixture(scope="session")
def zmumu_path() -> Path:
    """2304 dimuon events as a flat ntuple."""
    return _test_file("uproot-Zmumu.root")


@pytest.fixture(scope="session")
def rntuple_path() -> Path:
    """Ten events of CMS Open Data NanoAOD as an RNTuple."""
    return _test_file(RNTUPLE)


@pytest.fixture(scope="session")
def open_nanoaod() -> Callable[[Path], ak.Array]:
    """Open a file with coffea's NanoAODSchema; all columns are virtual."""

    def open_file(path: Path) -> ak.Array:
        with warnings.catch_warnings():  # cross-references that a file does not hold
            warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"coffea\.")
            return NanoEventsFactory.from_root({str(path): "Events"}, mode="virtual").events()

    return open_file


@pytest.fixture
def run(capfd):
    """Run a command; gives exit code, standard output and standard error."""

    def run_command(*arguments):
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as stop:
            code = stop.code
        sys.__stdout__.flush()
        return code, *capfd.readouterr()

    return run_command
