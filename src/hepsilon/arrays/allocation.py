"""Choice of the events that a simulation of the detector is worth most for.

A simulation that is expensive need not follow the spectrum that it starts from: responses given the
momenta are what an efficiency learns, and these are the same however the momenta were chosen. Of
``n`` simulated events in a region where the data have ``N``, the sum of 1/E of the data has the
variance ``N^2 (1 - E) / (E n)``. For a fixed number of events in all, its sum over the regions is
smallest with ``n`` in proportion to ``N sqrt((1 - E) / E)`` (J. Neyman, "On the two different
aspects of the representative method", J. R. Stat. Soc. 97 (1934) 558).
"""

from __future__ import annotations

import numpy as np

from hepsilon.arrays.checks import check_finite
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError

__all__ = ["allocate"]


def allocate(
    eps: Array, n_events: int, rng: np.random.Generator, *, density: Array | None = None
) -> Array:
    """Choose events for the simulation of the detector, more of them where 1/E is uncertain.

    Parameters
    ----------
    eps : ndarray, shape (n_candidates,)
        Efficiency of every candidate in (0, 1), by a first training: it decides how well the
        choice pays. It biases nothing as long as what is trained on the chosen events has the
        features that this efficiency, and the density, are functions of.
    n_events : int
        Number of events to choose, each at most once.
    rng : numpy.random.Generator
        Randomness of the choice.
    density : ndarray, shape (n_candidates,), optional
        Density of the data at the candidate over that of the candidates; by default the
        candidates are distributed as the data.

    Returns
    -------
    ndarray of int64, shape (n_events,)
        Increasing numbers of the chosen candidates. Candidate i is chosen with the probability
        ``min(1, c density sqrt((1 - eps) / eps))``.

    Raises
    ------
    InputError
        If there are fewer candidates (of a density above zero) than events, an efficiency is not
        in (0, 1), or a density is negative or not finite.
    """
    eps = np.asarray(eps, np.float64)
    if eps.ndim != 1 or not np.all((eps > 0.0) & (eps < 1.0)):
        raise InputError(
            "eps: expected one efficiency in (0, 1) for each candidate, received an array of shape "
            f"{eps.shape} with {np.count_nonzero(~((eps > 0.0) & (eps < 1.0)))} others"
        )
    score = np.sqrt((1.0 - eps) / eps)
    if density is not None:
        density = check_finite(np.asarray(density, np.float64), "density")
        if density.shape != eps.shape or np.any(density < 0.0):
            raise InputError(
                f"density: expected {len(eps)} numbers that are not negative, one for each "
                f"candidate, received an array of shape {density.shape}"
            )
        score = score * density
    usable = int(np.count_nonzero(score))
    if not 0 <= n_events <= usable:
        raise InputError(f"expected 0 to {usable} events of {usable} candidates, not {n_events}")
    order = np.argsort(-score)
    n_certain = _n_certain(score[order], n_events)
    certain, others = order[:n_certain], order[n_certain:]
    drawn = _systematic(others, score[others], n_events - n_certain, rng)
    return np.sort(np.concatenate([certain, drawn]))


def _n_certain(falling: Array, n_events: int) -> int:
    """Number of candidates, from the largest score, whose probability ``c score`` is one.

    With k of them certain, c is (n - k) over the sum of the other scores: k is the first number
    that leaves no probability above one.
    """
    rest = np.cumsum(falling[::-1])[::-1]
    left = n_events - np.arange(len(falling))
    fits = np.flatnonzero((left <= 0) | (left * falling <= rest))
    return int(fits[0]) if len(fits) else n_events


def _systematic(candidates: Array, scores: Array, n_events: int, rng: np.random.Generator) -> Array:
    """Draw a fixed number of candidates, each with a probability in proportion to its score.

    The candidates stand in random order on a line, as long as they are probable, and are chosen at
    points of distance one (W. G. Madow, "On the theory of systematic sampling", Ann. Math. Stat. 20
    (1949) 333).
    """
    if n_events == 0:
        return candidates[:0]
    order = rng.permutation(len(candidates))
    bounds = np.cumsum(scores[order])
    points = (np.arange(n_events) + rng.uniform()) / n_events * bounds[-1]
    drawn: Array = candidates[order[np.searchsorted(bounds, points, side="right")]]
    return drawn
