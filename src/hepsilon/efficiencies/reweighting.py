"""Numbers of ratios: from odds, with their errors, and what they leave of a sample as weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hepsilon.arrays.statistics import effective_sample_size
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError

__all__ = ["Reweighting", "clipped_ratio", "shifted_ratios"]

LARGEST_LOG_ODDS = 600.0


def clipped_ratio(log_odds: Array, constant: float | Array, clip: tuple[float, float]) -> Array:
    """Ratio from the logarithms of the odds to come from the numerator.

    Parameters
    ----------
    log_odds : ndarray of float64
        Logits.
    constant : float or ndarray of float64
        Factor that normalises the ratio; one for each of the last axis.
    clip : tuple of (float, float)
        Smallest and largest ratio.

    Returns
    -------
    ndarray of float64, shape of log_odds
        Values from ``clip[0]`` to ``clip[1]``.
    """
    bounded = np.clip(log_odds, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
    return np.asarray(np.clip(constant * np.exp(bounded), *clip))


def shifted_ratios(ratio: Array, replicas: Array) -> tuple[Array, Array]:
    """Ratios up and down by the spread of the logarithms of their replicas.

    Parameters
    ----------
    ratio : ndarray of float64, shape (n, ...)
        Ratios.
    replicas : ndarray of float64, shape (n, ..., n_replicas)
        Two or more replicas of each.

    Returns
    -------
    up : ndarray of float64, shape of ratio
        Ratios times a factor above one.
    down : ndarray of float64, shape of ratio
        Ratios divided by it.

    Raises
    ------
    InputError
        For fewer than two replicas.
    """
    if replicas.shape[-1] < 2:
        raise InputError(f"expected two or more replicas, received {replicas.shape[-1]}")
    factor = np.exp(np.std(np.log(replicas), axis=-1, ddof=1))
    return ratio * factor, ratio / factor


@dataclass(frozen=True)
class Reweighting:
    """Weights of a sample times a ratio, and what is left of the sample.

    Attributes
    ----------
    weights : ak.Array of float64
        Weight of every entry times its ratio, as the ratio.
    mean, error : float
        Weighted mean of the ratio, and its statistical error; one for the denominator.
    n_effective_before, n_effective : float
        Number of entries of equal weight that they are worth, before and after.
    n_clipped : int
        Number of entries whose ratio was clipped.
    clipped_share : float
        Share of the sum of the absolute weights, after reweighting, that they have.
    n_outside : int
        Number of entries outside of the region that both samples covered.
    outside_share : float
        Share of the sum of the absolute weights, before reweighting, that they have.
    """

    weights: Any
    mean: float
    error: float
    n_effective_before: float
    n_effective: float
    n_clipped: int
    clipped_share: float
    n_outside: int
    outside_share: float

    @classmethod
    def of(cls, weights: Any, ratio: Array, own: Array, clipped: Array, inside: Array) -> Self:
        """Sum up flat entries.

        Parameters
        ----------
        weights : object
            Weights times ratios, in the form that they are returned in.
        ratio, own : ndarray of float64, shape (n,)
            Ratio and weight of every entry.
        clipped, inside : ndarray of bool, shape (n,)
            Whether its ratio was clipped, and whether it is in the domain.

        Returns
        -------
        Reweighting
            Sums over all entries.
        """
        new, total = own * ratio, float(own.sum())
        mean = float(new.sum() / total) if total else float("nan")
        spread = float(np.sqrt(np.sum((own * (ratio - mean)) ** 2)))
        before, after = float(np.abs(own).sum()), float(np.abs(new).sum())
        return cls(
            weights,
            mean,
            spread / abs(total) if total else float("nan"),
            float(effective_sample_size(total, np.sum(own**2))),
            float(effective_sample_size(new.sum(), np.sum(new**2))),
            int(np.count_nonzero(clipped)),
            float(np.abs(new[clipped]).sum() / after) if after else 0.0,
            int(np.count_nonzero(~inside)),
            float(np.abs(own[~inside]).sum() / before) if before else 0.0,
        )
