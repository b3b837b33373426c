"""Training of networks (see :func:`train`)."""

from hepsilon.training.member import fit_member
from hepsilon.training.recipes import recipe
from hepsilon.training.run import TrainingResult, train
from hepsilon.training.state import Epoch, Fit

__all__ = ["Epoch", "Fit", "TrainingResult", "fit_member", "recipe", "train"]
