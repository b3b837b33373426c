"""coffea processors: library classes, so that workers can unpickle them."""

from hepsilon.arrays.statistics import bernoulli_divergence
from hepsilon.data.objects import collection
from hepsilon.processors.efficiency_inversion import EfficiencyInversion
from hepsilon.processors.outputs import InversionOutput, TaggingOutput
from hepsilon.processors.schema import TaskSchema
from hepsilon.processors.truth_tagging import TruthTagging

__all__ = [
    "EfficiencyInversion",
    "InversionOutput",
    "TaggingOutput",
    "TaskSchema",
    "TruthTagging",
    "bernoulli_divergence",
    "collection",
]
