"""Weights 1/E that correct selected events for their efficiency E."""

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

    It can be used in place of an array: ``numpy.asarray`` gives the weights, for
    ``coffea.analysis_tools.Weights.add``, and the ``fill`` of a histogram takes it directly.

    Attributes
    ----------
    weight : ndarray of float64, shape (n_events,)
        1 / max(E, floor) of every event.
    variance : ndarray of float64, shape (n_events,)
        (1 - E) / E^2, with the same E: the Horvitz-Thompson estimate of the variance that each
        selected event contributes to the sum of weights.
    clipped : ndarray of bool, shape (n_events,)
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
        """Share of the sum of weights that the events below the floor carry, from 0 to 1."""
        total = float(self.weight.sum())
        return float(self.weight[self.clipped].sum()) / total if total else 0.0

    @property
    def effective_sample_size(self) -> float:
        """Number of events of equal weight that are worth as much, ``(sum w)^2 / sum w^2``."""
        return float(effective_sample_size(self.weight.sum(), np.square(self.weight).sum()))


def inversion_weight(efficiency: ak.Array | Array, floor: float = FLOOR) -> InversionWeight:
    """Weights 1/E that correct selected events for the efficiency.

    Any histogram filled with these weights shows the events before the selection (Eq. 2 of
    Mieskolainen, "DeepEfficiency"). Their sum is the Horvitz-Thompson estimate of the number of
    events before it.

    Parameters
    ----------
    efficiency : ak.Array or ndarray, shape (n_events,)
        Efficiency E of every selected event, in [0, 1].
    floor : float, default 0.001
        Explicit cutoff for E -> 0, in (0, 1]. Events below it get the weight 1 / floor and are
        counted.

    Returns
    -------
    InversionWeight
        Weights, their variances, and the events that were below the floor.

    Raises
    ------
    InputError
        If a value is NaN or outside [0, 1], or the floor is outside (0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from hepsilon import inversion_weight
    >>> found = inversion_weight(np.array([0.5, 0.8, 0.0001]))
    >>> found.weight
    array([   2.  ,    1.25, 1000.  ])
    >>> found.n_clipped
    1
    """
    if not 0.0 < floor <= 1.0:
        raise InputError(f"expected a floor in (0, 1], received {floor}")
    values = checked_events(efficiency, len(efficiency))
    clipped = values < floor
    bounded = np.where(clipped, floor, values)
    return InversionWeight(1.0 / bounded, (1.0 - bounded) / bounded**2, clipped)
