"""Networks as SavedModels of TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepsilon import ConfigError
from hepsilon.data.missing import MISSING
from hepsilon.efficiencies.artifact_edits import sample_of
from hepsilon.export import formats, saved_model
from tests.export.test_onnx_forms import nominal, random_with_dxy, with_missing
from tests.helpers.network_toys import NETWORKS
from tests.helpers.toys import random_nodes
from tests.helpers.tree_toys import refined

tf = pytest.importorskip("tensorflow")
MIXED = [0, 1, 3, 0, 2, 7, 1, 0]


def signatures(network: Any, folder: Path) -> Any:
    out = formats.export(network.path, "savedmodel", folder / "model")
    return tf.saved_model.load(str(out)).signatures


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gnn", "points", "mlp"])
def test_flat_and_padded_inputs_of_any_mixture(name: str, exported: Any, tmp_path: Path) -> None:
    network = exported(name)
    offsets, nodes = random_nodes(MIXED, 3)
    found, counts = signatures(network, tmp_path), tf.constant(MIXED, tf.int64)
    flat = found["serving_default"](x=tf.constant(nodes), counts=counts)["efficiency"].numpy()
    expected = nominal(network, offsets, nodes)
    np.testing.assert_allclose(flat, expected, rtol=0, atol=5e-6)
    filled = np.arange(8) < np.array(MIXED)[:, None]
    slots = np.full((len(MIXED), 8, 4), 99.0, np.float32)
    slots[filled] = nodes
    padded = found["padded"](x=tf.constant(slots), counts=counts)["efficiency"].numpy()
    assert padded.shape == (len(MIXED), 8, expected.shape[1])
    np.testing.assert_allclose(padded[filled], expected, rtol=0, atol=5e-6)
    assert np.isnan(padded[~filled]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["product", "event gnn"])
def test_one_row_for_each_event(name: str, exported: Any, tmp_path: Path) -> None:
    network = exported(name)
    sample = sample_of(network)
    counts = tf.constant(np.diff(sample["offsets"]))
    found = signatures(network, tmp_path)["serving_default"](
        x=tf.constant(sample["nodes"]), counts=counts
    )["efficiency"].numpy()
    expected = nominal(network, sample["offsets"], sample["nodes"])
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)


def test_missing_values_may_be_nan(tmp_path: Path, untrained: Any) -> None:
    network = with_missing(untrained)
    offsets, nodes = random_with_dxy([2, 3, 1], 3)
    expected = nominal(network, offsets, nodes)
    found, counts = signatures(network, tmp_path), tf.constant([2, 3, 1], tf.int64)
    for absent in (MISSING, np.nan):
        x = tf.constant(np.where(nodes == MISSING, np.float32(absent), nodes))
        flat = found["serving_default"](x=x, counts=counts)["efficiency"].numpy()
        np.testing.assert_allclose(flat, expected, rtol=0, atol=5e-6)
    pt = tf.constant(np.where(np.arange(5) == 0, np.float32(np.nan), nodes))
    flat = found["serving_default"](x=pt, counts=counts)["efficiency"].numpy()
    assert np.isnan(flat).all()  # pt is never missing


@pytest.mark.slow
def test_counts_that_do_not_fit_are_an_error(exported: Any, tmp_path: Path) -> None:
    found = signatures(exported("gnn"), tmp_path)["serving_default"]
    _, nodes = random_nodes([2, 3], 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="counts must add up"):
        found(x=tf.constant(nodes), counts=tf.constant([2, 2], tf.int64))


def test_a_model_that_is_there_is_replaced_and_nothing_else(exported: Any, tmp_path: Path) -> None:
    path = exported("mlp").path
    for _ in range(2):
        out = formats.export(path, "savedmodel", tmp_path / "model")
    assert (out / "saved_model.pb").is_file()
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "thesis.txt").write_text("thesis")
    with pytest.raises(ConfigError, match="holds other files"):
        formats.export(path, "savedmodel", tmp_path / "others")
    assert (tmp_path / "others" / "thesis.txt").read_text() == "thesis"


def test_what_it_cannot_hold_is_refused(
    exported: Any, untrained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, options = NETWORKS["mlp"]
    network, _ = refined(untrained(task, **options), tmp_path / "net.hepsilon")
    with pytest.raises(ConfigError, match=r"refined with trees.*export it as onnx"):
        formats.export(network.path, "savedmodel", tmp_path / "model")
    monkeypatch.setattr(saved_model, "keras_backend", lambda: "jax")
    with pytest.raises(ConfigError, match=r"needs Keras on TensorFlow.*'jax'"):
        formats.export(exported("mlp").path, "savedmodel", tmp_path / "model")
    assert not (tmp_path / "model").exists()
