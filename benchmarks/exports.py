"""How well every export agrees with its model: largest difference of an efficiency, by format.

    python benchmarks/exports.py mlp.hepsilon gnn.hepsilon --out benchmarks/results/exports.json

The numbers are those on the validation events in the model (at most 2000), evaluated anew from the
written file by the program that it is for. ``keras`` is the backend of Keras against ONNX Runtime.
Formats that do not hold a model are noted with their reason.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from hepsilon import ConfigError
from hepsilon.efficiencies.artifact_edits import sample_of, values_on
from hepsilon.efficiencies.correction import CorrectionEfficiency
from hepsilon.efficiencies.engines.keras import keras_backend
from hepsilon.efficiencies.engines.onnx import onnxruntime
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.export import formats
from hepsilon.export.onnx_forms import named_inputs

PACKAGES = ("correctionlib", "keras", "jax", "onnx", "onnxruntime", "tensorflow")


def nominal(efficiency: NetworkEfficiency, sample: Any) -> Any:
    """Efficiencies (entries, working points)."""
    eps = values_on(efficiency, sample)[..., efficiency.card.nominal].mean(axis=-1)
    return eps.reshape(len(eps), -1)


def of_keras(path: Path, sample: Any, folder: Path) -> Any:
    """By the backend of Keras, on the CPU."""
    return nominal(NetworkEfficiency.load(path, backend=keras_backend(), device="cpu"), sample)


def of_onnx(path: Path, sample: Any, folder: Path) -> Any:
    """By ONNX Runtime, from a file with named inputs and probabilities."""
    file = formats.export(path, "onnx", folder / "x.onnx", named=True, probabilities=True)
    card = NetworkEfficiency.load(path).card
    inputs = named_inputs(card, sample["offsets"], sample["nodes"])
    return onnxruntime(file.read_bytes())(inputs, 1)[0]


def of_correctionlib(path: Path, sample: Any, folder: Path) -> Any:
    """By correctionlib."""
    file = formats.export(path, "correctionlib", folder / "x.json.gz")
    return CorrectionEfficiency(file)._predict(sample["offsets"], sample["nodes"], 0)[0]


def of_saved_model(path: Path, sample: Any, folder: Path) -> Any:
    """By TensorFlow, from a SavedModel."""
    folder = formats.export(path, "savedmodel", folder / "x")
    import tensorflow as tf

    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    counts = tf.constant(np.diff(sample["offsets"]), tf.int64)
    return signature(x=tf.constant(sample["nodes"]), counts=counts)["efficiency"].numpy()


WAYS: dict[str, Callable[[Path, Any, Path], Any]] = {
    "keras": of_keras,
    "onnx": of_onnx,
    "correctionlib": of_correctionlib,
    "savedmodel": of_saved_model,
}


def measured(path: Path) -> dict[str, Any]:
    """Differences of one artifact."""
    efficiency = NetworkEfficiency.load(path, backend="onnxruntime")
    sample = sample_of(efficiency)
    expected = nominal(efficiency, sample)
    found: dict[str, Any] = {"entries": len(expected), "networks": len(efficiency.card.networks)}
    for name, way in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                values = np.asarray(way(path, sample, Path(folder))).reshape(expected.shape)
            except ConfigError as error:
                found[name] = str(error).replace(str(path), path.name)
                continue
        found[name] = float(np.abs(values - expected).max())
    return found


def main() -> None:
    """Measure all artifacts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifacts", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="JSON file; the terminal without it")
    arguments = parser.parse_args()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    result: dict[str, Any] = {"versions": versions}
    for path in arguments.artifacts:
        result[path.stem] = measured(path)
    text = json.dumps(result, indent=1) + "\n"
    if arguments.out is None:
        sys.stdout.write(text)
    else:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
