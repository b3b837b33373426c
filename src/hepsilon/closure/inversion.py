"""Closure of efficiency inversion: corrected against generated events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hist.accumulators import WeightedSum

from hepsilon.closure.calibration import calibration_of
from hepsilon.closure.model import (
    InversionClosure,
    InversionEntry,
    InversionObservable,
    InversionOverall,
    Share,
    TruthDistance,
)
from hepsilon.closure.parts import (
    axes_of,
    effective_sizes,
    overall_of,
    share_of,
    truth_distance,
)
from hepsilon.closure.statistic import compare_inversion
from hepsilon.config.task import Task
from hepsilon.efficiencies.card import provenance
from hepsilon.histograms.methods import ALL, GENERATED, SELECTED, TRUTH, one_method
from hepsilon.processors.efficiency_inversion import Correction
from hepsilon.processors.outputs import CorrectionMethod, InversionOutput

__all__ = ["inversion_closure", "naive_chi2"]


def naive_chi2(corrected: Any, generated: Any) -> tuple[float, int]:
    """chi2 and ndf of two weighted histograms as if they were independent.

    The statistic of the reference code, for comparison only: both histograms hold the same events,
    so a perfect efficiency gives about (1 - E) / (1 + E) instead of one.

    Parameters
    ----------
    corrected, generated : Hist
        Histograms of one method each, with sums of squared weights.

    Returns
    -------
    chi2 : float
        Sum over the bins in which both are positive.
    ndf : int
        Number of these bins.
    """
    filled = (generated.values() > 0) & (corrected.values() > 0)
    difference = (corrected.values() - generated.values())[filled]
    variance = (corrected.variances() + generated.variances())[filled]
    return float(np.sum(difference**2 / variance)), int(filled.sum())


def _observables(
    output: InversionOutput, method: CorrectionMethod
) -> dict[str, InversionObservable]:
    """Comparison of every observable; none of measured events."""
    observables: dict[str, InversionObservable] = {}
    if output.exact is None:
        return observables
    for name, histogram in output.observables.items():
        generated, corrected = (one_method(histogram, m) for m in (GENERATED, method.label))
        edges = tuple(axis.edges for axis in generated.axes)
        comparison = compare_inversion(
            edges[0] if len(edges) == 1 else edges,
            corrected.values(),
            generated.values(),
            output.variance(name, method),
            _replicas(output, method.label, name),
        )
        naive, naive_ndf = naive_chi2(corrected, generated)
        observables[name] = InversionObservable(
            **comparison.plain(), naive_chi2=naive, naive_ndf=naive_ndf
        )
    return observables


def _replicas(output: InversionOutput, label: str, name: str) -> Any:
    """Corrected sums in all replicas of E; None of a method that has none."""
    replicas = output.efficiency_replicas.get(label)
    return None if replicas is None else replicas[name].values()


def _total(histogram: Any, label: str) -> WeightedSum:
    """Sum of everything of one method, flow included."""
    total: WeightedSum = one_method(histogram, label).sum(flow=True)
    return total


def _totals(output: InversionOutput, label: str) -> dict[str, WeightedSum]:
    """Sum of everything of every observable."""
    return {name: _total(histogram, label) for name, histogram in output.observables.items()}


def _overall(output: InversionOutput, label: str) -> InversionOverall:
    """Totals of all events."""
    totals: dict[str, Any] = output.totals
    total = totals["weights"][label]
    observed = float(total.value)
    measured = {
        "observed": observed,
        "poisson_error": float(total.variance**0.5),
        "horvitz_thompson_error": float(totals["horvitz_thompson"][label].variance ** 0.5),
    }
    if output.exact is None:
        return InversionOverall(**measured, expected=None, pull=None)
    generated = float(totals["weights"][GENERATED].value)
    variance = float(totals["exact"][label].variance)
    bias, replicas = output.bias.get(label), output.total_replicas.get(label)
    values = None if replicas is None else replicas.values()
    measured.pop("observed")
    return InversionOverall(
        **measured,
        **overall_of(observed, generated, variance, generated, values),
        relative_difference=observed / generated - 1.0 if generated else None,
        # without the noise of the responses, where the truth is known
        relative_bias=bias / generated if bias is not None and generated else None,
    )


def _clipped(output: InversionOutput, label: str, total: float) -> Share:
    """Events below the floor, with their share of the weight."""
    weight = output.clipped_weight.get(label, 0.0)
    return share_of(output.clipped.get(label, 0), weight, total)


def _truth_distance(output: InversionOutput, label: str) -> dict[str, TruthDistance] | None:
    """Distance to the truth of all events; None where it is not known."""
    truth = output.truth
    if truth is None or label == TRUTH:
        return None
    means = (
        one_method(histogram, label) for histogram in (truth.divergence, truth.residual_moments)
    )
    distance = truth_distance(*means)
    return None if distance is None else {ALL: distance}


def _n_replicas(output: InversionOutput, label: str) -> int:
    """Number of replicas of a method; 0 if its own uncertainty is not known."""
    replicas = output.efficiency_replicas.get(label, {})
    return int(next((h.axes["replica"].size for h in replicas.values()), 0))


def _entry(output: InversionOutput, method: CorrectionMethod) -> InversionEntry:
    """Closure of one way to correct."""
    label = method.label
    overall = _overall(output, label)
    outside = output.out_of_domain.get(label, 0)
    n_asked = output.n_selected if method.reconstructed else output.n_events
    optional: dict[str, Any] = {
        "jensen": output.jensen.get(label),
        "truth": _truth_distance(output, label),
        "calibration": calibration_of(output, label),
    }
    return InversionEntry(
        overall=overall,
        observables=_observables(output, method),
        clipped=_clipped(output, label, overall.observed),
        out_of_domain=share_of(
            outside,
            outside,
            n_asked,
            weight=output.outside_weight.get(label),
            of_weight=overall.observed,
        ),
        effective_sample_size=effective_sizes(_totals(output, label)),
        n_replicas=_n_replicas(output, label),
        **{name: value for name, value in optional.items() if value is not None},
    )


def inversion_closure(
    output: InversionOutput,
    task: Task,
    efficiencies: Mapping[str, Correction],
    files: Sequence[str | Path],
) -> InversionClosure:
    """Closure of efficiency inversion from the output of its processor.

    Parameters
    ----------
    output : InversionOutput
        Output of :class:`~hepsilon.processors.EfficiencyInversion` for one dataset.
    task : Task
        Task of the efficiencies.
    efficiencies : mapping of str to SupportsEfficiency or BinByBin
        Efficiencies by name; their hashes are noted.
    files : sequence of str or Path
        Files of the sample.

    Returns
    -------
    InversionClosure
        Content of ``closure.json``.
    """
    repeated = output.n_repeated
    optional: dict[str, Any] = {}
    if repeated is not None:
        optional["repeated_events"] = share_of(repeated, repeated, output.n_selected)
    return InversionClosure(
        task=task,
        efficiency={method.label: _entry(output, method) for method in output.methods},
        n_events=output.n_events,
        n_objects=output.n_events,
        n_selected=output.n_selected,
        n_outside=output.n_outside,
        selected_effective_sample_size=effective_sizes(_totals(output, SELECTED)),
        axes=axes_of(output),
        left_out=output.left_out,
        **optional,
        **provenance(efficiencies, files),
    )
