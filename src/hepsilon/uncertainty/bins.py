"""Histograms with an axis of replicas: their covariance, bands, and few named variations of bins.

Replica k of an efficiency is the same in every histogram that it fills, so that bins of several
histograms, channels or processes vary together, and have one covariance. A fit needs it as few
nuisance parameters: its eigenvectors, of which as many are kept as hold a stated share of the
variance, and one more for what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hist
import numpy as np
from scipy.stats import norm

from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.uncertainty.replicas import replica_covariance

__all__ = [
    "REPLICA",
    "REST",
    "BinVariations",
    "bin_variations",
    "check_covariance",
    "histogram_band",
    "histogram_covariance",
    "joined_replicas",
    "replica_values",
    "replica_variations",
]

REPLICA = "replica"
"""Name of the axis of replicas."""
SHARE, AT_MOST = 0.95, 20
"""Share of the variance that variations are to hold, and their largest number."""
REST = "rest"
"""Name of the variation that holds what all others leave."""
ROUND_OFF = 1e-6
"""Share of the largest element down to which negative eigenvalues are round-off: files keep six
digits."""
NO_REST = 1e-4
"""Share of the standard deviation of each bin below which nothing is left."""
NOTHING = 1e-9


def replica_values(histogram: hist.Hist[Any], axis: str = REPLICA) -> Array:
    """Contents of the bins in all replicas.

    Parameters
    ----------
    histogram : hist.Hist
        Histogram of any axes and one of replicas; of one method, category and so on.
    axis : str, default "replica"
        Name of the axis of replicas.

    Returns
    -------
    ndarray of float64, shape (n_replicas, bins of the other axes...)
        Contents without flow.

    Raises
    ------
    InputError
        If there is no such axis, fewer than two replicas, or contents are not finite.
    """
    names = [each.name for each in histogram.axes]
    if axis not in names:
        raise InputError(f"expected a histogram with the axis {axis!r}, received axes {names}")
    values = np.moveaxis(np.asarray(histogram.values(), np.float64), names.index(axis), 0)
    if len(values) < 2:
        raise InputError(f"expected two or more replicas, received {len(values)}")
    wrong = int(np.count_nonzero(~np.isfinite(values)))
    if wrong:
        raise InputError(f"replicas: {wrong} of {values.size} contents are NaN or infinite")
    return values


def histogram_covariance(*histograms: hist.Hist[Any], axis: str = REPLICA) -> Array:
    """Covariance of the bins of one or several histograms over their replicas.

    Parameters
    ----------
    *histograms : hist.Hist
        Histograms whose replica k belongs together, such as those of several channels.
    axis : str, default "replica"
        Name of the axis of replicas.

    Returns
    -------
    ndarray of float64, shape (n_bins, n_bins)
        Sample covariance (n - 1 in the denominator) of the bins without flow, one histogram after
        the other; those of several axes are flattened in C order.

    Raises
    ------
    InputError
        Without histograms, for other numbers of replicas, or as :func:`replica_values`.
    """
    return replica_covariance(joined_replicas([replica_values(h, axis) for h in histograms]))


def joined_replicas(parts: Sequence[Array]) -> Array:
    """Put bins of several histograms side by side, replica by replica.

    Parameters
    ----------
    parts : sequence of ndarray of float64, shape (n_replicas, bins...)
        Contents of the histograms.

    Returns
    -------
    ndarray of float64, shape (n_replicas, n_bins)
        Contents of all bins.

    Raises
    ------
    InputError
        Without any, or for other numbers of replicas.
    """
    numbers = sorted({len(part) for part in parts})
    if len(numbers) != 1:
        received = f"histograms with {numbers}" if numbers else "no histogram"
        raise InputError(f"expected histograms of equally many replicas, received {received}")
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def histogram_band(
    histogram: hist.Hist[Any],
    nominal: hist.Hist[Any] | Array | None = None,
    *,
    level: float = 0.683,
    axis: str = REPLICA,
) -> tuple[Array, Array]:
    """Band of every bin by the spread of its replicas.

    Parameters
    ----------
    histogram : hist.Hist
        Histogram with an axis of replicas.
    nominal : hist.Hist or ndarray of float64, shape (bins...), optional
        Middle of the band; by default the mean of the replicas.
    level : float, default 0.683
        Probability that a Gaussian bin is inside.
    axis : str, default "replica"
        Name of the axis of replicas.

    Returns
    -------
    low : ndarray of float64, shape (bins...)
        Lower ends, in units of the bins.
    high : ndarray of float64, shape (bins...)
        Upper ends.

    Raises
    ------
    InputError
        For a level outside (0, 1), a middle of another shape, or as :func:`replica_values`.

    Examples
    --------
    >>> import hist
    >>> from hepsilon.uncertainty import histogram_band
    >>> filled = hist.new.Int(0, 4, name="replica").Reg(2, 0, 1, name="x").Double()
    >>> filled.view()[...] = [[9, 20], [11, 20], [9, 20], [11, 20]]
    >>> low, high = histogram_band(filled)
    >>> low.round(2), high.round(2)
    (array([ 8.84, 20.  ]), array([11.16, 20.  ]))
    """
    if not 0.0 < level < 1.0:
        raise InputError(f"expected a level in (0, 1), received {level!r}")
    values = replica_values(histogram, axis)
    middle = values.mean(axis=0) if nominal is None else nominal
    if isinstance(middle, hist.BaseHist):
        middle = middle.values()
    if np.shape(middle) != values.shape[1:]:
        raise InputError(
            f"nominal: expected bins of shape {values.shape[1:]}, received {np.shape(middle)}"
        )
    half = norm.ppf(0.5 + level / 2.0) * values.std(axis=0, ddof=1)
    return middle - half, middle + half


def check_covariance(covariance: Array, name: str = "covariance") -> Array:
    """Refuse what is no covariance; give it exactly symmetric.

    Parameters
    ----------
    covariance : ndarray of float64, shape (n, n)
        Matrix.
    name : str, default "covariance"
        Name in the error.

    Returns
    -------
    ndarray of float64, shape (n, n)
        The symmetric part.

    Raises
    ------
    InputError
        If it is not square, not finite, not symmetric, or has negative eigenvalues beyond
        round-off.
    """
    matrix = np.asarray(covariance, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"{name}: expected a square matrix, received the shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        wrong = int(np.count_nonzero(~np.isfinite(matrix)))
        raise InputError(f"{name}: {wrong} of {matrix.size} elements are NaN or infinite")
    scale = float(np.abs(matrix).max(initial=0.0))
    if np.abs(matrix - matrix.T).max(initial=0.0) > ROUND_OFF * scale:
        raise InputError(f"{name}: expected a symmetric matrix; transpose and matrix differ")
    matrix = (matrix + matrix.T) / 2.0
    negative = np.flatnonzero(np.diag(matrix) < 0.0)
    if len(negative):
        raise InputError(f"{name}: the variances of the bins {negative.tolist()} are negative")
    smallest = float(np.linalg.eigvalsh(matrix)[0]) if len(matrix) else 0.0
    if smallest < -ROUND_OFF * len(matrix) * scale:
        raise InputError(
            f"{name}: expected no negative eigenvalue, received {smallest:.3g} (largest element "
            f"{scale:.3g}); a covariance that was put together by hand may be inconsistent"
        )
    return matrix


@dataclass(frozen=True)
class BinVariations:
    """Few shifts of bins in place of their covariance.

    Attributes
    ----------
    shifts : dict of str to ndarray of float64, shape (n_bins,)
        Change of every bin by one standard deviation, by the name: numbers from the largest, and
        ``"rest"`` where the others do not hold everything. The sum of their squares is the variance
        of every bin.
    shares : dict of str to float
        Share of the variance, in units of the errors, that each holds; they add up to one.
    """

    shifts: dict[str, Array]
    shares: dict[str, float]


def bin_variations(
    covariance: Array, errors: Array | None = None, *, share: float = SHARE, at_most: int = AT_MOST
) -> BinVariations:
    """Eigenvectors of a covariance as named variations, and what they leave as one more.

    Parameters
    ----------
    covariance : ndarray of float64, shape (n_bins, n_bins)
        Covariance of the bins, such as from :func:`histogram_covariance`.
    errors : ndarray of float64, shape (n_bins,), optional
        Errors in units of which variances are compared, such as the statistical ones: a variation
        then counts by how well it can be seen. Bins whose error is zero count by their own
        standard deviation, as all bins do by default.
    share : float, default 0.95
        Share of the variance that is asked for.
    at_most : int, default 20
        Largest number of variations besides the rest.

    Returns
    -------
    BinVariations
        The variations; none where nothing varies.

    Raises
    ------
    InputError
        If it is no covariance, errors are negative or of other bins, or options are out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from hepsilon.uncertainty import bin_variations
    >>> found = bin_variations(np.array([[4.0, 2.0], [2.0, 1.0]]))
    >>> {name: shift.round(3).tolist() for name, shift in found.shifts.items()}
    {'0': [2.0, 1.0]}
    """
    matrix = check_covariance(covariance)
    variance = np.diag(matrix)
    unit = _units(variance, errors)
    values, vectors = np.linalg.eigh(matrix / np.outer(unit, unit))
    found = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    return _few(*found, unit, variance, share, at_most)


def replica_variations(
    replicas: Array, errors: Array | None = None, *, share: float = SHARE, at_most: int = AT_MOST
) -> BinVariations:
    """Variations of :func:`bin_variations` without the covariance: of thousands of bins, too.

    Parameters
    ----------
    replicas : ndarray of float64, shape (n_replicas, n_bins)
        Content of the bins in two or more replicas.
    errors : ndarray of float64, shape (n_bins,), optional
        Errors in units of which variances are compared.
    share : float, default 0.95
        Share of the variance that is asked for.
    at_most : int, default 20
        Largest number of variations besides the rest.

    Returns
    -------
    BinVariations
        The variations; none where nothing varies.

    Raises
    ------
    InputError
        If errors are negative or of other bins, or options are out of range.
    """
    steps = (replicas - replicas.mean(axis=0)) / np.sqrt(len(replicas) - 1.0)
    variance = np.sum(steps**2, axis=0)
    unit = _units(variance, errors)
    _, singular, vectors = np.linalg.svd(steps / unit, full_matrices=False)
    return _few(singular**2, vectors.T, unit, variance, share, at_most)


def _few(
    values: Array, vectors: Array, unit: Array, variance: Array, share: float, at_most: int
) -> BinVariations:
    """Name the first eigenvectors, and what they leave."""
    if not 0.0 < share <= 1.0 or at_most < 1:
        raise InputError(
            f"expected a share in (0, 1] and one variation or more, received share={share!r}, "
            f"at_most={at_most!r}"
        )
    total = float(values.sum())
    if not total > 0.0:
        return BinVariations({}, {})
    held = np.cumsum(values) / total
    kept = min(int(np.searchsorted(held, share - 1e-12)) + 1, at_most, len(values))
    moved = vectors[:, :kept] * np.sqrt(values[:kept]) * unit[:, None]
    moved *= np.where(moved.sum(axis=0) < 0.0, -1.0, 1.0)  # up is where there is more
    shifts = {str(number): column for number, column in enumerate(moved.T)}
    shares = {str(number): float(values[number] / total) for number in range(kept)}
    rest = np.sqrt(np.maximum(variance - np.sum(moved**2, axis=1), 0.0))
    if np.any(rest > NO_REST * np.sqrt(variance)):
        shifts[REST], shares[REST] = rest, float(1.0 - held[kept - 1])
    return BinVariations(shifts, shares)


def _units(variance: Array, errors: Array | None) -> Array:
    """Unit of every bin: its error, else its standard deviation, else one."""
    own = np.sqrt(variance)
    own = np.where(own > 0.0, own, 1.0)
    if errors is None:
        return own
    given = np.asarray(errors, np.float64)
    if given.shape != own.shape or not np.all(given >= 0.0) or not np.isfinite(given).all():
        raise InputError(
            f"errors: expected {len(own)} finite numbers of zero or more, received {errors!r}"
        )
    return np.where(given > 0.0, given, own)
