"""Two samples side by side: whether weights make one of them look like the other.

For each observable chi2 of the normalised distributions; and for all together the area under the
curve of boosted trees that try to tell the samples apart, cross-fitted by event. Before and after
reweighting they say what a ratio of densities has done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hepsilon._system.extras import needs
from hepsilon.arrays.statistics import area_under_curve
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError

__all__ = ["SampleComparison", "compare_samples"]

BINS = 20
FOLDS, ROUNDS = 2, 40
OPTIONS: dict[str, Any] = {
    "objective": "binary",
    "num_leaves": 8,
    "min_data_in_leaf": 100,
    "deterministic": True,
    "num_threads": 1,
    "verbose": -1,
}


@dataclass(frozen=True)
class SampleComparison:
    """How different two samples are.

    Attributes
    ----------
    chi2 : dict of str to float
        Of the normalised distributions of each observable, with the errors of both samples.
    ndf : dict of str to int
        Number of its bins with entries, less one.
    auc : float
        Area under the curve of trees that tell the samples apart: 0.5 if they cannot.
    """

    chi2: dict[str, float]
    ndf: dict[str, int]
    auc: float

    @property
    def chi2_ndf(self) -> dict[str, float]:
        """chi2/ndf of each observable; NaN of one with a single value."""
        return {n: self.chi2[n] / ndf if (ndf := self.ndf[n]) else np.nan for n in self.chi2}


@dataclass(frozen=True)
class _Sample:
    """Observables of one sample, (n, observables), its weights, which add up to one, and events."""

    values: Array
    weights: Array
    events: Array


def compare_samples(
    numerator: Mapping[str, npt.ArrayLike],
    denominator: Mapping[str, npt.ArrayLike],
    *,
    numerator_weights: npt.ArrayLike | None = None,
    denominator_weights: npt.ArrayLike | None = None,
    numerator_events: npt.ArrayLike | None = None,
    denominator_events: npt.ArrayLike | None = None,
) -> SampleComparison:
    """Compare the distributions of two samples, each normalised to one.

    Bins have equal numbers of entries of the numerator, twenty or one for each value. Trees of one
    fold are asked about the other. Where weights are negative the trees are fitted with their
    absolute values; the area has the weights as they are.

    Parameters
    ----------
    numerator, denominator : mapping of str to array_like, shape (n,)
        Values of each observable, of equal names; NaN where there is none.
    numerator_weights, denominator_weights : array_like, shape (n,), optional
        Weights of the entries, such as ratios; one by default.
    numerator_events, denominator_events : array_like of int, shape (n,), optional
        Number of the event of each entry: its entries are in one fold. By default all differ.

    Returns
    -------
    SampleComparison
        chi2 by observable, and the area under the curve.

    Raises
    ------
    InputError
        If the samples have other observables or numbers of entries, are empty, or have weights
        whose sum is not positive.
    ConfigError
        If LightGBM is not installed.
    """
    needs("telling samples apart", "lightgbm")
    names = list(numerator)
    if set(names) != set(denominator):
        raise InputError(
            f"denominator: expected the observables {names}, received {list(denominator)}"
        )
    top = _sample("numerator", numerator, names, numerator_weights, numerator_events)
    bottom = _sample("denominator", denominator, names, denominator_weights, denominator_events)
    chi2, ndf = {}, {}
    for number, name in enumerate(names):
        chi2[name], ndf[name] = _chi2(top, bottom, number)
    return SampleComparison(chi2, ndf, _area(top, bottom))


def _sample(
    side: str, given: Mapping[str, npt.ArrayLike], names: list[str], weights: Any, events: Any
) -> _Sample:
    """Columns of one sample, after a check."""
    columns = [np.asarray(given[name], np.float64) for name in names]
    n = len(columns[0]) if columns else 0
    own = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    of_event = np.arange(n) if events is None else np.asarray(events)
    shapes = {column.shape for column in (*columns, own, of_event)}
    if n == 0 or shapes != {(n,)}:
        raise InputError(
            f"{side}: expected one value, weight and event for each entry, received the shapes "
            f"{sorted(shapes)}"
        )
    if not (total := float(own.sum())) > 0.0:
        raise InputError(f"{side}: expected a positive sum of weights, received {total:g}")
    return _Sample(np.stack(columns, axis=1), own / total, of_event)


def _shares(bins: Array, weights: Array, size: int) -> tuple[Array, Array]:
    """Shares of the sum of weights in bins, and their variances."""
    share, squares = (np.bincount(bins, w, minlength=size) for w in (weights, weights**2))
    return share, squares * (1.0 - 2.0 * share) + share**2 * np.sum(weights**2)


def _chi2(top: _Sample, bottom: _Sample, number: int) -> tuple[float, int]:
    """chi2 and number of degrees of freedom of an observable."""
    values = [sample.values[:, number] for sample in (top, bottom)]
    finite = values[0][np.isfinite(values[0])]
    inner = np.linspace(0.0, 1.0, BINS + 1)[1:-1]
    edges = np.unique(np.quantile(finite, inner)) if len(finite) else np.empty(0)
    # NaN, and infinities, have bins of their own
    bins = [np.searchsorted(edges, x) + np.isposinf(x) + 2 * np.isnan(x) for x in values]
    size = len(edges) + 3
    (a, var_a), (b, var_b) = (
        _shares(own, sample.weights, size) for own, sample in zip(bins, (top, bottom), strict=True)
    )
    filled = var_a + var_b > 0.0
    chi2 = np.sum((a - b)[filled] ** 2 / (var_a + var_b)[filled])
    return float(chi2), max(int(np.count_nonzero(filled)) - 1, 0)


def _area(top: _Sample, bottom: _Sample) -> float:
    """Mean area under the curve of trees that did not see the entries that they are asked about."""
    import lightgbm

    values = np.concatenate([top.values, bottom.values])
    weights = np.concatenate([top.weights, bottom.weights])
    response = np.repeat([1.0, 0.0], [len(top.weights), len(bottom.weights)])
    fold = np.concatenate([top.events, bottom.events]) % FOLDS
    sizes = np.abs(weights) * 0.5 * len(weights)
    areas = []
    for number in range(FOLDS):
        fit, asked = fold != number, fold == number
        data = lightgbm.Dataset(values[fit], response[fit], weight=sizes[fit])
        score = lightgbm.train(OPTIONS, data, ROUNDS).predict(values[asked], raw_score=True)
        own, is_top = weights[asked], response[asked]
        areas.append(area_under_curve(np.asarray(score), own * is_top, own * (1.0 - is_top)))
    return float(np.mean(areas))
