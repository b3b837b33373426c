"""From a configuration and the events to trainings that could start."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from hepsilon._system.extras import needs
from hepsilon.config.file import Config
from hepsilon.data.dataset import read_columns
from hepsilon.data.features import fit_features
from hepsilon.data.sources import Files
from hepsilon.data.summary import SampleSummary, check_sample, check_weights, summarise
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.engines.choice import keras_backend
from hepsilon.efficiencies.engines.keras import start_backend
from hepsilon.efficiencies.ratio_card import SideCard
from hepsilon.errors import ConfigError, TrainingError
from hepsilon.training.preparation import Sides
from hepsilon.training.ratio_sample import balanced, both_cover, check_sides
from hepsilon.training.resampling import Resampling
from hepsilon.training.reservation import begin
from hepsilon.training.selection_of_models import Candidates

__all__ = ["Ready", "check_packages", "columns_of"]

logger = logging.getLogger("hepsilon")
USE_TRAIN_RATIO = (
    "[task.ratio] asks for a ratio of two samples: use hepsilon.train_ratio(config, out, "
    "numerator, denominator)"
)
STATE_FORMAT = 5
"""Version of the files that hold the states of members; other versions are not continued."""


@dataclass(frozen=True)
class Ready:
    """Trainings that could start, with a folder that holds states of no other training.

    Attributes
    ----------
    config : Config
        Task, model and training.
    columns : TrainingColumns
        All events.
    summary : SampleSummary
        Numbers of these events.
    sides : tuple of two TrainingColumns
        Events to train and to validate on; with folds both are all events.
    candidates : Candidates
        Architectures that the configuration asks for, the first one with the usual recipe.
    folder : Path
        Folder of the states.
    fingerprint : str
        Hash of all that decides the result.
    ratio : tuple of two SideCard, or None
        Numerator and denominator of a ratio; None for an efficiency.
    """

    config: Config
    columns: TrainingColumns
    summary: SampleSummary
    sides: Sides
    candidates: Candidates
    folder: Path
    fingerprint: str
    ratio: tuple[SideCard, SideCard] | None = None

    @classmethod
    def of(cls, config: Config, columns: TrainingColumns, folder: Path) -> Self:
        """Check events, split them, and prepare all networks for them.

        Parameters
        ----------
        config : Config
            Task, model and training.
        columns : TrainingColumns
            All events.
        folder : Path
            Folder from :func:`hepsilon.training.reservation.reserved`; states of another training
            are removed.

        Returns
        -------
        Ready
            Trainings that could start.

        Raises
        ------
        TrainingError
            If there are too few events, or the sum of the weights of a side is not positive.
        """
        ratio = None
        if config.task.ratio is not None:
            if not config.task.of_densities and config.task.without_side is config.task:
                raise ConfigError(USE_TRAIN_RATIO)
            ratio = check_sides(columns, config.task)
            columns = balanced(columns, config.task)
        summary = check_sample(columns, config.task)
        sides = _sides(config, columns)
        _check_sides(sides, config)
        weights = np.abs(sides[0].weights)
        spec = fit_features(config.task, sides[0].nodes, weights, sides[0].offsets)
        if ratio is not None:
            spec = both_cover(spec, sides[0], config.task)
        candidates = Candidates.of(config, spec, sides)
        start_backend()
        fingerprint = _fingerprint(candidates, sides)
        begin(folder, fingerprint)
        return cls(config, columns, summary, sides, candidates, folder, fingerprint, ratio)

    def state(self, network: int) -> Path:
        """File of the state of one network."""
        return self.folder / f"member-{network}.npz"


def check_packages(config: Config) -> None:
    """Say at once which packages a training lacks.

    Parameters
    ----------
    config : Config
        Configuration of the training.

    Raises
    ------
    ConfigError
        If one is not installed.
    """
    needs("training", "keras", keras_backend())
    if config.training.refine:
        needs("refine = true", "lightgbm")


def columns_of(
    data: Files | TrainingColumns,
    config: Config,
    out: Path,
    max_events: int | None,
    progress: bool,
) -> TrainingColumns:
    """Give columns as they are, or read those of files.

    Parameters
    ----------
    data : str, Path, Source, iterable of these, or TrainingColumns
        Files or columns.
    config : Config
        The task, and places of the columns.
    out : Path
        The artifact: what does not fit into memory is kept in its folder meanwhile.
    max_events : int or None
        Number of events after which no more are read.
    progress : bool
        Show progress bars.

    Returns
    -------
    TrainingColumns
        The columns.
    """
    if isinstance(data, TrainingColumns):
        return data
    if config.task.ratio is not None:
        raise ConfigError(USE_TRAIN_RATIO)
    room = out.absolute().parent
    return read_columns(data, config, folder=room, max_events=max_events, progress=progress)


def _fingerprint(candidates: Candidates, sides: Sides) -> str:
    """Hash of all that decides the result; a state with another hash is not continued."""
    configs = [prepared.config.model_dump_json() for prepared in candidates.prepared.values()]
    digest = hashlib.sha256(" ".join([str(STATE_FORMAT), *configs]).encode())
    for block in (*sides[0].blocks(), *sides[1].blocks()):
        for array in (block.offsets, block.nodes, block.passed, block.weights):
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


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
