"""``hepsilon.train``: from a configuration and files to one artifact."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hepsilon._system.extras import needs
from hepsilon._system.files import atomic_path
from hepsilon._system.outputs import check_outputs
from hepsilon._system.progress import progress_bar
from hepsilon.arrays.types import Array
from hepsilon.config.file import Config
from hepsilon.data.dataset import read_columns
from hepsilon.data.features import fit_features
from hepsilon.data.sources import Files, Source, find_sources
from hepsilon.data.summary import SampleSummary, check_sample, check_weights, summarise
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.distributed.pools import LocalPool, Pool, SerialPool, pool_of
from hepsilon.efficiencies.artifact import write_artifact
from hepsilon.efficiencies.artifact_edits import SAMPLE
from hepsilon.efficiencies.bias import BIAS
from hepsilon.efficiencies.card import SourceFile, noted_observables, versions
from hepsilon.efficiencies.cards import (
    EpochCard,
    ImportanceCard,
    MemberCard,
    NetworkCard,
    SelectionCard,
    UnusedCard,
)
from hepsilon.efficiencies.engines.choice import keras_backend
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.efficiencies.last_layer import LAST_LAYER
from hepsilon.efficiencies.network import REFINEMENT, NetworkEfficiency
from hepsilon.errors import ConfigError, TrainingError
from hepsilon.export.onnx import add_graph
from hepsilon.networks.build import build_model, weight_names
from hepsilon.training.callbacks import Callbacks, GivenCallbacks
from hepsilon.training.candidates import unused_fields
from hepsilon.training.ensemble import fit_members
from hepsilon.training.held_out import HeldOut
from hepsilon.training.importance import feature_importance
from hepsilon.training.kept import Kept
from hepsilon.training.last_layer import last_layers
from hepsilon.training.on_workers import fit_on_workers
from hepsilon.training.parts import MembersOfPart, Part, merged_states, write_part
from hepsilon.training.preparation import Prepared, Sides
from hepsilon.training.refinement import Findings, find
from hepsilon.training.resampling import Resampling
from hepsilon.training.reservation import begin, reserved
from hepsilon.training.selection_of_models import Candidates, against_map, compare
from hepsilon.training.state import MARK, Epoch, Fit

__all__ = ["TrainingResult", "merge_training", "train", "train_part"]

logger = logging.getLogger("hepsilon")
SAMPLE_EVENTS = 2000
STATE_FORMAT = 5
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


def _fingerprint(candidates: Candidates, sides: Sides) -> str:
    """Hash of all that decides the result; a state with another hash is not continued."""
    configs = [prepared.config.model_dump_json() for prepared in candidates.prepared.values()]
    digest = hashlib.sha256(" ".join([str(STATE_FORMAT), *configs]).encode())
    for block in (*sides[0].blocks(), *sides[1].blocks()):
        for array in (block.offsets, block.nodes, block.passed, block.weights):
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _fit(
    prepared: Prepared, folder: Path, progress: bool, pool: Pool, callbacks: Callbacks
) -> list[Fit]:
    """Train all networks with a progress bar; first in other processes, where there are some."""
    states = {n: folder / f"member-{n}.npz" for n in range(prepared.resampling.networks)}
    _fit_elsewhere(prepared, states, progress, pool)
    return _fit_states(prepared, states, progress, callbacks)


def _fit_states(
    prepared: Prepared, states: dict[int, Path], progress: bool, callbacks: Callbacks
) -> list[Fit]:
    """Train networks in this process, from their states on."""
    name, epochs = prepared.config.model.architecture, float(prepared.recipe.epochs)
    many = f", {len(states)} networks" if len(states) > 1 else ""
    callbacks.begin()
    with progress_bar(f"training {name}{many}", epochs, count=False, show=progress) as advance:

        def on_epoch(member: int, epoch: Epoch) -> bool:
            advance(0.0, note=f"epoch {epoch.epoch} validation {epoch.validation_loss:.5f}")
            return callbacks.epoch_end(member, epoch)

        fits = fit_members(
            prepared.architecture,
            prepared.spec,
            prepared.recipe,
            *prepared.sides,
            states,
            resampling=prepared.resampling,
            engine=prepared.engine,
            on_batch=advance,
            on_epoch=on_epoch,
        )
    callbacks.end()
    return fits


def _fit_elsewhere(prepared: Prepared, states: dict[int, Path], progress: bool, pool: Pool) -> None:
    """Train networks in other processes; a pool of this machine is of no use to a single one."""
    if isinstance(pool, SerialPool) or (isinstance(pool, LocalPool) and len(states) == 1):
        return
    total = float(prepared.recipe.epochs * len(states))
    logger.info("training %d networks on %d workers", len(states), pool.workers)
    with progress_bar("training on workers", total, count=False, show=progress) as advance:
        fit_on_workers(pool, prepared, states, on_epoch=advance)


def _weights(prepared: Prepared, fit: Fit) -> dict[str, Array]:
    """Weights of a fit by the paths of the model's variables."""
    model = build_model(prepared.architecture, prepared.spec, seed=None)
    names = weight_names(model, prepared.architecture)
    return dict(zip(names, fit.weights, strict=True))


def _sample(validation: TrainingColumns) -> dict[str, Array]:
    """Some validation events, on which other backends and precisions are compared."""
    events = validation.between(0, min(SAMPLE_EVENTS, validation.n_events))
    return {name: np.array(getattr(events, name)) for name in ("offsets", "nodes", "weights")}


def _unused(kept: Kept, data: Files, config: Config) -> tuple[UnusedCard, ...]:
    """Fields that explain something; what hinders the test must not cost a finished training."""
    try:
        found = unused_fields(kept, data, config)
    except Exception as error:  # files hold columns of any kind, and were read long ago
        logger.warning("other fields of the files could not be tested: %s", error)
        return ()
    for each in found:
        logger.warning("%s is no feature, but explains what is left: %s", each.field, each)
    return found


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
    kept: Kept,
    columns: TrainingColumns,
    files: tuple[SourceFile, ...],
    summary: SampleSummary,
    selection: SelectionCard | None,
    importance: tuple[ImportanceCard, ...],
    unused: tuple[UnusedCard, ...],
    findings: Findings,
) -> NetworkCard:
    prepared, fits = kept.prepared, kept.fits
    config = prepared.config
    members = tuple(
        MemberCard(
            best_epoch=fit.best_epoch,
            history=tuple(EpochCard(**asdict(epoch)) for epoch in fit.history),
        )
        for fit in fits
    )
    return NetworkCard(
        task=config.task,
        features=prepared.spec,
        n_events=columns.n_events,
        n_objects=len(columns.nodes),
        passed_rate=columns.passed_rate,
        files=files,
        versions=versions(("keras", keras_backend())),
        arrays=(
            *(f"member-{i}" for i in range(len(fits))),
            SAMPLE,
            *([REFINEMENT] if findings.trees else []),
        ),
        model=config.model,
        architecture=prepared.architecture,
        training=prepared.recipe,
        members=members,
        out_of_fold=kept.out_of_fold(),
        selection=selection,
        importance=importance,
        unused=unused,
        residuals=findings.residuals,
        refinement=findings.refinement,
        regions=findings.regions,
        capacity=prepared.capacity,
        sample=summary,
        input=config.input,
        observables=noted_observables(config.observables),
    )


def _sides(config: Config, columns: TrainingColumns) -> Sides:
    """Events to train and to validate on; with folds both are all events."""
    resampling = Resampling.of(config.model, config.training.seed)
    if not resampling.folds:
        return columns.split(config.training.validation)
    if "validation" in config.training.model_fields_set:
        logger.warning(
            "training.validation = %g is not used: with folds each network is validated on its own",
            config.training.validation,
        )
    return columns, columns


def _check_sides(sides: Sides, config: Config) -> None:
    """Refuse a split in which the weights of a side cancel: its loss has no smallest value."""
    resampling = Resampling.of(config.model, config.training.seed)
    remedy = "use more events, or a larger training.validation"
    for fold in range(resampling.members if resampling.folds else 1):
        name, training, validation = "validation events", *sides
        if resampling.folds:
            name, remedy = f"events of fold {fold}", "use more events, or fewer members"
            own = resampling.validated(validation.keys, fold)
            training = training.take(np.flatnonzero(~own))
            validation = validation.take(np.flatnonzero(own))
        try:
            check_weights(summarise(training, config.task))
        except TrainingError as error:
            raise TrainingError(f"training events: {error}") from None
        total = float(np.sum(validation.weights))
        if not total > 0.0:
            raise TrainingError(
                f"expected a positive sum of weights of {validation.n_events} {name}, "
                f"received {total:g}; {remedy}"
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
    callbacks: GivenCallbacks = (),
    workers: Any = None,
) -> TrainingResult:
    """Train a network, or an ensemble, and write it as one file.

    With ``architecture = "auto"`` several architectures are trained briefly first, and the best one
    is kept (see :mod:`hepsilon.training.selection_of_models`).

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
    callbacks : iterable of Callback, or callable
        Objects whose method ``on_epoch_end(epoch, logs)`` is called after every epoch of each
        network (see :class:`hepsilon.training.Callback`), or a function of the number of a network
        that gives its own ones. They may stop the training. Those of Keras that need no more than
        this can be given. The brief trainings of ``architecture = "auto"`` do not call them; a
        training that goes on after an interruption calls them for the epochs that are done, too.
    workers : distributed.Client, concurrent.futures.Executor or coffea executor, optional
        Processes that train the networks of an ensemble, each on its own: the result is that of
        this process, in which they are trained by default.

    Returns
    -------
    TrainingResult
        Handle to the artifact, and the losses of all epochs.

    Raises
    ------
    ConfigError
        If Keras or its backend is not installed, ``out`` is an input or a file of another kind, or
        a callback has no method ``on_epoch_end``.
    InputError
        If files or columns do not have what the task needs.
    TrainingError
        If there are too few events, the sum of the weights is not positive (of all or of a
        category), a feature is constant, the loss is not finite, or a callback fails; or if
        another training is writing ``out``.
    WorkerError
        If workers are lost again and again.
    """
    pool = pool_of(workers)
    _check_packages(config)
    networks = Resampling.of(config.model, config.training.seed).networks
    called = Callbacks(callbacks, range(networks))
    if called and not isinstance(pool, SerialPool):
        raise ConfigError(
            "callbacks are called in the process that trains, and could not stop other ones: leave "
            "out the callbacks, or the workers"
        )
    read = () if isinstance(data, TrainingColumns) else find_sources(data)
    check_outputs({out: "artifact"}, [source.path for source in read])
    with reserved(Path(out)) as folder:
        columns = _columns_of(data, config, Path(out), max_events, progress)
        if not isinstance(data, TrainingColumns):
            files = SourceFile.of_all(data, content_hash=hash_files)
        of_files = None if isinstance(data, TrainingColumns) else data
        return _train(
            config, columns, out, folder, files, of_files, progress, on_sample, pool, called
        )


def _check_packages(config: Config) -> None:
    needs("training", "keras", keras_backend())
    if config.training.refine:
        needs("refine = true", "lightgbm")


def _columns_of(
    data: Files | TrainingColumns,
    config: Config,
    out: Path,
    max_events: int | None,
    progress: bool,
) -> TrainingColumns:
    """Columns that were given, or those of files."""
    if isinstance(data, TrainingColumns):
        return data
    room = out.absolute().parent  # for what does not fit into memory
    return read_columns(data, config, folder=room, max_events=max_events, progress=progress)


def _ready(config: Config, columns: TrainingColumns, folder: Path) -> tuple[Candidates, Sides]:
    """Trainings that could start, with a folder that holds states of no other training."""
    sides = _sides(config, columns)
    _check_sides(sides, config)
    weights = np.abs(sides[0].weights)
    spec = fit_features(config.task, sides[0].nodes, weights, sides[0].offsets)
    candidates = Candidates.of(config, spec, sides)
    start_backend()
    begin(folder, _fingerprint(candidates, sides))
    return candidates, sides


def train_part(
    config: Config,
    data: Files | TrainingColumns,
    out: str | Path,
    part: MembersOfPart,
    *,
    files: Files | None = None,
    progress: bool = True,
    max_events: int | None = None,
) -> Path:
    """Train some networks of an ensemble, in one of several jobs.

    The state after every epoch is kept beside the part; the same call goes on after a kill.

    Parameters
    ----------
    config : Config
        Task, model and training, with a named architecture.
    data : str, Path, Source, iterable of these, or TrainingColumns
        Files of the whole sample, or columns that were read from them.
    out : str or Path
        The artifact that the parts become; the file of the part lies beside it.
    part : MembersOfPart
        Number of this job, and how many there are.
    files : str, Path, Source or iterable of these, optional
        Files that columns were read from: merging reads them again.
    progress : bool, default True
        Show progress bars on standard error.
    max_events : int, optional
        Number of events after which no more are read.

    Returns
    -------
    Path
        File for :func:`merge_training`.

    Raises
    ------
    ConfigError
        For ``architecture = "auto"``, or more jobs than networks.
    InputError
        If files or columns do not have what the task needs.
    TrainingError
        As for :func:`train`.
    """
    _check_packages(config)
    if config.model.architecture == "auto":
        raise ConfigError(
            'parts need a named architecture: compare them once ([model] architecture = "auto" '
            "without --part), and name the one that was chosen"
        )
    numbers = part.of_all(Resampling.of(config.model, config.training.seed).networks)
    target = part.path(Path(out))
    with reserved(target) as folder:
        columns = _columns_of(data, config, Path(out), max_events, progress)
        check_sample(columns, config.task)
        prepared = next(iter(_ready(config, columns, folder)[0].prepared.values()))
        states = {number: folder / f"member-{number}.npz" for number in numbers}
        _fit_states(prepared, states, progress, Callbacks((), states))
        named = data if files is None else files
        paths = [] if isinstance(named, TrainingColumns) else find_sources(named)
        content = {number: path.read_bytes() for number, path in states.items()}
        own = Part(
            config,
            tuple(_absolute(source) for source in paths),
            max_events,
            (folder / MARK).read_text(),
            prepared.resampling.networks,
            content,
        )
        write_part(target, own)
    return target


def _absolute(source: Source) -> str:
    """Name of a file that means the same in every folder."""
    path = source.path if "://" in source.path else str(Path(source.path).absolute())
    return path if source.tree is None else f"{path}:{source.tree}"


def merge_training(
    out: str | Path,
    parts: Sequence[str | Path],
    data: Files | TrainingColumns | None = None,
    *,
    progress: bool = True,
) -> TrainingResult:
    """Merge the parts of a training into one artifact, equal to that of a training in one job.

    The events are read once more: what is measured after a training needs them, and only events
    that give the fingerprint of the parts are accepted.

    Parameters
    ----------
    out : str or Path
        The artifact to write.
    parts : sequence of str or Path
        Files from :func:`train_part`.
    data : str, Path, Source, iterable of these, or TrainingColumns, optional
        Where the files of the sample are now; by default where the parts had them.
    progress : bool, default True
        Show progress bars on standard error.

    Returns
    -------
    TrainingResult
        Handle to the artifact.

    Raises
    ------
    ArtifactError
        If a part is damaged.
    TrainingError
        If parts are of different trainings, a network is missing, or the events are others.
    """
    merged = merged_states(parts)
    if data is None and not merged.files:
        raise TrainingError("the parts were trained on columns; give them to merge_training")
    given = merged.files if data is None else data
    check_outputs({out: "artifact"}, parts)
    config = merged.config
    with reserved(Path(out)) as folder:
        columns = _columns_of(given, config, Path(out), merged.max_events, progress)
        _ready(config, columns, folder)
        if (folder / MARK).read_text() != merged.training:
            raise TrainingError(
                "the events, or this release of hepsilon, are not those that the parts were "
                "trained with; merge where they were trained, with the same files"
            )
        for number, state in merged.states.items():
            with atomic_path(folder / f"member-{number}.npz") as temporary:
                temporary.write_bytes(state)
        of_files = None if isinstance(given, TrainingColumns) else given
        files = () if of_files is None else SourceFile.of_all(of_files)
        networks = Resampling.of(config.model, config.training.seed).networks
        pool, none = SerialPool(), Callbacks((), range(networks))
        return _train(config, columns, out, folder, files, of_files, progress, None, pool, none)


def _train(
    config: Config,
    columns: TrainingColumns,
    out: str | Path,
    folder: Path,
    files: tuple[SourceFile, ...],
    data: Files | None,
    progress: bool,
    on_sample: Callable[[SampleSummary], None] | None,
    pool: Pool,
    callbacks: Callbacks,
) -> TrainingResult:
    """Train on columns, with the state in a folder."""
    if on_sample is not None:
        on_sample(summarise(columns, config.task))
    summary = check_sample(columns, config.task)
    candidates, sides = _ready(config, columns, folder)
    prepared, selection = next(iter(candidates.prepared.values())), None
    if config.model.architecture == "auto":
        selection = compare(candidates, config, sides, folder, progress)
        prepared = candidates.prepared[selection.chosen]
    if prepared.capacity is not None:
        logger.info(prepared.capacity)
    fits = _fit(prepared, folder, progress, pool, callbacks)
    kept = Kept(prepared, fits)
    if selection is not None:
        selection = against_map(selection, kept, sides[1], folder)
    importance = feature_importance(kept, sides[1], config.training.seed)
    unused = () if data is None else _unused(kept, data, config)
    findings = find(kept, sides, config.training.refine, config.training.seed)
    card = _card(kept, columns, files, summary, selection, importance, unused, findings)
    arrays = [*(_weights(prepared, fit) for fit in fits), _sample(sides[1])]
    if findings.trees is not None:
        arrays.append(findings.trees.arrays)
    layers, covariance = last_layers(kept), None
    if layers is not None:
        last_layer, covariance = layers
        names = (*card.arrays, LAST_LAYER)
        card = card.model_copy(update={"last_layer": last_layer, "arrays": names})
        arrays.append({"factor": covariance.factor})
    held_out = HeldOut(kept, sides, covariance, findings.added)
    card = card.model_copy(update={"held_out": held_out.closure()})
    if config.training.bias_term:
        found, shifts = held_out.bias()
        card = card.model_copy(update={"bias": found})
        if shifts:
            card = card.model_copy(update={"arrays": (*card.arrays, BIAS)})
            arrays.append(shifts)
    write_artifact(out, card, dict(zip(card.arrays, arrays, strict=True)))
    efficiency = _with_graph(NetworkEfficiency.load(out))
    return TrainingResult(
        efficiency,
        tuple(tuple(fit.history) for fit in fits),
        tuple(fit.best_epoch for fit in fits),
    )
