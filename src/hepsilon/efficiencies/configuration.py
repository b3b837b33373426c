"""The configuration that an artifact was made with, as far as its card tells."""

from __future__ import annotations

from typing import Any

from hepsilon.config.file import Branch, Config, InputConfig
from hepsilon.config.task import Task
from hepsilon.data.units import IN_GEV, is_momentum
from hepsilon.efficiencies.card import ArtifactCard
from hepsilon.errors import ConfigError

__all__ = ["config_of_card"]

BINNED = ("map", "factorised-map", "ratio-map")
"""Kinds whose edges are those of the section [map]."""


def config_of_card(card: ArtifactCard, *, learning: bool = True) -> Config:
    """Rebuild the configuration of an artifact.

    Parameters
    ----------
    card : ArtifactCard
        Card of the artifact.
    learning : bool, default True
        Whether to give the sections [model] and [training] of networks, too. An architecture of
        one's own has to be registered for that.

    Returns
    -------
    Config
        Task, input and observables; of networks the model and the whole training, of maps the
        binning. Where the card does not say where the columns were, the names of NanoAOD are
        assumed.
    """
    parts: dict[str, Any] = {"task": card.task.without_side, "observables": card.observables}
    config = card.input or InputConfig(schema="nanoaod")
    names = [name for name, branch in config.branches.items() if _is_read(name, branch, card)]
    read = {name: config.branches[name] for name in names}
    parts["input"] = config.model_copy(update={"branches": read})
    for name in ("model", "training") if learning else ():
        if hasattr(card, name):
            parts[name] = getattr(card, name).model_dump()
    if card.kind in BINNED:
        edges: dict[str, tuple[float, ...]] = getattr(card, "edges", {})
        axes = {name: {"edges": _in_unit(name, e, card.task)} for name, e in edges.items()}
        parts["map"] = {"axes": axes}
    return Config.model_validate(parts)


def _is_read(name: str, branch: Branch, card: ArtifactCard) -> bool:
    """Whether anything reads a branch: a factorised map has fewer features than its file had."""
    try:
        Config(
            task=card.task,
            input=InputConfig(schema="nanoaod", branches={name: branch}),
            observables=card.observables,
        )
    except ConfigError:
        return False
    return True


def _in_unit(name: str, edges: tuple[float, ...], task: Task) -> tuple[float, ...]:
    """Edges in the unit of the task, from those of a map, which are in GeV."""
    factor = IN_GEV[task.unit] if is_momentum(name) else 1.0
    return tuple(edge / factor for edge in edges)
