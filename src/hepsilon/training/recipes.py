"""What the presets leave open in a training configuration."""

from __future__ import annotations

from typing import Any

from hepsilon.config import ModelConfig, Recipe, TrainingConfig

__all__ = ["recipe"]

RECIPES: dict[tuple[str, str], dict[str, Any]] = {
    ("gnn", "fast"): {
        "epochs": 12,
        "patience": 5,
        "learning_rate": 4e-3,
        "weight_decay": 0.1,
        "ema": 0.99,
    },
    ("mlp", "fast"): {
        "epochs": 12,
        "patience": 5,
        "learning_rate": 4e-3,
        "weight_decay": 0.1,
        "ema": 0.99,
    },
    ("gnn", "paper"): {
        "epochs": 40,
        "patience": 40,
        "batch_events": 5000,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "ema": 0.0,
    },
    ("mlp", "paper"): {
        "epochs": 40,
        "patience": 40,
        "batch_events": 5000,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "ema": 0.0,
    },
}


def recipe(model: ModelConfig, training: TrainingConfig, n_events: int) -> Recipe:
    """Complete a training configuration with the preset's values where it leaves them open.

    Parameters
    ----------
    model, training : the configuration.
    n_events : of the training side. The number of steps decides more than the size of a batch:
        where neither configuration nor preset fix it, an epoch has about 300 steps of 32 to 512
        events.
    """
    batch = max(32, min(512, n_events // 300))
    defaults = {"batch_events": batch, **RECIPES[model.architecture, model.preset]}
    return Recipe(**{**defaults, **training.model_dump(exclude_none=True)})
