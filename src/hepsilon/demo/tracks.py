"""Second half of the demo: efficiency inversion of tracks, for amplitudes never trained on."""

from __future__ import annotations

from pathlib import Path

from hepsilon._system.progress import progress_bar
from hepsilon.closure import Closure, closure_report, run_closure
from hepsilon.config.file import Config, InputConfig
from hepsilon.config.learning import ModelConfig, TrainingConfig
from hepsilon.data.dataset import read_columns
from hepsilon.efficiencies.bin_by_bin import BinByBin
from hepsilon.efficiencies.factorised import FactorisedMap, with_axes
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.plotting.models import plot_history
from hepsilon.plotting.style import save_figure
from hepsilon.processors.efficiency_inversion import Correction
from hepsilon.processors.executors import local_executor
from hepsilon.report.held_out import write_held_out
from hepsilon.report.writer import write_closure
from hepsilon.simulation.amplitudes import AMPLITUDES
from hepsilon.simulation.tasks import track_task
from hepsilon.simulation.writer import write_tracks
from hepsilon.training.run import train

__all__ = ["TRAINING", "track_reports", "write_training"]

TRAINING = "training"
RECONSTRUCTED = "TrackReco"


def _simulate(out: Path, n_training: int, n_test: int, seed: int) -> dict[str, Path]:
    """Phase space to train on, and an independent sample of every amplitude."""
    plan = {TRAINING: ("phasespace", n_training)}
    plan |= {amplitude: (amplitude, n_test) for amplitude in AMPLITUDES}
    paths = {}
    for number, (name, (amplitude, n_events)) in enumerate(plan.items()):
        path = out / "samples" / f"{name}.root"
        with progress_bar(f"simulating {name} tracks", n_events) as advance:
            options = {"amplitude": amplitude, "seed": seed + number}
            paths[name] = write_tracks(path, n_events, progress=advance, **options)  # type: ignore[arg-type]
    return paths


def _learn(config: Config, file: Path, out: Path, workers: int) -> dict[str, Correction]:
    """Fit both baselines and train the network, on phase space alone."""
    axes = with_axes(config)
    factorised = FactorisedMap.fit(axes.task, read_columns([file], axes), axes.map)
    factorised.save(out / "factorised.hepsilon")
    filled = run_closure([file], config.task, {}, executor=local_executor(workers))
    bins = BinByBin.fit(config.task, filled.observables, filled.n_events)
    bins.save(out / "bins.hepsilon")
    result = train(config, [file], out / "network.hepsilon")
    write_training(result.efficiency, out / "network.hepsilon")
    return {"bin-by-bin": bins, "factorised": factorised, "network": result.efficiency}


def write_training(efficiency: NetworkEfficiency, path: Path) -> None:
    """Write what a training shows beside its artifact: its history, and its held-out events.

    Parameters
    ----------
    efficiency : NetworkEfficiency
        The network.
    path : pathlib.Path
        Its artifact.
    """
    save_figure(plot_history(efficiency.card), path.with_suffix(".history.png"))
    if efficiency.card.held_out is not None:
        write_held_out(path.with_suffix(".report.html"), efficiency.card, path.stem)


def track_reports(out: Path, n_events: int, seed: int, workers: int) -> dict[str, Closure]:
    """Train on phase space, close on every amplitude, and write all of it into a folder.

    Parameters
    ----------
    out : pathlib.Path
        Folder to write to.
    n_events : int
        Number of events of each test sample; the training sample has three times as many.
    seed : int
        Seed of the samples and of the training.
    workers : int
        Number of processes that run the processor.

    Returns
    -------
    dict of str to Closure
        Content of closure.json, by amplitude.
    """
    files = _simulate(out, 3 * n_events, n_events, seed)
    config = Config(
        task=track_task(),
        input=InputConfig(schema="nanoaod"),
        model=ModelConfig(architecture="product"),
        training=TrainingConfig(epochs=8, seed=seed),
    )
    learned = _learn(config, files.pop(TRAINING), out / "models", workers)
    reports = {}
    for name, file in files.items():
        output = run_closure(
            [file],
            config.task,
            learned,
            executor=local_executor(workers),
            chunksize=30_000,
            reconstructed=RECONSTRUCTED,
        )
        reports[name] = closure_report(output, config.task, learned, [file])
        write_closure(out / name, output, reports[name], learned)
    return reports
