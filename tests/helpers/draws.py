"""Replicas of networks, once more: from the shares of the bins between working points."""

from __future__ import annotations

from typing import Any

import numpy as np

from hepsilon.efficiencies.last_layer import between_members
from hepsilon.efficiencies.network import NetworkEfficiency, logits_of


def drawn_shares(eps: Any, changes: Any) -> Any:
    """Efficiencies (n, points, draws) whose shares move as their logits do to first order."""
    n = len(eps)
    edges = np.concatenate([np.ones((n, 1)), eps, np.zeros((n, 1))], axis=1)
    shares = -np.diff(edges, axis=1)[..., None]  # of what passes none, then between the points
    logits = np.concatenate([np.zeros((n, 1, changes.shape[2])), changes], axis=1)
    moved = logits - np.sum(shares * logits, axis=1, keepdims=True)
    variance = np.mean(moved[..., :20] ** 2, axis=2, keepdims=True)
    squeezed = np.log1p(variance)
    factor = np.sqrt(squeezed / np.where(variance > 0.0, variance, 1.0))
    new = shares * np.exp(factor * moved - 0.5 * squeezed)
    new /= new.sum(axis=1, keepdims=True)
    return np.cumsum(new[:, ::-1], axis=1)[:, ::-1][:, 1:]


def last_layer_changes(efficiency: NetworkEfficiency, offsets: Any, nodes: Any, n: int) -> Any:
    """Changes of the logits (entries, points, n) by last layers, and by what networks differ by."""
    networks = efficiency.card.averaged
    logits, found = (
        efficiency._of_engine(offsets, nodes)[0],
        efficiency._engine().with_features(offsets, nodes, networks),
    )
    features = found[1].reshape(len(found[1]), networks, -1)
    if efficiency.task.of_events and len(features) != len(logits):
        features = features[offsets[:-1]]
    layer = efficiency.last_layer()
    factor = layer.factor.astype(float) / networks
    step = np.einsum("mpid,kd->mpik", factor, layer.draws(n))
    moved = np.einsum("nmi,mpik->npk", features, step[:, :, :-1]) + step[:, :, -1].sum(axis=0)
    between = between_members(n, networks)
    return moved if between is None else moved + logits[..., :networks] @ between


def moved_logits(eps: Any, changes: Any) -> Any:
    """Logits of the draws."""
    return logits_of(drawn_shares(eps, changes), 1.0)
