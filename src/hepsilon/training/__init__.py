"""Training of networks (see :func:`train`)."""

from hepsilon.training.callbacks import Callback
from hepsilon.training.ensemble import fit_member, fit_members
from hepsilon.training.recipes import recipe
from hepsilon.training.resampling import Resampling
from hepsilon.training.run import TrainingResult, train
from hepsilon.training.state import Epoch, Fit

__all__ = [
    "Callback",
    "Epoch",
    "Fit",
    "Resampling",
    "TrainingResult",
    "fit_member",
    "fit_members",
    "recipe",
    "train",
]
