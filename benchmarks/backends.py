"""Networks trained with each backend of Keras, evaluated with every other one and by their graph.

    python benchmarks/backends.py --out benchmarks/results/backends.json

Backends that cannot be imported are left out. Every training and every evaluation is a process of
its own. Numbers are the largest difference of an efficiency to that of the backend which trained,
on events that no training saw. Speed is not measured here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

BACKENDS = "tensorflow", "jax", "torch"
GRAPHS = "onnxruntime", "openvino"
PACKAGES = ("keras", *BACKENDS, *GRAPHS)
NETWORKS: dict[str, dict[str, Any]] = {
    "mlp, two networks": {"architecture": "mlp", "members": 2, "resampling": "folds"},
    "gnn": {"architecture": "gnn"},
    "product": {"architecture": "product"},
}
TRAINED, ASKED = 3_000, 20_000
"""Events of the samples."""


def file_of(name: str) -> str:
    """Stem of the files with a network."""
    return name.partition(",")[0]


def write_samples(folder: Path) -> None:
    """Jets and tracks to train on, and others to evaluate on."""
    from hepsilon.simulation import write_jets, write_tracks

    for sample, number, seed in (("train", TRAINED, 1), ("test", ASKED, 2)):
        write_jets(folder / f"jets-{sample}.root", number, seed=seed)
        write_tracks(folder / f"tracks-{sample}.root", number, seed=seed)


def configuration(name: str, epochs: int) -> Any:
    """Task and training of a network."""
    from hepsilon.config import Config, ModelConfig, TrainingConfig
    from hepsilon.simulation import toy_task, track_task

    return Config(
        task=track_task() if name == "product" else toy_task(),
        model=ModelConfig.model_validate(NETWORKS[name]),
        training=TrainingConfig(epochs=epochs, seed=1),
    )


def sample_of(name: str, folder: Path, sample: str) -> Path:
    """File of a network's task."""
    return folder / f"{'tracks' if name == 'product' else 'jets'}-{sample}.root"


def train(folder: Path, backend: str, epochs: int) -> None:
    """Train all networks."""
    import hepsilon

    for name in NETWORKS:
        out = folder / f"{backend}-{file_of(name)}.hepsilon"
        sample = sample_of(name, folder, "train")
        result = hepsilon.train(configuration(name, epochs), sample, out, progress=False)
        assert "model.onnx" in result.efficiency.card.blobs


def evaluate(folder: Path, backend: str) -> None:
    """Efficiencies of all networks that were trained."""
    import awkward as ak

    import hepsilon
    from hepsilon.config import InputConfig
    from hepsilon.data.reading import read_chunks

    found = {}
    for name in NETWORKS:
        chunks = read_chunks(
            sample_of(name, folder, "test"), configuration(name, 1).task, InputConfig()
        )
        records = ak.concatenate([chunk.records for chunk in chunks])
        for path in sorted(folder.glob(f"*-{file_of(name)}.hepsilon")):
            efficiency: Any = hepsilon.load(path, backend=backend, device="cpu")
            found[path.stem] = ak.to_numpy(ak.ravel(efficiency(records, out_of_domain="ignore")))
    np.savez(folder / f"{backend}.npz", **found)


def versions() -> dict[str, str]:
    """Packages that take part."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def run(action: str, folder: Path, backend: str, epochs: int) -> None:
    """One action in a process of its own."""
    keras = {"KERAS_BACKEND": backend} if backend in BACKENDS else {}
    call = [sys.executable, __file__, "--action", action, "--folder", folder, "--way", backend]
    subprocess.run(
        [*map(str, call), "--epochs", str(epochs)],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"} | keras,
        check=True,
    )


def measured(folder: Path, epochs: int) -> dict[str, Any]:
    """Everything, in a folder."""
    trained = [name for name in BACKENDS if find_spec(name) is not None]
    ways = [*trained, *(name for name in GRAPHS if find_spec(name) is not None)]
    write_samples(folder)
    for backend in trained:
        run("train", folder, backend, epochs)
    answers = {}
    for way in ways:
        run("evaluate", folder, way, epochs)
        with np.load(folder / f"{way}.npz") as arrays:
            answers[way] = dict(arrays)
    result: dict[str, Any] = {"versions": versions()}
    for name in NETWORKS:
        result[name] = {}
        for backend in trained:
            key = f"{backend}-{file_of(name)}"
            own = answers[backend][key]
            result[name][backend] = {
                "entries": len(own),
                "largest difference": {
                    way: float(np.abs(answers[way][key] - own).max()) for way in ways
                },
            }
    return result


def main() -> None:
    """Run the benchmark, or one action of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON file; the terminal without it")
    parser.add_argument("--epochs", type=int, default=2, help="of each training (%(default)s)")
    parser.add_argument("--action", choices=["train", "evaluate"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.action == "train":
        train(arguments.folder, arguments.way, arguments.epochs)
    elif arguments.action == "evaluate":
        evaluate(arguments.folder, arguments.way)
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = json.dumps(measured(Path(folder), arguments.epochs), indent=1) + "\n"
        if arguments.out is None:
            sys.stdout.write(found)
        else:
            arguments.out.write_text(found)


if __name__ == "__main__":
    main()
