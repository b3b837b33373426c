"""The efficiency that a training keeps, on validation events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.cards import LossCard
from hepsilon.training.preparation import Prepared
from hepsilon.training.state import Fit
from hepsilon.training.validation import EventLosses, losses_of_ensemble, losses_of_networks

__all__ = ["Kept"]


@dataclass(frozen=True)
class Kept:
    """Networks after their training.

    Their efficiency is that of the network of all events where the others are bootstrap samples,
    else the mean. With folds it is measured by the first network, on the fold that it never saw.

    Attributes
    ----------
    prepared : Prepared
        Training that they come from.
    fits : sequence of Fit
        The networks.
    """

    prepared: Prepared
    fits: Sequence[Fit]

    def validation(self, columns: TrainingColumns) -> TrainingColumns:
        """Events that no network of :meth:`losses` was trained on.

        Parameters
        ----------
        columns : TrainingColumns
            Validation events; with folds all events.

        Returns
        -------
        TrainingColumns
            All of them; with folds those of the first fold.
        """
        resampling = self.prepared.resampling
        if not resampling.folds:
            return columns
        return columns.take(np.flatnonzero(resampling.validated(columns.keys, 0)))

    def losses(self, events: TrainingColumns) -> EventLosses:
        """Losses of the efficiency.

        Parameters
        ----------
        events : TrainingColumns
            Events from :meth:`validation`, one row for each object.

        Returns
        -------
        EventLosses
            For these events.
        """
        architecture, single = self.prepared.architecture, self.prepared.resampling.kind != "none"
        if architecture.objects is not None:
            events = events.joined(architecture.objects)
        networks = [fit.weights for fit in (self.fits[:1] if single else self.fits)]
        points, mu = architecture.working_points, self.prepared.recipe.mu
        return losses_of_ensemble(self.prepared.engine, networks, events, mu, points)

    def out_of_fold(self) -> LossCard | None:
        """Loss over all events, each from the network that was not trained on it.

        Returns
        -------
        LossCard or None
            None without folds.
        """
        own = self.prepared
        if not own.resampling.folds:
            return None
        networks = [(number, fit.weights) for number, fit in enumerate(self.fits)]
        found = EventLosses.joined(
            losses_of_networks(own.engine, networks, own.sides[1], own.resampling, own.recipe.mu)
        )
        return LossCard(loss=found.mean, error=found.error, n_events=len(found.losses))
