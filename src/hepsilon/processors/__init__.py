"""coffea processors: library classes, so that workers can unpickle them."""

from hepsilon.processors.efficiency_inversion import EfficiencyInversion
from hepsilon.processors.events import TaskSchema, bernoulli_divergence, collection
from hepsilon.processors.outputs import InversionOutput, TaggingOutput
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
