from .assignments import TagAssignments, enumerate_tags, sample_tags
from .bins import ScaleFactors
from .conditions import Condition, at_least, exactly
from .inversion import FLOOR, InversionWeight, inversion_weight
from .scale_factors import TagScaleFactors
from .tagging import direct_tag_weight, joint_probability, probability, truth_tag_weight
from .variations import EfficiencyVariations, mirrored_efficiencies

__all__ = [
    "FLOOR",
    "Condition",
    "EfficiencyVariations",
    "InversionWeight",
    "ScaleFactors",
    "TagAssignments",
    "TagScaleFactors",
    "at_least",
    "direct_tag_weight",
    "enumerate_tags",
    "exactly",
    "inversion_weight",
    "joint_probability",
    "mirrored_efficiencies",
    "probability",
    "sample_tags",
    "truth_tag_weight",
]
