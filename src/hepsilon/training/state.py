"""State of a training: history, best weights, and the file to go on from.

After every epoch a member writes its variables, the state of its optimizer, the weights of the best
epoch and the history into one NumPy file, which replaces the one before in a single step: a
training that is killed at any moment finds either the old or the new state. Batches and bootstrap
counts are functions of the seed, the member and the epoch, so nothing else has to be kept, and a
training that goes on ends with the result of one that was never interrupted.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepsilon._system.files import atomic_path
from hepsilon.arrays.types import Array

if TYPE_CHECKING:
    import keras
    from keras.optimizers import Optimizer

__all__ = ["Epoch", "Fit", "State", "to_numpy"]

MARK = "fingerprint"
"""File beside the states with the hash of all that decides the result of the training."""
logger = logging.getLogger("hepsilon")


@dataclass(frozen=True)
class Epoch:
    """Losses and time of one epoch; losses are means per unit of event weight (Eq. 5 of the paper).

    Attributes
    ----------
    epoch : int
        Number of the epoch, from 1.
    loss : float
        Mean loss of the batches during the epoch, with the penalties on the weights.
    validation_loss : float
        Loss of the validation events after the epoch, without penalties.
    seconds : float
        Duration of training and validation, for all members together [s].
    error : float
        Statistical error of the difference of the validation loss to that of the epoch that was
        kept before, event by event; zero for the first epoch.
    """

    epoch: int
    loss: float
    validation_loss: float
    seconds: float
    error: float = 0.0


@dataclass(frozen=True)
class Fit:
    """The network of the best epoch: the last one within an error of the smallest loss.

    The learning rate falls to its end, so of epochs that the validation events cannot tell apart
    the later one has less noise. With less than 200 validation events, and in
    tasks of events, it is the best one.

    Attributes
    ----------
    weights : list of ndarray
        Arrays of all variables of the model, in Keras' order.
    history : list of Epoch
        Losses of every epoch so far.
    best_epoch : int
        Number of the epoch that was kept, from 1.
    """

    weights: list[Array]
    history: list[Epoch]
    best_epoch: int


def to_numpy(variables: Sequence[keras.Variable]) -> list[Array]:
    """Copy the values of variables into NumPy arrays."""
    import keras

    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


class State:
    """All that a member's training needs to go on: a NumPy file, replaced after every epoch.

    Parameters
    ----------
    path : Path or None
        The file; None to keep no state.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        mark = None if path is None else path.with_name(MARK)
        self.training = mark.read_text() if mark is not None and mark.exists() else ""

    def load(self, variables: Sequence[keras.Variable], optimizer: Optimizer) -> Fit | None:
        """Put the saved state into variables and optimizer.

        Parameters
        ----------
        variables : sequence of keras.Variable
            Weights in training, which are overwritten.
        optimizer : keras.optimizers.Optimizer
            Optimizer that was built for them, whose state is overwritten.

        Returns
        -------
        Fit or None
            Best epoch and history so far. None where there is no file of this training, or it is
            damaged: nothing was overwritten then.
        """
        if self.path is None or not self.path.exists():
            return None
        targets = [*variables, *optimizer.variables]
        try:
            values, fit = self._read(self.path)
            if [v.shape for v in values] != [tuple(v.shape) for v in targets]:
                raise ValueError("it is of another network")
        except Exception as error:  # zipfile and numpy raise many kinds for what was cut off
            logger.warning("%s is not continued, and begins anew: %s", self.path, error)
            return None
        for variable, value in zip(targets, values, strict=True):
            variable.assign(value)
        return fit

    def _read(self, path: Path) -> tuple[list[Array], Fit]:
        """Values of all variables, and the best epoch, of the same training."""
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            if meta["training"] != self.training:
                raise ValueError("it is the state of another training")
            groups = {
                name: [file[f"{name}{i}"] for i in range(count)]
                for name, count in meta["counts"].items()
            }
        history = [Epoch(**line) for line in meta["history"]]
        values = [*groups["variables"], *groups["optimizer"]]
        return values, Fit(groups["best"], history, meta["best_epoch"])

    def save(self, variables: Sequence[keras.Variable], optimizer: Optimizer, fit: Fit) -> None:
        """Write the state of a training in place of the one before.

        Parameters
        ----------
        variables : sequence of keras.Variable
            Weights in training.
        optimizer : keras.optimizers.Optimizer
            Optimizer of these variables.
        fit : Fit
            Best epoch and history so far.
        """
        if self.path is None:
            return
        groups = {
            "variables": to_numpy(variables),
            "optimizer": to_numpy(optimizer.variables),
            "best": fit.weights,
        }
        meta = {
            "training": self.training,
            "counts": {name: len(group) for name, group in groups.items()},
            "history": [asdict(epoch) for epoch in fit.history],
            "best_epoch": fit.best_epoch,
        }
        arrays: dict[str, Any] = {
            f"{name}{i}": a for name, group in groups.items() for i, a in enumerate(group)
        }
        with atomic_path(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, meta=np.array(json.dumps(meta)), **arrays)
