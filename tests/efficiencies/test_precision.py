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
from hepsilon.efficiencies.precision import note_precision
from tests.helpers.toys import random_jets, rows

LOW = {"backend": "tensorflow", "device": "cpu", "precision": "bfloat16"}
ANY = 1.0
"""A bound that everything is within."""


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch):
    """Nothing has been measured yet."""
    monkeypatch.setattr(precision, "_MEASURED", {})


@pytest.fixture(scope="module")
def source(exported):
    return Path(exported("points").path)


@pytest.fixture
def fresh(source, tmp_path):
    """A file with which nobody has used bfloat16."""
    return Path(shutil.copy(source, tmp_path / "points.hepsilon"))


@pytest.fixture(scope="module")
def noted(source, tmp_path_factory):
    """A file in which the precision is noted, and what was."""
    path = shutil.copy(source, tmp_path_factory.mktemp("precision") / "points.hepsilon")
    return Path(path), note_precision(path, backend="tensorflow", device="cpu")


@pytest.fixture
def measurements(monkeypatch):
    """Paths of the artifacts whose precision is measured."""
    found = []
    original = precision._measured
    monkeypatch.setattr(precision, "_measured", lambda e: found.append(e.path) or original(e))
    return found


# loading


def test_load_writes_nothing(fresh, source, measurements):
    load(fresh, **LOW, precision_bound=ANY)
    assert measurements == [str(fresh)]
    assert fresh.read_bytes() == source.read_bytes()
    assert list(fresh.parent.iterdir()) == [fresh]


def test_handles_stay_valid_when_the_file_is_loaded_in_another_precision(fresh):
    jets = random_jets([2, 0, 3])
    handle = load(fresh, backend="onnxruntime")
    sent = pickle.dumps(handle)
    low = load(fresh, **LOW, precision_bound=ANY)
    assert low.hash == handle.hash
    assert replace(low, backend="onnxruntime", device=None, precision="float32") == handle
    for exact in (handle, pickle.loads(sent), load(fresh, backend="onnxruntime")):
        assert 0.0 < np.abs(rows(exact(jets)) - rows(low(jets))).max() < 0.1


def test_a_process_measures_once(fresh, measurements):
    first = load(fresh, **LOW, precision_bound=ANY)
    assert load(fresh, **LOW, precision_bound=ANY) == first
    elsewhere = shutil.copy(fresh, fresh.with_name("copy"))
    load(elsewhere, **LOW, precision_bound=ANY)
    assert measurements == [str(fresh)]


def test_a_measurement_in_the_card_is_used(noted, measurements):
    path, _ = noted
    content = path.read_bytes()
    load(path, **LOW, precision_bound=ANY)
    assert not measurements
    assert path.read_bytes() == content


def test_a_measurement_with_another_backend_is_not_used(noted, measurements):
    path, change = noted
    handle = load(path, **LOW, precision_bound=ANY)
    other = change.model_copy(update={"backend": "openvino", "largest_difference": 0.9})
    card = handle.card.model_copy(update={"bfloat16": other})
    assert precision.check_precision(replace(handle, card=card), ANY) == change
    assert measurements == [str(path)]


def test_float32_measures_nothing(fresh, source, measurements):
    load(fresh)
    load(fresh, backend="tensorflow", precision_bound=0.0)
    assert not measurements
    assert fresh.read_bytes() == source.read_bytes()


# noting


def test_what_changes_is_noted_in_the_file(noted, source):
    path, change = noted
    assert path.read_bytes() != source.read_bytes()
    handle = load(path, **LOW, precision_bound=ANY)
    assert handle.card.bfloat16 == change
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


def test_nothing_else_in_the_file_changes(noted, source):
    new, old = (load(path, backend="onnxruntime") for path in (noted[0], source))
    assert new.card.model_dump() | {"bfloat16": None} == old.card.model_dump()
    assert new.card.onnx is not None
    arrays = [read_arrays(e.path, e.card, e.hash) for e in (old, new)]
    np.testing.assert_equal(*arrays)
    jets = random_jets([2, 3])
    assert ak.all(new(jets) == old(jets), axis=None)


def test_handles_of_the_file_stay_valid_where_another_one_is_written(fresh, source):
    sent = pickle.dumps(load(fresh, backend="onnxruntime"))
    out = fresh.with_name("noted.hepsilon")
    change = note_precision(fresh, backend="tensorflow", device="cpu", out=out)
    assert fresh.read_bytes() == source.read_bytes()
    assert load(out).card.bfloat16 == change
    assert pickle.loads(sent).hash == load(fresh).hash


def test_noting_in_the_file_makes_another_file_of_it(fresh):
    sent = pickle.dumps(load(fresh))
    note_precision(fresh, backend="tensorflow", device="cpu")
    with pytest.raises(ArtifactError, match="changed since it was loaded"):
        pickle.loads(sent)(random_jets([2]))


def test_a_file_that_cannot_be_written_is_an_error(fresh, source, monkeypatch):
    """Such as one on a file system for reading only."""

    def refuse(self, target):
        raise PermissionError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(PermissionError, match="Read-only"):
            note_precision(fresh, backend="tensorflow", device="cpu")
    assert fresh.read_bytes() == source.read_bytes()
    assert list(fresh.parent.iterdir()) == [fresh]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "float32"}, "expected a lower precision"),
        ({"precision": "float64"}, "expected a precision of"),
        ({"backend": "onnxruntime"}, "float32 only"),
    ],
)
def test_only_a_lower_precision_is_noted(fresh, source, options, message):
    with pytest.raises(ConfigError, match=message):
        note_precision(fresh, **options)
    assert fresh.read_bytes() == source.read_bytes()


def test_maps_have_no_precision(toy_map, tmp_path):
    with pytest.raises(ArtifactError, match="is a map, and holds no networks"):
        note_precision(toy_map.save(tmp_path / "map.hepsilon"))


# bounds


def test_handles_in_bfloat16_pickle(fresh):
    handle, jets = load(fresh, **LOW, precision_bound=ANY), random_jets([2, 0, 3])
    again = pickle.loads(pickle.dumps(handle))
    assert again == handle
    assert ak.all(again(jets) == handle(jets), axis=None)


def test_above_the_bound_it_is_refused_with_the_numbers(noted):
    path, change = noted
    largest = change.largest_difference
    with pytest.raises(ArtifactError, match="precision_bound") as caught:
        load(path, **LOW, precision_bound=0.9 * largest)
    for number in (change.largest_difference, change.rms_difference, change.closure_change):
        assert f"{number:.2g}" in str(caught.value)
    assert load(path, **LOW, precision_bound=largest).precision == "bfloat16"


def test_not_a_number_is_above_every_bound(noted):
    path, change = noted
    handle = load(path, **LOW, precision_bound=ANY)
    bad = change.model_copy(update={"largest_difference": float("nan")})
    card = handle.card.model_copy(update={"bfloat16": bad})
    with pytest.raises(ArtifactError, match="nan"):
        precision.check_precision(replace(handle, card=card), ANY)


def test_a_first_use_above_the_bound_is_refused_too(fresh, measurements):
    for _ in range(2):
        with pytest.raises(ArtifactError, match="at most 1e-12 is accepted"):
            load(fresh, **LOW, precision_bound=1e-12)
    assert measurements == [str(fresh)]


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


def test_networks_of_events_are_measured_by_event(exported):
    handle = load(exported("event mlp").path, **LOW, precision_bound=ANY)
    change = precision.measure_precision(handle)
    assert change.n_objects == 30
    assert 0.0 < change.rms_difference <= change.largest_difference < 0.1
