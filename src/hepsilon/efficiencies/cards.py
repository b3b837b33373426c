"""What an artifact with networks says of itself."""

from __future__ import annotations

from typing import Literal

from hepsilon.config.learning import ModelConfig, Recipe
from hepsilon.config.records import Record
from hepsilon.efficiencies.artifact import Card
from hepsilon.networks.architecture import Architecture

__all__ = ["EpochCard", "MemberCard", "NetworkCard", "ParityCard", "PrecisionCard"]


class EpochCard(Record):
    """One epoch of the history (see :class:`hepsilon.training.Epoch`)."""

    epoch: int
    loss: float
    validation_loss: float
    seconds: float


class MemberCard(Record):
    """History of one network of the ensemble and the epoch that was kept."""

    best_epoch: int
    history: tuple[EpochCard, ...]


class ParityCard(Record):
    """What ``model.onnx`` gives beside Keras, on the sample in the artifact.

    Attributes
    ----------
    runtime, version : str
        That evaluated it.
    opset : int
        Of ONNX.
    n_objects : int
        That were compared.
    largest_difference : float
        Of an efficiency.
    """

    runtime: str
    version: str
    opset: int
    n_objects: int
    largest_difference: float


class PrecisionCard(Record):
    """What a lower precision changes, measured on the sample in the artifact.

    Attributes
    ----------
    backend : str
        That computed in this precision.
    n_objects : int
        That were compared.
    largest_difference, rms_difference : float
        Of an efficiency, to float32.
    closure_change : float
        Relative change of the expected number of passed objects.
    """

    backend: str
    n_objects: int
    largest_difference: float
    rms_difference: float
    closure_change: float


class NetworkCard(Card):
    """Card of a network or an ensemble of them.

    Attributes
    ----------
    members : tuple of MemberCard
        History of each network.
    onnx : ParityCard or None
        How well ``model.onnx`` agrees; None where the artifact has none.
    bfloat16 : PrecisionCard or None
        What that precision changes; None as long as nobody has enabled it.
    """

    kind: Literal["network"] = "network"
    model: ModelConfig
    architecture: Architecture
    training: Recipe
    members: tuple[MemberCard, ...]
    onnx: ParityCard | None = None
    bfloat16: PrecisionCard | None = None

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the array groups with the weights of the members."""
        return tuple(name for name in self.arrays if name.startswith("member-"))
