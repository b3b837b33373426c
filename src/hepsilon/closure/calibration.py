r"""Calibration: whether shares that are predicted are those that are observed, and how far off.

In bin b with the sum of weights :math:`W_b` the observed sum minus the expected one,
:math:`d_b = \sum w (t - \epsilon)`, has the variance :math:`v_b = \sum w^2 \epsilon (1 - \epsilon)`
if the efficiency is true. The expected calibration error :math:`\sum_b |d_b| / W` is then not zero
but :math:`\sqrt{2 / \pi} \sum_b \sqrt{v_b} / W`, its noise floor. Bins hold equal variances, few
where there are few entries, and are chosen without a look at what passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2, foldnorm

from hepsilon.arrays.types import Array
from hepsilon.closure.reliability import Calibration, CalibrationError, Reliability
from hepsilon.closure.statistic import ROUNDED
from hepsilon.histograms.methods import ALL, DIRECT, GENERATED, OTHER, part_of
from hepsilon.processors.calibration import EXPECTED, OBSERVED, TOTAL
from hepsilon.processors.outputs import InversionOutput, TaggingOutput

__all__ = ["EFFICIENCY", "calibration_of"]

EFFICIENCY = "efficiency"
"""Name of the bins of the predicted efficiency itself."""
MOST_BINS = 12
FEWEST = 25.0
"""Variance of a bin in units of the squared weight of an effective entry: about so many passed, and
so many that did not."""


@dataclass(frozen=True)
class _Sums:
    """Sums in bins, which have an order.

    Attributes
    ----------
    total, squares : ndarray of float64, shape (n,)
        Sums of w and of w^2.
    expected, observed, variance : ndarray of float64, shape (n,)
        Sums that are compared, and the variance of their difference.
    """

    total: Array
    squares: Array
    expected: Array
    observed: Array
    variance: Array

    def joined(self) -> _Sums | None:
        """Neighbours added up to bins of equal variance; None where there are too few entries."""
        everything = abs(float(self.total.sum()))
        if not everything > 0.0:
            return None
        unit = float(self.squares.sum()) / everything
        n_bins = min(MOST_BINS, int(self.variance.sum() / (ROUNDED * FEWEST * unit**2)))
        if not n_bins:
            return None
        middle = np.cumsum(self.variance) - 0.5 * self.variance
        place = middle * n_bins / (ROUNDED * self.variance.sum())
        group = np.minimum(place, n_bins - 1).astype(np.int64)
        _, group = np.unique(group, return_inverse=True)
        return _Sums(*(np.bincount(group, weights=column) for column in vars(self).values()))

    def error(self) -> CalibrationError:
        """Expected calibration error in these bins."""
        scale, spread = abs(float(self.total.sum())), np.sqrt(self.variance)
        difference = np.abs(self.observed - self.expected)
        seen = spread > 0.0
        pull = difference[seen] / spread[seen]
        raw, noise = (float(s.sum() / scale) for s in (difference, spread * np.sqrt(2.0 / np.pi)))
        fluctuation = spread[seen] * foldnorm.std(np.minimum(pull, 30.0))
        return CalibrationError(
            raw=raw,
            noise=noise,
            value=raw - noise,
            error=float(np.sqrt(np.sum(fluctuation**2)) / scale),
            p_value=float(chi2.sf(np.sum(pull**2), len(pull))) if len(pull) else None,
            n_bins=len(pull),
        )

    def reliability(self) -> Reliability:
        """Shares in these bins; those whose weights do not add up to anything are left out."""
        kept = self.total * self.total.sum() > 0.0
        total = self.total[kept]
        return Reliability(
            predicted=(self.expected[kept] / total).tolist(),
            observed=(self.observed[kept] / total).tolist(),
            error=(np.sqrt(self.variance[kept]) / np.abs(total)).tolist(),
            share=(total / self.total.sum()).tolist(),
        )


def _of_prediction(histogram: Any, method: str, category: Any) -> _Sums:
    """Sums in bins of the predicted efficiency, flow included."""
    total, expected, observed = (
        part_of(histogram, method=method, category=category, part=part)
        for part in (TOTAL, EXPECTED, OBSERVED)
    )
    return _Sums(
        total.values(flow=True),
        total.variances(flow=True),
        expected.values(flow=True),
        observed.values(flow=True),
        expected.variances(flow=True),
    )


def _of_objects(output: TaggingOutput, method: str) -> Iterator[tuple[str, _Sums]]:
    """Sums in the bins of each observable of objects, by category."""
    for name, profile in output.profiles.items():
        filled, binomial = output.observables[name], output.binomial[name]
        for category in [ALL, *(c for c in profile.axes["category"] if c != OTHER)]:
            everything, expected, observed = (
                part_of(filled, method=m, category=category) for m in (ALL, method, DIRECT)
            )
            variance = part_of(binomial, method=method, category=category)
            yield (
                name if category == ALL else f"{name}|{category}",
                _Sums(
                    everything.values(),
                    everything.variances(),
                    expected.values(),
                    observed.values(),
                    variance.variances(),
                ),
            )


def _of_events(output: InversionOutput, method: str) -> Iterator[tuple[str, _Sums]]:
    """Corrected against generated events in the bins of each observable in one dimension."""
    for name, filled in output.observables.items():
        if len(filled.axes) == 2 and output.exact is not None:
            generated, corrected = (part_of(filled, method=m) for m in (GENERATED, method))
            yield (
                name,
                _Sums(
                    generated.values(),
                    generated.variances(),
                    generated.values(),
                    corrected.values(),
                    part_of(output.exact[name], method=method).variances(),
                ),
            )


def calibration_of(output: TaggingOutput | InversionOutput, method: str) -> Calibration | None:
    """Calibration of one method.

    Parameters
    ----------
    output : TaggingOutput or InversionOutput
        Output of a processor for one dataset.
    method : str
        Label of the method.

    Returns
    -------
    Calibration or None
        Reliability and errors; None of measured events, and of methods with reconstructed momenta.
    """
    histogram = output.calibration
    if histogram is None or method not in list(histogram.axes["method"]):
        return None
    scopes: dict[str, Any] = {ALL: sum}
    scopes |= {name: name for name in histogram.axes["category"] if name not in (OTHER, ALL)}
    reliability, errors = {}, {}
    for name, scope in scopes.items():
        joined = _of_prediction(histogram, method, scope).joined()
        if joined is not None:
            reliability[name] = joined.reliability()
            errors[EFFICIENCY if name == ALL else f"{EFFICIENCY}|{name}"] = joined.error()
    own = _of_objects if isinstance(output, TaggingOutput) else _of_events
    for key, sums in own(output, method):  # type: ignore[arg-type]
        joined = sums.joined()
        if joined is not None:
            errors[key] = joined.error()
    return Calibration(reliability=reliability, errors=errors)
