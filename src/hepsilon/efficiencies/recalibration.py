"""Recalibration of an efficiency: a monotone map of its odds, few numbers for each category.

With the logits z of the efficiency (for several working points the logarithms of the odds of the
bins between them) the recalibrated ones are ``z' = offset + slope * z`` with a positive slope. It
acts on what an efficiency answers, whatever evaluates it, and on all replicas alike, and is kept as
data in the card.
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
    """

    feature: str | None
    categories: tuple[CategoryCalibration, ...]
    n_events: int
    gain: float
    gain_error: float

    @model_validator(mode="after")
    def _has_one_size(self) -> Self:
        sizes = {len(x) for c in self.categories for x in (c.offset, c.offset_error)}
        named = [c.category for c in self.categories]
        if len(sizes) != 1 or 0 in sizes or len(set(named)) < len(named):
            raise ValueError("recalibration: expected one map for each category, of one size")
        if (self.feature is None) != (named == [None]):
            raise ValueError("recalibration: expected categories of a feature, or none")
        return self

    @property
    def working_points(self) -> int:
        """Number of working points."""
        return len(self.categories[0].offset)

    def __call__(self, eps: Array, category: Array | None) -> Array:
        """Recalibrate efficiencies.

        Parameters
        ----------
        eps : ndarray of float64, shape (n, working points, ...)
            Efficiencies, or replicas on one more axis.
        category : ndarray, shape (n,), or None
            Value of the category of each entry, if there are some.

        Returns
        -------
        ndarray of float64, shape of eps
            Values in [0, 1] that fall from one working point to the next; zero and one stay.
        """
        out = np.array(eps, np.float64)
        for each in self.categories:
            own = np.arange(len(out))
            if category is not None:
                own = np.flatnonzero(category == each.category)
            for start in range(0, len(own), ROWS):
                rows = own[start : start + ROWS]
                out[rows] = _mapped(out[rows], each)
        return out

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


def _mapped(eps: Array, each: CategoryCalibration) -> Array:
    """Efficiencies (n, working points, ...) with other odds."""
    offset = np.asarray(each.offset).reshape(-1, *(1,) * (eps.ndim - 2))
    odds = offset + each.slope * log_odds(eps)
    columns = np.moveaxis(odds, 1, -1)  # n, ..., working points
    flat = from_log_odds(columns.reshape(-1, eps.shape[1]))
    mapped = np.moveaxis(flat.reshape(columns.shape), -1, 1)
    return np.where((eps <= 0.0) | (eps >= 1.0), eps, mapped)
