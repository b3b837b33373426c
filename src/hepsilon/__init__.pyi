from ._version import __version__
from .assignments import TagAssignments, enumerate_tags, sample_tags
from .conditions import Condition, at_least, exactly
from .config import Config, Task, load_config
from .efficiency import Efficiency, FieldEfficiency
from .errors import (
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
from .factorised import FactorisedMap
from .loading import load, load_correction
from .maps import EfficiencyMap
from .scale_factors import TagScaleFactors
from .tagging import ScaleFactors
from .training import TrainingResult, train
from .weights import InversionWeight, direct_tag_weight, inversion_weight, truth_tag_weight

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
