"""What is missing is named in one line, with the command that brings it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from hepsilon import ConfigError, demo, simulation, train
from hepsilon._system import extras
from hepsilon.demo.samples import sample_path
from hepsilon.processors.executors import executor
from hepsilon.simulation import amplitudes
from hepsilon.simulation.reference_csv import convert_csv
from tests.helpers.toys import mlp_config

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture
def without(monkeypatch):
    """An environment without these packages."""

    def missing(*packages):
        monkeypatch.setattr(extras, "is_installed", lambda name: name not in packages)

    return missing


def test_what_is_installed_is_not_imported():
    assert extras.is_installed("tabnanny")
    assert "tabnanny" not in sys.modules
    assert not extras.is_installed("a_package_that_nobody_has")


def test_nothing_missing_is_no_error(without):
    without("torch")
    extras.needs("training", "keras", "tensorflow")


@pytest.mark.parametrize("package", sorted(extras.EXTRAS))
def test_an_extra_brings_its_package(package):
    """As pyproject.toml declares it, directly or by an extra of another project."""
    brought_by = {
        "distributed": "coffea",
        "skhep_testdata": "scikit-hep-testdata",
        "sklearn": "scikit-learn",
    }
    declared = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    names = [re.split(r"[\[><=;]", line)[0] for line in declared[extras.EXTRAS[package]]]
    assert brought_by.get(package, package) in names


def test_message_names_work_extra_and_module(without):
    without("keras")
    message = (
        "training needs the extra 'train': pip install 'hepsilon[train]' (no module named 'keras')"
    )
    with pytest.raises(ConfigError) as caught:
        extras.needs("training", "keras", "jax")
    assert str(caught.value) == message


def test_package_without_an_extra_is_named_itself(without):
    without("jax")
    with pytest.raises(ConfigError, match=r"^training needs jax: pip install jax$"):
        extras.needs("training", "keras", "jax")


def test_training_is_refused_before_files_are_read(without, tmp_path):
    without("tensorflow")
    with pytest.raises(ConfigError, match=r"^training needs the extra 'train'.*'tensorflow'"):
        train(mlp_config(), [tmp_path / "none.root"], tmp_path / "mlp.hepsilon")
    assert not list(tmp_path.iterdir())


def test_demo_is_refused_before_it_simulates(without, tmp_path):
    without("phasespace")
    with pytest.raises(ConfigError, match=r"^the demo needs the extra 'demo'.*'phasespace'"):
        demo.run_demo(tmp_path / "demo")
    assert not list(tmp_path.iterdir())


def test_simulation_of_tracks_is_refused(without):
    without("phasespace")
    amplitudes._generator.cache_clear()
    with pytest.raises(ConfigError, match=r"needs the extra 'simulate'.*'phasespace'"):
        simulation.generate_tracks(np.random.default_rng(1), 1, simulation.AMPLITUDES["rho"])


@pytest.mark.parametrize("package", ["particle", "phasespace"])
def test_commands_of_tracks_say_it_in_one_line(without, run, tmp_path, package):
    without(package)
    out = tmp_path / "tracks.root"
    code, output, error = run("simulate", "tracks", "-n", 10, "--out", out)
    assert (code, output) == (2, "")
    assert error == (
        "hepsilon: error: simulating tracks needs the extra 'simulate': "
        f"pip install 'hepsilon[simulate]' (no module named {package!r})\n"
    )


def test_command_convert_says_it_in_one_line(without, run, tmp_path):
    without("particle")
    code, _, error = run("convert", tmp_path / "none.csv", "--out", tmp_path / "tracks.root")
    assert code == 2
    assert error.count("\n") == 1
    assert "pip install 'hepsilon[simulate]'" in error
    with pytest.raises(ConfigError, match="converting tracks needs the extra 'simulate'"):
        convert_csv(tmp_path / "none.csv", tmp_path / "tracks.root")


def test_sample_and_dask_name_their_extras(without):
    without("skhep_testdata", "distributed")
    with pytest.raises(ConfigError, match=r"hepsilon\[demo\]"):
        sample_path("uproot-Zmumu.root")
    with pytest.raises(ConfigError, match=r"hepsilon\[dask\]"), executor("dask"):
        pass
