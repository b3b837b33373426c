"""Where the training of a network starts: at the rates of the sample, not at one half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logit

from hepsilon.arrays.types import Array
from hepsilon.data.features import FeatureSpec
from hepsilon.data.training_columns import TrainingColumns
from hepsilon.networks.architecture import Architecture
from hepsilon.training.loss import object_loss_weights
from hepsilon.training.resampling import Resampling

if TYPE_CHECKING:
    import keras

__all__ = ["Start", "start_at", "starting_points"]

FACTOR_OFFSET = 2.0
"""Logit that :func:`hepsilon.networks.track_layers.log_factor` adds to that of every factor."""


@dataclass(frozen=True)
class Start:
    """Output of a network that knows no more than the rates of a sample.

    Attributes
    ----------
    logits : ndarray of float64, shape (working_points,)
        Biases of the last layer: logits of the rates of all objects.
    rates : ndarray of float64, shape (categories, working_points)
        Differences of the logits of each category to them; empty for a network without a table.
    """

    logits: Array
    rates: Array


def starting_points(
    columns: TrainingColumns,
    architecture: Architecture,
    spec: FeatureSpec,
    mu: float,
    resampling: Resampling | None = None,
    networks: Sequence[int] = (0,),
) -> list[Start]:
    """Count once, for all networks of an ensemble, what each of them starts at.

    A sample has half an entry more in each bin, so that an empty one is no infinity, and a category
    has one entry more, shared as in the sample: one without objects starts at the rate of all.

    Parameters
    ----------
    columns : TrainingColumns
        Training events.
    architecture : Architecture
        Working points, and whether there is one response for all objects of an event.
    spec : FeatureSpec
        Features of the objects.
    mu : float
        Weight of the objects that did not pass (paper Eq. 5).
    resampling : Resampling, optional
        How often each network sees each event; by default once.
    networks : sequence of int, default (0,)
        Numbers of the networks.

    Returns
    -------
    list of Start
        For each network.
    """
    resampling = resampling or Resampling()
    several = networks if resampling.kind != "none" else networks[:1]  # the others are equal
    column = spec.category if architecture.rates else None
    codes = [] if column is None else spec.features[column].categories
    sums = np.zeros((len(several), len(codes) + 1, architecture.working_points + 1))
    squares = np.zeros(sums.shape[:2])
    for block in columns.blocks():
        counts = np.diff(block.offsets)
        weights = object_loss_weights(np.abs(block.weights), counts, block.passed, mu)
        bins = block.passed.astype(np.int64)
        groups = [np.ones(len(bins), np.bool_)]
        groups += [block.nodes[:, column] == code for code in codes]
        for i, network in enumerate(several):
            seen = weights * np.repeat(resampling.counts(block.keys, network), counts)
            for j, group in enumerate(groups):
                own = seen[group]
                sums[i, j] += np.bincount(bins[group], weights=own, minlength=sums.shape[2])
                squares[i, j] += np.sum(own**2)
    found = [_start(*each, architecture, columns) for each in zip(sums, squares, strict=True)]
    return found * (len(networks) // len(found))


def _start(
    sums: Array, squares: Array, architecture: Architecture, columns: TrainingColumns
) -> Start:
    """Logits of the sums of weights of all objects (first row) and of each category."""
    # one entry of the effective number
    entry = np.divide(squares, sums.sum(axis=1), out=np.zeros(len(squares)), where=squares > 0.0)
    total = sums[0] + 0.5 * entry[0]
    logits = np.log(total[1:] / total[0])
    shared = np.where(entry[1:] > 0.0, entry[1:], 1.0)[:, None] * (total / total.sum())
    own = sums[1:] + shared
    rates = np.log(own[:, 1:] / own[:, :1]) - logits
    if architecture.of_events and architecture.objects is None:
        mean = len(columns.nodes) / columns.n_events  # the product of so many equal factors
        shares = np.exp(-np.logaddexp(0.0, -logits) / mean)
        logits = logit(shares) - FACTOR_OFFSET
    return Start(np.asarray(logits), rates)


def start_at(model: keras.Model, start: Start) -> None:
    """Set the biases of the last layer of a network, and its table of rates, where it has them.

    A product of factors starts with all of them near one.

    Parameters
    ----------
    model : keras.Model
        Network with initial weights.
    start : Start
        Where it starts.
    """
    for layer in model.layers:
        if layer.name == "logit":
            layer.bias.assign(start.logits)
        elif layer.name == "rates":
            layer.table.assign(start.rates)
