"""Logits of networks and the efficiencies that they are: one step, and back."""

from __future__ import annotations

import numpy as np

from hepsilon.arrays.odds import from_log_odds, log_odds
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError

__all__ = ["by_network", "logits_of", "mean_logits", "probabilities_of", "to_probability"]


def to_probability(logits: Array, mu: float) -> Array:
    """Turn a network's logits into efficiencies.

    For several working points the logits are those of the bins between them, relative to that of
    what passes none: their softmax is summed from the tightest one, so that efficiencies fall from
    one working point to the next by construction.

    With objects that did not pass weighted by ``mu`` (paper Eq. 5) the network converges to
    ``eps / (eps + mu (1 - eps))``, whose logit is that of eps minus ``ln mu``.

    Parameters
    ----------
    logits : ndarray, shape (n_entries,) or (n_entries, n_working_points)
        Outputs of one network.
    mu : float
        Weight of the objects that did not pass, in the training.

    Returns
    -------
    ndarray of float64, shape of logits
        Efficiencies in (0, 1).

    Raises
    ------
    InputError
        If outputs are NaN or infinite.
    """
    if not np.isfinite(logits).all():
        raise InputError(f"{int((~np.isfinite(logits)).sum())} outputs are NaN or infinite")
    shifted = logits + np.log(mu)
    eps = from_log_odds(shifted if shifted.ndim == 2 else shifted[:, None]).reshape(logits.shape)
    # beyond +-36 the float64 next to 1 (or to 0) is the answer, not 1 itself
    return np.asarray(np.clip(eps, np.finfo(float).tiny, 1.0 - np.finfo(float).epsneg))


def logits_of(eps: Array, mu: float) -> Array:
    """Logits of a network that would give these efficiencies: the inverse of its last step.

    Parameters
    ----------
    eps : ndarray of float64, shape (n,) or (n, n_working_points, ...)
        Efficiencies in (0, 1), which fall from one working point to the next.
    mu : float
        Weight of the objects that did not pass (paper Eq. 5).

    Returns
    -------
    ndarray of float64, shape (n, n_working_points, ...)
        Logits (see :func:`to_probability`).
    """
    rows = eps if eps.ndim > 1 else eps[:, None]
    return np.asarray(log_odds(rows, float(np.finfo(np.float64).tiny)) - np.log(mu))


def by_network(outputs: Array, points: int) -> Array:
    """Outputs of several networks, which an engine gives side by side.

    Parameters
    ----------
    outputs : ndarray, shape (n, n_networks * n_working_points)
        Outputs, those of a network next to each other.
    points : int
        Number of working points.

    Returns
    -------
    ndarray, shape (n, n_working_points, n_networks)
        View of them.
    """
    n, width = outputs.shape
    return np.moveaxis(outputs.reshape(n, width // points, points), 1, 2)


def probabilities_of(logits: Array, mu: float) -> Array:
    """Efficiencies of several networks, or in several replicas.

    Parameters
    ----------
    logits : ndarray of float64, shape (n, n_working_points, n_networks)
        Logits.
    mu : float
        Weight of what did not pass (paper Eq. 5).

    Returns
    -------
    ndarray of float64, shape of logits
        Efficiencies in (0, 1) (see :func:`to_probability`).
    """
    columns = np.moveaxis(logits, 1, 2)  # rows of working points
    eps = to_probability(columns.reshape(-1, logits.shape[1]), mu)
    return np.moveaxis(eps.reshape(columns.shape), 2, 1)


def mean_logits(logits: Array, mu: float) -> Array:
    """Logits of a network that would give the mean of the efficiencies of several.

    Parameters
    ----------
    logits : ndarray of float64, shape (n, n_working_points, n_networks)
        Logits of all networks.
    mu : float
        Weight of what did not pass (paper Eq. 5).

    Returns
    -------
    ndarray of float64, shape (n, n_working_points)
        Those of a single network as they are.
    """
    if logits.shape[2] == 1:
        return logits[..., 0]
    return logits_of(probabilities_of(logits, mu).mean(axis=-1), mu)
