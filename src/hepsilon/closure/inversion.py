"""Closure of efficiency inversion: corrected against generated events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hepsilon.closure.statistic import compare_inversion
from hepsilon.config.task import Task
from hepsilon.efficiencies.artifact import provenance
from hepsilon.histograms.methods import GENERATED, SELECTED, TRUTH
from hepsilon.processors.efficiency_inversion import BUILT_IN

__all__ = ["inversion_report", "naive_chi2"]


def naive_chi2(corrected: Any, generated: Any) -> tuple[float, int]:
    """chi2 and ndf of two weighted histograms as if they were independent.

    The statistic of the reference code, for comparison only: both histograms hold the same events,
    so a perfect efficiency gives about (1 - E) / (1 + E) instead of one.
    """
    filled = (generated.values() > 0) & (corrected.values() > 0)
    difference = (corrected.values() - generated.values())[filled]
    variance = (corrected.variances() + generated.variances())[filled]
    return float(np.sum(difference**2 / variance)), int(filled.sum())


def _observables(output: Mapping[str, Any], method: str) -> dict[str, Any]:
    found = {}
    for name, histogram in output["observables"].items():
        generated, corrected = (histogram[{"method": m}] for m in (GENERATED, method))
        # of reconstructed momenta there is no exact variance: that of the selected events
        exact = "horvitz_thompson" if "@" in method else "exact"
        variance = output[exact][name][{"method": method}].variances()
        edges = tuple(axis.edges for axis in generated.axes)
        comparison = compare_inversion(
            edges[0] if len(edges) == 1 else edges,
            corrected.values(),
            generated.values(),
            variance,
        )
        naive, naive_ndf = naive_chi2(corrected, generated)
        found[name] = comparison.as_dict() | {"naive_chi2": naive, "naive_ndf": naive_ndf}
    return found


def _total(histogram: Any, method: str) -> Any:
    return histogram[{"method": method}].sum(flow=True)


def _overall(output: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Totals, flow included, of the first observable of events; None where nothing is known."""
    (name,) = output["reference"]
    total = _total(output["observables"][name], method)
    overall: dict[str, Any] = {
        "observed": float(total.value),
        "poisson_error": float(total.variance**0.5),
        "horvitz_thompson_error": float(
            _total(output["horvitz_thompson"][name], method).variance ** 0.5
        ),
    }
    if "exact" not in output:
        return overall | {"expected": None, "pull": None}
    generated = float(_total(output["observables"][name], GENERATED).value)
    variance = float(_total(output["exact"][name], method).variance)
    pull = (overall["observed"] - generated) / variance**0.5 if variance > 0 else None
    bias = output["bias"].get(method)
    return overall | {
        "expected": generated,
        "pull": pull,
        "relative_difference": overall["observed"] / generated - 1.0 if generated else None,
        "relative_error": variance**0.5 / generated if generated else None,
        # without the noise of the responses, where the truth is known
        "relative_bias": bias / generated if bias is not None and generated else None,
    }


def _clipped(output: Mapping[str, Any], method: str, total: float) -> dict[str, Any]:
    weight = output["clipped_weight"].get(method, 0.0)
    count = output["clipped"].get(method, 0)
    return {"count": count, "share": weight / total if total else 0.0}


def _truth_distance(output: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Divergence from the truth and relative residuals."""
    if "divergence" not in output or method not in output["divergence"].axes["method"]:
        return {}
    divergence, residual = (
        output[key][{"method": method}] for key in ("divergence", "residual_moments")
    )
    if not divergence.count > 0:
        return {}
    spread = float(np.sqrt(residual.variance)) if residual.count > 1 else None
    mean = residual.value if residual.count > 0 else None
    found = {"divergence": divergence.value, "residual_mean": mean, "residual_rms": spread}
    return {"truth": {"all": found}}


def inversion_report(
    output: Mapping[str, Any],
    task: Task,
    efficiencies: Mapping[str, Any],
    files: Sequence[str | Path],
) -> dict[str, Any]:
    """Content of ``closure.json`` from the output of :class:`EfficiencyInversion`."""
    methods = next(iter(output["observables"].values())).axes["method"]
    report = {}
    for method in methods:
        if method in BUILT_IN:
            continue
        overall = _overall(output, method)
        outside = output["out_of_domain"].get(method, 0)
        n_asked = output["n_selected" if "@" in method else "n_events"]
        report[method] = {
            "overall": overall,
            "observables": _observables(output, method) if "exact" in output else {},
            "clipped": _clipped(output, method, overall["observed"]),
            "out_of_domain": {"count": outside, "share": outside / n_asked if n_asked else 0.0},
            "effective_sample_size": _effective_size(output, method),
            **({"jensen": output["jensen"][method]} if method in output["jensen"] else {}),
            **(_truth_distance(output, method) if method != TRUTH else {}),
        }
    return {
        "task": task.model_dump(mode="json", exclude_none=True),
        "efficiency": report,
        "n_events": output["n_events"],
        "n_objects": output["n_events"],
        "n_selected": output["n_selected"],
        "n_outside": output["n_outside"],
        "selected_effective_sample_size": _effective_size(output, SELECTED),
        **provenance(efficiencies, files),
    }


def _effective_size(output: Mapping[str, Any], method: str) -> dict[str, float]:
    """(sum w)^2 / sum w^2 of every observable's entries."""
    sizes = {}
    for name, histogram in output["observables"].items():
        total = _total(histogram, method)
        sizes[name] = float(total.value**2 / total.variance) if total.variance > 0 else 0.0
    return sizes
