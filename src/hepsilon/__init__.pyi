from ._version import __version__
from .config import Config, Task, load_config
from .efficiencies.base import Efficiency
from .efficiencies.factorised import FactorisedMap
from .efficiencies.field import FieldEfficiency
from .efficiencies.loading import load, load_correction
from .efficiencies.map import EfficiencyMap
from .efficiencies.ratio import LearnedRatio
from .efficiencies.ratio_map import RatioMap
from .efficiencies.ratio_product import ProductRatio
from .errors import (
    ArtifactError,
    ConfigError,
    DomainError,
    HepsilonError,
    InputError,
    OutOfDomainWarning,
    RatioWarning,
    RemoteError,
    ScaleFactorWarning,
    TrainingError,
    WorkerError,
)
from .training.ratio_maps import fit_ratio_map
from .training.ratios import train_ratio
from .training.run import TrainingResult, train
from .weights.assignments import TagAssignments, enumerate_tags, sample_tags
from .weights.bins import ScaleFactors
from .weights.conditions import Condition, at_least, exactly
from .weights.inversion import InversionWeight, inversion_weight
from .weights.scale_factors import TagScaleFactors
from .weights.tagging import direct_tag_weight, truth_tag_weight

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
    "LearnedRatio",
    "OutOfDomainWarning",
    "ProductRatio",
    "RatioMap",
    "RatioWarning",
    "RemoteError",
    "ScaleFactorWarning",
    "ScaleFactors",
    "TagAssignments",
    "TagScaleFactors",
    "Task",
    "TrainingError",
    "TrainingResult",
    "WorkerError",
    "__version__",
    "at_least",
    "direct_tag_weight",
    "enumerate_tags",
    "exactly",
    "fit_ratio_map",
    "inversion_weight",
    "load",
    "load_config",
    "load_correction",
    "sample_tags",
    "train",
    "train_ratio",
    "truth_tag_weight",
]
