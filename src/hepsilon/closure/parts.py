"""Parts of a closure that both use cases share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hepsilon.arrays.statistics import effective_sample_size
from hepsilon.arrays.types import Array
from hepsilon.closure.model import AxisClosure, Share, TruthDistance
from hepsilon.processors.outputs import Output

__all__ = [
    "axes_of",
    "effective_sizes",
    "number",
    "overall_of",
    "pull_of",
    "share_of",
    "truth_distance",
]


def number(value: Any) -> float | None:
    """A finite number; None for NaN and infinity, which JSON does not have."""
    return float(value) if np.isfinite(value) else None


def pull_of(observed: float, expected: float, variance: float) -> float | None:
    """Difference in units of its error; None without variance.

    Parameters
    ----------
    observed, expected : float
        Sums of weights.
    variance : float
        Variance of their difference.

    Returns
    -------
    float or None
        Pull, without a unit.
    """
    return (observed - expected) / variance**0.5 if variance > 0 else None


def overall_of(
    observed: float, expected: float, variance: float, scale: float, replicas: Array | None
) -> dict[str, Any]:
    """Numbers of the totals, with the efficiency's own error where it has replicas.

    Parameters
    ----------
    observed, expected : float
        Sums of weights.
    variance : float
        Variance of their difference if the efficiency is true.
    scale : float
        Sum that errors are relative to.
    replicas : ndarray of float64, shape (n_replicas,), or None
        The sum that the efficiency gives, in all replicas.

    Returns
    -------
    dict of str to object
        Fields of :class:`hepsilon.closure.model.Overall`.
    """
    own = 0.0 if replicas is None else float(np.var(replicas, ddof=1))
    total = variance + own
    numbers = {
        "expected": expected,
        "observed": observed,
        "pull": pull_of(observed, expected, total),
        "relative_error": total**0.5 / abs(scale) if scale and total >= 0 else None,
    }
    if replicas is not None:
        numbers["efficiency_error"] = own**0.5 / abs(scale) if scale else None
        numbers["sample_pull"] = pull_of(observed, expected, variance)
    return numbers


def share_of(
    count: int,
    part: float,
    total: float,
    *,
    weight: float | None = None,
    of_weight: float = 0.0,
) -> Share:
    """A count, and the share ``part / total``; zero of nothing.

    Parameters
    ----------
    count : int
        Number of objects or events.
    part : float
        Their sum of weights.
    total : float
        Sum of weights of all.
    weight, of_weight : float, optional
        Sums of the weights that an efficiency gives them, and all.

    Returns
    -------
    Share
        Count and shares.
    """
    known = {} if weight is None or not of_weight else {"weight": weight / of_weight}
    return Share(count=count, share=part / total if total else 0.0, **known)


def effective_sizes(totals: Mapping[str, Any]) -> dict[str, float]:
    """Effective number of entries of every observable.

    Parameters
    ----------
    totals : mapping of str to hist.accumulators.WeightedSum
        Sum of all weights of each observable, flow included.

    Returns
    -------
    dict of str to float
        Effective numbers by observable.
    """
    return {k: float(effective_sample_size(t.value, t.variance)) for k, t in totals.items()}


def axes_of(output: Output) -> dict[str, AxisClosure]:
    """Axes of every observable, with the entries that they do not show.

    Parameters
    ----------
    output : Output
        Output of a processor.

    Returns
    -------
    dict of str to AxisClosure
        By observable.
    """
    axes = {}
    for name, counts in output.entry_counts.items():
        filled = output.observables[name].axes[-len(counts.names) :]
        axes[name] = AxisClosure(
            names=list(counts.names),
            edges=[axis.edges.tolist() for axis in filled],
            unit=list(counts.units),
            origin=list(counts.origins),
            entries=counts.entries,
            not_a_number=counts.not_a_number,
            outside=[n / counts.entries if counts.entries else 0.0 for n in counts.outside],
        )
    return axes


def truth_distance(divergence: Any, residual: Any) -> TruthDistance | None:
    """Distance to the truth from two means; None without entries.

    Parameters
    ----------
    divergence : hist.accumulators.Mean
        Mean divergence; infinite where what happens is said to be impossible.
    residual : hist.accumulators.Mean
        Mean relative residual.

    Returns
    -------
    TruthDistance or None
        Numbers for ``closure.json``.
    """
    if not divergence.count > 0:
        return None
    return TruthDistance(
        divergence=number(divergence.value),
        residual_mean=number(residual.value) if residual.count > 0 else None,
        residual_rms=number(np.sqrt(residual.variance)) if residual.count > 1 else None,
    )
