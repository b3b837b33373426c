"""Closure: whether the expectation agrees with what was observed, bin by bin.

The exact statistic: given the true probability p of each entry (weight w), the difference
``sum w (t - p)`` of observed and expected has mean zero and variance ``sum w^2 p (1 - p)``,
normalisation included. With the true efficiency the pulls have unit width and chi2/ndf is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from coffea import processor
from coffea.nanoevents import BaseSchema
from scipy.stats import chi2

from hepsilon.artifact import versions
from hepsilon.config import InputConfig, Task
from hepsilon.efficiency import SupportsEfficiency
from hepsilon.errors import InputError
from hepsilon.execution import user_errors
from hepsilon.histograms import ALL
from hepsilon.inference import NetworkEfficiency
from hepsilon.maps import EfficiencyMap
from hepsilon.processors import DIRECT, TRUTH, TaskSchema, TruthTagging
from hepsilon.reading import check_file

__all__ = ["Comparison", "closure_report", "compare", "run_closure"]

Array = npt.NDArray[Any]

MIN_VARIANCE = 5.0
"""Neighbouring bins are joined for the chi2 until each holds this variance: with fewer expected
tags the difference is not Gaussian, and the chi2 not distributed as one."""


@dataclass(frozen=True)
class Comparison:
    """Observed against expected in the bins of one observable.

    Attributes
    ----------
    edges : bin edges (``n + 1``); under- and overflow are not shown.
    observed, expected, variance, pull : per bin; the pull is NaN where the variance is zero.
    chi2, ndf, p_value : over bins joined to a variance of at least :data:`MIN_VARIANCE`.
    """

    edges: Array
    observed: Array
    expected: Array
    variance: Array
    pull: Array
    chi2: float
    ndf: int
    p_value: float

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, None for NaN."""
        out: dict[str, Any] = {}
        for name, value in vars(self).items():
            plain = np.asarray(value).tolist()
            numbers = plain if isinstance(plain, list) else [plain]
            known = [None if number != number else number for number in numbers]  # noqa: PLR0124
            out[name] = known if isinstance(plain, list) else known[0]
        return out


def _joined(values: Array, groups: Array) -> Array:
    return np.bincount(groups, weights=values)


def _groups(variance: Array) -> Array:
    """Number of the joined bin each bin belongs to; a rest too small joins the last one."""
    groups = np.zeros(len(variance), np.int64)
    current, held = 0, 0.0
    for i, v in enumerate(variance):
        if held >= MIN_VARIANCE:
            current, held = current + 1, 0.0
        groups[i] = current
        held += v
    if held < MIN_VARIANCE and current > 0:
        groups[groups == current] = current - 1
    return groups


def compare(edges: Array, observed: Array, expected: Array, variance: Array) -> Comparison:
    """Pulls and chi2 of observed against expected sums.

    Parameters
    ----------
    edges : bin edges (``n + 1``).
    observed, expected : weighted sums per bin (``n``).
    variance : of their difference if the expectation is true (``n``).
    """
    difference = observed - expected
    pull = np.divide(
        difference, np.sqrt(variance), out=np.full(len(variance), np.nan), where=variance > 0
    )
    groups = _groups(variance)
    joined = _joined(variance, groups)
    enough = joined >= MIN_VARIANCE
    statistic = float(np.sum(_joined(difference, groups)[enough] ** 2 / joined[enough]))
    ndf = int(enough.sum())
    p_value = float(chi2.sf(statistic, ndf)) if ndf else float("nan")
    return Comparison(edges, observed, expected, variance, pull, statistic, ndf, p_value)


def _overall(output: Mapping[str, Any], method: str) -> dict[str, float | None]:
    """Sums over all objects, flow included."""
    name = next(iter(output["profiles"]))
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
                "divergence": divergence[name].value,
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
        edges = filled.axes["x"].edges
        for category in filled.axes["category"]:
            observed = filled[{"method": DIRECT, "category": category}].values()
            expected = filled[{"method": method, "category": category}].values()
            variance = output["binomial"][name][{"method": method, "category": category}]
            key = name if category == ALL else f"{name}|{category}"
            found[key] = compare(edges, observed, expected, variance.variances()).as_dict()
    return found


def closure_report(
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
            **_truth_distance(output, method),
        }
    return {
        "task": task.model_dump(mode="json", exclude_none=True),
        "efficiency": report,
        "n_events": output["n_events"],
        "n_objects": output["n_objects"],
        "direct_effective_sample_size": _effective_size(output, DIRECT),
        "files": [Path(file).name for file in files],
        "versions": versions(),
        "model_hash": {
            name: efficiency.hash
            for name, efficiency in efficiencies.items()
            if isinstance(efficiency, NetworkEfficiency | EfficiencyMap)
        },
    }


SCHEMAS = {"nanoaod": TaskSchema, "base": BaseSchema, "parquet": BaseSchema}


def run_closure(
    files: Sequence[str | Path],
    task: Task,
    efficiencies: Mapping[str, SupportsEfficiency],
    *,
    config: InputConfig | None = None,
    executor: Any = None,
    chunksize: int = 100_000,
) -> dict[str, Any]:
    """Run :class:`TruthTagging` over files as one dataset, through a coffea executor.

    Parameters
    ----------
    files : the sample.
    task : of the efficiencies.
    efficiencies : by name.
    config : where the columns are.
    executor : coffea executor; IterativeExecutor by default.
    chunksize : events per chunk.

    Returns
    -------
    dict : output of the processor for the dataset.
    """
    config = config or InputConfig(schema="nanoaod")
    if not files:
        raise InputError("expected at least one file")
    for file in files:  # before any work: coffea would fail with a riddle, or drop the file
        check_file(file, task, config)
    runner = processor.Runner(
        executor=executor or processor.IterativeExecutor(status=False),
        schema=SCHEMAS[config.schema_],
        chunksize=chunksize,
        format="parquet" if config.schema_ == "parquet" else "root",
    )
    fileset = {"sample": {"treename": config.tree, "files": [str(file) for file in files]}}
    with user_errors():
        result = runner(fileset, TruthTagging(task, efficiencies, config=config))
    if "sample" not in result:
        raise InputError(f"the files {[str(f) for f in files]} hold no events")
    return dict(result["sample"])
