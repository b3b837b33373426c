"""Cards of artifacts with networks: their architecture, training and measurements."""

from __future__ import annotations

from typing import Literal

from hepsilon.config.learning import ModelConfig, Recipe
from hepsilon.config.records import Record
from hepsilon.efficiencies.artifact import ArtifactCard
from hepsilon.networks.architecture import Architecture

__all__ = [
    "CandidateCard",
    "EpochCard",
    "ImportanceCard",
    "LossCard",
    "MemberCard",
    "NetworkCard",
    "ParityCard",
    "PrecisionCard",
    "SelectionCard",
]


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
    error : float
        Statistical error of the difference of the validation loss to that of the epoch that was
        kept before; zero for the first epoch.
    """

    epoch: int
    loss: float
    validation_loss: float
    seconds: float
    error: float = 0.0


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


class LossCard(Record):
    """Mean loss of some events, with its statistical error.

    Attributes
    ----------
    loss : float
        Mean per unit of event weight (paper Eq. 5).
    error : float
        Its statistical error, by the spread of the events.
    n_events : int
        Number of events.
    """

    loss: float
    error: float
    n_events: int


class ImportanceCard(Record):
    """Importance of one feature: the rise of the loss where it is shuffled among the objects.

    Attributes
    ----------
    feature : str
        Name of the feature.
    rise : float
        Rise of the loss per event on validation events.
    error : float
        Its statistical error, by the spread of the events.
    """

    feature: str
    rise: float
    error: float

    @property
    def is_noise(self) -> bool:
        """Whether the rise is not above twice its error."""
        return self.rise <= 2.0 * self.error

    def __str__(self) -> str:
        """The rise with its error, and whether it is noise."""
        return f"loss {self.rise:+.5f} +- {self.error:.5f}" + ", noise" * self.is_noise


class CandidateCard(Record):
    """One of the efficiencies that ``architecture = "auto"`` compared.

    Attributes
    ----------
    name : str
        Architecture, or ``"map"``.
    loss : float or None
        Loss on the validation events after the brief training; None where there was none.
    difference : float or None
        Loss minus that of the best candidate, event by event.
    error : float or None
        Statistical error of the difference.
    epochs : int or None
        Largest number of epochs of the brief training; None for a map.
    seconds : float or None
        Duration of the training, s.
    parameters : int or None
        Number of weights of the network, or of bins of the map.
    reason : str or None
        Why it was left out; None where it was compared.
    """

    name: str
    loss: float | None = None
    difference: float | None = None
    error: float | None = None
    epochs: int | None = None
    seconds: float | None = None
    parameters: int | None = None
    reason: str | None = None


class SelectionCard(Record):
    """Comparison of architectures on the same validation events.

    Attributes
    ----------
    chosen : str
        Architecture that was trained fully and kept.
    n_events : int
        Number of validation events.
    candidates : tuple of CandidateCard
        All candidates, from the cheapest to the dearest.
    map_gain : float or None
        Loss of the network that was kept minus that of the map, on the same events; None without a
        map.
    map_gain_error : float or None
        Statistical error of the difference.
    """

    chosen: str
    n_events: int
    candidates: tuple[CandidateCard, ...]
    map_gain: float | None = None
    map_gain_error: float | None = None

    @property
    def map_is_better(self) -> bool:
        """Whether the map has a smaller loss than the network that was kept, beyond the error."""
        return self.map_gain is not None and self.map_gain > (self.map_gain_error or 0.0)

    def __str__(self) -> str:
        """The losses in one line, such as ``map 0.4612, mlp 0.4429, gnn 0.4282 (kept)``."""
        return ", ".join(
            f"{each.name} {'not compared' if each.loss is None else f'{each.loss:.4f}'}"
            + " (kept)" * (each.name == self.chosen)
            for each in self.candidates
        )

    @property
    def advice(self) -> str | None:
        """What to do where the map is better than the network that was kept; None elsewhere."""
        if not self.map_is_better:
            return None
        return (
            f"the map is better than the network: its loss is smaller by {self.map_gain:.5f} +- "
            f"{self.map_gain_error:.5f}; make it with hepsilon map"
        )


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
        Model as the configuration asked for it; for ``"auto"`` with the architecture that was
        chosen.
    architecture : Architecture
        Every width, from which the network is rebuilt.
    training : Recipe
        Options of the training.
    members : tuple of MemberCard
        History of each network.
    out_of_fold : LossCard or None
        Loss over all events, each from the network that was not trained on it; None without folds.
    selection : SelectionCard or None
        Comparison that chose the architecture; None where the configuration named it.
    importance : tuple of ImportanceCard
        Importance of every feature, from the largest.
    capacity : str or None
        What the size of the sample has changed in the training, and why; None if nothing.
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
    out_of_fold: LossCard | None = None
    selection: SelectionCard | None = None
    importance: tuple[ImportanceCard, ...] = ()
    capacity: str | None = None
    onnx: ParityCard | None = None
    bfloat16: PrecisionCard | None = None

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the array groups with the weights of the members."""
        return tuple(name for name in self.arrays if name.startswith("member-"))

    @property
    def nominal(self) -> slice:
        """Networks whose mean is the efficiency: one that saw all events, if others did not."""
        return slice(0, 1) if self.model.resampling == "bootstrap" else slice(None)

    @property
    def replicas(self) -> slice:
        """Networks whose spread is the uncertainty of the efficiency."""
        return slice(1, None) if self.model.resampling == "bootstrap" else slice(None)
