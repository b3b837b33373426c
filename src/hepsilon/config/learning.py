"""Settings of the learning: model, training, and the binning of maps."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from hepsilon.config.architectures import Parameter
from hepsilon.config.records import Record

__all__ = ["BinAxis", "MapConfig", "ModelConfig", "Recipe", "TrainingConfig"]


MOST_BINS = 5_000_000
"""Bins that a map may have."""


class _RegularBins(Record):
    bins: Annotated[StrictInt, Field(ge=1, le=MOST_BINS)]
    min: StrictFloat
    max: StrictFloat


class BinAxis(Record):
    """Binning of one feature: ``edges``, or ``bins`` equal ones between ``min`` and ``max``.

    Attributes
    ----------
    edges : tuple of float
        Increasing edges of the bins, at least two, in the unit of the feature. In place of them the
        keys ``bins``, ``min`` and ``max`` may be given.
    """

    edges: Annotated[tuple[StrictFloat, ...], Field(min_length=2)]

    @model_validator(mode="before")
    @classmethod
    def _regular(cls, data: Any) -> Any:
        if isinstance(data, dict) and set(data) == {"bins", "min", "max"}:
            regular = _RegularBins.model_validate(data)
            return {"edges": np.linspace(regular.min, regular.max, regular.bins + 1).tolist()}
        return data

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if any(a >= b for a, b in pairwise(self.edges)):
            raise ValueError("expected increasing bin edges")
        return self


class MapConfig(Record):
    """Binning of a map; the default is that of the paper's public code.

    Attributes
    ----------
    axes : dict of str to BinAxis
        Binning of each feature, by its name.
    """

    axes: Annotated[dict[str, BinAxis], Field(min_length=1)] = {
        "pt": BinAxis.model_validate({"bins": 19, "min": 20.0, "max": 600.0}),
        "eta": BinAxis.model_validate({"bins": 10, "min": -2.5, "max": 2.5}),
    }

    @model_validator(mode="after")
    def _fits_memory(self) -> Self:
        bins = prod(len(axis.edges) - 1 for axis in self.axes.values())
        if bins > MOST_BINS:
            raise ValueError(f"expected at most {MOST_BINS} bins, received {bins}")
        return self


class ModelConfig(Record):
    """Architecture of the networks, and the preset of their sizes and training.

    Attributes
    ----------
    architecture : str
        ``"gnn"``, a graph network in which the objects of an event see each other; ``"mlp"``, a
        plain network of each object alone, or of all objects of an event with a fixed number of
        them; ``"product"``, efficiencies of events as a product of factors of objects and pairs; or
        one of your own (see :func:`hepsilon.networks.register_architecture`).
        With ``"auto"`` those that fit the task are trained briefly, and the best one fully (see
        :mod:`hepsilon.training.selection_of_models`).
    candidates : tuple of str or None
        Architectures that ``"auto"`` compares, also your own, those first that are preferred where
        the losses do not differ; None for all of hepsilon's that fit the task, from the cheapest.
    parameters : dict of str to bool, int, float or str
        Parameters of an architecture of your own; those that are left out have its defaults.
    preset : {"fast", "paper"}
        Sizes of the network and values of the training where none are given; ``"paper"`` has those
        of the paper.
    members : int
        Number of networks, whose mean is the efficiency; with bootstrap samples the number of
        replicas, beside one more network.
    resampling : {"none", "folds", "bootstrap"}
        Events that each network is trained on. ``"none"``: all but the validation events.
        ``"folds"``: all but those of its own fold, one of as many as there are members, on which it
        is validated; every event is used by all members but one. ``"bootstrap"``: each member is
        trained on a bootstrap sample, for the statistical error alone; the efficiency is that of
        one more network, which is trained on all events.
    bootstrap : bool
        Short for ``resampling = "bootstrap"``.
    width : int or None
        Width of each graph block, or of each hidden layer of the other architectures; None for the
        preset's.
    blocks : int or None
        Number of graph blocks or hidden layers; None for the preset's.
    pair_features : bool or None
        Give the pair network of the GNN the differences (d_eta, wrapped d_phi, delta R) of the
        pair; None for the preset's choice.
    """

    architecture: Annotated[StrictStr, Field(min_length=1)] = "auto"
    candidates: Annotated[tuple[StrictStr, ...], Field(min_length=1)] | None = None
    parameters: dict[str, Parameter] = {}
    preset: Literal["fast", "paper"] = "fast"
    members: Annotated[StrictInt, Field(ge=1, le=1000)] = 1
    resampling: Literal["none", "folds", "bootstrap"] = "none"
    bootstrap: StrictBool = False
    width: Annotated[StrictInt, Field(ge=2, le=10_000)] | None = None
    blocks: Annotated[StrictInt, Field(ge=1, le=100)] | None = None
    pair_features: StrictBool | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_for_bootstrap(cls, data: Any) -> Any:
        """Fill in which of the two keys is missing; both that are given must say one thing."""
        if not isinstance(data, dict) or "bootstrap" not in data:
            named = isinstance(data, dict) and data.get("resampling") == "bootstrap"
            return {**data, "bootstrap": True} if named else data
        drawn, named = data["bootstrap"], data.get("resampling")
        if named is None and drawn is True:
            return {**data, "resampling": "bootstrap"}
        if isinstance(drawn, bool) and named is not None and drawn != (named == "bootstrap"):
            raise ValueError(
                f"bootstrap = {str(drawn).lower()} contradicts resampling = {named!r}; "
                "leave bootstrap out"
            )
        return data

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> Self:
        if self.architecture == "auto" and self.parameters:
            raise ValueError('parameters are for a named architecture, not for "auto"')
        names = self.candidates
        if names is not None and self.architecture != "auto":
            raise ValueError(
                f'candidates are for architecture = "auto", received {self.architecture!r}'
            )
        if names is not None and (len(set(names)) < len(names) or {"auto", "map"} & set(names)):
            raise ValueError(
                f"candidates: expected distinct names of networks, received {list(names)}; the map "
                "is always compared"
            )
        return self

    @model_validator(mode="after")
    def _enough_folds(self) -> Self:
        if self.resampling == "folds" and self.members < 2:
            raise ValueError(
                f'resampling = "folds" needs members of 2 or more, received {self.members}'
            )
        return self


class TrainingConfig(Record):
    """Settings of the training; None leaves the value to the preset.

    Attributes
    ----------
    epochs : int or None
        Largest number of epochs; the best one on the validation events is kept.
    patience : int or None
        Stop after so many epochs without a better validation loss.
    batch_events : int or None
        Events per step.
    learning_rate : float or None
        Peak of the schedule (linear warm-up, then cosine to zero).
    weight_decay : float or None
        Decoupled weight decay (AdamW) of the kernels; of a product not of its plain factors, but of
        what is added to them.
    l1, l2 : float
        Factors of the sums of absolute and of squared weights that are added to the loss, of those
        weights that decay.
    ema : float or None
        Decay per step of the averaged weights that are validated and kept; 0 for none. Short
        trainings use less: the average spans at most a tenth of all steps.
    mu : float
        Weight of the objects that did not pass (paper Eq. 5); the output is corrected back.
    loss : {"cross_entropy", "square"}
        Loss that the steps lower. ``"square"``, the squared difference of response and probability
        (one working point), has its minimum at the same function, and no entry, however unlikely,
        adds more than its weight. Epochs are compared by the cross-entropy in any case.
    precision : {"float32", "bfloat16"}
        Precision of the matrix products in the training; all else is float32, and so is the
        network that is kept. ``"bfloat16"`` pays on hardware that multiplies in it.
    validation : float
        Share of the events, chosen by the hash of (run, luminosityBlock, event); not used with
        ``resampling = "folds"``.
    seed : int
        Seed of initial weights and shuffling.
    refine : bool
        Fit boosted trees to what the network leaves, and make them a stage of the efficiency where
        the loss out of fold falls by more than twice its error (see
        :mod:`hepsilon.training.refinement`).
    bias_term : bool
        Look for a bias by region at the end of the training, which replicas contain then (see
        :mod:`hepsilon.uncertainty.bias`).
    """

    epochs: Annotated[StrictInt, Field(ge=1)] | None = None
    patience: Annotated[StrictInt, Field(ge=1)] | None = None
    batch_events: Annotated[StrictInt, Field(ge=1)] | None = None
    learning_rate: Annotated[StrictFloat, Field(gt=0)] | None = None
    weight_decay: Annotated[StrictFloat, Field(ge=0)] | None = None
    l1: Annotated[StrictFloat, Field(ge=0)] = 0.0
    l2: Annotated[StrictFloat, Field(ge=0)] = 0.0
    ema: Annotated[StrictFloat, Field(ge=0, lt=1)] | None = None
    mu: Annotated[StrictFloat, Field(gt=0)] = 1.0
    loss: Literal["cross_entropy", "square"] = "cross_entropy"
    precision: Literal["float32", "bfloat16"] = "float32"
    validation: Annotated[StrictFloat, Field(gt=0, lt=1)] = 0.1
    seed: Annotated[StrictInt, Field(ge=0, lt=2**64)] = 1
    refine: StrictBool = False
    bias_term: StrictBool = True


class Recipe(TrainingConfig):
    """Complete training configuration, in which no value is left to the preset.

    Attributes
    ----------
    epochs : int
        Largest number of epochs.
    patience : int
        Number of epochs without a better validation loss after which the training stops.
    batch_events : int
        Events per step.
    learning_rate : float
        Peak of the schedule.
    weight_decay : float
        Decoupled weight decay (AdamW).
    ema : float
        Decay per step of the averaged weights; 0 for none.
    """

    epochs: Annotated[StrictInt, Field(ge=1)]
    patience: Annotated[StrictInt, Field(ge=1)]
    batch_events: Annotated[StrictInt, Field(ge=1)]
    learning_rate: Annotated[StrictFloat, Field(gt=0)]
    weight_decay: Annotated[StrictFloat, Field(ge=0)]
    ema: Annotated[StrictFloat, Field(ge=0, lt=1)]
