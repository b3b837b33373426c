"""Cards of artifacts with networks: their architecture, training and measurements."""

from __future__ import annotations

from typing import Literal

from hepsilon.config.learning import ModelConfig, Recipe
from hepsilon.config.records import Record
from hepsilon.efficiencies.artifact import ArtifactCard
from hepsilon.networks.architecture import Architecture

__all__ = ["EpochCard", "MemberCard", "NetworkCard", "ParityCard", "PrecisionCard"]


class EpochCard(Record):
    """One epoch of the history of a training.

    Attributes
    ----------
    epoch : int
        Number of the epoch.
    loss : float
        Loss per event (paper Eq. 5) on the training events.
    validation_loss : float
        Loss per event on the validation events.
    seconds : float
        Duration, s.
    """

    epoch: int
    loss: float
    validation_loss: float
    seconds: float


class MemberCard(Record):
    """History of one network of an ensemble.

    Attributes
    ----------
    best_epoch : int
        Epoch whose weights were kept.
    history : tuple of EpochCard
        All epochs.
    """

    best_epoch: int
    history: tuple[EpochCard, ...]

    @property
    def best_is_last(self) -> bool:
        """Whether the last epoch was the best one: more epochs may help."""
        return self.best_epoch == self.history[-1].epoch


class ParityCard(Record):
    """Agreement of ``model.onnx`` with Keras on the validation events in the artifact.

    Attributes
    ----------
    runtime : str
        Package that evaluated the graph.
    version : str
        Version of that package.
    opset : int
        Operator set of ONNX that the graph uses.
    n_objects : int
        Number of objects (events) that were compared.
    largest_difference : float
        Largest difference of an efficiency.
    """

    runtime: str
    version: str
    opset: int
    n_objects: int
    largest_difference: float


class PrecisionCard(Record):
    """Change by a lower precision, measured on the validation events in the artifact.

    Attributes
    ----------
    backend : str
        Backend that computed in this precision.
    n_objects : int
        Number of objects (events) that were compared.
    largest_difference : float
        Largest difference of an efficiency to float32.
    rms_difference : float
        Root mean square of these differences.
    closure_change : float
        Relative change of the expected number of passed objects; the largest one of all working
        points.
    """

    backend: str
    n_objects: int
    largest_difference: float
    rms_difference: float
    closure_change: float


class NetworkCard(ArtifactCard):
    """Card of a network or an ensemble of networks.

    Attributes
    ----------
    model : ModelConfig
        Model as the configuration asked for it.
    architecture : Architecture
        Every width, from which the network is rebuilt.
    training : Recipe
        Options of the training.
    members : tuple of MemberCard
        History of each network.
    onnx : ParityCard or None
        Agreement of ``model.onnx``; None where the artifact has none.
    bfloat16 : PrecisionCard or None
        Change by bfloat16; None until it is noted
        (:func:`hepsilon.efficiencies.precision.note_precision`).
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
