"""coffea processors: library classes, so that workers can unpickle them."""

from hepsilon.processors.common import TaskSchema, bernoulli_divergence, collection
from hepsilon.processors.inversion import EfficiencyInversion
from hepsilon.processors.tagging import TruthTagging

__all__ = [
    "EfficiencyInversion",
    "TaskSchema",
    "TruthTagging",
    "bernoulli_divergence",
    "collection",
]
