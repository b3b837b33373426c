"""From trained networks to one artifact, with all that is measured on the way."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.config.file import Config
from hepsilon.data.sources import Files
from hepsilon.data.summary import SampleSummary
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.efficiencies.artifact import write_artifact
from hepsilon.efficiencies.artifact_edits import SAMPLE
from hepsilon.efficiencies.bias import BIAS
from hepsilon.efficiencies.card import SourceFile, noted_observables, versions
from hepsilon.efficiencies.cards import (
    EpochCard,
    ImportanceCard,
    LastLayerCard,
    MemberCard,
    NetworkCard,
    SelectionCard,
    UnusedCard,
)
from hepsilon.efficiencies.engines.choice import keras_backend
from hepsilon.efficiencies.last_layer import LAST_LAYER
from hepsilon.efficiencies.network import REFINEMENT, NetworkEfficiency
from hepsilon.efficiencies.ratio_card import RatioCard
from hepsilon.errors import ConfigError
from hepsilon.export.onnx import add_graph
from hepsilon.networks.build import build_model, weight_names
from hepsilon.training.candidates import unused_fields
from hepsilon.training.held_out import HeldOut
from hepsilon.training.importance import feature_importance
from hepsilon.training.kept import Kept
from hepsilon.training.last_layer import last_layers
from hepsilon.training.preparation import Prepared
from hepsilon.training.ratio_sample import (
    centred,
    network_constants,
    ratio_card,
    ratio_of_logits,
)
from hepsilon.training.readiness import Ready
from hepsilon.training.refinement import Findings, find
from hepsilon.training.state import Epoch, Fit
from hepsilon.uncertainty.last_layer import Covariance

__all__ = ["TrainingResult", "write_result"]

logger = logging.getLogger("hepsilon")
SAMPLE_EVENTS = 2000


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes
    ----------
    efficiency : NetworkEfficiency
        Handle to the written artifact.
    history : tuple of tuple of Epoch
        Epochs of each member.
    best_epochs : tuple of int
        Number of the epoch that was kept, for each member.
    """

    efficiency: NetworkEfficiency
    history: tuple[tuple[Epoch, ...], ...]
    best_epochs: tuple[int, ...]

    @property
    def best_is_last(self) -> tuple[bool, ...]:
        """Whether the last epoch of each member was its best one: more epochs may help."""
        return tuple(member.best_is_last for member in self.efficiency.card.members)


def write_result(
    ready: Ready,
    kept: Kept,
    out: str | Path,
    *,
    files: tuple[SourceFile, ...],
    data: Files | None,
    selection: SelectionCard | None,
) -> TrainingResult:
    """Measure what was trained, and write it.

    Parameters
    ----------
    ready : Ready
        The training.
    kept : Kept
        Its networks.
    out : str or Path
        The artifact to write.
    files : tuple of SourceFile
        Files that the events were read from.
    data : str, Path, Source, iterable of these, or None
        Where these files are now, to look for other fields in them.
    selection : SelectionCard or None
        How the architecture was chosen.

    Returns
    -------
    TrainingResult
        Handle to the artifact, and the losses of all epochs.
    """
    config, sides, seed = ready.config, ready.sides, ready.config.training.seed
    importance = feature_importance(kept, sides[1], seed)
    unused = () if data is None else _unused(kept, data, config)
    findings = find(kept, sides, config.training.refine, seed)
    layers = last_layers(kept)
    held_out = HeldOut(kept, sides, None if layers is None else layers[1], findings.added)
    ratio, of_logits = None, None
    if ready.ratio is not None:
        answers = held_out.answers()
        averaged = held_out.averaged() if config.task.of_densities else answers
        ratio = ratio_card(ready.ratio, answers, config, held_out.events, averaged)
        of_logits = ratio_of_logits(ratio, config) if config.task.of_densities else None
        if of_logits is not None and len(kept.fits) > 1 and config.task.ratio is not None:
            constants = network_constants(held_out.of_networks(), config.task.ratio.clip)
            ratio = ratio.model_copy(update={"network_constants": constants})
        if layers is not None:
            factor, variance = centred(layers[1].factor, answers, ratio, config)
            ratio = ratio.model_copy(update={"variance": variance})
            layers = _normalised(*layers, factor)
    card = _card(
        *(kept, ready.columns, files, ready.summary, selection, importance, unused, findings, ratio)
    )
    arrays = [*(_weights(kept.prepared, fit) for fit in kept.fits), _sample(sides[1])]
    if findings.trees is not None:
        arrays.append(findings.trees.arrays)
    if layers is not None:
        last_layer, covariance = layers
        names = (*card.arrays, LAST_LAYER)
        card = card.model_copy(update={"last_layer": last_layer, "arrays": names})
        arrays.append({"factor": covariance.factor})
    card = card.model_copy(update={"held_out": held_out.closure()})
    if config.training.bias_term:
        bias, shifts = held_out.bias(of_logits)
        card = card.model_copy(update={"bias": bias})
        if shifts:
            card = card.model_copy(update={"arrays": (*card.arrays, BIAS)})
            arrays.append(shifts)
    write_artifact(out, card, dict(zip(card.arrays, arrays, strict=True)))
    efficiency = _with_graph(NetworkEfficiency.load(out))
    return TrainingResult(
        efficiency,
        tuple(tuple(fit.history) for fit in kept.fits),
        tuple(fit.best_epoch for fit in kept.fits),
    )


def _normalised(
    card: LastLayerCard, covariance: Covariance, factor: Array
) -> tuple[LastLayerCard, Covariance]:
    """Covariance of the last layers with another factor."""
    own = card.model_copy(update={"directions": factor.shape[-1]})
    return own, replace(covariance, factor=factor)


def _card(
    kept: Kept,
    columns: TrainingColumns,
    files: tuple[SourceFile, ...],
    summary: SampleSummary,
    selection: SelectionCard | None,
    importance: tuple[ImportanceCard, ...],
    unused: tuple[UnusedCard, ...],
    findings: Findings,
    ratio: RatioCard | None,
) -> NetworkCard:
    prepared, fits = kept.prepared, kept.fits
    config = prepared.config
    members = tuple(
        MemberCard(
            best_epoch=fit.best_epoch,
            history=tuple(EpochCard(**asdict(epoch)) for epoch in fit.history),
        )
        for fit in fits
    )
    return NetworkCard(
        kind="network" if ratio is None else "ratio",
        ratio=ratio,
        task=config.task,
        features=prepared.spec,
        n_events=columns.n_events,
        n_objects=len(columns.nodes),
        passed_rate=columns.passed_rate,
        files=files,
        versions=versions(("keras", keras_backend())),
        arrays=(
            *(f"member-{i}" for i in range(len(fits))),
            SAMPLE,
            *([REFINEMENT] if findings.trees else []),
        ),
        model=config.model,
        architecture=prepared.architecture,
        training=prepared.recipe,
        members=members,
        out_of_fold=kept.out_of_fold(),
        selection=selection,
        importance=importance,
        unused=unused,
        residuals=findings.residuals,
        refinement=findings.refinement,
        regions=findings.regions,
        capacity=prepared.capacity,
        sample=summary,
        input=config.input,
        observables=noted_observables(config.observables),
    )


def _weights(prepared: Prepared, fit: Fit) -> dict[str, Array]:
    """Weights of a fit by the paths of the model's variables."""
    model = build_model(prepared.architecture, prepared.spec, seed=None)
    names = weight_names(model, prepared.architecture)
    return dict(zip(names, fit.weights, strict=True))


def _sample(validation: TrainingColumns) -> dict[str, Array]:
    """Some validation events, on which other backends and precisions are compared."""
    events = validation.between(0, min(SAMPLE_EVENTS, validation.n_events))
    return {name: np.array(getattr(events, name)) for name in ("offsets", "nodes", "weights")}


def _unused(kept: Kept, data: Files, config: Config) -> tuple[UnusedCard, ...]:
    """Fields that explain something; what hinders the test must not cost a finished training."""
    try:
        found = unused_fields(kept, data, config)
    except Exception as error:  # files hold columns of any kind, and were read long ago
        logger.warning("other fields of the files could not be tested: %s", error)
        return ()
    for each in found:
        logger.warning("%s is no feature, but explains what is left: %s", each.field, each)
    return found


def _with_graph(efficiency: NetworkEfficiency) -> NetworkEfficiency:
    """Add an ONNX graph to an artifact where it can be made; without one Keras evaluates it."""
    try:
        return add_graph(efficiency, efficiency.path)
    except ConfigError as error:
        logger.info("%s is for Keras only: %s", efficiency.path, error)
    except Exception as error:  # the converter raises many kinds for what it does not know
        logger.warning("%s has no ONNX graph: %s", efficiency.path, error)
    return efficiency
