"""What the presets leave open in a training configuration."""

from __future__ import annotations

from typing import Any

from hepsilon.config import ModelConfig, Recipe, TrainingConfig

__all__ = ["recipe"]

STEPS_PER_EPOCH = 300
"""The paper's 1.5 million events in batches of 5000. The number of steps decides more than the
size of a batch: with fewer events the batch shrinks, not the number of steps."""

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
_PRESETS = {"fast": _FAST, "paper": _PAPER}
_LARGEST_BATCH = {"fast": 512, "paper": 5000}


def recipe(model: ModelConfig, training: TrainingConfig, n_events: int) -> Recipe:
    """Complete a training configuration with the preset's values where it leaves them open.

    Parameters
    ----------
    model, training : the configuration.
    n_events : of the training side; an epoch has about 300 steps of at least 32 events.
    """
    batch = max(32, min(_LARGEST_BATCH[model.preset], n_events // STEPS_PER_EPOCH))
    defaults = {"batch_events": batch, **_PRESETS[model.preset]}
    return Recipe(**{**defaults, **training.model_dump(exclude_none=True)})
