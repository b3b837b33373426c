"""Boosted trees for what a network leaves: LightGBM, with the network's logits as offset.

scikit-learn's boosting takes no offset. Gradients and curvatures are given here, so that several
working points and negative weights are the same case: weights enter the gradient with their signs,
and the curvature with their absolute values, which makes steps smaller where weights cancel, and
never turns them around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from hepsilon.arrays.keys import fold_numbers
from hepsilon.arrays.types import Array
from hepsilon.efficiencies.trees import KINDS, Trees
from hepsilon.training.refinement_entries import Entries
from hepsilon.training.validation import EventLosses

__all__ = ["FOLDS", "Boosted", "boost", "fit_rounds"]

FOLDS = 5
ROUNDS = 500
PATIENCE = 25
"""Rounds without a smaller loss out of fold, after which the boosting stops."""
LEAST = 2.0
"""Smallest gain, in units of its error, with which trees are kept."""
OPTIONS: dict[str, Any] = {
    "objective": "none",
    "num_leaves": 4,
    "learning_rate": 0.05,
    "min_data_in_leaf": 100,
    "lambda_l2": 10.0,
    "use_missing": False,
    "feature_pre_filter": False,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,  # equal trees on every machine
    "verbose": -1,
}


@dataclass(frozen=True)
class Boosted:
    """Trees of a refinement, and what they gain out of fold.

    Attributes
    ----------
    trees : Trees
        Fitted to all entries.
    rounds : int
        Number of rounds of boosting.
    gain : EventLosses
        Losses without minus losses with trees that were not fitted to the event.
    shares : ndarray of float, shape (n_inputs,)
        Share of each input in the gain of the splits.
    added : ndarray of float64, shape (n, working points)
        What trees add to the logits that were not fitted to the entry.
    """

    trees: Trees
    rounds: int
    gain: EventLosses
    shares: Array
    added: Array

    @property
    def worthwhile(self) -> bool:
        """Whether the gain is above twice its error."""
        return self.rounds > 0 and self.gain.mean > LEAST * self.gain.error


class _Booster:
    """LightGBM on some entries, one round at a time."""

    def __init__(self, entries: Entries, weights: Array, seed: int) -> None:
        import lightgbm

        points = entries.logits.shape[1]
        many = {"num_class": points} if points > 1 else {}
        options = {**OPTIONS, **many, "seed": seed % 2**31}
        start = entries.logits if points > 1 else entries.logits[:, 0]
        self._data = lightgbm.Dataset(
            entries.inputs, np.zeros(len(weights)), init_score=start, params=options
        )
        self._weights, self._points = weights, points
        self._passed = np.arange(1, points + 1) == entries.passed[:, None]
        self.booster = lightgbm.Booster(options, self._data)

    def round(self) -> bool:
        """Add the trees of one round; whether no split was found."""
        return bool(self.booster.update(fobj=self._derivatives))

    def _derivatives(self, logits: Array, _: Any) -> tuple[Array, Array]:
        logits = np.asarray(logits).reshape(-1, self._points)
        zeros = np.zeros((len(logits), 1))
        shares = softmax(np.concatenate([zeros, logits], axis=1), axis=1)[:, 1:]
        weights = self._weights[:, None]
        gradient = weights * (shares - self._passed)
        curvature = np.abs(weights) * shares * (1.0 - shares)
        if self._points == 1:
            return gradient[:, 0], curvature[:, 0]
        return gradient, curvature

    def last(self, inputs: Array, number: int) -> Array:
        """What the round of this number adds to the logits (n, working points)."""
        found = self.booster.predict(
            inputs, raw_score=True, start_iteration=number, num_iteration=1
        )
        return np.asarray(found).reshape(len(inputs), self._points)


def _worth(entries: Entries, counts: Array | None = None) -> Array:
    """Weights in the loss that sum, without signs, to the effective number of entries."""
    weights = entries.loss_weights
    if counts is not None:
        weights = weights * counts[entries.events]
    sizes = np.abs(weights)
    return np.asarray(weights * (np.sum(sizes) / np.sum(sizes**2)))


def _rows(entries: Entries, rows: Array) -> Entries:
    """Entries of these rows, with the events as they are."""
    return Entries(
        entries.inputs[rows],
        entries.logits[rows],
        entries.passed[rows],
        entries.events[rows],
        entries.weights,
        entries.keys,
        entries.mu,
    )


def boost(entries: Entries, seed: int) -> Boosted:
    """Boost as many rounds as lower the loss out of fold; folds are by event.

    Parameters
    ----------
    entries : Entries
        Entries with the logits of the networks.
    seed : int
        Seed of LightGBM, which draws nothing with these options.

    Returns
    -------
    Boosted
        Trees fitted to all entries, with what they gain on the fold that they were not fitted to.
    """
    folds = fold_numbers(entries.keys, FOLDS)[entries.events]
    weights = _worth(entries)
    left_out = [np.flatnonzero(folds == fold) for fold in range(FOLDS)]
    fitted = [np.flatnonzero(folds != fold) for fold in range(FOLDS)]
    before = entries.losses()
    if not all(_can_split(entries.inputs[rows]) for rows in fitted):
        nothing = as_trees([], entries.logits.shape[1])
        unsplit = np.zeros(entries.inputs.shape[1]), np.zeros_like(entries.logits)
        return Boosted(nothing, 0, before - before, *unsplit)
    boosters = [_Booster(_rows(entries, rows), weights[rows], seed) for rows in fitted]
    added = np.zeros_like(entries.logits)
    best, chosen, kept = before, 0, added.copy()
    for number in range(ROUNDS):
        for booster, rows in zip(boosters, left_out, strict=True):
            booster.round()
            if len(rows):
                added[rows] += booster.last(entries.inputs[rows], number)
        now = entries.losses(added)
        if now.mean < best.mean:
            best, chosen, kept = now, number + 1, added.copy()
        elif number + 1 - chosen >= PATIENCE:
            break
    trees, shares = fit_rounds(entries, chosen, seed)
    return Boosted(trees, chosen, before - best, shares, kept)


def _can_split(inputs: Array) -> bool:
    """Whether there are entries for two leaves, and an input that tells them apart."""
    enough = len(inputs) >= 2 * OPTIONS["min_data_in_leaf"]
    return enough and bool(np.any(inputs.min(axis=0) < inputs.max(axis=0)))


def fit_rounds(
    entries: Entries, rounds: int, seed: int, counts: Array | None = None
) -> tuple[Trees, Array]:
    """Fit a number of rounds of trees.

    Parameters
    ----------
    entries : Entries
        Entries with the logits of the networks.
    rounds : int
        Number of rounds.
    seed : int
        Seed of LightGBM.
    counts : ndarray of float, shape (n_events,), optional
        How often each event counts; by default once.

    Returns
    -------
    trees : Trees
        One tree for each round and working point.
    shares : ndarray of float, shape (n_inputs,)
        Share of each input in the gain of the splits.
    """
    booster = _Booster(entries, _worth(entries, counts), seed)
    for _ in range(rounds):
        booster.round()
    gains = booster.booster.feature_importance("gain").astype(np.float64)
    points = entries.logits.shape[1]
    trees = as_trees(booster.booster.dump_model()["tree_info"], points)
    return trees, gains / max(float(gains.sum()), np.finfo(float).tiny)


def as_trees(tree_info: Sequence[dict[str, Any]], points: int) -> Trees:
    """Take the trees of a model of LightGBM.

    Parameters
    ----------
    tree_info : sequence of dict
        Trees as ``dump_model`` gives them; those of one round stand beside each other.
    points : int
        Number of working points.

    Returns
    -------
    Trees
        The like as arrays.
    """
    table: dict[str, list[Any]] = {key: [] for key in KINDS}
    for number, tree in enumerate(tree_info):
        table["roots"].append(_add(table, tree["tree_structure"]))
        table["outputs"].append(number % points)
    return Trees(**{key: np.array(table[key], kind) for key, kind in KINDS.items()})


def _add(table: dict[str, list[Any]], node: dict[str, Any]) -> int:
    """Append a node and all behind it; its number."""
    number = len(table["feature"])
    inner = "split_feature" in node
    row: dict[str, Any] = {"feature": -1, "threshold": 0.0, "left": -1, "right": -1, "value": 0.0}
    if inner:
        row |= {"feature": node["split_feature"], "threshold": _below(node["threshold"])}
    else:
        row |= {"value": node["leaf_value"]}
    for key, value in row.items():
        table[key].append(value)
    if inner:
        table["left"][number] = _add(table, node["left_child"])
        table["right"][number] = _add(table, node["right_child"])
    return number


def _below(threshold: float) -> np.float32:
    """Largest float32 that is not above a threshold: it parts float32 inputs in the same way."""
    found = np.float32(threshold)
    return found if float(found) <= threshold else np.nextafter(found, np.float32(-np.inf))
