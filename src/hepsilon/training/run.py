"""``hepsilon.train``: from a configuration and files to one artifact."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hepsilon._system.outputs import check_outputs
from hepsilon.config.file import Config
from hepsilon.data.sources import Files, find_sources
from hepsilon.data.summary import SampleSummary, summarise
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.distributed.pools import Pool, SerialPool, pool_of
from hepsilon.efficiencies.card import SourceFile
from hepsilon.errors import ConfigError
from hepsilon.training.callbacks import Callbacks, GivenCallbacks
from hepsilon.training.fitting import fit_elsewhere, fit_states
from hepsilon.training.kept import Kept
from hepsilon.training.readiness import Ready, check_packages, columns_of
from hepsilon.training.resampling import Resampling
from hepsilon.training.reservation import reserved
from hepsilon.training.results import TrainingResult, write_result
from hepsilon.training.selection_of_models import against_map, compare

__all__ = ["TrainingResult", "train", "train_ready"]

logger = logging.getLogger("hepsilon")


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
        Processes that train the networks of an ensemble, and those that ``"auto"`` compares, each
        on its own: the result is that of this process, in which they are trained by default.

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
    check_packages(config)
    networks = Resampling.of(config.model, config.training.seed).networks
    called = Callbacks(callbacks, range(networks))
    if called and not isinstance(pool, SerialPool):
        raise ConfigError(
            "callbacks are called in the process that trains, and could not stop other ones: leave "
            "out the callbacks, or the workers"
        )
    of_files = None if isinstance(data, TrainingColumns) else data
    read = () if of_files is None else find_sources(of_files)
    check_outputs({out: "artifact"}, [source.path for source in read])
    with reserved(Path(out)) as folder:
        columns = columns_of(data, config, Path(out), max_events, progress)
        if of_files is not None:
            files = SourceFile.of_all(of_files, content_hash=hash_files)
        if on_sample is not None:
            on_sample(summarise(columns, config.task))
        ready = Ready.of(config, columns, folder)
        return train_ready(
            ready, out, called, files=files, data=of_files, progress=progress, pool=pool
        )


def train_ready(
    ready: Ready,
    out: str | Path,
    callbacks: Callbacks,
    *,
    files: tuple[SourceFile, ...],
    data: Files | None,
    progress: bool,
    pool: Pool,
) -> TrainingResult:
    """Choose the architecture, train its networks from their states on, and write the artifact.

    Parameters
    ----------
    ready : Ready
        The training.
    out : str or Path
        The artifact to write.
    callbacks : Callbacks
        Callbacks of its networks.
    files : tuple of SourceFile
        Files that the events were read from.
    data : str, Path, Source, iterable of these, or None
        Where these files are now.
    progress : bool
        Show progress bars.
    pool : Pool
        Processes that train.

    Returns
    -------
    TrainingResult
        Handle to the artifact, and the losses of all epochs.
    """
    config, candidates, sides, folder = ready.config, ready.candidates, ready.sides, ready.folder
    prepared, selection = next(iter(candidates.prepared.values())), None
    if config.model.architecture == "auto":
        selection = compare(candidates, config, sides, folder, progress, pool)
        prepared = candidates.prepared[selection.chosen]
    if prepared.capacity is not None:
        logger.info(prepared.capacity)
    states = {number: ready.state(number) for number in range(prepared.resampling.networks)}
    fit_elsewhere(prepared, states, progress, pool)
    kept = Kept(prepared, fit_states(prepared, states, progress, callbacks))
    if selection is not None:
        selection = against_map(selection, kept, sides[1], folder)
    return write_result(ready, kept, out, files=files, data=data, selection=selection)
