"""Expected against available events of a task of events, by region, for its inversion.

Where E is small, few events that passed stand for many: the sum of ``w / E`` of those that passed
says how well the inversion does there, on events that the networks were not trained on. Its
relative statistical error on the *training* events, ``sqrt(sum((1 - E) / E w^2)) / sum(w)``, is
irreducible: another network does not make it smaller, more training events there do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.efficiencies.refinement_cards import RegionCard
from hepsilon.training.refinement_entries import Entries

__all__ = ["regions"]

EFFICIENCIES = (0.0, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Bounds of the regions in E."""
QUANTILES = 5
"""Regions in pt, with equal numbers of training events."""
MOMENTUM = "pt smallest"


def regions(
    training: Entries, validation: Entries, names: Sequence[str], share: float = 1.0
) -> tuple[RegionCard, ...]:
    """Sum 1/E of the events that passed, in regions of E and of the smallest pt.

    Parameters
    ----------
    training : Entries
        Events of the training.
    validation : Entries
        Events that the networks were not trained on.
    names : sequence of str
        Names of the inputs of the entries.
    share : float, default 1.0
        Share of the training events that ``training`` has; numbers and errors are those of all.

    Returns
    -------
    tuple of RegionCard
        Those with events; the first one has all events.
    """
    eps = training.eps[:, 0], validation.eps[:, 0]
    found = _in_regions("E", eps, (0.0, 1.0), training, validation, share)
    found += _in_regions("E", eps, EFFICIENCIES, training, validation, share)
    if MOMENTUM in names:
        column = list(names).index(MOMENTUM)
        values = training.inputs[:, column], validation.inputs[:, column]
        edges = np.unique(np.quantile(values[0], np.linspace(0.0, 1.0, QUANTILES + 1)))
        found += _in_regions(MOMENTUM, values, edges, training, validation, share)
    return tuple(found)


def _in_regions(
    variable: str,
    values: tuple[Array, Array],
    edges: Sequence[float] | Array,
    training: Entries,
    validation: Entries,
    share: float,
) -> list[RegionCard]:
    inner = np.asarray(edges, np.float64)[1:-1]
    place = [np.searchsorted(inner, x, side="right") for x in values]
    found = []
    for number in range(len(edges) - 1):
        old, new = (np.flatnonzero(x == number) for x in place)
        available = float(np.sum(validation.weights[new]))
        total = float(np.sum(training.weights[old]))
        if not available > 0.0 or not total > 0.0:
            continue
        spread = _error(training.weights[old], training.eps[old, 0])
        weights, eps = validation.weights[new], validation.eps[new, 0]
        found.append(
            RegionCard(
                variable=variable,
                low=float(edges[number]),
                high=float(edges[number + 1]),
                available=available,
                expected=float(np.sum(weights * (validation.passed[new] > 0) / eps)),
                error=_error(weights, eps),
                training_error=float(spread * np.sqrt(share) / total),
                n_events=len(new),
                n_training=round(len(old) / share),
            )
        )
    return found


def _error(weights: Array, eps: Array) -> float:
    return float(np.sqrt(np.sum(weights**2 * (1.0 - eps) / eps)))
