"""Ranges of axes that are proposed from a sample, by rounded quantiles."""

from __future__ import annotations

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.histograms.observables import Observable, regular

__all__ = ["fits", "proposed", "proposed_edges"]

TAILS = (0.002, 0.995)
"""Quantiles at which a heavy tail is cut; a short one is kept whole."""
SHORT = 0.1
"""Length of a short tail, as a share of the width between the quantiles."""
MAX_OUTSIDE = 0.01
"""Largest share of the sample outside of edges that are kept."""
MIN_FILLED = 0.5
"""Smallest share of a range that a sample fills, if the range is kept."""
MAX_WHOLE = 50
"""Largest number of whole numbers that get a bin each."""


def _ends(values: Array) -> tuple[float, float]:
    """Ends of the sample: its extremes, or quantiles where tails are heavy."""
    low, high = np.quantile(values, TAILS)
    short = SHORT * (high - low)
    smallest, largest = values.min(), values.max()
    low = smallest if smallest >= low - short else low
    high = largest if largest <= high + short else high
    return float(low), float(high)


def _rounded(low: float, high: float) -> tuple[float, float]:
    """Numbers of few digits around a range; the upper end is never in the sample."""
    unit = 10.0 ** np.floor(np.log10(high - low)) / 10.0
    lower, upper = np.floor(low / unit), np.floor(high / unit) + 1.0
    digits = max(0, int(-np.floor(np.log10(unit))))
    return round(float(lower * unit), digits), round(float(upper * unit), digits)


def proposed(values: Array, limits: tuple[float | None, float | None]) -> tuple[float, float]:
    """Propose the range of an axis.

    Ends are those of the sample, rounded outwards to two digits of the width; tails that are longer
    than a tenth of the rest are cut at the quantiles 0.2 % and 99.5 %. A range on both sides of
    zero, with ends that are alike, is symmetric.

    Parameters
    ----------
    values : ndarray of float64, shape (n_entries,)
        Values of the sample, finite and at least one.
    limits : tuple of (float or None, float or None)
        Range of what there can be, such as that of an azimuth, if both ends are known.

    Returns
    -------
    tuple of (float, float)
        Low and high end of the range.
    """
    if limits[0] is not None and limits[1] is not None:
        return limits[0], limits[1]
    low, high = _ends(values)
    if low == high:
        half = max(0.5, 0.1 * abs(low))
        return low - half, high + half
    if low < 0.0 < high and 0.5 < -low / high < 2.0:
        high = max(-low, high)
        low = -high
        upper = _rounded(low, high)[1]
        return -upper, upper
    lower, upper = _rounded(low, high)
    return (max(0.0, lower) if low >= 0.0 else lower), upper


def proposed_edges(observable: Observable, values: Array, bins: int | None = None) -> Array:
    """Propose bins of an observable.

    Parameters
    ----------
    observable : Observable
        The observable; its limits and number of bins count.
    values : ndarray of float64, shape (n_entries,)
        Values of the sample, finite and at least one.
    bins : int, optional
        Number of bins; by default as many as the observable has, or one for each whole number.

    Returns
    -------
    ndarray of float64, shape (n_bins + 1,)
        Bin edges.
    """
    low, high = _ends(values)
    whole = np.array_equal(values, np.floor(values)) and high - low < MAX_WHOLE
    if bins is None and whole and observable.limits == (None, None):
        return np.asarray(regular(int(high - low) + 1, low - 0.5, high + 0.5))
    n_bins = bins or len(observable.edges) - 1
    return np.asarray(regular(n_bins, *proposed(values, observable.limits)))


def fits(edges: tuple[float, ...], values: Array) -> bool:
    """Tell whether a sample is well shown by given edges.

    Parameters
    ----------
    edges : tuple of float
        Bin edges.
    values : ndarray of float64, shape (n_entries,)
        Values of the sample.

    Returns
    -------
    bool
        True if at most one per cent lies outside, and at least half of the range is filled.
    """
    inside = (values >= edges[0]) & (values < edges[-1])
    if np.count_nonzero(~inside) > MAX_OUTSIDE * len(values):
        return False
    low, high = _ends(values[inside])
    return high - low >= MIN_FILLED * (edges[-1] - edges[0])
