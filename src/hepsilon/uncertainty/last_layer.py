r"""Covariance of the last layers of networks, from the events of their training.

With the hidden layers frozen, a network is a logistic regression on what its last layer sees (h,
with a constant). The sandwich :math:`C = H^{-1} J H^{-1}` is then the covariance of its weights:
:math:`H = \sum w\, p (1 - p)\, h h^T` over objects, and :math:`J = \sum_e s_e s_e^T` over events,
whose objects are not independent, with the scores :math:`s_e = \sum_j w (t - p) h`. It assumes
nothing about the weights, which may be of both signs. Several working points are the bins between
them, with one output each. Networks whose mean is the efficiency have been trained on the same
events: their scores are put side by side, so that C holds what their errors have in common.

It does not know what the hidden layers have not learned, nor how another training would have
shaped them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import softmax

from hepsilon._system.resources import threaded, usable_cpus
from hepsilon.arrays.types import Array

__all__ = ["MOST_DIRECTIONS", "Covariance", "Scores", "sandwich"]

RIDGE = 1e-6
"""Added to the eigenvalues of H, in units of their mean; those that are smaller say nothing."""
MOST_DIRECTIONS = 256
"""Largest number of directions that are kept, from the one with the largest variance of logits."""


@dataclass(frozen=True)
class Scores:
    """What some whole events contribute.

    Attributes
    ----------
    logits : ndarray of float64, shape (n_objects, n_working_points, n_networks)
        Logits of the networks, as they were trained.
    features : ndarray of float32, shape (n_objects, n_networks, n_inputs)
        What the last layer of each network sees, without the constant.
    passed : ndarray, shape (n_objects,)
        Number of working points that each object passes.
    weights : ndarray of float64, shape (n_objects, n_networks)
        Weight of each object in the loss of each network.
    offsets : ndarray of int64, shape (n_events + 1,)
        Event i has the objects ``offsets[i]:offsets[i + 1]``, at least one.
    """

    logits: Array
    features: Array
    passed: Array
    weights: Array
    offsets: Array


@dataclass(frozen=True)
class Covariance:
    """Covariance of the weights of last layers as a factor A, ``C = A A^T``.

    Attributes
    ----------
    factor : ndarray of float32, shape (n_networks, n_working_points, n_inputs + 1, n_directions)
        Columns by falling variance of the logits.
    share : float
        Share of the variance of all logits that these directions hold.
    n_events : int
        Number of events that it was found from.
    total_error : float
        Relative standard deviation of the number of objects that are expected to pass the first
        working point.
    inverse : ndarray of float64, shape (n_networks, size, size)
        Inverse of H of each network, with ``size = n_working_points * (n_inputs + 1)``.
    """

    factor: Array
    share: float
    n_events: int
    total_error: float
    inverse: Array


def sandwich(parts: Iterable[Scores], shares: tuple[float, float] = (1.0, 1.0)) -> Covariance:
    """Covariance of the last layers of networks, whose mean is an efficiency.

    Parameters
    ----------
    parts : iterable of Scores
        Events, some at a time, of the same networks.
    shares : tuple of two float, default (1.0, 1.0)
        Where these are events of the training chosen by chance: their share of the sum of the
        weights of its events, and of the sum of the squared weights. H of all events is larger by
        the inverse of the first, J by that of the second.

    Returns
    -------
    Covariance
        Factor of the covariance.

    Raises
    ------
    ValueError
        Without events.
    """
    information: Array | None = None
    for part in parts:
        networks = part.features.shape[1]
        own_part = partial(_of_network, part)
        columns = list(threaded(own_part, range(networks), usable_cpus()))
        if information is None:
            points, width = part.logits.shape[1], part.features.shape[2] + 1
            size = points * width
            information = np.zeros((networks, size, size))
            scores = np.zeros((networks * size, networks * size))
            gradient, expected, n_events = np.zeros((networks, size)), 0.0, 0
        for network, (hessian, _, slope, passing) in enumerate(columns):
            information[network] += hessian
            gradient[network] += slope / networks
            expected += passing / networks
        own = np.concatenate([score for _, score, *_ in columns], axis=1)
        scores += own.T @ own
        n_events += len(own)
    if information is None:
        raise ValueError("expected at least one event, received none")
    roots = [_inverse_root(each) for each in information]
    whitening = np.zeros_like(scores)
    for network, root in enumerate(roots):
        rows = slice(network * size, (network + 1) * size)
        whitening[rows, rows] = root
    values, vectors = np.linalg.eigh(whitening @ scores @ whitening)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    scale = shares[0] ** 2 / shares[1]
    kept = min(MOST_DIRECTIONS, int(np.count_nonzero(values > 1e-12 * values[:1])))
    factor = whitening @ vectors[:, :kept] * np.sqrt(scale * values[:kept])
    error = float(np.linalg.norm(gradient.ravel() @ factor))
    return Covariance(
        factor.reshape(networks, points, width, kept).astype(np.float32),
        float(values[:kept].sum() / values.sum()) if kept else 1.0,
        n_events,
        error / abs(float(expected)) if expected else float("nan"),
        np.stack([shares[0] * root @ root for root in roots]),
    )


def _of_network(part: Scores, network: int) -> tuple[Array, Array, Array, float]:
    """Hessian, scores by event, gradient of the expected passing objects, and their number."""
    logits, weights = part.logits[..., network], part.weights[:, network]
    features = part.features[:, network].astype(np.float64)
    features = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    zeros = np.zeros((len(logits), 1))
    bins = softmax(np.concatenate([zeros, logits], axis=1), axis=1)[:, 1:]
    points, width = bins.shape[1], features.shape[1]
    seen = part.passed[:, None] == np.arange(1, points + 1)
    residuals = weights[:, None] * (seen - bins)
    each = (residuals[:, :, None] * features[:, None, :]).reshape(len(features), -1)
    by_event = np.add.reduceat(each, part.offsets[:-1], axis=0)
    hessian = np.empty((points, width, points, width))
    for a in range(points):
        for b in range(points):
            curvature = weights * bins[:, a] * ((a == b) - bins[:, b])
            hessian[a, :, b] = (features * curvature[:, None]).T @ features
    passing = bins.sum(axis=1)
    slopes = weights[:, None] * bins * (1.0 - passing)[:, None]
    gradient = (slopes.T @ features).ravel()
    square = hessian.reshape(points * width, points * width)
    return square, by_event, gradient, float(np.sum(weights * passing))


def _inverse_root(information: Array) -> Array:
    """Symmetric root of the inverse; directions that the events say nothing about stay fixed."""
    values, vectors = np.linalg.eigh(information)
    ridge = RIDGE * max(float(values.mean()), 0.0)
    known = values > ridge
    root = np.zeros_like(values)
    root[known] = 1.0 / np.sqrt(values[known] + ridge)
    return np.asarray((vectors * root) @ vectors.T)
