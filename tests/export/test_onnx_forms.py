"""ONNX files that stand alone: named inputs, any mixture of multiplicities, efficiencies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from hepsilon import ConfigError
from hepsilon.arrays.types import Array
from hepsilon.data.features import Feature
from hepsilon.data.missing import MISSING
from hepsilon.efficiencies.artifact_edits import sample_of
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.export import formats
from hepsilon.export.onnx_forms import named_inputs
from tests.helpers import network_toys
from tests.helpers.network_toys import NETWORKS
from tests.helpers.toys import random_nodes
from tests.helpers.tree_toys import refined

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
MIXED = [0, 1, 3, 0, 0, 2, 7, 1, 0]


def written(network: NetworkEfficiency, folder: Path, **form: bool) -> Path:
    return formats.export(network.path, "onnx", folder / "alone.onnx", **form)


def run(path: Path, inputs: dict[str, Array]) -> Array:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, inputs)
    return np.asarray(found)


def nominal(network: NetworkEfficiency, offsets: Array, nodes: Array) -> Array:
    members = network.of_members(offsets, nodes)
    eps = members[..., network.card.nominal].mean(axis=-1)
    return eps.reshape(len(eps), len(network.task.passed.working_points))


@pytest.mark.parametrize("name", NETWORKS)
def test_named_inputs_give_the_efficiencies(name: str, exported: Any, tmp_path: Path) -> None:
    network = exported(name)
    sample = sample_of(network)
    offsets, nodes = sample["offsets"], sample["nodes"]
    path = written(network, tmp_path, named=True, probabilities=True)
    found = run(path, named_inputs(network.card, offsets, nodes))
    np.testing.assert_allclose(found, nominal(network, offsets, nodes), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["gnn", "points", "mlp", "points mlp"])
def test_events_of_any_numbers_of_objects_are_one_call(
    name: str, exported: Any, tmp_path: Path
) -> None:
    network = exported(name)
    path = written(network, tmp_path, named=True, probabilities=True)
    for counts in (MIXED, [1, 1], [4], [0, 0]):
        offsets, nodes = random_nodes(counts, 3)
        found = run(path, named_inputs(network.card, offsets, nodes))
        np.testing.assert_allclose(found, nominal(network, offsets, nodes), rtol=0, atol=2e-6)


def test_counts_that_do_not_fit_are_an_error(exported: Any, tmp_path: Path) -> None:
    network = exported("gnn")
    path = written(network, tmp_path, named=True, probabilities=True)
    inputs = named_inputs(network.card, *random_nodes([2, 3], 3))
    for wrong in ([2, 2], [2, 4], [2, 3, 7]):
        with pytest.raises(Exception, match=r"(?i)ind|bound|shape"):
            run(path, inputs | {"counts": np.array(wrong)})


def test_events_without_objects_have_no_efficiency(exported: Any, tmp_path: Path) -> None:
    network = exported("event gnn")
    sample = sample_of(network)
    offsets = np.insert(sample["offsets"], 3, sample["offsets"][3])
    path = written(network, tmp_path, named=True, probabilities=True)
    found = run(path, named_inputs(network.card, offsets, sample["nodes"]))
    assert np.isnan(found[3]).all()
    full = nominal(network, sample["offsets"], sample["nodes"])
    np.testing.assert_allclose(np.delete(found, 3, axis=0), full, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["points", "mlp"])
def test_logits_of_all_networks_by_names(name: str, exported: Any, tmp_path: Path) -> None:
    network = exported(name)
    offsets, nodes = random_nodes(MIXED, 3)
    found = run(written(network, tmp_path, named=True), named_inputs(network.card, offsets, nodes))
    expected = network._engine().logits(offsets, nodes)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["gnn", "points", "mlp"])
def test_trees_are_in_the_file(name: str, untrained: Any, tmp_path: Path) -> None:
    """Also among events of other multiplicities, whose rows are filled up."""
    task, options = NETWORKS[name]
    network, _ = refined(untrained(task, **options), tmp_path / "net.hepsilon")
    path = written(network, tmp_path, named=True, probabilities=True)
    offsets, nodes = random_nodes(MIXED, 8)
    found = run(path, named_inputs(network.card, offsets, nodes))
    np.testing.assert_allclose(found, nominal(network, offsets, nodes), rtol=0, atol=1e-5)


def test_senders_may_be_filled_up_with_the_own_row(exported: Any, tmp_path: Path) -> None:
    """The form of the engines takes any mixture, too; here with efficiencies."""
    network = exported("points")
    offsets, nodes = random_nodes([1, 3], 3)
    path = written(network, tmp_path, probabilities=True)
    senders = np.array([[0, 0], [2, 3], [1, 3], [1, 2]], np.int32)
    found = run(path, {"x": nodes, "senders": senders})
    np.testing.assert_allclose(found, nominal(network, offsets, nodes), rtol=0, atol=2e-6)


def random_with_dxy(counts: list[int], seed: int = 1) -> tuple[Array, Array]:
    """Objects with one more feature, which a third of them lack."""
    offsets, nodes = random_nodes(counts, seed)
    dxy = np.random.default_rng(seed).normal(0.0, 2.0, (len(nodes), 1)).astype(np.float32)
    dxy[::3] = MISSING
    return offsets, np.concatenate([nodes, dxy], axis=1)


def with_missing(untrained: Any) -> NetworkEfficiency:
    """A network of these objects."""
    dxy = Feature(
        name="dxy", kind="numeric", mean=0.5, std=2.0, low=-9, high=9, missing=("nan",),
        missing_share=0.3,
    )  # fmt: skip
    features = (*network_toys.SPEC.features, dxy)
    spec = network_toys.SPEC.model_copy(update={"features": features})
    task = NETWORKS["mlp"][0]
    names = (*task.features, "dxy")
    task = task.model_copy(update={"features": names, "missing": {"dxy": ("nan",)}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network_toys, "SPEC", spec)
        patch.setattr(network_toys, "random_nodes", random_with_dxy)
        return cast(NetworkEfficiency, untrained(task, architecture="mlp", width=8, blocks=2))


def test_missing_values_may_be_nan(tmp_path: Path, untrained: Any) -> None:
    network = with_missing(untrained)
    offsets, nodes = random_with_dxy([2, 3, 1], 3)
    path = written(network, tmp_path, named=True, probabilities=True)
    inputs = named_inputs(network.card, offsets, nodes)
    expected = nominal(network, offsets, nodes)
    np.testing.assert_allclose(run(path, inputs), expected, rtol=0, atol=2e-6)
    inputs["dxy"] = np.where(inputs["dxy"] == MISSING, np.float32(np.nan), inputs["dxy"])
    np.testing.assert_allclose(run(path, inputs), expected, rtol=0, atol=2e-6)
    assert "NaN where missing" in json.loads(metadata(path)["inputs"])["dxy"]
    assert "missing" not in json.loads(metadata(path)["inputs"])["pt"]
    plain = written(network, tmp_path, probabilities=True)
    assert "; -1e+30 where a value is missing" in json.loads(metadata(plain)["inputs"])["x"]
    np.testing.assert_allclose(run(plain, {"x": nodes}), expected, rtol=0, atol=2e-6)


def test_trees_see_missing_values(tmp_path: Path, untrained: Any) -> None:
    network, _ = refined(with_missing(untrained), tmp_path / "net.hepsilon")
    offsets, nodes = random_with_dxy([2, 3, 1], 3)
    path = written(network, tmp_path, named=True, probabilities=True)
    found = run(path, named_inputs(network.card, offsets, nodes))
    np.testing.assert_allclose(found, nominal(network, offsets, nodes), rtol=0, atol=1e-5)


def metadata(path: Path) -> dict[str, str]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(session.get_modelmeta().custom_metadata_map)


def test_the_file_says_how_it_is_used(exported: Any, tmp_path: Path) -> None:
    network = exported("points")
    card = network.card
    plain = metadata(written(network, tmp_path))
    named = metadata(written(network, tmp_path, named=True, probabilities=True))
    for texts in (plain, named):
        features = json.loads(texts["features"])
        assert [f["name"] for f in features] == list(card.features.names)
        assert [f["unit"] for f in features] == [f.unit for f in card.features.features]
        assert json.loads(texts["task"])["collection"] == card.task.collection
        assert len(json.loads(texts["working_points"])) == 3
        assert (texts["mu"], texts["networks"], texts["averaged"]) == ("1.0", "2", "2")
        assert "mean of the probabilities of the first 2" in texts["average"]
        assert "softmax" in texts["probability"]
        assert "raw values" in texts["normalisation"]
        assert sorted(json.loads(texts["domain"])["hadronFlavour"]) == [0, 4, 5]
        assert "multiplicity" in texts
    assert set(json.loads(plain["inputs"])) == {"x", "senders"}
    assert set(json.loads(named["inputs"])) == {*card.features.names, "counts"}
    assert set(json.loads(named["outputs"])) == {"efficiency"}


def test_inputs_and_outputs_have_names_and_types(exported: Any, tmp_path: Path) -> None:
    path = written(exported("points"), tmp_path, named=True, probabilities=True)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = {node.name: (node.type, node.shape) for node in session.get_inputs()}
    flat = "tensor(float)", ["objects"]
    assert found == {
        **dict.fromkeys(("pt", "eta", "phi"), flat),
        "hadronFlavour": ("tensor(int32)", ["objects"]),
        "counts": ("tensor(int64)", ["events"]),
    }
    (output,) = session.get_outputs()
    assert (output.name, output.shape) == ("efficiency", ["objects", 3])


def test_the_same_artifact_gives_the_same_bytes(exported: Any, tmp_path: Path) -> None:
    found = [
        written(exported("gnn"), tmp_path, named=True, probabilities=True).read_bytes()
        for _ in range(2)
    ]
    assert found[0] == found[1]


def test_forms_are_for_onnx(exported: Any, tmp_path: Path, run: Any) -> None:
    path = exported("mlp").path
    with pytest.raises(ConfigError, match="are for onnx, not for hepsilon"):
        formats.export(path, "hepsilon", tmp_path / "x.hepsilon", named=True)
    code, _, error = run(
        *("export", path, "--format", "onnx", "--named-inputs", "--probabilities"),
        *("--out", tmp_path / "x.onnx"),
    )
    assert code == 0, error
    assert "efficiency" in json.loads(metadata(tmp_path / "x.onnx")["outputs"])
