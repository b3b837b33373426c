"""What XLA costs and saves with TensorFlow on a CPU, in trainings and evaluations of some sizes.

    python benchmarks/compiled.py --out benchmarks/results/compiled.json

Every run is a process of its own, whose rule for compiling is set to always or never; both take
turns, and medians count. Seconds are those of the training, or of one call, with the compiling; of
the wall clock, and of CPU, which other work on the machine hardly changes. ``saved`` is the median
over the rounds of the wall clock's ratio, never over always: above one, compiling pays. Sizes are
events times epochs of a training, and jets of a call. Numbers are written after each size; what is
there is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.progress import track
from shared import NETWORKS, toy_columns

from hepsilon._system.resources import usable_cpus
from hepsilon.config import Config
from hepsilon.data.features import fit_features
from hepsilon.efficiencies.card import versions
from hepsilon.efficiencies.engines import keras as engines
from hepsilon.networks.architecture import resolve
from hepsilon.networks.build import build_model
from hepsilon.report import write_text
from hepsilon.simulation import toy_task
from hepsilon.training import ensemble, train

EPOCHS = 4
SIZES = {
    "training": (4_000, 40_000, 100_000, 200_000, 1_000_000),  # events times epochs
    "call": (3_500, 35_000, 140_000, 350_000, 1_000_000),  # jets
}
RULES = "never", "always"
LARGE = 1 << 62


def training(network: str, size: int) -> Callable[[], Any]:
    """A whole training, with its artifact."""
    columns = toy_columns(size // EPOCHS)
    options = {"epochs": EPOCHS, "seed": 1, "bias_term": False}
    config = Config(task=toy_task(), model=NETWORKS[network], training=options)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            train(config, columns, Path(folder, "network.hepsilon"), progress=False)

    return run


def call(network: str, size: int) -> Callable[[], Any]:
    """The first call of an engine."""
    columns = toy_columns(round(size / 3.5))
    spec = fit_features(toy_task(), columns.nodes, np.ones(columns.n_events), columns.offsets)
    architecture = resolve(NETWORKS[network], toy_task())
    model = build_model(architecture, spec, seed=1)
    engine = engines.Engine(model, has_edges=architecture.has_edges)
    return lambda: engine.logits(columns.offsets, columns.nodes)


def seconds(what: str, network: str, size: int, rule: str) -> tuple[float, float]:
    """Of the wall clock and of CPU, in this process."""
    least = 0 if rule == "always" else LARGE
    engines.start_backend()
    engines.MANY_GRAPHS = ensemble.MANY_EVENTS = least
    function = {"training": training, "call": call}[what](network, size)
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def in_a_process(*run: str) -> list[float]:
    """The same in a process of its own, which has compiled nothing."""
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, __file__, "--one", *run]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(what: str, network: str, size: int, rounds: int) -> dict[str, Any]:
    """Medians with each rule, and of the ratios of the rounds."""
    runs = [{r: in_a_process(what, network, str(size), r) for r in RULES} for _ in range(rounds)]
    found: dict[str, Any] = {
        rule: dict(
            zip(("wall", "cpu"), np.median([run[rule] for run in runs], axis=0), strict=True)
        )
        for rule in RULES
    }
    saved = median(run["never"][0] / run["always"][0] for run in runs)
    own = {"what": what, "network": network, "size": size, "cpus": usable_cpus(), "rounds": rounds}
    return own | found | {"saved": saved}


def main() -> None:
    """Compare all sizes, and write the medians after each of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3, help="of each (%(default)s)")
    parser.add_argument("--networks", nargs="+", default=["default GNN", "default MLP"])
    parser.add_argument("--largest", type=int, default=1_000_000, help="size (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/compiled.json"))
    arguments = parser.parse_args()
    if arguments.one is not None:
        what, network, size, rule = arguments.one
        print(json.dumps(seconds(what, network, int(size), rule)))
        return
    result: dict[str, Any] = {"versions": versions(("keras", "tensorflow")), "runs": []}
    if arguments.out.exists():
        result = json.loads(arguments.out.read_text())
    done = [(run["what"], run["network"], run["size"]) for run in result["runs"]]
    work = [(what, n, size) for what in SIZES for n in arguments.networks for size in SIZES[what]]
    work = [each for each in work if each not in done and each[2] <= arguments.largest]
    for each in track(work, "trainings and calls"):
        result["runs"].append(compared(*each, arguments.rounds))
        result["runs"].sort(key=lambda run: (run["network"], run["what"], run["size"]))
        write_text(arguments.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
