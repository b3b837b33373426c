"""Sums by predicted efficiency: whether of objects that are said to pass in 30 %, 30 % pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hist
import numpy as np
from scipy.special import logit

from hepsilon.arrays.types import Array

__all__ = ["EXPECTED", "OBSERVED", "TOTAL", "book_calibration", "fill_calibration"]

TOTAL = "total"
"""Part with the sums of weights w, and of their squares."""
EXPECTED = "expected"
"""Part with the sums of w eps; the variances are the sums of w^2 eps (1 - eps)."""
OBSERVED = "observed"
"""Part with the sums of weights of what passed."""
PARTS = (TOTAL, EXPECTED, OBSERVED)
BINS, LARGEST = 160, 8.0
"""Bins of the logarithm of the odds, which are joined later, and the largest one."""


def book_calibration(methods: Sequence[str], categories: Sequence[str]) -> hist.Hist[Any]:
    """Make an empty histogram in bins of the logarithm of the odds of the efficiency.

    Parameters
    ----------
    methods, categories : sequence of str
        Names of the methods and of the categories.

    Returns
    -------
    hist.Hist
        With the axes ``method``, ``category``, ``part`` and ``x``; efficiencies near zero or one
        are in the flow.
    """
    return hist.Hist(
        hist.axis.StrCategory(list(methods), name="method"),
        hist.axis.StrCategory(list(categories), name="category"),
        hist.axis.StrCategory(PARTS, name="part"),
        hist.axis.Regular(BINS, -LARGEST, LARGEST, name="x", label=r"$\log \epsilon/(1-\epsilon)$"),
        storage=hist.storage.Weight(),
    )


def fill_calibration(
    histogram: hist.Hist[Any],
    method: str,
    rows: Array,
    eps: Array,
    passed: Array,
    weights: Array,
) -> None:
    """Add objects, or events, to one method.

    Parameters
    ----------
    histogram : hist.Hist
        Histogram of :func:`book_calibration`.
    method : str
        Name of the method.
    rows : ndarray of int, shape (n,)
        Number of the category of each entry.
    eps : ndarray of float64, shape (n,)
        Efficiency of each entry.
    passed : ndarray of float64 or bool, shape (n,)
        One for what passed, else zero.
    weights : ndarray of float64, shape (n,)
        Weight of each entry.
    """
    axes: Any = histogram.axes
    odds = logit(np.clip(eps, 1e-12, 1.0 - 1e-12))
    size = axes["x"].extent
    numbers = rows * size + axes["x"].index(odds) + 1
    shape = (len(axes["category"]), size)

    def summed(values: Array) -> Array:
        return np.bincount(numbers, values, minlength=shape[0] * size).reshape(shape)

    columns = {
        TOTAL: (weights, weights**2),
        EXPECTED: (weights * eps, weights**2 * eps * (1.0 - eps)),
        OBSERVED: (weights * passed, weights**2 * passed),
    }
    view: Any = histogram.view(flow=True)
    place = axes["method"].index(method)
    for part, (values, squares) in columns.items():
        cell = view[place, : shape[0], axes["part"].index(part)]
        cell["value"] += summed(values)
        cell["variance"] += summed(squares)
