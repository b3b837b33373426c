"""Statistics that truth tagging gains, and what the efficiency's own uncertainty leaves of it.

A sum of weights S with the variance V is worth as much as ``S^2 / V`` events of equal weight. For
direct tagging V is the sum of the squared weights of the tagged events. For truth tagging it is
that of all events, each weighted with its probability (paper Fig. 1 and introduction), plus the
variance of S over the replicas of the efficiency: an error of the efficiency moves all events of
a bin together, so it does not shrink with their number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hepsilon.arrays.statistics import effective_sample_size
from hepsilon.arrays.types import Array
from hepsilon.closure.model import Gain, TotalGain
from hepsilon.histograms.methods import ALL, DIRECT, TAG_COUNTS, part_of
from hepsilon.processors.outputs import TaggingOutput

__all__ = ["efficiency_variance", "n_replicas", "statistics_gain"]

Sums = tuple[Array, Array]
"""Values and variances."""


def efficiency_variance(
    output: TaggingOutput, method: str, name: str, category: str = ALL, *, total: bool = False
) -> Array:
    """Variance of the bins of an observable (or of their sum) over a method's replicas.

    Parameters
    ----------
    output : TaggingOutput
        Output of :class:`hepsilon.processors.TruthTagging` for one dataset.
    method, name : str
        Method and observable.
    category : str, default ALL
        Category or selection.
    total : bool, default False
        Whether to take the sum of all bins, flow included, as one bin.

    Returns
    -------
    ndarray of float64, shape of the bins, or (1,)
        Zero for methods that know no uncertainty of their own.
    """
    replicas = output.efficiency_replicas.get(method)
    if replicas is None:
        shape = part_of(output.observables[name], method=method, category=category).shape
        return np.zeros(1 if total else shape)
    filled = part_of(replicas[name], category=category)
    values = filled.values(flow=total)
    if total:
        values = values.reshape(len(values), -1).sum(axis=1, keepdims=True)
    return np.asarray(np.var(values, axis=0, ddof=1))


def statistics_gain(output: TaggingOutput, method: str) -> dict[str, Gain]:
    """Effective events of direct and of truth tagging in every bin, and of all bins together.

    Parameters
    ----------
    output : TaggingOutput
        Output of :class:`hepsilon.processors.TruthTagging` for one dataset.
    method : str
        Efficiency.

    Returns
    -------
    dict of str to Gain
        Numbers for every ``OBSERVABLE`` and ``OBSERVABLE|CATEGORY``; those of the numbers of tags
        have no total, because their bins share events.
    """
    gains = {}
    for name, filled in output.observables.items():
        for category in filled.axes["category"]:
            key = name if category == ALL else f"{name}|{category}"
            direct, tagged = (
                part_of(filled, method=m, category=category) for m in (DIRECT, method)
            )
            bins = _effective(
                (direct.values(), direct.variances()),
                (tagged.values(), tagged.variances()),
                efficiency_variance(output, method, name, category),
            )
            plain = {kind: numbers.tolist() for kind, numbers in bins.items()}
            if name == TAG_COUNTS:
                gains[key] = Gain(**plain)
                continue
            before, after = (_total(h) for h in (direct, tagged))
            spread = efficiency_variance(output, method, name, category, total=True)
            total = {k: float(v[0]) for k, v in _effective(before, after, spread).items()}
            gain = total["truth_tagged"] / total["direct"] if total["direct"] else None
            gains[key] = Gain(**plain, total=TotalGain(**total, gain=gain))
    return gains


def n_replicas(output: TaggingOutput, method: str) -> int:
    """Number of replicas of a method; 0 if its own uncertainty is not known.

    Parameters
    ----------
    output : TaggingOutput
        Output of the processor.
    method : str
        Label of the method.

    Returns
    -------
    int
        Number of replicas.
    """
    replicas = output.efficiency_replicas.get(method, {})
    return int(next((h.axes["replica"].size for h in replicas.values()), 0))


def _total(histogram: Any) -> Sums:
    """Sum of all bins, flow included, as one bin."""
    total = histogram.sum(flow=True)
    return np.array([total.value]), np.array([total.variance])


def _effective(direct: Sums, tagged: Sums, spread: Array) -> dict[str, Array]:
    """Effective events of each kind in :class:`Gain`."""
    return {
        "direct": effective_sample_size(*direct),
        "truth_tagged": effective_sample_size(tagged[0], tagged[1] + spread),
        "weights_only": effective_sample_size(*tagged),
    }
