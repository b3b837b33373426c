"""Demo in a few minutes: simulation, training, map, processor, closure, and real NanoAOD.

It begins with truth tagging of jets, here, and ends with efficiency inversion of tracks
(:mod:`hepsilon.demo.tracks`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hepsilon._system.extras import needs
from hepsilon._system.files import write_text
from hepsilon._system.progress import progress_bar
from hepsilon.closure import Closure, closure_report, run_closure
from hepsilon.config.file import Config, InputConfig
from hepsilon.config.learning import ModelConfig, TrainingConfig
from hepsilon.config.task import Cut, Passed, Task
from hepsilon.data.dataset import read_columns
from hepsilon.demo.samples import sample_path
from hepsilon.demo.tracks import track_reports, write_training
from hepsilon.efficiencies.base import Efficiency
from hepsilon.efficiencies.map import EfficiencyMap
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.efficiencies.protocol import SupportsEfficiency
from hepsilon.errors import InputError
from hepsilon.plotting.models import plot_map, plot_simulated_efficiency
from hepsilon.plotting.style import save_figure
from hepsilon.processors.executors import local_executor
from hepsilon.report.samples import write_samples
from hepsilon.report.tables import summary_rows
from hepsilon.report.writer import write_closure
from hepsilon.simulation.tasks import FEATURES, FLAVOURS, toy_task
from hepsilon.simulation.writer import write_jets
from hepsilon.training.run import train

__all__ = ["NANOAOD_FILE", "DemoResult", "nanoaod_path", "nanoaod_task", "run_demo", "toy_task"]

logger = logging.getLogger("hepsilon")
PACKAGES = ("keras", "tensorflow", "phasespace", "particle", "skhep_testdata")
NANOAOD_FILE = "nanoAOD_2015_CMS_Open_Data_ttbar.root"
WORKERS = 2


@dataclass(frozen=True)
class DemoResult:
    """Results of the demo.

    Attributes
    ----------
    tables : dict of str to tuple of (list of str, list of list of str)
        Header and rows of the closure table, by sample.
    reports : dict of str to Closure
        Content of closure.json, by sample.
    """

    tables: dict[str, tuple[list[str], list[list[str]]]]
    reports: dict[str, Closure]

    @property
    def summary(self) -> dict[str, Any]:
        """Tables as plain data: by sample, one dict of cells per row."""
        return {
            name: [dict(zip(header, row, strict=True)) for row in rows]
            for name, (header, rows) in self.tables.items()
        }


def nanoaod_task() -> Task:
    """Task of medium b-tagging of NanoAOD jets within the tracker.

    The tagger is CSVv2, for the DeepFlavour branches of the file of 2015 hold a constant.

    Returns
    -------
    Task
        Efficiency of jets with pt above 20 GeV and ``|eta|`` below 2.5.
    """
    return Task(
        features=FEATURES,
        categorical=FLAVOURS,
        selection=(Cut(field="pt", min=20.0), Cut(field="eta", abs_max=2.5)),
        passed=Passed(field="btagCSVV2", above=(0.8,)),
    )


def nanoaod_path() -> Path | None:
    """NanoAOD file of scikit-hep-testdata, if it can be had; else a warning is logged.

    Returns
    -------
    pathlib.Path or None
        The file, or None.
    """
    try:
        return sample_path(NANOAOD_FILE)
    except InputError as error:
        logger.warning("%s: the demo goes on without the part on real NanoAOD", error)
        return None


def _simulate(out: Path, n_events: int, seed: int) -> dict[str, Path]:
    """Training sample, an independent sample of the same kind, and the alternative one."""
    plan = {
        "training": ("jets", n_events, seed),
        "test": ("jets", n_events // 2, seed + 1),
        "alternative": ("jets-alternative", n_events // 2, seed + 2),
    }
    paths = {}
    for name, (kind, number, sample_seed) in plan.items():
        with progress_bar(f"simulating {name} sample", number) as advance:
            path = out / "samples" / f"{name}.root"
            paths[name] = write_jets(path, number, kind=kind, seed=sample_seed, progress=advance)
    return paths


def _network(config: Config, files: list[Path], out: Path) -> NetworkEfficiency:
    """Train a network, plot its history and write the page of its held-out events."""
    result = train(config, files, out)
    write_training(result.efficiency, out)
    return result.efficiency


def _learn(
    task: Task,
    file: Path,
    out: Path,
    networks: Mapping[str, ModelConfig],
    training: TrainingConfig,
) -> dict[str, Efficiency]:
    """Fit a map and train networks for a task, from one file."""
    base = Config(task=task, input=InputConfig(schema="nanoaod"), training=training)
    efficiency_map = EfficiencyMap.fit(task, read_columns([file], base), base.map)
    efficiency_map.save(out / "map.hepsilon")
    save_figure(plot_map(efficiency_map), out / "map.png")
    learned: dict[str, Efficiency] = {"map": efficiency_map}
    for name, model in networks.items():
        config = base.model_copy(update={"model": model})
        learned[name] = _network(config, [file], out / f"{name}.hepsilon")
    return learned


def _close(
    file: Path, task: Task, efficiencies: Mapping[str, SupportsEfficiency], out: Path
) -> Closure:
    """Run the processor with two workers and write the closure and the histograms."""
    executor = local_executor(WORKERS)
    output = run_closure([file], task, efficiencies, executor=executor, chunksize=20_000)
    report = closure_report(output, task, efficiencies, [file])
    write_closure(out, output, report, efficiencies)
    return report


def _real(toy: Mapping[str, Efficiency], out: Path, seed: int) -> dict[str, Closure]:
    """Close a map and a small network on the real file, beside the efficiencies of the toy."""
    file = nanoaod_path()
    if file is None:
        return {}
    task = nanoaod_task()
    small = {"gnn": ModelConfig(architecture="gnn", width=16, blocks=1)}
    # 200 events give four steps an epoch: fewer and larger ones than a real sample would have
    training = TrainingConfig(epochs=40, patience=15, learning_rate=0.03, seed=seed)
    learned = _learn(task, file, out / "nanoaod" / "models", small, training)
    named = {f"toy_{name}": efficiency for name, efficiency in toy.items()}
    return {"nanoaod": _close(file, task, {**learned, **named}, out / "nanoaod")}


def run_demo(
    out: str | Path, *, n_events: int = 60_000, seed: int = 1, members: int = 3
) -> DemoResult:
    """Simulate, train, apply with two workers, compare, and write all of it into a folder.

    Parameters
    ----------
    out : path-like
        Folder to write to.
    n_events : int, default 60000
        Number of jet events to train on. Each of the two test samples of jets has half as many; the
        training sample of tracks has three times as many.
    seed : int, default 1
        Seed of the samples and of the training.
    members : int, default 3
        Number of networks in the ensemble of graph networks for jets.

    Returns
    -------
    DemoResult
        Closure tables and reports of all samples.

    Raises
    ------
    ConfigError
        If a package is missing that the demo needs.
    """
    needs("the demo", *PACKAGES, extra="demo")
    out = Path(out)
    samples = _simulate(out, n_events, seed)
    save_figure(plot_simulated_efficiency(), out / "simulated_efficiency.png")
    task = toy_task()
    networks = {
        "mlp": ModelConfig(architecture="mlp"),
        # an ensemble, so that the uncertainty of its efficiencies is known
        "gnn": ModelConfig(architecture="gnn", members=members, bootstrap=members > 1),
    }
    training = TrainingConfig(epochs=8, patience=4, seed=seed)
    learned = _learn(task, samples["training"], out / "models", networks, training)
    reports = {
        name: _close(samples[name], task, learned, out / name) for name in ("test", "alternative")
    }
    reports |= _real(learned, out, seed)
    inverted = track_reports(out / "tracks", n_events, seed, WORKERS)
    reports |= {f"tracks/{name}": report for name, report in inverted.items()}
    result = DemoResult({name: summary_rows(r) for name, r in reports.items()}, reports)
    pages = sorted(path.relative_to(out).as_posix() for path in out.glob("**/*.report.html"))
    trainings = {page.removesuffix(".report.html"): page for page in pages}
    write_samples(out, reports, trainings=trainings)
    write_text(out / "summary.json", json.dumps(result.summary, indent=1) + "\n")
    return result
