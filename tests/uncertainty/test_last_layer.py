"""The covariance of last layers: against plain formulas, and against repeated fits."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax
from scipy.stats import binom

from hepsilon.uncertainty.last_layer import Scores, sandwich


def scores_of(
    rng: np.random.Generator, n_events: int, points: int = 1, networks: int = 1
) -> Scores:
    counts = rng.integers(1, 4, n_events)
    n = int(counts.sum())
    signs = np.repeat(rng.choice([1.0, 1.0, 1.0, -0.5], n_events), counts)
    return Scores(
        rng.normal(size=(n, points, networks)),
        rng.normal(size=(n, networks, 3)).astype(np.float32),
        rng.integers(0, points + 1, n).astype(np.float32),
        signs[:, None] * np.ones(networks),
        np.concatenate([[0], np.cumsum(counts)]),
    )


def covariance_of(factor: Any) -> Any:
    flat = factor.reshape(-1, factor.shape[-1]).astype(float)
    return flat @ flat.T


def plain_parts(scores: Scores, network: int) -> tuple[Any, Any]:
    """Hessian and scores by event, with loops."""
    points = scores.logits.shape[1]
    size = 4 * points
    hessian, rows = np.zeros((size, size)), []
    for first, last in pairwise(scores.offsets):
        row = np.zeros(size)
        for j in range(first, last):
            h = np.append(scores.features[j, network], 1.0).astype(float)
            p = softmax(np.append(0.0, scores.logits[j, :, network]))[1:]
            seen = np.array([scores.passed[j] == c + 1 for c in range(points)])
            weight = scores.weights[j, network]
            row += np.kron(weight * (seen - p), h)
            hessian += np.kron(weight * (np.diag(p) - np.outer(p, p)), np.outer(h, h))
        rows.append(row)
    return hessian, np.array(rows)


@pytest.mark.parametrize("points", [1, 3])
@pytest.mark.parametrize("networks", [1, 2])
def test_it_is_the_sandwich_of_scores_by_event(points: int, networks: int) -> None:
    """With weights of both signs, several working points, and what members have in common."""
    scores = scores_of(np.random.default_rng(points), 150, points, networks)
    parts = [plain_parts(scores, network) for network in range(networks)]
    steps = np.concatenate([rows @ np.linalg.inv(hessian) for hessian, rows in parts], axis=1)
    found = sandwich([scores])
    assert (found.n_events, found.factor.shape[:3]) == (150, (networks, points, 4))
    expected = steps.T @ steps
    np.testing.assert_allclose(
        covariance_of(found.factor), expected, rtol=1e-3, atol=1e-3 * np.diag(expected).max()
    )


def test_parts_of_the_events_add_up() -> None:
    scores = scores_of(np.random.default_rng(1), 40)
    middle = 17
    cut = int(scores.offsets[middle])
    columns = scores.logits, scores.features, scores.passed, scores.weights
    first = Scores(*(c[:cut] for c in columns), scores.offsets[: middle + 1])
    second = Scores(*(c[cut:] for c in columns), scores.offsets[middle:] - cut)
    whole, parts = sandwich([scores]), sandwich([first, second])
    np.testing.assert_allclose(
        covariance_of(parts.factor), covariance_of(whole.factor), rtol=1e-5, atol=1e-9
    )


def test_a_share_of_the_events_gives_the_covariance_of_all() -> None:
    scores = scores_of(np.random.default_rng(2), 60, networks=2)
    heavy = replace(scores, weights=3.0 * scores.weights)
    part, whole = sandwich([scores], shares=(1 / 4, 1 / 10)), sandwich([scores, heavy])
    assert (part.n_events, whole.n_events) == (60, 120)
    np.testing.assert_allclose(
        covariance_of(part.factor), covariance_of(whole.factor), rtol=1e-5, atol=1e-9
    )
    np.testing.assert_allclose(part.inverse, whole.inverse)
    assert part.total_error == pytest.approx(whole.total_error)


def test_inputs_that_are_always_zero_get_no_error() -> None:
    scores = scores_of(np.random.default_rng(2), 60)
    scores.features[:, :, 1] = 0.0
    found = covariance_of(sandwich([scores]).factor)
    np.testing.assert_allclose(found[1], 0.0, atol=1e-15)
    assert np.isfinite(found).all()


def test_no_events_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one event"):
        sandwich([])


def fitted(features: Any, passed: Any, weights: Any) -> Any:
    """Logistic regression by Newton's method."""
    w = np.zeros(features.shape[1])
    for _ in range(30):
        p = expit(features @ w)
        hessian = (features * (weights * p * (1.0 - p))[:, None]).T @ features
        w += np.linalg.solve(hessian, features.T @ (weights * (passed - p)))
    return w


@pytest.mark.parametrize("negative", [False, True], ids=["positive", "both signs"])
def test_bands_cover_where_the_last_layer_is_everything(negative: bool) -> None:
    """400 repeated experiments with a logistic model; objects of an event share a fluctuation.

    The number of those in which the 68 % band holds the true sum is binomial. The test allows for
    what happens by chance in one of 10,000 sets of experiments, and for bands whose coverage is
    between 65 and 71 %, as that of a sample of this size is.
    """
    rng, n_events, repeats, inside = np.random.default_rng(7), 400, 400, 0
    truth = np.array([0.8, -0.6, 0.3, -0.5])
    probe = np.concatenate([rng.normal(size=(200, 3)), np.ones((200, 1))], axis=1)
    for _ in range(repeats):
        h = np.repeat(rng.normal(size=(n_events, 3)), 2, axis=0)
        columns = np.concatenate([h, np.ones((len(h), 1))], axis=1)
        passed = np.repeat(rng.random(n_events), 2) < expit(columns @ truth)
        signs = rng.choice([1.0, -1.0], n_events, p=[0.85, 0.15]) if negative else np.ones(n_events)
        weights = np.repeat(signs, 2)
        w = fitted(columns, passed, weights)
        scores = Scores(
            (columns @ w)[:, None, None],
            h[:, None].astype(np.float32),
            passed.astype(np.float32),
            weights[:, None],
            np.arange(0, len(h) + 1, 2),
        )
        p = expit(probe @ w)
        gradient = probe.T @ (p * (1.0 - p))
        error = np.linalg.norm(gradient @ sandwich([scores]).factor.reshape(4, -1))
        inside += abs(p.sum() - expit(probe @ truth).sum()) < error
    low, high = binom.ppf(0.5e-4, repeats, 0.65), binom.isf(0.5e-4, repeats, 0.71)
    assert low <= inside <= high
