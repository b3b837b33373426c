"""Events that each network of an ensemble is trained on, and those that it is validated on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hepsilon.arrays.keys import fold_numbers
from hepsilon.arrays.types import Array
from hepsilon.config.learning import ModelConfig
from hepsilon.training.loss import bootstrap_counts

__all__ = ["Resampling"]


@dataclass(frozen=True)
class Resampling:
    """How often each network sees each event: a pure function of the event's key.

    Attributes
    ----------
    kind : {"none", "folds", "bootstrap"}
        ``"none"``: every network sees every training event once. ``"folds"``: network i does not
        see the events of fold i. ``"bootstrap"``: the first network sees every event once, the
        others each event a Poisson(1) number of times.
    members : int
        Number of folds, or of bootstrap samples.
    seed : int
        Seed of the bootstrap samples.
    """

    kind: Literal["none", "folds", "bootstrap"] = "none"
    members: int = 1
    seed: int = 1

    @classmethod
    def of(cls, model: ModelConfig, seed: int) -> Resampling:
        """Resampling that a configuration asks for.

        Parameters
        ----------
        model : ModelConfig
            Configuration of the ensemble.
        seed : int
            Seed of the training.

        Returns
        -------
        Resampling
            The same for all members.
        """
        return cls(model.resampling, model.members, seed)

    @property
    def networks(self) -> int:
        """Number of networks: with bootstrap samples one more, which sees every event once."""
        return self.members + (self.kind == "bootstrap")

    @property
    def folds(self) -> bool:
        """Whether each network is validated on a fold of its own."""
        return self.kind == "folds"

    def counts(self, keys: Array, network: int) -> Array:
        """How often a network sees each event.

        Parameters
        ----------
        keys : ndarray of uint64, shape (n_events,)
            Key of each event.
        network : int
            Number of the network.

        Returns
        -------
        ndarray of float64, shape (n_events,)
            Whole numbers.
        """
        if self.kind == "folds":
            return np.where(self.validated(keys, network), 0.0, 1.0)
        if self.kind == "bootstrap" and network > 0:
            return bootstrap_counts(keys, self.seed, network).astype(np.float64)
        return np.ones(len(keys))

    def validated(self, keys: Array, network: int) -> npt.NDArray[np.bool_]:
        """Which of the validation events a network is validated on: with folds, its own.

        Parameters
        ----------
        keys : ndarray of uint64, shape (n_events,)
            Key of each event.
        network : int
            Number of the network.

        Returns
        -------
        ndarray of bool, shape (n_events,)
            True for these events.
        """
        if self.kind != "folds":
            return np.ones(len(keys), np.bool_)
        return np.asarray(fold_numbers(keys, self.members) == network)
