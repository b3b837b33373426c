"""hepsilon: learned efficiencies for columnar HEP analysis.

An efficiency is a function from columns to columns; everything here either makes one, checks
one, or turns one into weights. Importing this package imports neither TensorFlow nor matplotlib.
"""

from __future__ import annotations

from hepsilon._version import __version__
from hepsilon.config import Config, Task, load_config
from hepsilon.efficiency import Efficiency, FieldEfficiency
from hepsilon.errors import (
    ArtifactError,
    ConfigError,
    DomainError,
    HepsilonError,
    InputError,
    OutOfDomainWarning,
    TrainingError,
)
from hepsilon.factorised import FactorisedMap
from hepsilon.loading import load, load_correction
from hepsilon.maps import EfficiencyMap
from hepsilon.training import TrainingResult, train
from hepsilon.weights import InversionWeight, inversion_weight, truth_tag_weight

__all__ = [
    "ArtifactError",
    "Config",
    "ConfigError",
    "DomainError",
    "Efficiency",
    "EfficiencyMap",
    "FactorisedMap",
    "FieldEfficiency",
    "HepsilonError",
    "InputError",
    "InversionWeight",
    "OutOfDomainWarning",
    "Task",
    "TrainingError",
    "TrainingResult",
    "__version__",
    "inversion_weight",
    "load",
    "load_config",
    "load_correction",
    "train",
    "truth_tag_weight",
]


def __dir__() -> list[str]:
    return __all__
