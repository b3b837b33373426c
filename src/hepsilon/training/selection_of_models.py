"""Choice of the architecture: those that fit the task are trained briefly and compared.

Each candidate is trained on the same events for a third of its epochs (at least four), with the
whole schedule of the learning rate, and its loss is taken on the same validation events. Losses are
compared event by event: what makes an event hard for all candidates drops out of the error of their
difference. The best network, or the cheapest one that is within one error of it, is then trained
fully.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from hepsilon._system.files import atomic_path
from hepsilon._system.progress import progress_bar
from hepsilon.config.architectures import BUILT_IN
from hepsilon.config.file import Config
from hepsilon.config.learning import Recipe
from hepsilon.data.features import FeatureSpec
from hepsilon.data.summary import summarise
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.distributed.pools import Pool, SerialPool
from hepsilon.efficiencies.cards import CandidateCard, SelectionCard
from hepsilon.errors import ConfigError, HepsilonError, TrainingError
from hepsilon.training.capacity import worth
from hepsilon.training.ensemble import fit_members
from hepsilon.training.kept import Kept
from hepsilon.training.map_losses import losses_of_map
from hepsilon.training.on_workers import fit_candidates
from hepsilon.training.preparation import Prepared, Sides, prepare
from hepsilon.training.state import Epoch
from hepsilon.training.validation import EventLosses, losses_of_networks

__all__ = ["NETWORKS", "Candidates", "against_map", "compare"]

logger = logging.getLogger("hepsilon")
MAP = "map"
NETWORKS = BUILT_IN
"""Architectures, from the cheapest to the dearest by the time of a training."""
OF_OBJECTS = tuple(name for name in NETWORKS if name != "product")
SHARE, FEWEST = 1.0 / 3.0, 4
"""Epochs of a brief training: a share of those of a full one, but at least so many, or all."""
ONLY = "the only network that fits the task: it was trained fully at once"


@dataclass(frozen=True)
class Candidates:
    """Architectures that fit a task, and why others do not.

    Attributes
    ----------
    prepared : dict of str to Prepared
        Trainings that could start, by the name of the architecture.
    left_out : dict of str to str
        Reasons, by the name of the architecture.
    """

    prepared: dict[str, Prepared]
    left_out: dict[str, str]

    @classmethod
    def of(cls, config: Config, spec: FeatureSpec, sides: Sides) -> Candidates:
        """The architecture that a configuration names, or for ``"auto"`` all that fit.

        Parameters
        ----------
        config : Config
            Configuration of the training.
        spec : FeatureSpec
            Features of the objects and their scaling.
        sides : tuple of two TrainingColumns
            Events to train and to validate on; with folds both are all events.

        Returns
        -------
        Candidates
            At least one training.

        Raises
        ------
        ConfigError
            If none fits the task.
        """
        named = config.model.architecture
        known = worth(summarise(sides[0], config.task))
        if named != "auto":
            return cls({named: prepare(config, spec, sides, known)}, {})
        prepared, left_out = {}, {}
        names = config.model.candidates or (NETWORKS if config.task.of_events else OF_OBJECTS)
        for name in names:
            model = config.model.model_copy(update={"architecture": name, "candidates": None})
            try:
                own = config.model_copy(update={"model": model})
                prepared[name] = prepare(own, spec, sides, known)
            except ConfigError as error:
                left_out[name] = str(error)
        if not prepared:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
            raise ConfigError(f"no architecture fits the task: {reasons}")
        return cls(prepared, left_out)


@dataclass(frozen=True)
class _Result:
    """A candidate after its brief training."""

    losses: EventLosses
    seconds: float
    parameters: int
    epochs: int | None = None

    def save(self, path: Path) -> None:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                losses=self.losses.losses,
                weights=self.losses.weights,
                seconds=self.seconds,
                parameters=self.parameters,
                epochs=self.epochs or 0,
            )

    @classmethod
    def load(cls, path: Path) -> _Result:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            losses = EventLosses(file["losses"], file["weights"])
            epochs = int(file["epochs"]) or None
            return cls(losses, float(file["seconds"]), int(file["parameters"]), epochs)


def _brief(full: Recipe) -> Recipe:
    epochs = max(math.ceil(full.epochs * SHARE), min(FEWEST, full.epochs))
    return full.model_copy(update={"epochs": epochs})


def _prefix(name: str) -> str:
    """Beginning of the name of the state of a candidate."""
    return f"brief-{name}"


def _train_elsewhere(candidates: Candidates, folder: Path, progress: bool, pool: Pool) -> None:
    """Train all candidates that are not finished in other processes, each as a piece of work."""
    left = {
        _prefix(name): replace(each, recipe=_brief(each.recipe))
        for name, each in candidates.prepared.items()
        if not _place(name, folder).exists()
    }
    if isinstance(pool, SerialPool) or len(candidates.prepared) == 1 or not left:
        return
    total = float(sum(each.recipe.epochs for each in left.values()))
    logger.info("comparing %d networks on %d workers", len(left), pool.workers)
    with progress_bar("comparing on workers", total, count=False, show=progress) as advance:
        fit_candidates(pool, left, folder, on_epoch=advance)


def _train(name: str, prepared: Prepared, folder: Path, progress: bool) -> _Result:
    """Train one network briefly; the time is that of its epochs, whenever they were trained."""
    start, own = perf_counter(), prepared
    brief = _brief(own.recipe)
    label = f"comparing {name}"
    with progress_bar(label, float(brief.epochs), count=False, show=progress) as advance:

        def on_epoch(_: int, epoch: Epoch) -> None:
            advance(0.0, note=f"epoch {epoch.epoch} validation {epoch.validation_loss:.5f}")

        (fit,) = fit_members(
            own.architecture,
            own.spec,
            brief,
            *own.sides,
            {0: folder / f"{_prefix(name)}-0.npz"},
            resampling=own.resampling,
            engine=own.engine,
            on_batch=advance,
            on_epoch=on_epoch,
        )
    kept = [(0, fit.weights)]
    (losses,) = losses_of_networks(own.engine, kept, own.sides[1], own.resampling, own.recipe.mu)
    trained = sum(epoch.seconds for epoch in fit.history)
    seconds = max(trained, perf_counter() - start)  # the whole of it, unless it was interrupted
    parameters = sum(int(np.prod(w.shape)) for w in fit.weights)
    return _Result(losses, seconds, parameters, brief.epochs)


def _fill(config: Config, prepared: Prepared, sides: Sides) -> _Result:
    start = perf_counter()
    losses, parameters = losses_of_map(config, sides, prepared.resampling)
    return _Result(losses, perf_counter() - start, parameters)


def _place(name: str, folder: Path) -> Path:
    """File of the result of a candidate."""
    return folder / f"candidate-{name}.npz"


def _result(
    name: str, candidates: Candidates, config: Config, sides: Sides, folder: Path, progress: bool
) -> _Result:
    """Result of a candidate, from the folder where it was finished before."""
    path = _place(name, folder)
    if path.exists():
        try:
            return _Result.load(path)
        except Exception as error:  # zipfile and numpy raise many kinds for what was cut off
            logger.warning("%s is damaged and made anew: %s", path, error)
    if name == MAP:
        result = _fill(config, next(iter(candidates.prepared.values())), sides)
    else:
        result = _train(name, candidates.prepared[name], folder, progress)
    result.save(path)
    return _Result.load(path)


def compare(
    candidates: Candidates,
    config: Config,
    sides: Sides,
    folder: Path,
    progress: bool = True,
    pool: Pool | None = None,
) -> SelectionCard:
    """Train all candidates briefly, and choose one network among them.

    A candidate that was finished before, in the same folder, is not trained again, and one that was
    interrupted goes on.

    Parameters
    ----------
    candidates : Candidates
        Networks that fit the task.
    config : Config
        Configuration of the training, with the binning of the map.
    sides : tuple of two TrainingColumns
        Events to train and to validate on; with folds both are all events.
    folder : Path
        Folder for the states of the trainings.
    progress : bool, default True
        Show progress bars on standard error.
    pool : Pool, optional
        Processes that train the candidates, each on its own; by default this one.

    Returns
    -------
    SelectionCard
        All candidates, and the name of the network that is to be trained fully.

    Raises
    ------
    TrainingError
        If no network could be trained.
    """
    left_out = dict(candidates.left_out)
    names = [MAP, *candidates.prepared]
    if len(candidates.prepared) == 1:
        left_out[names.pop()] = ONLY
    _train_elsewhere(candidates, folder, progress, pool or SerialPool())
    results: dict[str, _Result] = {}
    for name in names:
        try:
            results[name] = _result(name, candidates, config, sides, folder, progress)
        except HepsilonError as error:
            left_out[name] = str(error)
    chosen = _chosen(results, candidates, left_out)
    n_events = max((len(result.losses.losses) for result in results.values()), default=0)
    return SelectionCard(chosen=chosen, n_events=n_events, candidates=_cards(results, left_out))


def _chosen(
    results: Mapping[str, _Result], candidates: Candidates, left_out: Mapping[str, str]
) -> str:
    """The cheapest network whose loss is within one error of the smallest one of a network."""
    if len(candidates.prepared) == 1:
        return next(iter(candidates.prepared))
    networks = {name: result.losses for name, result in results.items() if name != MAP}
    if not networks:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise TrainingError(f"no network could be trained: {reasons}")
    best = min(networks.values(), key=lambda losses: losses.mean)
    return next(
        name
        for name, losses in networks.items()
        if losses is best or (losses - best).mean <= (losses - best).error
    )


def _cards(
    results: Mapping[str, _Result], left_out: Mapping[str, str]
) -> tuple[CandidateCard, ...]:
    best = min((r.losses for r in results.values()), key=lambda x: x.mean, default=None)
    cards = []
    for name in dict.fromkeys([MAP, *NETWORKS, *results, *left_out]):
        if name in results and best is not None:
            result = results[name]
            difference = result.losses - best
            cards.append(
                CandidateCard(
                    name=name,
                    loss=result.losses.mean,
                    difference=difference.mean,
                    error=difference.error,
                    seconds=result.seconds,
                    parameters=result.parameters,
                    epochs=result.epochs,
                )
            )
        elif name in left_out:
            cards.append(CandidateCard(name=name, reason=left_out[name]))
    return tuple(cards)


def against_map(
    card: SelectionCard, kept: Kept, validation: TrainingColumns, folder: Path
) -> SelectionCard:
    """Compare the efficiency that was trained fully with the map, on the same events.

    Parameters
    ----------
    card : SelectionCard
        Result of :func:`compare`.
    kept : Kept
        Networks of the architecture that was chosen.
    validation : TrainingColumns
        Validation events, one row for each object; with folds all events.
    folder : Path
        Folder that was given to :func:`compare`.

    Returns
    -------
    SelectionCard
        With the difference of the losses; unchanged without a map.
    """
    path = _place(MAP, folder)
    if not path.exists():
        return card
    gain = kept.losses(kept.validation(validation)) - _Result.load(path).losses
    return card.model_copy(update={"map_gain": gain.mean, "map_gain_error": gain.error})
