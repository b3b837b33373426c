"""Scales on which numbers enter a network, chosen from the training sample.

A feature with long tails, such as pt, spends most of a linear scale on a few objects. It enters by
its logarithm where all values are positive, else by the inverse hyperbolic sine, which is linear
near zero and a logarithm far from it. What counts as a long tail is decided by the skewness and the
kurtosis of the sample: see :func:`choose_scale`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.config.records import Record

__all__ = ["Scale", "choose_scale"]

SKEWNESS = 1.0
"""Smallest absolute skewness of a feature with a long tail on one side; an exponential has 2."""
KURTOSIS = 3.0
"""Smallest excess kurtosis of a feature with long tails on both sides; a normal one has 0."""


class Scale(Record):
    """Scale on which a network takes a feature, and its moments there.

    Attributes
    ----------
    kind : {"log", "asinh"}
        Logarithm, or inverse hyperbolic sine, of the feature divided by ``unit``.
    unit : float
        Mean absolute value in the training sample, in the unit of the feature.
    mean, std : float
        Weighted moments on the scale.
    """

    kind: Literal["log", "asinh"]
    unit: float
    mean: float
    std: float


def choose_scale(values: Array, weights: Array, low: float) -> Scale | None:
    """Choose the scale of a feature by the shape of its distribution.

    A feature has long tails if the absolute value of its skewness exceeds 1, or its excess kurtosis
    3. It gets the logarithm if no value is zero or negative, else the inverse hyperbolic sine; but
    only if its distribution is less skew there, or as little as the rule allows.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
        Values of a part of the sample.
    weights : ndarray of float, shape (n,)
        Weights, none of them negative.
    low : float
        Smallest value of the whole sample.

    Returns
    -------
    Scale or None
        None for a feature that enters as it is.
    """
    total = np.sum(weights)
    if not len(values) or not total > 0.0:
        return None
    values, shares = values.astype(np.float64), weights / total
    *_, skewness, kurtosis = _moments(values, shares)
    if abs(skewness) <= SKEWNESS and kurtosis <= KURTOSIS:
        return None
    unit = float(np.sum(shares * np.abs(values)))
    kind: Literal["log", "asinh"] = "log" if low > 0.0 else "asinh"
    scaled = np.log(values / unit) if kind == "log" else np.arcsinh(values / unit)
    mean, std, skewness_there, _ = _moments(scaled, shares)
    if not std > 0.0 or abs(skewness_there) > max(abs(skewness), SKEWNESS):
        return None
    return Scale(kind=kind, unit=unit, mean=mean, std=std)


def _moments(values: Array, shares: Array) -> tuple[float, float, float, float]:
    """Mean, standard deviation, skewness and excess kurtosis; ``shares`` sum to one."""
    mean = float(np.sum(shares * values))
    variance = float(np.sum(shares * (values - mean) ** 2))
    if not variance > 0.0:
        return mean, 0.0, 0.0, 0.0
    pulls = (values - mean) / np.sqrt(variance)
    third, fourth = (float(np.sum(shares * pulls**power)) for power in (3, 4))
    return mean, float(np.sqrt(variance)), third, fourth - 3.0
