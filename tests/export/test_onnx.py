from __future__ import annotations

import json
import logging
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from hepsilon import ArtifactError, ConfigError, load
from hepsilon._system import extras
from hepsilon.efficiencies import artifact_edits
from hepsilon.efficiencies.artifact import read_arrays
from hepsilon.efficiencies.network import to_probability
from hepsilon.export import formats, onnx
from hepsilon.networks.graphs import neighbour_batches, row_batches
from hepsilon.training import results, train
from tests.helpers.processes import python
from tests.helpers.toys import mlp_config, random_jets

ort = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def bare(untrained):
    """Without a graph."""
    return untrained(architecture="mlp", width=4, blocks=1, members=2, mu=2.0)


@pytest.fixture(scope="module")
def other(untrained):
    """The same architecture with other weights."""
    return untrained(architecture="mlp", width=4, blocks=1, members=2, mu=2.0, seed=7)


@pytest.fixture
def copied(bare, tmp_path):
    return shutil.copy(bare.path, tmp_path / "jets.hepsilon")


def evaluated(path, batches):
    """Logits by plain ONNX Runtime, in the order of the batches."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    found, batches = [], list(batches)
    for batch in batches:
        inputs = {"x": batch.x, "senders": batch.senders}
        (logits,) = session.run(["logits"], {name: inputs[name] for name in names})
        found.append(logits)
    return np.concatenate(found), np.concatenate([batch.index for batch in batches])


# an ONNX file


def test_onnx_file_runs_anywhere_and_gives_the_same(bare, tmp_path):
    """A network without pairs takes rows alone."""
    jets = random_jets([2, 0, 3])
    offsets, nodes = bare.features.matrix(jets)
    path = formats.export(bare.path, "onnx", tmp_path / "jets.onnx")
    logits, _ = evaluated(path, list(row_batches(nodes)))
    members = np.stack([to_probability(logits[:, i].astype(float), 2.0) for i in range(2)], -1)
    there = replace(bare, backend="tensorflow").of_members(offsets, nodes)
    np.testing.assert_allclose(members, there, rtol=0, atol=1e-5)


def test_onnx_file_of_a_graph_network(exported, tmp_path):
    """With pairs, two networks and three working points: all columns side by side."""
    network = exported("points")
    offsets, nodes = network.features.matrix(random_jets([1, 0, 5, 2, 5]))
    path = formats.export(network.path, "onnx", tmp_path / "points.onnx")
    logits, index = evaluated(path, list(neighbour_batches(offsets, nodes)))
    there = replace(network, backend="tensorflow")._engine().logits(offsets, nodes)
    assert logits.shape == (13, 6)
    np.testing.assert_allclose(expit(logits), expit(there[index]), rtol=0, atol=1e-5)


def test_names_in_the_file_are_those_documented(exported, tmp_path):
    path = formats.export(exported("points").path, "onnx", tmp_path / "points.onnx")
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    shapes = {node.name: (node.type, node.shape) for node in session.get_inputs()}
    assert shapes == {
        "x": ("tensor(float)", ["objects", 4]),
        "senders": ("tensor(int32)", ["objects", "partners"]),
    }
    outputs = {output.name: output.shape for output in session.get_outputs()}
    assert outputs == {"logits": ["objects", 6], "features": ["objects", 2 * 32]}


def test_the_same_artifact_gives_the_same_bytes(bare, tmp_path):
    first, second = (formats.export(bare.path, "onnx", tmp_path / name) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    first, second = (formats.export(bare.path, "hepsilon", tmp_path / name) for name in "cd")
    assert first.read_bytes() == second.read_bytes()


def test_the_same_weights_give_the_same_graph_once_more(exported, tmp_path):
    """Of an artifact that has a graph that one is taken, and a new one is no other."""
    network = exported("points")
    (graph,) = artifact_edits.blobs_of(network).values()
    path = formats.export(network.path, "onnx", tmp_path / "points.onnx")
    assert graph == onnx.make_graph(network)
    assert path.read_bytes().startswith(graph)  # metadata follow


# the artifact with its graph


def test_artifact_gets_its_graph_in_place(copied, bare):
    assert formats.export(copied, "hepsilon", copied) == Path(copied)
    card = load(copied).card
    assert card.blobs == ("model.onnx",)
    assert card.onnx.runtime == "onnxruntime"
    assert card.onnx.version == ort.__version__
    assert card.onnx.n_objects == 90
    assert 0.0 < card.onnx.largest_difference < 1e-5
    assert set(card.content) - set(bare.card.content) == {"model.onnx"}
    same = {"blobs": (), "onnx": None, "content": bare.card.content}
    assert card.model_copy(update=same) == bare.card
    arrays = [read_arrays(e.path, e.card, e.hash) for e in (bare, load(copied))]
    np.testing.assert_equal(*arrays)
    assert [path.name for path in Path(copied).parent.iterdir()] == ["jets.hepsilon"]


def test_artifact_with_a_graph_gets_a_new_one(copied):
    first = formats.export(copied, "hepsilon", copied).read_bytes()
    assert formats.export(copied, "hepsilon", copied).read_bytes() == first


def test_graph_of_another_network_is_refused(copied, other, monkeypatch, tmp_path):
    wrong, before = onnx.make_graph(other), Path(copied).read_bytes()
    monkeypatch.setattr(onnx, "make_graph", lambda efficiency: wrong)
    for format_, out in (("hepsilon", copied), ("onnx", tmp_path / "x.onnx")):
        with pytest.raises(ArtifactError, match=r"differs from Keras by 0\.\d.*was not written"):
            formats.export(copied, format_, out)
    assert Path(copied).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["jets.hepsilon"]


def test_failed_writing_keeps_the_old_file(copied, monkeypatch):
    before, original = Path(copied).read_bytes(), zipfile.ZipFile.writestr

    def writestr(self, info, content):
        if self.filename.startswith(str(Path(copied).parent)) and info.filename == "model.onnx":
            raise OSError(28, "No space left on device")
        original(self, info, content)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", writestr)
    with pytest.raises(OSError, match="No space left"):
        formats.export(copied, "hepsilon", copied)
    assert Path(copied).read_bytes() == before
    assert [path.name for path in Path(copied).parent.iterdir()] == ["jets.hepsilon"]


def test_graph_is_compared_on_the_cpu(copied, monkeypatch):
    """Where there is a GPU, but ONNX Runtime has no provider for it."""
    monkeypatch.setattr("hepsilon.efficiencies.engines.devices.has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    formats.export(copied, "hepsilon", copied)
    assert load(copied).card.onnx.largest_difference < 1e-5


# a repository for Triton


def test_model_repository(bare, exported, tmp_path):
    for network in (bare, exported("points")):
        assert formats.export(network.path, "triton", tmp_path) == tmp_path
    names = [Path(network.path).stem for network in (bare, exported("points"))]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for name, columns, outputs in zip(names, (4, 4), (2, 6), strict=True):
        folder = tmp_path / name
        files = [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()]
        assert sorted(files) == ["1/model.onnx", "config.pbtxt"]
        config = (folder / "config.pbtxt").read_text()
        assert f'name: "{name}"' in config
        assert 'backend: "onnxruntime"' in config
        assert "max_batch_size: 65536" in config
        assert "dynamic_batching {" in config
        assert f'{{ name: "x" data_type: TYPE_FP32 dims: [ {columns} ] }}' in config
        assert f"dims: [ {outputs} ]" in config
        session = ort.InferenceSession(
            str(folder / "1" / "model.onnx"), providers=["CPUExecutionProvider"]
        )
        for node in session.get_inputs():
            assert f'name: "{node.name}"' in config
        assert ("partners" in config) == (len(session.get_inputs()) == 2)


def test_requests_to_a_server_may_be_joined(exported, tmp_path):
    """Partners are relative to the own row: two requests one after the other are one batch."""
    network = exported("points")
    formats.export(network.path, "triton", tmp_path)
    file = tmp_path / Path(network.path).stem / "1" / "model.onnx"
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    offsets, nodes = network.features.matrix(random_jets([3, 3, 3]))
    own = np.arange(9, dtype=np.int32)[:, None]
    (batch,) = neighbour_batches(offsets, nodes)
    joined = {"x": batch.x, "partners": batch.senders - own}
    outputs = ["logits", "features"]
    both = session.run(outputs, joined)
    halves = [
        session.run(outputs, {name: array[rows] for name, array in joined.items()})
        for rows in (slice(0, 3), slice(3, 9))
    ]
    for found, *parts in zip(both, *halves, strict=True):
        np.testing.assert_allclose(found, np.concatenate(parts), rtol=1e-5, atol=1e-5)
    expected = replace(network, backend="onnxruntime")._engine().logits(offsets, nodes)
    np.testing.assert_allclose(both[0], expected[batch.index], rtol=1e-5, atol=1e-5)


def test_model_repository_of_joined_objects_has_their_columns(exported, tmp_path):
    network = exported("event mlp")
    formats.export(network.path, "triton", tmp_path)
    config = (tmp_path / Path(network.path).stem / "config.pbtxt").read_text()
    assert f"dims: [ {2 * len(network.features.features)} ]" in config


# refused


def test_unknown_format_is_refused(bare, tmp_path):
    with pytest.raises(ConfigError, match=r"onnx.*hepsilon.*triton.*'pt'"):
        formats.export(bare.path, "pt", tmp_path / "x")


def test_map_is_refused(toy_map, tmp_path, run):
    path = toy_map.save(tmp_path / "map.hepsilon")
    with pytest.raises(ConfigError, match="is a map, which is exported as correctionlib"):
        formats.export(path, "onnx", tmp_path / "map.onnx")
    code, _, error = run("export", path, "--format", "onnx", "--out", tmp_path / "map.onnx")
    assert code == 2
    assert "Traceback" not in error
    assert [file.name for file in tmp_path.iterdir()] == ["map.hepsilon"]


def test_without_the_converter_it_says_what_to_install(bare, tmp_path, monkeypatch):
    for package in ("keras", "onnx", "onnxruntime"):
        monkeypatch.setattr(extras, "is_installed", lambda name, missing=package: name != missing)
        with pytest.raises(ConfigError, match=r"hepsilon\[train\]"):
            formats.export(bare.path, "onnx", tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


OTHER_BACKEND = """
import sys
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.export.onnx import make_graph

with open(sys.argv[2], "wb") as file:
    file.write(make_graph(NetworkEfficiency.load(sys.argv[1])))
import keras
assert keras.backend.backend() == "jax"
assert "tensorflow" not in sys.modules
"""


@pytest.mark.slow
def test_other_backends_write_the_same_bytes(exported, tmp_path):
    pytest.importorskip("jax")
    network, out = exported("product"), tmp_path / "jax.onnx"
    python(OTHER_BACKEND, network.path, str(out), KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")
    (graph,) = artifact_edits.blobs_of(network).values()
    assert out.read_bytes() == graph


def test_artifact_of_an_earlier_release_has_no_sample(untrained, tmp_path):
    old = untrained(architecture="mlp", width=4, blocks=1, sample=False)
    with pytest.raises(ArtifactError, match=r"holds no sample.*train it again"):
        formats.export(old.path, "onnx", tmp_path / "x.onnx")


# at the end of a training


def warnings_of(caplog):
    """Those of this package, but for what it says of small samples.

    TensorFlow has its own to say of many networks in one process.
    """
    chosen = [r for r in caplog.records if r.name == "hepsilon" and r.levelno >= logging.WARNING]
    return [r.getMessage() for r in chosen if "use more events" not in r.getMessage()]


@pytest.fixture
def columns(toy_columns):
    return toy_columns.between(0, 200)


def test_training_adds_the_graph(ensemble):
    card = ensemble.card
    assert card.blobs == ("model.onnx",)
    assert card.onnx.largest_difference <= 1e-5
    sample = artifact_edits.sample_of(ensemble)
    assert card.onnx.n_objects == len(sample["nodes"]) > 100
    with zipfile.ZipFile(ensemble.path) as archive:
        assert json.loads(archive.read("card.json"))["onnx"]["opset"] == 17


def test_sample_is_of_validation_events(ensemble, toy_columns):
    _, validation = toy_columns.split(ensemble.card.training.validation)
    sample = artifact_edits.sample_of(ensemble)
    for name in ("offsets", "nodes", "weights"):
        np.testing.assert_array_equal(sample[name], getattr(validation, name))


def test_training_without_the_converter_gives_an_artifact_that_works(
    columns, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(extras, "is_installed", lambda name: name != "onnx")
    with caplog.at_level(logging.INFO, "hepsilon"):
        efficiency = train(mlp_config(epochs=1), columns, tmp_path / "mlp.hepsilon").efficiency
    assert "mlp.hepsilon is for Keras only" in caplog.text
    assert efficiency.card.blobs == ()
    assert efficiency.card.onnx is None
    assert not warnings_of(caplog)
    assert [file.name for file in tmp_path.iterdir()] == ["mlp.hepsilon"]
    eps = np.concatenate(load(efficiency.path)(random_jets([2, 1])).to_list())
    assert np.all((eps > 0.0) & (eps < 1.0))
    monkeypatch.undo()
    formats.export(efficiency.path, "hepsilon", efficiency.path)
    full = load(efficiency.path, backend="onnxruntime")(random_jets([2, 1]))
    np.testing.assert_allclose(np.concatenate(full.to_list()), eps, rtol=0, atol=1e-5)


@pytest.mark.parametrize("error", [NotImplementedError("GatherNd13"), ArtifactError("differs")])
def test_conversion_that_fails_is_logged_and_not_fatal(
    columns, tmp_path, monkeypatch, caplog, error
):
    def add_graph(efficiency, out):
        raise error

    monkeypatch.setattr(results, "add_graph", add_graph)
    efficiency = train(mlp_config(epochs=1), columns, tmp_path / "mlp.hepsilon").efficiency
    (message,) = warnings_of(caplog)
    assert "has no ONNX graph" in message
    assert str(error) in message
    assert load(efficiency.path) == efficiency
    assert efficiency.card.blobs == ()
    assert [file.name for file in tmp_path.iterdir()] == ["mlp.hepsilon"]
