"""Density ratios without a network: bins, boosted trees and boosted reweighting, on equal folds.

Every method takes the columns of both samples (``passed`` is "of the numerator") and gives a
function from features to ratios, with a mean of one over the denominator that it was fitted to.
Trees are fitted once for each fold, without its events, as networks are; the mean of the logarithms
is the answer. They need ``pip install "hepsilon[ratios]"``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import hepsilon
from hepsilon._system.extras import needs
from hepsilon.arrays.keys import fold_numbers
from hepsilon.arrays.types import Array
from hepsilon.config import BinAxis, MapConfig, Task
from hepsilon.data.training_columns import TrainingColumns

__all__ = ["FOLDS", "binned_ratio", "boosted_ratio", "reweighted_ratio"]

FOLDS = 3
BINS = {"pt": 8, "shape": 8}
"""Of equal numbers of entries, beside the flavour."""
OF_EFFICIENCIES = {"pt": 4}
"""The same of a ratio of efficiencies: one light jet in a hundred passes."""
Ratio = Callable[[Array], Array]


def binned_ratio(task: Task, columns: TrainingColumns, sides: dict[str, Any]) -> Any:
    """Ratio in bins with equal numbers of entries, by flavour; of efficiencies in those of pt."""
    axes = {}
    for name, bins in BINS.items() if task.of_densities else OF_EFFICIENCIES.items():
        values = columns.nodes[:, task.features.index(name)].astype(np.float64)
        edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, bins + 1)))
        axes[name] = BinAxis(edges=tuple(float(x) for x in edges))
    config = hepsilon.Config(task=task, map=MapConfig(axes=axes))
    return hepsilon.fit_ratio_map(config, **sides, progress=False)


def normalised(ratios: list[Ratio], nodes: Array, weights: Array) -> Ratio:
    """Geometric mean of several ratios, with a mean of one over these entries."""

    def together(features: Array) -> Array:
        return np.asarray(np.exp(np.mean([np.log(ratio(features)) for ratio in ratios], axis=0)))

    constant = np.sum(weights) / np.sum(weights * together(nodes))
    return lambda features: constant * together(features)


def over_folds(columns: TrainingColumns, fit: Callable[[Array, Array, Array], Ratio]) -> Ratio:
    """Fit to all but the events of each fold: those that a network of that fold does not see."""
    folds = np.repeat(fold_numbers(columns.keys, FOLDS), np.diff(columns.offsets))
    nodes, weights = np.asarray(columns.nodes, np.float64), columns.object_weights
    passed = columns.passed > 0.5
    ratios = [fit(nodes[m], passed[m], weights[m]) for m in (folds != i for i in range(FOLDS))]
    return normalised(ratios, nodes[~passed], weights[~passed])


def trees(categorical: list[int], seed: int) -> Any:
    """Boosted trees of scikit-learn, which stop when a tenth of the entries says so."""
    needs("a boosted ratio", "sklearn")
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=300,
        max_leaf_nodes=16,
        early_stopping=True,
        categorical_features=categorical,
        random_state=seed,
    )


def boosted_ratio(columns: TrainingColumns, categorical: list[int], seed: int) -> Ratio:
    """Odds of a boosted classifier."""

    def fit(nodes: Array, passed: Array, weights: Array) -> Ratio:
        if np.any(weights < 0.0):
            raise hepsilon.TrainingError("boosting of scikit-learn takes no negative weights")
        model = trees(categorical, seed).fit(nodes, passed, sample_weight=weights)
        return lambda features: np.exp(model.decision_function(features))

    return over_folds(columns, fit)


def reweighted_ratio(columns: TrainingColumns, categorical: list[int], seed: int) -> Ratio:
    """Boosted reweighting of hep_ml (A. Rogozhnikov, arXiv:1608.05806)."""
    needs("boosted reweighting", "hep_ml")
    from hep_ml.reweight import GBReweighter

    def fit(nodes: Array, passed: Array, weights: Array) -> Ratio:
        model = GBReweighter(
            n_estimators=40,
            learning_rate=0.2,
            max_depth=3,
            min_samples_leaf=200,
            gb_args={"random_state": seed},
        )
        own, other = nodes[~passed], nodes[passed]
        model.fit(own, other, original_weight=weights[~passed], target_weight=weights[passed])
        return lambda features: np.asarray(model.predict_weights(features), np.float64)

    return over_folds(columns, fit)
