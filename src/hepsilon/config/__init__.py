"""Strict, frozen records of what is trained, on what input, and how. No expression is evaluated."""

from hepsilon.config.file import Config, InputConfig, load_config
from hepsilon.config.learning import BinAxis, MapConfig, ModelConfig, Recipe, TrainingConfig
from hepsilon.config.observables import ObservableConfig
from hepsilon.config.records import Record, validate
from hepsilon.config.task import Cut, Fiducial, Passed, Task
from hepsilon.config.verdict import VerdictConfig

__all__ = [
    "BinAxis",
    "Config",
    "Cut",
    "Fiducial",
    "InputConfig",
    "MapConfig",
    "ModelConfig",
    "ObservableConfig",
    "Passed",
    "Recipe",
    "Record",
    "Task",
    "TrainingConfig",
    "VerdictConfig",
    "load_config",
    "validate",
]
