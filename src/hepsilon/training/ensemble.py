"""Training of an ensemble in one pass over the data: AdamW, averaged weights, resumable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from hepsilon._system.resources import threaded, usable_cpus
from hepsilon.arrays.types import Array
from hepsilon.config.learning import Recipe
from hepsilon.data.features import FeatureSpec
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.engines.devices import on_gpu
from hepsilon.efficiencies.engines.keras import Engine, keras_backend
from hepsilon.errors import TrainingError
from hepsilon.networks.architecture import Architecture
from hepsilon.networks.build import build_model
from hepsilon.training.batches import Batches, BatchPart, Shape
from hepsilon.training.gradients import Gradients
from hepsilon.training.member import Member
from hepsilon.training.resampling import Resampling
from hepsilon.training.start import starting_points
from hepsilon.training.state import Epoch, Fit
from hepsilon.training.validation import EventLosses, losses_of_networks

__all__ = ["Ensemble", "fit_member", "fit_members"]

FEWEST_TO_COMPARE = 200
"""Validation events from which the error of a difference is known: with fewer an epoch that is far
from the best one may be within it."""
MANY_EVENTS = 100_000
"""Events in all epochs from which TensorFlow compiles the gradients with XLA on a CPU: of a graph
network that takes 6 to 10 s, and saves 3 ms for each part of 256 events (benchmarks/compiled.py).
Members are not counted, so that one trained alone is the same."""

logger = logging.getLogger("hepsilon")

OnBatch = Callable[[float], None]
OnEpoch = Callable[[int, Epoch], bool | None]


def _check_loss(loss: float, epoch: int) -> float:
    if not np.isfinite(loss):
        raise TrainingError(
            f"the loss is {loss} in epoch {epoch}; lower training.learning_rate, or check the "
            "weights (negative weights that dominate a region have no finite optimum)"
        )
    return loss


class Ensemble:
    """The members with what they share: data, order of the events, and compiled code.

    Parameters
    ----------
    architecture : Architecture
        Complete shape of the networks.
    spec : FeatureSpec
        Features of the objects and their scaling.
    recipe : Recipe
        Complete training configuration.
    sides : tuple of two TrainingColumns
        Events to train and to validate on.
    states : mapping of int to Path or None
        File that holds the state of each member.
    resampling : Resampling
        How often each member sees each training event.
    engine : Engine, optional
        What evaluates networks of this architecture; by default one is compiled.
    """

    def __init__(
        self,
        architecture: Architecture,
        spec: FeatureSpec,
        recipe: Recipe,
        sides: tuple[TrainingColumns, TrainingColumns],
        states: Mapping[int, Path | None],
        resampling: Resampling,
        engine: Engine | None = None,
    ) -> None:
        self.recipe, self.resampling = recipe, resampling
        self.train, self.validation = sides
        gpu = on_gpu(None, keras_backend())
        self.workers = 1 if gpu else usable_cpus()
        size = min(recipe.batch_events, self.train.n_events)
        self.shape = Shape.of(self.train.offsets, size, architecture.has_edges, gpu)
        self.steps = self.train.n_events // size
        self.engine = engine or Engine(
            build_model(architecture, spec, seed=None), has_edges=architecture.has_edges
        )
        model = build_model(architecture, spec, seed=None, precision=recipe.precision)
        many = recipe.epochs * self.train.n_events >= MANY_EVENTS
        worth_it = recipe.precision == "float32" and many
        self.gradients = Gradients(model, recipe, jit=gpu or worth_it)
        # 1 / E of events does not forgive what late epochs do to the tails, which no loss sees
        self.may_be_later = (
            not architecture.of_events and self.validation.n_events >= FEWEST_TO_COMPARE
        )
        self._shape_of_members = architecture, spec
        self.kept: dict[int, EventLosses] = {}
        self.members: list[Member] = []
        self.set_members(states)

    def set_members(self, states: Mapping[int, Path | None]) -> None:
        """Train other members, with the same data and compiled code.

        Parameters
        ----------
        states : mapping of int to Path or None
            File that holds the state of each member; where it exists, its training goes on.
        """
        architecture, spec = self._shape_of_members
        recipe, given = self.recipe, (self.recipe.mu, self.resampling, list(states))
        starts = starting_points(self.train, architecture, spec, *given) if states else []
        steps = recipe.epochs * self.steps
        self.kept.clear()
        self.members = [
            Member(number, architecture, spec, recipe, steps, start, state)
            for (number, state), start in zip(states.items(), starts, strict=True)
        ]

    def batches(self, epoch: int, members: Sequence[Member]) -> Batches:
        """The batches of an epoch: all members see equal events in equal order.

        Parameters
        ----------
        epoch : int
            Number of the epoch.
        members : sequence of Member
            Members that are trained.

        Returns
        -------
        Batches
            Batches with the weights of each member.
        """
        numbers = tuple(member.number for member in members)
        seed = [self.recipe.seed, 0, epoch]  # not of a member: it may be trained alone
        return Batches(self.train, self.recipe, self.shape, seed, numbers, self.resampling)

    def step(self, parts: Sequence[BatchPart], members: Sequence[Member]) -> Array:
        """Train all members on one batch, in threads, and return their losses.

        Parameters
        ----------
        parts : sequence of BatchPart
            Graphs of the batch.
        members : sequence of Member
            Members that are trained.

        Returns
        -------
        ndarray of float64, shape (n_members,)
            Losses.
        """
        jobs = [(part, i) for part in parts for i in range(len(members))]
        weights = [member.weights() for member in members]

        def run(job: tuple[BatchPart, int]) -> tuple[float, list[Array]]:
            part, i = job
            return self.gradients(weights[i], part, i, 1.0 / len(parts))

        losses = np.zeros(len(members))
        sums: list[list[Array]] = [[] for _ in members]
        # added up in a fixed order, so that threads cannot change the result
        for (_, i), (loss, new) in zip(jobs, threaded(run, jobs, self.workers), strict=True):
            losses[i] += loss
            sums[i] = [a + b for a, b in zip(sums[i], new, strict=True)] if sums[i] else new
        for member, gradients in zip(members, sums, strict=True):
            member.step(gradients)
        return losses

    def epoch(self, number: int, on_batch: OnBatch | None) -> list[tuple[Member, Epoch]]:
        """Train for one epoch all members that have not finished it, and return their results.

        Parameters
        ----------
        number : int
            Number of the epoch, from 1.
        on_batch : callable, optional
            Function that is called after each step with its share of an epoch.

        Returns
        -------
        list of tuple of Member and Epoch
            Those that were trained.
        """
        members = [m for m in self.members if m.next_epoch == number]
        start = perf_counter()
        batches, losses = self.batches(number, members), np.zeros(len(members))
        for i in range(len(batches)):
            losses += self.step(list(batches.parts(i)), members)
            if on_batch is not None:
                on_batch(1.0 / len(batches))
        means = [_check_loss(float(loss) / len(batches), number) for loss in losses]
        kept = [member.averaged() for member in members]
        numbered = [(member.number, own) for member, own in zip(members, kept, strict=True)]
        found = losses_of_networks(
            self.engine, numbered, self.validation, self.resampling, self.recipe.mu
        )
        done = []
        for i, own in enumerate(found):
            validated = _check_loss(own.mean, number)
            error = self._error(members[i], own)
            epoch = Epoch(number, means[i], validated, perf_counter() - start, error)
            members[i].finish_epoch(epoch, kept[i])
            fit = members[i].fit
            if fit is not None and fit.best_epoch == number:
                self.kept[members[i].number] = own
            done.append((members[i], epoch))
        return done

    def _error(self, member: Member, losses: EventLosses) -> float:
        """Statistical error of the difference to the epoch that a member has kept so far."""
        if member.fit is None or not self.may_be_later:
            return 0.0
        if member.number not in self.kept:  # of a training that goes on
            (self.kept[member.number],) = losses_of_networks(
                self.engine,
                [(member.number, member.fit.weights)],
                self.validation,
                self.resampling,
                self.recipe.mu,
            )
        return (losses - self.kept[member.number]).error


def fit_members(
    architecture: Architecture,
    spec: FeatureSpec,
    recipe: Recipe,
    train: TrainingColumns,
    validation: TrainingColumns,
    states: Mapping[int, Path | None],
    *,
    resampling: Resampling | None = None,
    engine: Engine | None = None,
    on_batch: OnBatch | None = None,
    on_epoch: OnEpoch | None = None,
) -> list[Fit]:
    """Train the networks of an ensemble together: each batch is read and prepared once.

    Parameters
    ----------
    architecture : Architecture
        Complete shape of the networks.
    spec : FeatureSpec
        Features of the objects and their scaling.
    recipe : Recipe
        Complete training configuration (see :func:`hepsilon.training.recipe`).
    train : TrainingColumns
        Events that the weights are fitted to.
    validation : TrainingColumns
        Events that decide which epoch is kept; with folds those of ``train``, of which each member
        takes its own fold.
    states : mapping of int to Path or None
        File that holds the state of each member after every epoch, by the member's number; None for
        no file. Where the file exists, the training of this member goes on from it.
    resampling : Resampling, optional
        How often each member sees each training event; by default once.
    engine : Engine, optional
        What evaluates networks of this architecture; by default one is compiled.
    on_batch : callable, optional
        Function that is called after each step with its share of an epoch, a float.
    on_epoch : callable, optional
        Function that is called after each epoch of a member, with the number of the member and the
        :class:`Epoch`; also for the epochs that were read from its state. If it gives True, the
        training of this member stops.

    Returns
    -------
    list of Fit
        Best epoch of each member, in the order of ``states``.

    Raises
    ------
    TrainingError
        If the loss becomes NaN or infinite.
    """
    sides = train, validation
    chosen = resampling or Resampling()
    ensemble = Ensemble(architecture, spec, recipe, sides, states, chosen, engine)
    for member in ensemble.members:
        for epoch in member.fit.history if member.fit and on_epoch else []:
            member.stopped |= on_epoch(member.number, epoch) is True  # type: ignore[misc]
    left = [m.next_epoch for m in ensemble.members if m.next_epoch]
    done = min(left, default=recipe.epochs + 1) - 1
    if done and any(m.fit for m in ensemble.members):
        logger.info("going on after epoch %d of %d", done, recipe.epochs)
    while left := [m.next_epoch for m in ensemble.members if m.next_epoch]:
        for member, epoch in ensemble.epoch(min(left), on_batch):
            if on_epoch is not None:
                member.stopped |= on_epoch(member.number, epoch) is True
    return [member.fit for member in ensemble.members if member.fit]


def fit_member(
    architecture: Architecture,
    spec: FeatureSpec,
    recipe: Recipe,
    train: TrainingColumns,
    validation: TrainingColumns,
    *,
    member: int = 0,
    state: Path | None = None,
    on_epoch: Callable[[Epoch], bool | None] | None = None,
    **options: Any,
) -> Fit:
    """Train one network; its number decides its randomness.

    Parameters
    ----------
    architecture : Architecture
        Complete shape of the network.
    spec : FeatureSpec
        Features of the objects and their scaling.
    recipe : Recipe
        Complete training configuration (see :func:`hepsilon.training.recipe`).
    train : TrainingColumns
        Events that the weights are fitted to.
    validation : TrainingColumns
        Events that decide which epoch is kept.
    member : int, default 0
        Number of the network in its ensemble.
    state : Path, optional
        File that holds the state after every epoch; where it exists, the training goes on from it.
    on_epoch : callable, optional
        Function that is called with the :class:`Epoch` after each of them.
    **options
        ``resampling`` and ``on_batch``, as for :func:`fit_members`.

    Returns
    -------
    Fit
        Network of the best epoch.

    Raises
    ------
    TrainingError
        If the loss becomes NaN or infinite.
    """
    report = None if on_epoch is None else lambda _, epoch: on_epoch(epoch)
    data = train, validation
    return fit_members(
        architecture, spec, recipe, *data, {member: state}, on_epoch=report, **options
    )[0]
