"""``hepsilon.train``: from a configuration and files to one artifact."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hepsilon._system.extras import needs
from hepsilon._system.progress import progress_bar
from hepsilon.arrays.fields import partners_of
from hepsilon.config.file import Config
from hepsilon.config.learning import Recipe
from hepsilon.config.task import Task
from hepsilon.data.dataset import read_columns
from hepsilon.data.features import FeatureSpec, Multiplicity, fit_features
from hepsilon.data.sources import Files
from hepsilon.data.summary import SampleSummary, check_sample, check_weights, summarise
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.artifact import SourceFile, versions, write_artifact
from hepsilon.efficiencies.artifact_edits import SAMPLE
from hepsilon.efficiencies.cards import EpochCard, MemberCard, NetworkCard
from hepsilon.efficiencies.engines.choice import keras_backend
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.errors import ConfigError, TrainingError
from hepsilon.export.onnx import add_graph
from hepsilon.networks.architecture import Architecture, resolve
from hepsilon.networks.build import build_model
from hepsilon.training.ensemble import fit_members
from hepsilon.training.recipes import recipe
from hepsilon.training.state import Epoch, Fit

__all__ = ["TrainingResult", "train"]

logger = logging.getLogger("hepsilon")
SAMPLE_EVENTS = 2000
STATE_FORMAT = 2
"""Version of the files that hold the states of members; other versions are not continued."""


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes
    ----------
    efficiency : NetworkEfficiency
        Handle to the written artifact.
    history : tuple of tuple of Epoch
        Epochs of each member.
    best_epochs : tuple of int
        Number of the epoch that was kept, for each member.
    """

    efficiency: NetworkEfficiency
    history: tuple[tuple[Epoch, ...], ...]
    best_epochs: tuple[int, ...]

    @property
    def best_is_last(self) -> tuple[bool, ...]:
        """Whether the last epoch of each member was its best one: more epochs may help."""
        return tuple(member.best_is_last for member in self.efficiency.card.members)


def _fingerprint(config: Config, train: TrainingColumns, validation: TrainingColumns) -> str:
    """Hash of all that decides the result; a state with another hash is not continued."""
    digest = hashlib.sha256(f"{STATE_FORMAT} {config.model_dump_json()}".encode())
    for block in (*train.blocks(), *validation.blocks()):
        for array in (block.offsets, block.nodes, block.passed, block.weights):
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _state_folder(out: Path, fingerprint: str) -> Path:
    """Folder beside the artifact that holds the state until the artifact is written."""
    folder = out.with_name(out.name + ".partial")
    mark = folder / "fingerprint"
    if folder.is_dir() and not mark.exists() and any(folder.iterdir()):
        raise TrainingError(f"{folder} is not the state of a training; remove or rename it")
    if mark.exists() and mark.read_text() != fingerprint:
        logger.warning("%s is of another training (configuration or data); starting anew", folder)
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(fingerprint)
    return folder


def _fit(
    config: Config,
    full: Recipe,
    spec: FeatureSpec,
    sides: tuple[TrainingColumns, TrainingColumns],
    folder: Path,
    progress: bool,
) -> list[Fit]:
    """Train all members with a progress bar."""
    states = {m: folder / f"member-{m}.npz" for m in range(config.model.members)}
    many = f" of {len(states)} members" if len(states) > 1 else ""
    with progress_bar(f"training{many}", float(full.epochs), count=False, show=progress) as advance:

        def on_epoch(member: int, epoch: Epoch) -> None:
            advance(0.0, note=f"epoch {epoch.epoch} validation {epoch.validation_loss:.5f}")

        return fit_members(
            resolve(config.model, config.task),
            spec,
            full,
            *sides,
            states,
            bootstrap=config.model.bootstrap,
            on_batch=advance,
            on_epoch=on_epoch,
        )


def _weights(architecture: Architecture, spec: FeatureSpec, fit: Fit) -> dict[str, Any]:
    """Weights of a fit by the paths of the model's variables."""
    model = build_model(architecture, spec, seed=None)
    paths = [variable.path.replace("/", ".") for variable in model.weights]
    return dict(zip(paths, fit.weights, strict=True))


def _sample(validation: TrainingColumns) -> dict[str, Any]:
    """Some validation events, on which other backends and precisions are compared."""
    events = validation.between(0, min(SAMPLE_EVENTS, validation.n_events))
    return {name: np.array(getattr(events, name)) for name in ("offsets", "nodes", "weights")}


def _with_graph(efficiency: NetworkEfficiency) -> NetworkEfficiency:
    """Add an ONNX graph to an artifact where it can be made; without one Keras evaluates it."""
    try:
        return add_graph(efficiency, efficiency.path)
    except ConfigError as error:
        logger.info("%s is for Keras only: %s", efficiency.path, error)
    except Exception as error:  # the converter raises many kinds for what it does not know
        logger.warning("%s has no ONNX graph: %s", efficiency.path, error)
    return efficiency


def _card(
    config: Config,
    full: Recipe,
    spec: FeatureSpec,
    columns: TrainingColumns,
    fits: list[Fit],
    files: tuple[SourceFile, ...],
    summary: SampleSummary,
) -> NetworkCard:
    members = tuple(
        MemberCard(
            best_epoch=fit.best_epoch,
            history=tuple(EpochCard(**asdict(epoch)) for epoch in fit.history),
        )
        for fit in fits
    )
    return NetworkCard(
        task=config.task,
        features=spec,
        n_events=columns.n_events,
        n_objects=len(columns.nodes),
        passed_rate=columns.passed_rate,
        files=files,
        versions=versions(("keras", keras_backend())),
        arrays=(*(f"member-{i}" for i in range(len(fits))), SAMPLE),
        model=config.model,
        architecture=resolve(config.model, config.task),
        training=full,
        members=members,
        sample=summary,
        input=config.input,
        observables=config.observables,
    )


def _check_sides(training: TrainingColumns, validation: TrainingColumns, task: Task) -> None:
    """Refuse a split in which the weights of a side cancel: its loss has no smallest value."""
    try:
        check_weights(summarise(training, task))
    except TrainingError as error:
        raise TrainingError(f"training events: {error}") from None
    total = float(np.sum(validation.weights))
    if not total > 0.0:
        raise TrainingError(
            f"expected a positive sum of weights of {validation.n_events} validation events, "
            f"received {total:g}; use more events, or a larger training.validation"
        )


def train(
    config: Config,
    data: Files | TrainingColumns,
    out: str | Path,
    *,
    files: tuple[SourceFile, ...] = (),
    progress: bool = True,
    hash_files: bool = False,
    on_sample: Callable[[SampleSummary], None] | None = None,
    max_events: int | None = None,
) -> TrainingResult:
    """Train a network, or an ensemble, and write it as one file.

    The state after every epoch is kept beside ``out`` until that file is written. A call with equal
    arguments after an interruption goes on where the first one stopped.

    Parameters
    ----------
    config : Config
        Task, model and training (see :func:`hepsilon.config.file.load_config`).
    data : str, Path, Source, iterable of these, or TrainingColumns
        Files (see :func:`hepsilon.data.sources.find_sources`), or columns that were read.
    out : str or Path
        The artifact to write.
    files : tuple of SourceFile, optional
        Files that columns were read from.
    progress : bool, default True
        Show progress bars on standard error.
    hash_files : bool, default False
        Note the hash of the content of every file in the card: they are read once more for it.
    on_sample : callable, optional
        Called with the numbers of the sample before the training starts.
    max_events : int, optional
        Number of events after which no more are read.

    Returns
    -------
    TrainingResult
        Handle to the artifact, and the losses of all epochs.

    Raises
    ------
    ConfigError
        If Keras or its backend is not installed.
    InputError
        If files or columns do not have what the task needs.
    TrainingError
        If there are too few events, the sum of the weights is not positive (of all or of a
        category), a feature is constant, or the loss is not finite.
    """
    needs("training", "keras", keras_backend())
    folder = Path(out).absolute().parent  # has room for what does not fit into memory
    columns = (
        data
        if isinstance(data, TrainingColumns)
        else read_columns(data, config, folder=folder, max_events=max_events, progress=progress)
    )
    if not isinstance(data, TrainingColumns):
        files = SourceFile.of_all(data, content_hash=hash_files)
    if on_sample is not None:
        on_sample(summarise(columns, config.task))
    summary = check_sample(columns, config.task)
    sides = columns.split(config.training.validation)
    _check_sides(*sides, config.task)
    validation = sides[1]
    full = recipe(config.model, config.training, sides[0].n_events)
    config = config.model_copy(update={"training": full})
    weights = np.abs(sides[0].weights)
    spec = fit_features(config.task, sides[0].nodes, weights, sides[0].offsets)
    architecture = resolve(config.model, config.task)
    if architecture.blocks or partners_of(spec.names):  # the answer depends on the partners
        spec = spec.model_copy(update={"multiplicity": Multiplicity.of(sides[0].offsets)})
    if architecture.objects is not None:
        sides = sides[0].joined(architecture.objects), sides[1].joined(architecture.objects)
    sample = _sample(validation)
    start_backend()
    folder = _state_folder(Path(out), _fingerprint(config, *sides))
    fits = _fit(config, full, spec, sides, folder, progress)
    card = _card(config, full, spec, columns, fits, files, summary)
    arrays = [*(_weights(architecture, spec, fit) for fit in fits), sample]
    write_artifact(out, card, dict(zip(card.arrays, arrays, strict=True)))
    efficiency = _with_graph(NetworkEfficiency.load(out))
    shutil.rmtree(folder)
    return TrainingResult(
        efficiency,
        tuple(tuple(fit.history) for fit in fits),
        tuple(fit.best_epoch for fit in fits),
    )
