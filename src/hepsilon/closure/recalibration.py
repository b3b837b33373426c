"""Fit of a recalibration, and an artifact that has it.

Few numbers for each category are fitted by the cross-entropy of a sample of its own. They mend an
efficiency that is off as a function of itself, such as one for another detector period; what it
averages over stays hidden. Nothing is recalibrated unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from hepsilon._system.outputs import check_outputs
from hepsilon.arrays.keys import fold_numbers
from hepsilon.arrays.odds import log_odds
from hepsilon.arrays.types import Array
from hepsilon.closure.entries import Entries, read_entries
from hepsilon.closure.questions import trained_on
from hepsilon.closure.statistic import ROUNDED
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.sources import Files, file_names
from hepsilon.efficiencies.artifact_edits import blobs_of, rewritten
from hepsilon.efficiencies.base import Efficiency
from hepsilon.efficiencies.card import SourceFile
from hepsilon.efficiencies.loading import load
from hepsilon.efficiencies.network import NetworkEfficiency
from hepsilon.efficiencies.recalibration import CategoryCalibration, Recalibration
from hepsilon.efficiencies.saved import SavedArrays
from hepsilon.errors import ConfigError, InputError

__all__ = ["fit_recalibration", "recalibrate"]

FOLDS = 5
FEWEST = 25.0
"""Effective number of entries, of those that passed as of those that did not, from which a category
gets numbers of its own."""
UPSIDE_DOWN = 3.0
"""Errors by which a slope is below zero where an efficiency is refused; one that is nearer to zero
is not known, and the efficiency only shifted."""
NAME = "efficiency"
SMALLEST = 1e-12
"""Variance of a direction, in units of the largest one, below which it is round-off."""


@dataclass(frozen=True)
class _Sample:
    """Entries of one category.

    Attributes
    ----------
    odds : ndarray of float64, shape (n, working points)
        Logarithms of the odds of the bins between working points.
    passed : ndarray of int64, shape (n,)
        Number of working points that are passed.
    weights : ndarray of float64, shape (n,)
        Weights.
    events : ndarray of int64, shape (n,)
        Number of the event.
    """

    odds: Array
    passed: Array
    weights: Array
    events: Array

    def take(self, rows: Array) -> _Sample:
        """Entries of some rows."""
        return _Sample(*(column[rows] for column in vars(self).values()))

    @property
    def points(self) -> int:
        """Number of working points."""
        return int(self.odds.shape[1])

    def full(self, numbers: Array) -> Array:
        """Logarithms of the shares of all bins, from offsets and slope."""
        moved = numbers[:-1] + numbers[-1] * self.odds
        full = np.concatenate([np.zeros((len(moved), 1)), moved], axis=1)
        return np.asarray(full - logsumexp(full, axis=1, keepdims=True))

    def losses(self, numbers: Array) -> Array:
        """Cross-entropy of each entry, not weighted."""
        return np.asarray(-self.full(numbers)[np.arange(len(self.passed)), self.passed])

    def scores(self, numbers: Array) -> Array:
        """Derivatives of each entry's weighted loss, shape (n, points + 1)."""
        share = np.exp(self.full(numbers))[:, 1:]
        off = share - (self.passed[:, None] == np.arange(1, self.points + 1))
        slope = np.sum(off * self.odds, axis=1, keepdims=True)
        return np.asarray(self.weights[:, None] * np.concatenate([off, slope], axis=1))

    def curvature(self, numbers: Array) -> Array:
        """Second derivatives of the sum of weighted losses."""
        share = np.exp(self.full(numbers))[:, 1:]
        inner = np.einsum("ij,jk->ijk", share, np.eye(self.points)) - np.einsum(
            "ij,ik->ijk", share, share
        )
        jacobian = np.zeros((len(share), self.points, self.points + 1))
        jacobian[:, :, :-1] = np.eye(self.points)
        jacobian[:, :, -1] = self.odds
        total = np.einsum("i,ija,ijk,ikb->ab", self.weights, jacobian, inner, jacobian)
        return np.asarray(total)

    def fitted(self, *, shift: bool = False) -> Array | None:
        """Offsets and slope of the smallest loss; None where they cannot be known.

        With ``shift`` the slope is one.
        """
        if not self._enough():
            return None
        free = np.append(np.ones(self.points), 0.0 if shift else 1.0)
        scale = float(np.abs(self.weights).sum())
        start = np.append(np.zeros(self.points), 1.0)
        found = minimize(
            lambda x: float(self.weights @ self.losses(x)) / scale,
            start,
            jac=lambda x: free * self.scores(x).sum(axis=0) / scale,
            method="BFGS",
            options={"gtol": 1e-7},
        )
        numbers = np.asarray(found.x, np.float64)
        flat = np.abs(free * self.scores(numbers).sum(axis=0)) / scale
        return numbers if np.isfinite(numbers).all() and flat.max() < 1e-5 else None

    def _enough(self) -> bool:
        """Whether every bin between working points has entries that say something."""
        for number in range(self.points + 1):
            weights = self.weights[self.passed == number]
            squares = float(np.sum(weights**2))
            if not (squares > 0.0 and weights.sum() > 0.0):
                return False
            if float(weights.sum()) ** 2 < ROUNDED * FEWEST * squares:
                return False
        return True

    def influence(self, numbers: Array, n_events: int, *, shift: bool = False) -> Array:
        """By how much each event moves offsets and slope, shape (n_events, points + 1).

        With ``shift`` the slope is one, and stays.
        """
        free = slice(0, self.points if shift else None)
        inverse = np.linalg.pinv(self.curvature(numbers)[free, free])
        moved = self.scores(numbers)[:, free] @ inverse
        found = np.zeros((n_events, self.points + 1))
        for column, own in zip(found.T, moved.T, strict=False):
            column[:] = np.bincount(self.events, own, minlength=n_events)
        return found


def _samples(entries: Entries, name: str, task: Task) -> Iterator[tuple[int | None, _Sample]]:
    """Entries of each category; everything of a task without one."""
    whole = _Sample(log_odds(entries.eps[name]), entries.passed, entries.weights, entries.events)
    inside = np.all((entries.eps[name] > 0.0) & (entries.eps[name] < 1.0), axis=1)
    if task.of_events or not task.categorical:
        yield None, whole.take(np.flatnonzero(inside))
        return
    for number, value in enumerate(next(iter(task.categorical.values()))):
        yield int(value), whole.take(np.flatnonzero(inside & (entries.category == number)))


def fit_recalibration(entries: Entries, name: str, task: Task) -> Recalibration:
    """Fit the map of the odds of one efficiency.

    Parameters
    ----------
    entries : Entries
        Entries with the efficiency, of a sample that it has not learned from.
    name : str
        Name of the efficiency among those of the entries.
    task : Task
        Task with the categories.

    Returns
    -------
    Recalibration
        Map of each category with enough entries.

    Raises
    ------
    InputError
        If no category has enough entries, or the fitted map would turn an efficiency around.
    """
    n_events = len(entries.keys)
    folds = fold_numbers(entries.keys, FOLDS)
    found, influences, gain = [], [], np.zeros(n_events)
    for category, sample in _samples(entries, name, task):
        numbers = sample.fitted()
        if numbers is None:
            continue
        influence = sample.influence(numbers, n_events)
        errors = _errors(influence)
        shift = not numbers[-1] > 0.0
        if shift and numbers[-1] > -UPSIDE_DOWN * errors[-1]:
            numbers = sample.fitted(shift=True)
            if numbers is None:
                continue
            influence = sample.influence(numbers, n_events, shift=True)
            errors = _errors(influence)
        elif shift:
            what = "" if category is None else f" of the category {category}"
            raise InputError(
                f"the fit{what} has the slope {numbers[-1]:.3g}: where the efficiency is larger, "
                "fewer objects pass; it cannot be recalibrated, train another one"
            )
        found.append(
            CategoryCalibration(
                category=category,
                slope=float(numbers[-1]),
                slope_error=float(errors[-1]),
                offset=tuple(map(float, numbers[:-1])),
                offset_error=tuple(map(float, errors[:-1])),
            )
        )
        influences.append(influence)
        gain += _gain(sample, folds, n_events, shift)
    if not found:
        raise InputError(
            f"expected categories with {FEWEST:.0f} objects or more that passed, and as many that "
            "did not, to fit a recalibration; the files hold too few"
        )
    total = float(entries.weights.sum())
    spread = float(np.sqrt(np.sum((gain - gain.mean()) ** 2)))
    has_categories = found[0].category is not None
    return Recalibration(
        feature=next(iter(task.categorical)) if has_categories else None,
        categories=tuple(found),
        n_events=n_events,
        gain=float(gain.sum()) / total,
        gain_error=spread / abs(total),
        factor=_factor(np.concatenate(influences, axis=1)),
    )


def _errors(influence: Array) -> Array:
    """Errors of numbers that the events move."""
    return np.asarray(np.sqrt(np.sum(influence**2, axis=0)))


def _factor(influence: Array) -> tuple[tuple[float, ...], ...]:
    """Factor of the covariance of all numbers; categories share events."""
    variances, axes = np.linalg.eigh(influence.T @ influence)
    known = variances > SMALLEST * variances.max()
    factor = axes[:, known] * np.sqrt(variances[known])
    return tuple(tuple(float(f"{x:.9g}") for x in row) for row in factor)


def _gain(sample: _Sample, folds: Array, n_events: int, shift: bool) -> Array:
    """By how much the loss of each event falls by maps that were not fitted to its fold."""
    before = np.append(np.zeros(sample.points), 1.0)
    gain = np.zeros(n_events)
    for fold in range(FOLDS):
        left_out = folds[sample.events] == fold
        numbers = sample.take(np.flatnonzero(~left_out)).fitted(shift=shift)
        if numbers is None:
            continue
        asked = sample.take(np.flatnonzero(left_out))
        fallen = asked.weights * (asked.losses(before) - asked.losses(numbers))
        gain += np.bincount(asked.events, weights=fallen, minlength=n_events)
    return gain


def recalibrate(
    path: str | Path,
    files: Files,
    out: str | Path,
    *,
    config: InputConfig | None = None,
    max_events: int | None = None,
) -> Efficiency:
    """Write an artifact whose efficiency is recalibrated on a sample.

    Parameters
    ----------
    path : str or Path
        Network or map; it stays as it is.
    files : str, Path, Source or iterable of these
        Files of a sample that it was not trained on.
    out : str or Path
        Artifact to write.
    config : InputConfig, optional
        Places of the columns; by default those of the training.
    max_events : int, optional
        Number of events after which no more are read.

    Returns
    -------
    Efficiency
        The efficiency of the new artifact.

    Raises
    ------
    ConfigError
        For a ratio, an efficiency that is recalibrated already, or an output that is an input.
    InputError
        For files of the training, another question, or too few entries.
    """
    check_outputs({Path(out): "artifact"}, [path, *file_names(files)])
    efficiency: Any = load(path)
    if efficiency.task.ratio is not None:
        raise ConfigError(
            f"{path} is a ratio of two samples, which has no response to be recalibrated on: learn "
            "it again from the new samples ('hepsilon train', or 'hepsilon map')"
        )
    if not isinstance(efficiency, NetworkEfficiency | SavedArrays):
        raise ConfigError(f"{path} is a {type(efficiency).__name__}, which cannot be written again")
    if efficiency.card.recalibration is not None:
        raise ConfigError(f"{path} is recalibrated already; recalibrate what it was made from")
    seen = trained_on({NAME: efficiency}, files)
    if seen:
        raise InputError(
            f"{path} was trained on {', '.join(seen[NAME])}: what it has learned from looks better "
            "than it is; recalibrate on other events"
        )
    task = efficiency.task
    entries = read_entries(
        files, task, {NAME: efficiency}, config or efficiency.input, max_events=max_events
    )
    update = {
        "recalibration": fit_recalibration(entries, NAME, task),
        "recalibrated_on": SourceFile.of_all(files),
    }
    if isinstance(efficiency, NetworkEfficiency):
        return rewritten(efficiency, out, blobs_of(efficiency), **update)
    efficiency.noted(**update).save(out)
    return load(out)
