"""Networks trained with each backend of Keras, evaluated with every other one and by their graph.

    python benchmarks/backends.py --out benchmarks/results/backends.json

Largest difference of an efficiency to what ONNX Runtime gives, and of a replica or a derivative to
what the first backend gives: the small networks of tests/backends, which says what it trains.
Backends that are not installed are left out. Speed is not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

ROOT = Path(__file__).parents[1]
BACKENDS = "tensorflow", "jax", "torch"
GRAPHS = "onnxruntime", "openvino"


def by_keras(folder: Path, backend: str, step: str) -> None:
    """Train or evaluate in a process of its own."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "KERAS_BACKEND": backend}
    subprocess.run(
        [sys.executable, "-m", "tests.backends.round", str(folder), step],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"} | environment,
        check=True,
    )


def by_graph(folder: Path, backend: str) -> dict[str, Any]:
    """Efficiencies of all networks by the graph in their files."""
    sys.path.insert(0, str(ROOT))
    import hepsilon
    from tests.backends.round import records_of

    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*-*.hepsilon")):
        efficiency: Any = hepsilon.load(path, backend=backend)
        records = records_of(path.stem.partition("-")[2])
        found[path.stem] = ak.to_numpy(ak.ravel(efficiency(records, out_of_domain="ignore")))
    return found


def measured(folder: Path) -> dict[str, Any]:
    """Train what is not in the folder, evaluate everything, and compare."""
    here = [name for name in BACKENDS if find_spec(name) is not None]
    graphs = [name for name in GRAPHS if find_spec(name) is not None]
    if not (folder / "jets.root").exists():
        sys.path.insert(0, str(ROOT))
        from tests.backends.round import write_samples

        write_samples(folder)
    answers: dict[str, dict[str, Any]] = {}
    for backend in here:
        if not list(folder.glob(f"{backend}-*.hepsilon")):
            by_keras(folder, backend, "trains")
    for backend in here:
        if not (folder / f"{backend}.npz").exists():
            by_keras(folder, backend, "evaluates")
        with np.load(folder / f"{backend}.npz") as arrays:
            answers[backend] = dict(arrays)
    return compared({name: by_graph(folder, name) for name in graphs} | answers, folder)


def noted(path: Path) -> dict[str, Any]:
    """The comparison with its graph that a training notes: on its validation events."""
    import hepsilon

    efficiency: Any = hepsilon.load(path)
    found = efficiency.card.onnx
    return {"entries": found.n_objects, "largest difference": found.largest_difference}


def compared(answers: dict[str, dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Largest differences to the first way that has the numbers."""
    names = ("keras", *answers)
    result: dict[str, Any] = {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names}
    }
    for key in sorted(set().union(*answers.values())):
        having = {way: found[key] for way, found in answers.items() if key in found}
        first, *others = having
        if not others:
            continue
        backend, _, name = key.partition("-")
        result.setdefault(name, {})[backend] = {
            "entries": len(having[first]),
            "to": first,
            "largest difference": {
                way: float(np.abs(having[way] - having[first]).max()) for way in others
            },
        }
        if name == name.partition(" ")[0]:
            result[name][backend]["training"] = noted(folder / f"{key}.hepsilon")
    return result


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON file; the terminal without it")
    parser.add_argument("--folder", type=Path, help="keeps samples and networks, and goes on there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = json.dumps(measured(arguments.folder or Path(temporary)), indent=1) + "\n"
    if arguments.out is None:
        sys.stdout.write(found)
    else:
        arguments.out.write_text(found)


if __name__ == "__main__":
    main()
