"""What truth tagging gains in statistics, and what the efficiency's own uncertainty leaves of it.

A sum of weights S with the variance V is worth as much as ``S^2 / V`` events of equal weight. For
direct tagging V is the sum of the squared weights of the tagged events. For truth tagging it is
that of all events, each weighted with its probability (paper Fig. 1 and introduction), plus the
variance of S over the replicas of the efficiency: an error of the efficiency moves all events of
a bin together, so it does not shrink with their number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.histograms.methods import ALL, DIRECT, TAG_COUNTS

__all__ = ["effective_events", "efficiency_variance", "n_replicas", "statistics_gain"]


def effective_events(values: Array, variances: Array) -> Array:
    """``S^2 / V``, 0 where there is no variance."""
    out = np.zeros(np.shape(values))
    np.divide(np.square(values), variances, out=out, where=np.asarray(variances) > 0.0)
    return out


def efficiency_variance(
    output: Mapping[str, Any], method: str, name: str, category: str = ALL, *, total: bool = False
) -> Array:
    """Variance of the bins of an observable (or of their sum) over a method's replicas.

    Zero for methods that know no uncertainty of their own.

    Parameters
    ----------
    output : mapping of str to object
        Of :class:`hepsilon.processors.TruthTagging` for one dataset.
    method, name, category : str or str, default ALL
        Of the histogram.
    total : bool, default False
        The sum over all bins, flow included, as one bin.
    """
    replicas = output["efficiency_replicas"].get(method)
    if replicas is None:
        shape = output["observables"][name][{"method": method, "category": category}].shape
        return np.zeros(1 if total else shape)
    filled = replicas[name][{"category": category}]
    values = filled.values(flow=total)
    if total:
        values = values.sum(axis=1, keepdims=True)
    return np.asarray(np.var(values, axis=0, ddof=1))


def statistics_gain(output: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Effective events of direct and of truth tagging in every bin, and of all bins together.

    Returns
    -------
    dict
        For every ``OBSERVABLE`` and ``OBSERVABLE|CATEGORY`` the lists ``direct``, ``truth_tagged``
        and ``weights_only`` (without the efficiency's uncertainty), and ``total``, the same of the
        sum with the ratio ``gain`` (None without direct tags).
    """
    found: dict[str, Any] = {}
    for name, filled in output["observables"].items():
        for category in filled.axes["category"]:
            key = name if category == ALL else f"{name}|{category}"
            direct, tagged = (filled[{"method": m, "category": category}] for m in (DIRECT, method))
            bins = _entry(
                (direct.values(), direct.variances()),
                (tagged.values(), tagged.variances()),
                efficiency_variance(output, method, name, category),
            )
            found[key] = {k: v.tolist() for k, v in bins.items()}
            if name == TAG_COUNTS:  # its bins share events
                continue
            sums = [h.sum(flow=True) for h in (direct, tagged)]
            before, after = ((np.array([s.value]), np.array([s.variance])) for s in sums)
            spread = efficiency_variance(output, method, name, category, total=True)
            total = {k: float(v[0]) for k, v in _entry(before, after, spread).items()}
            gain = total["truth_tagged"] / total["direct"] if total["direct"] else None
            found[key]["total"] = total | {"gain": gain}
    return found


def n_replicas(output: Mapping[str, Any], method: str) -> int:
    """Number of replicas of a method; 0 if its own uncertainty is not known."""
    replicas = output["efficiency_replicas"].get(method, {})
    return int(next((h.axes["replica"].size for h in replicas.values()), 0))


def _entry(
    direct: tuple[Array, Array], tagged: tuple[Array, Array], spread: Array
) -> dict[str, Array]:
    return {
        "direct": effective_events(*direct),
        "truth_tagged": effective_events(tagged[0], tagged[1] + spread),
        "weights_only": effective_events(*tagged),
    }
