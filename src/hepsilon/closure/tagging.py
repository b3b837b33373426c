"""Closure of truth tagging: the expectation of efficiencies against direct tagging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hepsilon.closure.calibration import calibration_of
from hepsilon.closure.gain import efficiency_variance, n_replicas, statistics_gain
from hepsilon.closure.model import (
    ObservableClosure,
    Overall,
    TagCount,
    TaggingClosure,
    TaggingEntry,
    TruthDistance,
)
from hepsilon.closure.parts import (
    axes_of,
    effective_sizes,
    overall_of,
    pull_of,
    share_of,
    truth_distance,
)
from hepsilon.closure.statistic import compare
from hepsilon.config.task import Task
from hepsilon.efficiencies.card import provenance
from hepsilon.histograms.methods import ALL, DIRECT, TAG_COUNTS, TRUTH, part_of
from hepsilon.processors.efficiency_inversion import Correction
from hepsilon.processors.outputs import Histogram, TaggingOutput

__all__ = ["tagging_closure"]


def _total(histogram: Histogram, method: str) -> Any:
    """Sum of everything of one method, flow included."""
    return part_of(histogram, method=method, category=ALL).sum(flow=True)


def _overall(output: TaggingOutput, method: str) -> Overall:
    """Sums over all objects, whatever their observables are."""
    totals: list[Any] = [output.totals[name] for name in (DIRECT, method)]
    observed, expected = (float(total.value) for total in totals)
    replicas = output.total_replicas.get(method)
    values = None if replicas is None else replicas.values()
    return Overall(**overall_of(observed, expected, float(totals[1].variance), expected, values))


def _totals(output: TaggingOutput, method: str) -> dict[str, Any]:
    """Sum of everything of every observable but the numbers of tags, whose bins share events."""
    observables = output.observables.items()
    return {name: _total(filled, method) for name, filled in observables if name != TAG_COUNTS}


def _truth_distances(output: TaggingOutput, method: str) -> dict[str, TruthDistance] | None:
    """Distance to the truth by category and of all objects; None where it is not known."""
    truth = output.truth
    if truth is None or method == TRUTH:
        return None
    scopes = {name: name for name in truth.divergence.axes["category"]} | {ALL: sum}
    observables = {}
    for name, scope in scopes.items():
        cell = {"method": method, "category": scope}
        distance = truth_distance(
            part_of(truth.divergence, **cell), part_of(truth.residual_moments, **cell)
        )
        if distance is not None:
            observables[name] = distance
    return observables


def _observables(output: TaggingOutput, method: str) -> dict[str, ObservableClosure]:
    """Comparison of every observable, and of every category and selection of it."""
    counts = {}
    for name, filled in output.observables.items():
        if name == TAG_COUNTS:
            continue
        edges = tuple(axis.edges for axis in filled.axes[2:])
        for category in filled.axes["category"]:
            observed, expected, everything = (
                part_of(filled, method=m, category=category) for m in (DIRECT, method, ALL)
            )
            variance = part_of(output.binomial[name], method=method, category=category)
            key = name if category == ALL else f"{name}|{category}"
            counts[key] = compare(
                edges[0] if len(edges) == 1 else edges,
                observed.values(),
                expected.values(),
                variance.variances(),
                (everything.values(), everything.variances()),
                _replicas(output, method, name, category),
            ).record()
    return counts


def _replicas(output: TaggingOutput, method: str, name: str, category: str) -> Any:
    """Expected sums in all replicas; None of a method that has none."""
    replicas = output.efficiency_replicas.get(method)
    return None if replicas is None else part_of(replicas[name], category=category).values()


def _tag_counts(output: TaggingOutput, method: str) -> dict[str, dict[str, TagCount]] | None:
    """Events in which each condition holds, by category of the leading pair."""
    if TAG_COUNTS not in output.observables:
        return None
    filled, binomial = output.observables[TAG_COUNTS], output.binomial[TAG_COUNTS]

    known = method in output.efficiency_replicas

    def count(category: str, number: int, tags: str) -> TagCount:
        cell = {"category": category, "tags": tags}
        observed, expected = (
            float(part_of(filled, method=m, **cell).value) for m in (DIRECT, method)
        )
        spread = float(efficiency_variance(output, method, TAG_COUNTS, category)[number])
        variance = float(part_of(binomial, method=method, **cell).variance) + spread
        pull = pull_of(observed, expected, variance)
        own = {"efficiency_variance": spread} if known else {}
        return TagCount(observed=observed, expected=expected, variance=variance, pull=pull, **own)

    return {
        category: {tags: count(category, i, tags) for i, tags in enumerate(filled.axes["tags"])}
        for category in filled.axes["category"]
    }


def _entry(output: TaggingOutput, method: str) -> TaggingEntry:
    """Closure of one efficiency."""
    outside = output.out_of_domain.get(method, 0)
    total: Any = output.totals[method]
    optional: dict[str, Any] = {
        "tag_counts": _tag_counts(output, method),
        "truth": _truth_distances(output, method),
        "calibration": calibration_of(output, method),
    }
    return TaggingEntry(
        overall=_overall(output, method),
        observables=_observables(output, method),
        clipped=share_of(0, 0.0, 0.0),
        out_of_domain=share_of(
            outside,
            outside,
            output.n_objects,
            weight=output.outside_weight.get(method),
            of_weight=float(total.value),
        ),
        effective_sample_size=effective_sizes(_totals(output, method)),
        statistics_gain=statistics_gain(output, method),
        n_replicas=n_replicas(output, method),
        **{name: value for name, value in optional.items() if value is not None},
    )


def tagging_closure(
    output: TaggingOutput,
    task: Task,
    efficiencies: Mapping[str, Correction],
    files: Sequence[str | Path],
) -> TaggingClosure:
    """Closure of truth tagging from the output of its processor.

    Parameters
    ----------
    output : TaggingOutput
        Output of :class:`~hepsilon.processors.TruthTagging` for one dataset.
    task : Task
        Task of the efficiencies.
    efficiencies : mapping of str to SupportsEfficiency or BinByBin
        Efficiencies by name; their hashes are noted.
    files : sequence of str or Path
        Files of the sample.

    Returns
    -------
    TaggingClosure
        Content of ``closure.json``.
    """
    methods = next(iter(output.observables.values())).axes["method"]
    return TaggingClosure(
        task=task,
        efficiency={m: _entry(output, m) for m in methods if m not in (ALL, DIRECT)},
        n_events=output.n_events,
        n_objects=output.n_objects,
        direct_effective_sample_size=effective_sizes(_totals(output, DIRECT)),
        axes=axes_of(output),
        left_out=output.left_out,
        **provenance(efficiencies, files),
    )
