"""Recalibration of an efficiency: a monotone map of its odds, few numbers for each category.

With the logits z of the efficiency (for several working points the logarithms of the odds of the
bins between them) the recalibrated ones are ``z' = offset + slope * z`` with a positive slope. It
acts on what an efficiency answers, whatever evaluates it, and is kept as data in the card, with the
factor of the covariance of all numbers. In replica k offsets and slopes are Gaussian draws from it,
which depend on the number of the replica alone and are independent of those of the efficiency.
"""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from hepsilon.arrays.odds import from_log_odds, log_odds
from hepsilon.arrays.types import Array
from hepsilon.config.records import Record

__all__ = ["CategoryCalibration", "Recalibration"]

Positive = Annotated[float, Field(gt=0.0, lt=1e6)]
ROWS = 1 << 16
SEED = 1
NUMBERS = 4
"""Second number of the seed for the draws of offsets and slopes."""


class CategoryCalibration(Record):
    """Map of the odds of one category.

    Attributes
    ----------
    category : int or None
        Value of the category; None for everything.
    slope, slope_error : float
        Factor of the logits, and its error.
    offset, offset_error : tuple of float
        What is added, for each working point, and its error.
    """

    category: int | None
    slope: Positive
    slope_error: float
    offset: tuple[float, ...]
    offset_error: tuple[float, ...]

    @model_validator(mode="after")
    def _is_finite(self) -> Self:
        numbers = (self.slope, self.slope_error, *self.offset, *self.offset_error)
        if not np.isfinite(numbers).all():
            raise ValueError("recalibration: expected finite numbers")
        return self


class Recalibration(Record):
    """Map of the odds of an efficiency; categories that are not named stay as they are.

    Attributes
    ----------
    feature : str or None
        Feature whose value is the category; None where all entries have one map.
    categories : tuple of CategoryCalibration
        Map of each category.
    n_events : int
        Number of events that they were fitted to.
    gain, gain_error : float
        By how much the cross-entropy per entry falls on events that they were not fitted to, and
        its error.
    factor : tuple of tuple of float
        Factor A of the covariance A A^T of all numbers, one row for each: the offsets, then the
        slope, of one category after the other. Without one replicas have no error of their own.
    """

    feature: str | None
    categories: tuple[CategoryCalibration, ...]
    n_events: int
    gain: float
    gain_error: float
    factor: tuple[tuple[float, ...], ...] = ()

    @model_validator(mode="after")
    def _has_one_size(self) -> Self:
        sizes = {len(x) for c in self.categories for x in (c.offset, c.offset_error)}
        named = [c.category for c in self.categories]
        if len(sizes) != 1 or 0 in sizes or len(set(named)) < len(named):
            raise ValueError("recalibration: expected one map for each category, of one size")
        if (self.feature is None) != (named == [None]):
            raise ValueError("recalibration: expected categories of a feature, or none")
        rows = len(named) * (self.working_points + 1)
        lengths = {len(row) for row in self.factor}
        finite = np.isfinite([x for row in self.factor for x in row]).all()
        if self.factor and not (len(self.factor) == rows and len(lengths) == 1 and finite):
            raise ValueError(
                f"recalibration: expected a factor of {rows} rows of finite numbers, received "
                f"{len(self.factor)} of the lengths {sorted(lengths)}"
            )
        return self

    @property
    def working_points(self) -> int:
        """Number of working points."""
        return len(self.categories[0].offset)

    def draws(self, n_replicas: int) -> Array:
        """Offsets and slopes of all replicas; fewer replicas are the first ones of more.

        Parameters
        ----------
        n_replicas : int
            Number of replicas.

        Returns
        -------
        ndarray of float64, shape (n_categories, working points + 1, n_replicas)
            The slope comes last. A slope that is not known better may be drawn below zero.
        """
        numbers = self._numbers(1)
        if not self.factor:
            return np.repeat(numbers, n_replicas, axis=2)
        factor = np.array(self.factor)
        rng = np.random.default_rng([SEED, NUMBERS])
        drawn = rng.standard_normal((n_replicas, factor.shape[1]))
        return np.asarray(numbers + (factor @ drawn.T).reshape(*numbers.shape[:2], -1))

    def __call__(self, eps: Array, category: Array | None, *, drawn: bool = False) -> Array:
        """Recalibrate efficiencies.

        Parameters
        ----------
        eps : ndarray of float64, shape (n, working points, ...)
            Efficiencies, or replicas on one more axis.
        category : ndarray, shape (n,), or None
            Value of the category of each entry, if there are some.
        drawn : bool, default False
            Whether each replica gets a draw of its own, and not the map itself.

        Returns
        -------
        ndarray of float64, shape of eps
            Values in [0, 1] that fall from one working point to the next; zero and one stay.
        """
        out = np.array(eps, np.float64)
        numbers = self.draws(eps.shape[2]) if drawn else self._numbers(eps.ndim - 2)
        for each, own_numbers in zip(self.categories, numbers, strict=True):
            own = np.arange(len(out))
            if category is not None:
                own = np.flatnonzero(category == each.category)
            for start in range(0, len(own), ROWS):
                rows = own[start : start + ROWS]
                out[rows] = _mapped(out[rows], own_numbers)
        return out

    def _numbers(self, more: int) -> Array:
        """Offsets and slope of each category, which are equal along some more axes."""
        numbers = np.array([[*each.offset, each.slope] for each in self.categories])
        return numbers.reshape(*numbers.shape, *[1] * more)

    def __str__(self) -> str:
        """Slopes, offsets and the gain, in one line."""
        parts = [
            f"{'all' if c.category is None else f'{self.feature} {c.category}'}: slope "
            f"{c.slope:.3f} +- {c.slope_error:.3f}, offset "
            + ", ".join(
                f"{o:+.3f} +- {e:.3f}" for o, e in zip(c.offset, c.offset_error, strict=True)
            )
            for c in self.categories
        ]
        return (
            f"{'; '.join(parts)}; loss {-self.gain:+.5f} +- {self.gain_error:.5f} out of fold, "
            f"{self.n_events:,} events"
        )


def _mapped(eps: Array, numbers: Array) -> Array:
    """Efficiencies (n, working points, ...) with other odds, by numbers (points + 1, ...)."""
    odds = numbers[:-1] + numbers[-1] * log_odds(eps)
    columns = np.moveaxis(odds, 1, -1)  # n, ..., working points
    flat = from_log_odds(columns.reshape(-1, eps.shape[1]))
    mapped = np.moveaxis(flat.reshape(columns.shape), -1, 1)
    return np.where((eps <= 0.0) | (eps >= 1.0), eps, mapped)
