from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from hepsilon import ArtifactError, ConfigError, load
from hepsilon.efficiencies import precision
from hepsilon.efficiencies.artifact import read_arrays
from hepsilon.efficiencies.artifact_edits import sample_of, values_on
from tests.helpers.network_toys import interpreted
from tests.helpers.toys import random_jets

LOW = {"backend": "tensorflow", "device": "cpu", "precision": "bfloat16"}
ANY = 1.0
"""A bound that everything is within."""


@pytest.fixture(autouse=True)
def _interpreted():
    with interpreted():
        yield


@pytest.fixture(scope="module")
def measured(exported, tmp_path_factory):
    """Bytes before bfloat16 was enabled, and the handle after it was."""
    path = tmp_path_factory.mktemp("precision") / "points.hepsilon"
    shutil.copy(exported("points").path, path)
    before = path.read_bytes()
    with interpreted():
        return before, load(path, **LOW, precision_bound=ANY)


@pytest.fixture
def fresh(measured, tmp_path):
    """A file with which nobody has used bfloat16."""
    path = tmp_path / "points.hepsilon"
    path.write_bytes(measured[0])
    return path


@pytest.fixture
def measurements(monkeypatch):
    """Paths of the artifacts whose precision is measured."""
    found = []
    original = precision.measure_precision
    monkeypatch.setattr(
        precision, "measure_precision", lambda e: found.append(e.path) or original(e)
    )
    return found


def test_what_changes_is_noted_in_the_file(measured):
    before, handle = measured
    assert Path(handle.path).read_bytes() != before
    change = load(handle.path).card.bfloat16
    assert change == handle.card.bfloat16
    sample = sample_of(handle)
    low = values_on(handle, sample)
    exact = values_on(replace(handle, precision="float32"), sample)
    difference = np.abs(low - exact)
    assert 1e-6 < difference.max() < 0.1  # it computes in bfloat16
    assert change.backend == "tensorflow"
    assert change.n_objects == len(sample["nodes"])
    assert change.largest_difference == pytest.approx(difference.max(), rel=1e-6)
    assert change.rms_difference == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-6)
    totals = low.mean(-1).sum(axis=0), exact.mean(-1).sum(axis=0)
    assert change.closure_change == pytest.approx(np.abs(totals[0] / totals[1] - 1).max())


def test_nothing_else_in_the_file_changes(measured, fresh):
    handle, old = measured[1], load(fresh)
    new = handle.card.model_dump()
    assert new | {"bfloat16": None} == old.card.model_dump()
    assert new["onnx"] is not None
    arrays = [read_arrays(e.path, e.card, e.hash) for e in (old, handle)]
    np.testing.assert_equal(*arrays)
    jets = random_jets([2, 3])
    there = replace(old, backend="onnxruntime")(jets)
    assert ak.all(load(handle.path, backend="onnxruntime")(jets) == there, axis=None)


def test_the_second_load_measures_nothing(measured, measurements):
    handle = measured[1]
    content = Path(handle.path).read_bytes()
    assert load(handle.path, **LOW, precision_bound=ANY) == handle
    assert not measurements
    assert Path(handle.path).read_bytes() == content


def test_float32_measures_nothing(fresh, measured, measurements):
    load(fresh)
    load(fresh, backend="tensorflow", precision_bound=0.0)
    assert not measurements
    assert fresh.read_bytes() == measured[0]


def test_handles_in_bfloat16_pickle(measured):
    handle, jets = measured[1], random_jets([2, 0, 3])
    again = pickle.loads(pickle.dumps(handle))
    assert again == handle
    assert ak.all(again(jets) == handle(jets), axis=None)


def test_above_the_bound_it_is_refused_with_the_numbers(measured):
    handle = measured[1]
    change = handle.card.bfloat16
    largest = change.largest_difference
    with pytest.raises(ArtifactError, match="precision_bound") as caught:
        load(handle.path, **LOW, precision_bound=0.9 * largest)
    for number in (change.largest_difference, change.rms_difference, change.closure_change):
        assert f"{number:.2g}" in str(caught.value)
    assert load(handle.path, **LOW, precision_bound=largest) == handle


def test_not_a_number_is_above_every_bound(measured):
    handle = measured[1]
    change = handle.card.bfloat16.model_copy(update={"largest_difference": float("nan")})
    card = handle.card.model_copy(update={"bfloat16": change})
    with pytest.raises(ArtifactError, match="nan"):
        precision.accepted(replace(handle, card=card), ANY)


def test_a_first_use_above_the_bound_is_refused_too(fresh):
    with pytest.raises(ArtifactError, match="at most 1e-12 is accepted"):
        load(fresh, **LOW, precision_bound=1e-12)
    assert load(fresh).card.bfloat16 is not None  # the next one need not measure


def test_a_file_that_cannot_be_written_works_with_a_warning(fresh, monkeypatch, caplog, measured):
    """Such as one on a file system for reading only."""

    def refuse(self, target):
        raise PermissionError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        handle = load(fresh, **LOW, precision_bound=ANY)
    assert "cannot note the precision" in caplog.text
    assert "Read-only file system" in caplog.text
    assert fresh.read_bytes() == measured[0]
    assert list(fresh.parent.iterdir()) == [fresh]
    assert handle.card.bfloat16 == measured[1].card.bfloat16
    jets = random_jets([2, 0, 3])
    assert ak.all(handle(jets) == measured[1](jets), axis=None)
    assert ak.all(pickle.loads(pickle.dumps(handle))(jets) == handle(jets), axis=None)


def test_artifact_of_an_earlier_release_has_no_sample(untrained):
    old = untrained(architecture="mlp", width=4, blocks=1, sample=False)
    with pytest.raises(ArtifactError, match=r"holds no sample.*train it again"):
        load(old.path, **LOW)
    assert len(ak.flatten(load(old.path)(random_jets([2, 1])))) == 3


@pytest.mark.parametrize("backend", ["onnxruntime", "triton+grpc://host:8001/points"])
def test_backends_of_float32_only_measure_nothing(fresh, backend, measurements):
    with pytest.raises(ConfigError, match="float32 only"):
        load(fresh, backend=backend, precision="bfloat16")
    assert not measurements


def test_networks_of_events_are_measured_by_event(exported, tmp_path):
    path = shutil.copy(exported("event mlp").path, tmp_path / "events.hepsilon")
    change = load(path, **LOW, precision_bound=ANY).card.bfloat16
    assert change.n_objects == 30
    assert 0.0 < change.rms_difference <= change.largest_difference < 0.1
