"""Closure of truth tagging: the expectation of efficiencies against direct tagging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hepsilon.closure.gain import n_replicas, statistics_gain
from hepsilon.closure.statistic import compare
from hepsilon.config.task import Task
from hepsilon.efficiencies.artifact import provenance
from hepsilon.efficiencies.base import SupportsEfficiency
from hepsilon.histograms.methods import ALL, DIRECT, TAG_COUNTS, TRUTH

__all__ = ["tagging_report"]


def _overall(output: Mapping[str, Any], method: str) -> dict[str, float | None]:
    """Sums over all objects (events, if no observable is one of objects), flow included."""
    name = next(iter(output["profiles"] or output["observables"]))
    filled, binomial = output["observables"][name], output["binomial"][name]
    observed = float(filled[{"method": DIRECT, "category": ALL}].sum(flow=True).value)
    expected = float(filled[{"method": method, "category": ALL}].sum(flow=True).value)
    variance = float(binomial[{"method": method, "category": ALL}].sum(flow=True).variance)
    pull = (observed - expected) / variance**0.5 if variance > 0 else None
    return {"expected": expected, "observed": observed, "pull": pull}


def _effective_size(output: Mapping[str, Any], method: str) -> dict[str, float]:
    """(sum w)^2 / sum w^2 of every observable's entries, direct tagging for comparison."""
    sizes = {}
    for name, filled in output["observables"].items():
        if name == TAG_COUNTS:  # its bins share events
            continue
        total = filled[{"method": method, "category": ALL}].sum(flow=True)
        sizes[name] = float(total.value**2 / total.variance) if total.variance > 0 else 0.0
    return sizes


def _truth_distance(output: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Divergence from the truth and relative residuals, overall and by category."""
    if "divergence" not in output or method == TRUTH:
        return {}

    def moments(key: str) -> dict[str, Any]:
        return {
            name: output[key][{"method": method, "category": name}]
            for name in output[key].axes["category"]
        } | {ALL: output[key][{"method": method, "category": sum}]}

    residual, divergence = moments("residual_moments"), moments("divergence")
    filled = [name for name, m in divergence.items() if m.count > 0]
    return {
        "truth": {
            name: {
                "divergence": (  # infinite where what happens is said to be impossible
                    divergence[name].value if np.isfinite(divergence[name].value) else None
                ),
                "residual_mean": residual[name].value if residual[name].count > 0 else None,
                "residual_rms": (
                    float(np.sqrt(residual[name].variance)) if residual[name].count > 1 else None
                ),
            }
            for name in filled
        }
    }


def _observables(output: Mapping[str, Any], method: str) -> dict[str, Any]:
    found = {}
    for name, filled in output["observables"].items():
        if name == TAG_COUNTS:
            continue
        edges = filled.axes["x"].edges
        for category in filled.axes["category"]:
            observed = filled[{"method": DIRECT, "category": category}].values()
            expected = filled[{"method": method, "category": category}].values()
            variance = output["binomial"][name][{"method": method, "category": category}]
            key = name if category == ALL else f"{name}|{category}"
            found[key] = compare(edges, observed, expected, variance.variances()).as_dict()
    return found


def _tag_counts(output: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Events in which each condition holds, by category of the leading pair."""
    if TAG_COUNTS not in output["observables"]:
        return {}
    filled, binomial = output["observables"][TAG_COUNTS], output["binomial"][TAG_COUNTS]
    found: dict[str, Any] = {}
    for category in filled.axes["category"]:
        found[category] = {}
        for tags in filled.axes["tags"]:
            cell = {"category": category, "tags": tags}
            observed = float(filled[{"method": DIRECT, **cell}].value)
            expected = float(filled[{"method": method, **cell}].value)
            variance = float(binomial[{"method": method, **cell}].variance)
            pull = (observed - expected) / variance**0.5 if variance > 0 else None
            found[category][tags] = {
                "observed": observed,
                "expected": expected,
                "variance": variance,
                "pull": pull,
            }
    return {TAG_COUNTS: found}


def tagging_report(
    output: Mapping[str, Any],
    task: Task,
    efficiencies: Mapping[str, SupportsEfficiency],
    files: Sequence[str | Path],
) -> dict[str, Any]:
    """Content of ``closure.json`` from the output of :class:`TruthTagging` for one dataset."""
    methods = list(output["observables"][next(iter(output["observables"]))].axes["method"])
    report = {}
    for method in methods:
        if method in (ALL, DIRECT):
            continue
        outside = output["out_of_domain"].get(method, 0)
        report[method] = {
            "overall": _overall(output, method),
            "observables": _observables(output, method),
            "clipped": {"count": 0, "share": 0.0},
            "out_of_domain": {
                "count": outside,
                "share": outside / output["n_objects"] if output["n_objects"] else 0.0,
            },
            "effective_sample_size": _effective_size(output, method),
            "statistics_gain": statistics_gain(output, method),
            "n_replicas": n_replicas(output, method),
            **_tag_counts(output, method),
            **_truth_distance(output, method),
        }
    return {
        "task": task.model_dump(mode="json", exclude_none=True),
        "efficiency": report,
        "n_events": output["n_events"],
        "n_objects": output["n_objects"],
        "direct_effective_sample_size": _effective_size(output, DIRECT),
        **provenance(efficiencies, files),
    }
