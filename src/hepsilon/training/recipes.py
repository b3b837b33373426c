"""Complete training configurations from presets and the size of the sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hepsilon.config.learning import ModelConfig, Recipe, TrainingConfig
from hepsilon.training.capacity import scaled

__all__ = ["recipe"]


@dataclass(frozen=True)
class _Preset:
    """Values, chosen by measurement, and the size of a batch.

    Attributes
    ----------
    values : dict of str to object
        Values of the training configuration, by key.
    steps : int
        Optimizer steps of an epoch. Their number decides more than the size of a batch: with fewer
        events the batch shrinks, not the number of steps.
    largest_batch : int
        Largest number of events of a batch.
    """

    values: dict[str, Any]
    steps: int
    largest_batch: int


_FAST: dict[str, Any] = {
    "epochs": 12,
    "patience": 5,
    "learning_rate": 4e-3,
    "weight_decay": 0.1,
    "ema": 0.99,
}
_PAPER: dict[str, Any] = {
    "epochs": 40,
    "patience": 40,
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "ema": 0.0,
}
_PRODUCT: dict[str, Any] = {
    "epochs": 15,
    "patience": 5,
    "learning_rate": 6e-3,
    "weight_decay": 0.4,  # of what is no product
    "ema": 0.999,
}
_PRESETS = {
    "fast": _Preset(_FAST, steps=300, largest_batch=512),
    "paper": _Preset(_PAPER, steps=300, largest_batch=5000),  # the paper's, of 1.5 million events
    "product": _Preset(_PRODUCT, steps=900, largest_batch=1000),
}


def recipe(
    model: ModelConfig, training: TrainingConfig, n_events: int, worth: float | None = None
) -> Recipe:
    """Complete a training configuration with the preset's values where it leaves them open.

    Parameters
    ----------
    model : ModelConfig
        Architecture and preset.
    training : TrainingConfig
        Values that the user has set; None where the preset decides.
    n_events : int
        Number of training events. It decides the size of a batch, which has at least 32 events.
    worth : float, optional
        What the sample is worth (see :mod:`hepsilon.training.capacity`), which changes the preset
        "fast" of graph networks; None for a large one.

    Returns
    -------
    Recipe
        Configuration in which every value is set.
    """
    preset = _PRESETS["product" if model.architecture == "product" else model.preset]
    batch = max(32, min(preset.largest_batch, n_events // preset.steps))
    values = preset.values
    # stronger decay helps graph networks alone (docs/measurements.md)
    if worth is not None and (model.architecture, model.preset) == ("gnn", "fast"):
        values = scaled(values, worth)
    return Recipe(**{"batch_events": batch, **values, **training.model_dump(exclude_none=True)})
