"""What a training has reached: history, best weights, and the file to go on from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hepsilon.files import atomic_path

if TYPE_CHECKING:
    import keras
    from keras.optimizers import Optimizer

__all__ = ["Epoch", "Fit", "State"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Epoch:
    """One line of the history; losses are means per event (paper Eq. 5)."""

    epoch: int
    loss: float
    validation_loss: float
    seconds: float


@dataclass(frozen=True)
class Fit:
    """The network of the best epoch.

    Attributes
    ----------
    weights : arrays of all variables of the model, in Keras' order.
    history : one entry per epoch.
    best_epoch : the epoch with the smallest validation loss, from 1.
    """

    weights: list[Array]
    history: list[Epoch]
    best_epoch: int


class State:
    """All that a member's training needs to go on: a NumPy file, replaced after every epoch."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def load(self, model: keras.Model, optimizer: Optimizer) -> Fit | None:
        """Put the saved state into model and optimizer, and return the fit so far."""
        if self.path is None or not self.path.exists():
            return None
        with np.load(self.path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            groups = {
                name: [file[f"{name}{i}"] for i in range(count)]
                for name, count in meta["counts"].items()
            }
        model.set_weights(groups["model"])
        for variable, value in zip(optimizer.variables, groups["optimizer"], strict=True):
            variable.assign(value)
        history = [Epoch(**line) for line in meta["history"]]
        return Fit(groups["best"], history, meta["best_epoch"])

    def save(self, model: keras.Model, optimizer: Optimizer, fit: Fit) -> None:
        """Write the model, its optimizer and the fit so far."""
        if self.path is None:
            return
        import keras

        moments = [keras.ops.convert_to_numpy(v) for v in optimizer.variables]
        groups = {"model": model.get_weights(), "optimizer": moments, "best": fit.weights}
        meta = {
            "counts": {name: len(group) for name, group in groups.items()},
            "history": [asdict(epoch) for epoch in fit.history],
            "best_epoch": fit.best_epoch,
        }
        arrays = {f"{name}{i}": a for name, group in groups.items() for i, a in enumerate(group)}
        with atomic_path(self.path) as temporary:
            np.savez(temporary, meta=np.array(json.dumps(meta)), **arrays)
