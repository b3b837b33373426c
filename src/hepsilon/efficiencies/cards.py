"""Cards of artifacts with networks: their architecture, training and measurements."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hepsilon.config.learning import ModelConfig, Recipe
from hepsilon.config.records import Record
from hepsilon.efficiencies.card import ArtifactCard
from hepsilon.efficiencies.held_out_cards import BiasCard, HeldOutCard
from hepsilon.efficiencies.ratio_card import RatioCard
from hepsilon.efficiencies.refinement_cards import RefinementCard, RegionCard, ResidualsCard
from hepsilon.errors import ArtifactError
from hepsilon.networks.architecture import Architecture

__all__ = [
    "CandidateCard",
    "EpochCard",
    "ImportanceCard",
    "LastLayerCard",
    "LossCard",
    "MemberCard",
    "NetworkCard",
    "ParityCard",
    "PrecisionCard",
    "SelectionCard",
]


MOST_NETWORKS, MOST_LAYERS, MOST_UNITS = 10_000, 100, 100_000
"""Limits of networks that a card may describe."""
SMALLEST_SHARE = 16
"""Weights of neighbouring layers of full width, per weight that a network has at least."""


def _ints(values: Iterable[Any]) -> list[int]:
    return [value for value in values if isinstance(value, int)]


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

    best_epoch: Annotated[int, Field(ge=1)]
    history: Annotated[tuple[EpochCard, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _has_best(self) -> Self:
        if self.best_epoch > len(self.history):
            raise ValueError(f"epoch {self.best_epoch} of {len(self.history)} cannot be the best")
        return self

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


class UnusedCard(Record):
    """A field that is no feature, but explains what the efficiency leaves.

    See :mod:`hepsilon.training.candidates`.

    Attributes
    ----------
    field : str
        Name of the field.
    chi2 : float
        Score statistic of the field in bins, beside the features.
    ndf : int
        Number of its degrees of freedom.
    p_value : float
        Probability of such a statistic, times the number of tests.
    significance : float
        The p-value in standard deviations of a normal distribution, one-sided; at most 37.
    n_tests : int
        Number of fields that were tested, times that of the working points.
    """

    field: str
    chi2: float
    ndf: int
    p_value: float
    significance: float
    n_tests: int

    def __str__(self) -> str:
        """The significance, and what it comes from."""
        return (
            f"{self.significance:.1f} standard deviations after {self.n_tests} tests "
            f"(chi2/ndf = {self.chi2:.1f}/{self.ndf})"
        )


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
        """Advice where the map is better than the network that was kept; None elsewhere."""
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
    graph : str
        SHA-256 of the graph that was compared.
    weights : str
        Hash of the weights that it was compared with (:attr:`NetworkCard.weights_hash`).
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

    graph: str
    weights: str
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


class LastLayerCard(Record):
    """Covariance of the last layers of networks, from the events of their training.

    Attributes
    ----------
    n_events : int
        Number of the events that it was found from; of large samples a part, chosen by chance.
    inputs : int
        Number of inputs of the last layer of a network, without the constant.
    directions : int
        Number of directions of the covariance that are kept.
    share : float
        Their share of the variance of all logits.
    total_error : float
        Relative standard deviation of the number of objects (events) that are expected to pass the
        loosest working point, by the covariance.
    """

    n_events: int
    inputs: int
    directions: int
    share: float
    total_error: float


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
    unused : tuple of UnusedCard
        Fields of the files that are no features, but explain what is left, from the most
        significant one.
    residuals : ResidualsCard or None
        What is left between responses and efficiencies; None where there was no test.
    refinement : RefinementCard or None
        Boosted trees behind the networks; None where they were not asked for.
    regions : tuple of RegionCard
        Of a task of events, expected against available events by region.
    capacity : str or None
        What the size of the sample has changed in the training, and why; None if nothing.
    onnx : ParityCard or None
        Agreement of ``model.onnx``; None where the artifact has none.
    bfloat16 : PrecisionCard or None
        Change by bfloat16; None until it is noted
        (:func:`hepsilon.efficiencies.precision.note_precision`).
    last_layer : LastLayerCard or None
        Covariance of the last layers, from which replicas are drawn; None where the last layer is
        of a kind that is not known.
    held_out : HeldOutCard or None
        Closure on events that the networks were not trained on.
    bias : BiasCard or None
        Bias by region; None where it was not looked for.
    ratio : RatioCard or None
        Samples and normalisation of a ratio; None for an efficiency.
    """

    kind: Literal["network", "ratio"] = "network"
    model: ModelConfig
    architecture: Architecture
    training: Recipe
    members: tuple[MemberCard, ...]
    out_of_fold: LossCard | None = None
    selection: SelectionCard | None = None
    importance: tuple[ImportanceCard, ...] = ()
    unused: tuple[UnusedCard, ...] = ()
    residuals: ResidualsCard | None = None
    refinement: RefinementCard | None = None
    regions: tuple[RegionCard, ...] = ()
    capacity: str | None = None
    onnx: ParityCard | None = None
    bfloat16: PrecisionCard | None = None
    last_layer: LastLayerCard | None = None
    held_out: HeldOutCard | None = None
    bias: BiasCard | None = None
    ratio: RatioCard | None = None

    @model_validator(mode="after")
    def _is_network(self) -> Self:
        """Refuse what fits the schema, but describes no network."""
        architecture, task, names = self.architecture, self.task, self.features.names
        if names != task.features:
            raise ValueError(f"expected the features {task.features}, received {names}")
        points = len(task.passed.working_points)
        if (architecture.level, architecture.working_points) != (task.level, points):
            raise ValueError("architecture: expected the level and the working points of the task")
        ratios = {self.kind == "ratio", self.ratio is not None, task.ratio is not None}
        if len(ratios) > 1:
            raise ValueError("expected a ratio in the kind, the card and the task, or in none")
        if not 1 <= len(self.networks) <= MOST_NETWORKS:
            raise ValueError(f"arrays: expected 1 to {MOST_NETWORKS} networks")
        if len(self.members) not in (0, len(self.networks)):
            raise ValueError(f"members: expected {len(self.networks)}, as many as networks")
        for name, value in architecture:
            sizes = value if isinstance(value, tuple) else (value,)
            if len(sizes) > MOST_LAYERS or any(
                not 0 <= size <= MOST_UNITS for size in _ints(sizes)
            ):
                raise ValueError(
                    f"architecture.{name}: expected at most {MOST_LAYERS} layers of {MOST_UNITS}"
                )
            if isinstance(value, tuple) and 0 in value:
                raise ValueError(f"architecture.{name}: expected layers of at least 1")
        if self.onnx is not None and self.content and self.blobs:
            compared = self.onnx.graph, self.onnx.weights
            if compared != (self.content.get("model.onnx"), self.weights_hash):
                raise ValueError("model.onnx is not the graph that was compared with the weights")
        return self

    @property
    def weights_hash(self) -> str:
        """Hash of the weights of all networks, from those of the content of the file."""
        hashes = [f"{k} {v}" for k, v in sorted(self.content.items()) if k.startswith("member-")]
        return hashlib.sha256("\n".join(hashes).encode()).hexdigest()

    def check_stored(self, stored: int) -> None:
        """Refuse layers that need far more weights than are stored, before any is made.

        Parameters
        ----------
        stored : int
            Number of weights of one network in the file.

        Raises
        ------
        ArtifactError
            If no network with such layers has so few weights.
        """
        stacks = [value for _, value in self.architecture if isinstance(value, tuple)]
        needed = sum(a * b for stack in stacks for a, b in pairwise(_ints(stack)))
        if needed > SMALLEST_SHARE * stored:
            raise ArtifactError(
                f"the card describes layers of about {needed} weights, but {stored} are stored"
            )

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the array groups with the weights of the members."""
        return tuple(name for name in self.arrays if name.startswith("member-"))

    @property
    def nominal(self) -> slice:
        """Networks whose mean is the efficiency: one that saw all events, if others did not."""
        return slice(0, 1) if self.model.resampling == "bootstrap" else slice(None)

    @property
    def averaged(self) -> int:
        """Number of networks whose mean is the efficiency; they are the first ones."""
        return len(self.networks[self.nominal])

    @property
    def hidden(self) -> int:
        """Number of columns of what their last layers see; 0 where that is not known."""
        return self.averaged * self.last_layer.inputs if self.last_layer else 0

    @property
    def replicas(self) -> slice:
        """Networks whose spread is the uncertainty of the efficiency."""
        return slice(1, None) if self.model.resampling == "bootstrap" else slice(None)
