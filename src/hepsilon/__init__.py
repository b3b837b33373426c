"""hepsilon: learned efficiencies for columnar HEP analysis.

An efficiency is a function from columns to columns; everything here either makes one, checks
one, or turns one into weights. Importing this package imports neither TensorFlow nor matplotlib.
"""

from __future__ import annotations

from hepsilon._version import __version__
from hepsilon.assignments import TagAssignments, enumerate_tags, sample_tags
from hepsilon.conditions import Condition, at_least, exactly
from hepsilon.config import Config, Task, load_config
from hepsilon.efficiency import Efficiency, FieldEfficiency
from hepsilon.errors import (
    ArtifactError,
    ConfigError,
    DomainError,
    HepsilonError,
    InputError,
    OutOfDomainWarning,
    RemoteError,
    ScaleFactorWarning,
    TrainingError,
)
from hepsilon.factorised import FactorisedMap
from hepsilon.loading import load, load_correction
from hepsilon.maps import EfficiencyMap
from hepsilon.scale_factors import TagScaleFactors
from hepsilon.tagging import ScaleFactors
from hepsilon.training import TrainingResult, train
from hepsilon.weights import (
    InversionWeight,
    direct_tag_weight,
    inversion_weight,
    truth_tag_weight,
)

__all__ = [
    "ArtifactError",
    "Condition",
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
    "RemoteError",
    "ScaleFactorWarning",
    "ScaleFactors",
    "TagAssignments",
    "TagScaleFactors",
    "Task",
    "TrainingError",
    "TrainingResult",
    "__version__",
    "at_least",
    "direct_tag_weight",
    "enumerate_tags",
    "exactly",
    "inversion_weight",
    "load",
    "load_config",
    "load_correction",
    "sample_tags",
    "train",
    "truth_tag_weight",
]


def __dir__() -> list[str]:
    return __all__
