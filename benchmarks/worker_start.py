"""How long a worker takes to start, and how much memory and disk it needs, with each backend.

    python benchmarks/worker_start.py gnn.hepsilon --out benchmarks/results/worker_start.json

Every start is a process of its own, in which no other backend can be imported; the backends take
turns, and the medians count. Those that are not installed are left out. `packages` is the size of
all distributions that hepsilon and the backend need, itself included: what an environment holds
that has nothing else. Seconds are processor time, of all threads, which other work on the machine
hardly changes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from packaging.requirements import Requirement

from hepsilon.efficiencies.card import versions

ROOT = Path(__file__).parents[1]
KERAS = "tensorflow", "jax", "torch"
BACKENDS = ("onnxruntime", "openvino", *KERAS)
NUMBERS = "import", "first", "second", "start", "memory", "peak"
"""Seconds of processor time of the import, of loading with the first call, of a second call, and of
the whole process; resident memory after that, and its maximum, MB."""

CHILD = """
import json, sys, time

hidden = {"tensorflow", "jax", "torch"} - {sys.argv[2]}
sys.modules.update(dict.fromkeys(hidden))  # not installed, for all that ask
import awkward as ak, numpy as np

begin = time.process_time()
import hepsilon

imported = time.process_time()
rng, counts = np.random.default_rng(1), np.resize([0, 1, 2, 3, 5], 1000)
size = int(counts.sum())
columns = {
    "pt": rng.uniform(30.0, 300.0, size), "eta": rng.uniform(-2.0, 2.0, size),
    "phi": rng.uniform(-3.0, 3.0, size), "hadronFlavour": rng.choice([5, 4, 0], size),
}
jets = ak.zip({name: ak.unflatten(column, counts) for name, column in columns.items()})
loading = time.process_time()
efficiency = hepsilon.load(sys.argv[1], backend=sys.argv[2])
efficiency(jets, out_of_domain="ignore")
first = time.process_time()
efficiency(jets, out_of_domain="ignore")
second = time.process_time()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
memory = {key: int(status[name].split()[0]) / 1024 for key, name in
          (("memory", "VmRSS"), ("peak", "VmHWM"))}
heavy = [m for m in ("keras", "tensorflow", "jax", "torch") if sys.modules.get(m)]
print(json.dumps(memory | {"import": imported - begin, "first": first - loading,
                           "second": second - first, "start": second, "heavy": heavy}))
"""


def started(path: Path, backend: str) -> dict[str, Any]:
    """Numbers of one process."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    if backend in KERAS:
        environment["KERAS_BACKEND"] = backend
    done = subprocess.run(
        [sys.executable, "-c", CHILD, path, backend],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    expected = ["keras", backend] if backend in KERAS else []
    assert found.pop("heavy") == expected, "another backend was imported"
    return found


def needed(*roots: str) -> set[str]:
    """Names of the distributions that some need, themselves included."""
    found: set[str] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        requirement = waiting.pop()
        name = requirement.name.lower().replace("_", "-")
        key = f"{name}[{','.join(sorted(requirement.extras))}]"
        if key in found:
            continue
        try:
            own = distribution(name)
        except PackageNotFoundError:  # one for another platform, or not needed here
            continue
        found.add(key)
        extras = [{"extra": extra} for extra in requirement.extras] or [{"extra": ""}]
        for line in own.requires or []:
            more = Requirement(line)
            if more.marker is None or any(more.marker.evaluate(extra) for extra in extras):
                waiting.append(more)
    return {key.partition("[")[0] for key in found}


def size(files: Iterable[Any]) -> int:
    """Bytes of files."""
    paths = [Path(str(file)) for file in files]
    return sum(path.stat().st_size for path in paths if path.is_file())


def packages(backend: str) -> dict[str, float]:
    """Number and size [MB] of the distributions that a worker with this backend needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    more = {"onnxruntime": [], "openvino": ["openvino"]}.get(backend, ["keras", backend])
    names = needed(*project["dependencies"], *more)
    own = {name: distribution(name) for name in sorted(names)}
    total = sum(size(d.locate_file(file) for file in d.files or []) for d in own.values())
    total += size((ROOT / "src").rglob("*"))
    return {"number": len(names) + 1, "packages": total / 2**20}


def main() -> None:
    """Start workers in turn, and write medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="model file with a network")
    parser.add_argument("--rounds", type=int, default=3, help="starts of each (%(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file; the terminal without it")
    arguments = parser.parse_args()
    backends = [name for name in BACKENDS if find_spec(name) is not None]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in backends}
    loads = []
    for _ in range(arguments.rounds):
        for name in backends:
            runs[name].append(started(arguments.path, name))
        loads.append(round(os.getloadavg()[0], 1))
    result: dict[str, Any] = {
        "versions": versions(("keras", *BACKENDS)),
        "rounds": arguments.rounds,
        "load": loads,
    }
    for name, each in runs.items():
        result[name] = {key: median(run[key] for run in each) for key in NUMBERS} | packages(name)
    text = json.dumps(result, indent=1) + "\n"
    if arguments.out is None:
        sys.stdout.write(text)
    else:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
