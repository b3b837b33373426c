"""Weights 1/E of selected events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepsilon.arrays.checks import checked_events
from hepsilon.arrays.statistics import effective_sample_size
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError

__all__ = ["FLOOR", "InversionWeight", "inversion_weight"]

FLOOR = 1e-3
"""Efficiencies below are raised to this before they are inverted."""


@dataclass(frozen=True)
class InversionWeight:
    """Weights 1/E of selected events, and what the cutoff for E -> 0 did to them.

    ``numpy.asarray`` of it gives the weights, for ``coffea.analysis_tools.Weights.add``; a
    histogram takes it as it is.

    Attributes
    ----------
    weight : ndarray
        1 / max(E, floor), one per event.
    variance : ndarray
        (1 - E) / E^2, with the same E: the Horvitz-Thompson estimate of the variance that each
        selected event contributes to the sum of weights.
    clipped : ndarray of bool
        True where E was below the floor.
    """

    weight: Array
    variance: Array
    clipped: npt.NDArray[np.bool_]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.weight, dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def n_clipped(self) -> int:
        """Number of events below the floor."""
        return int(np.count_nonzero(self.clipped))

    @property
    def clipped_share(self) -> float:
        """Share of the sum of weights that these events carry."""
        total = float(self.weight.sum())
        return float(self.weight[self.clipped].sum()) / total if total else 0.0

    @property
    def effective_sample_size(self) -> float:
        """``(sum w)^2 / sum w^2``: so many events of equal weight are worth as much."""
        return float(effective_sample_size(self.weight.sum(), np.square(self.weight).sum()))


def inversion_weight(efficiency: ak.Array | Array, floor: float = FLOOR) -> InversionWeight:
    """Weights 1/E that correct selected events for the efficiency.

    Eq. 2 of Mieskolainen, "DeepEfficiency": fill any histogram with them. The sum is the
    Horvitz-Thompson estimate of the number of events before the selection.

    Parameters
    ----------
    efficiency : ak.Array or ndarray
        E of every selected event, in [0, 1].
    floor : float, default FLOOR
        Explicit cutoff for E -> 0, in (0, 1]; below it the weight is 1 / floor, and counted.

    Raises
    ------
    InputError
        For values that are NaN or outside [0, 1], or a floor outside (0, 1].
    """
    if not 0.0 < floor <= 1.0:
        raise InputError(f"expected a floor in (0, 1], received {floor}")
    values = checked_events(efficiency, len(efficiency))
    clipped = values < floor
    bounded = np.where(clipped, floor, values)
    return InversionWeight(1.0 / bounded, (1.0 - bounded) / bounded**2, clipped)
