"""What the presets leave open in a training configuration."""

from __future__ import annotations

from typing import Any

from hepsilon.config import ModelConfig, TrainingConfig

__all__ = ["recipe"]

RECIPES: dict[tuple[str, str], dict[str, Any]] = {
    ("gnn", "fast"): {
        "epochs": 20,
        "patience": 6,
        "batch_events": 512,
        "learning_rate": 4e-3,
        "weight_decay": 1e-2,
        "ema": 0.99,
    },
    ("mlp", "fast"): {
        "epochs": 20,
        "patience": 6,
        "batch_events": 512,
        "learning_rate": 4e-3,
        "weight_decay": 1e-2,
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

def recipe(model: ModelConfig, training: TrainingConfig) -> TrainingConfig:
    """The training configuration with the preset's values where it leaves them open."""
    defaults = RECIPES[model.architecture, model.preset]
    missing = {k: v for k, v in defaults.items() if getattr(training, k) is None}
    return training.model_copy(update=missing)
