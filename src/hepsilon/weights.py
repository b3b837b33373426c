"""Event weights from efficiencies."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepsilon.efficiency import checked, checked_events
from hepsilon.errors import InputError
from hepsilon.kernels import tag_count_probability

__all__ = ["FLOOR", "InversionWeight", "inversion_weight", "truth_tag_weight"]

Array = npt.NDArray[np.float64]

FLOOR = 1e-3
"""Efficiencies below are raised to this before they are inverted."""


def truth_tag_weight(
    eps: ak.Array,
    n_tags: int = 2,
    at_least: bool = False,
    jets: slice | ak.Array | None = slice(0, 2),
) -> npt.NDArray[np.float64]:
    """Probability that an event has ``n_tags`` tagged jets: its truth-tag weight.

    For two jets this is Eq. 3 of Di Bello et al., "Efficiency Parameterization with Neural
    Networks": (1 - e1)(1 - e2), e1 (1 - e2) + (1 - e1) e2 and e1 e2 for 0, 1 and 2 tags. With
    booleans instead of efficiencies (direct tagging) it is 0 or 1.

    Parameters
    ----------
    eps : efficiency of every jet, jagged, in [0, 1].
    n_tags : number of tags.
    at_least : that many tags or more, instead of exactly that many.
    jets : which jets count: a slice of each event's jets (the default: the leading two, in the
        order of the collection), a jagged boolean mask, or None for all.

    Returns
    -------
    ndarray : float64, one per event; 0 where an event has fewer than ``n_tags`` such jets.

    Raises
    ------
    InputError : if a value is NaN or outside [0, 1], or the events are option-typed.
    TypeError, ValueError : for a number of tags that is not a whole number of zero or more, or
        jets that are neither a slice nor a jagged mask.
    """
    if isinstance(n_tags, bool) or operator.index(n_tags) < 0:
        raise ValueError(f"expected a number of tags of zero or more, received {n_tags}")
    chosen: Any = eps
    if isinstance(jets, slice):
        chosen = eps[:, jets]
    elif isinstance(jets, ak.Array):
        chosen = eps[jets]
    elif jets is not None:
        raise TypeError(f"jets: expected a slice, a jagged mask or None, received {jets!r}")
    offsets, values = checked(chosen, "eps")
    result: npt.NDArray[np.float64] = tag_count_probability(offsets, values, n_tags, at_least)
    return result


@dataclass(frozen=True)
class InversionWeight:
    """Weights 1/E of selected events, and what the cutoff for E -> 0 did to them.

    ``numpy.asarray`` of it gives the weights, for ``coffea.analysis_tools.Weights.add``; a
    histogram takes it as it is.

    Attributes
    ----------
    weight : 1 / max(E, floor), one per event.
    variance : (1 - E) / E^2, with the same E: the Horvitz-Thompson estimate of the variance that
        each selected event contributes to the sum of weights.
    clipped : True where E was below the floor.
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
        squares = float(np.square(self.weight).sum())
        return float(self.weight.sum()) ** 2 / squares if squares else 0.0


def inversion_weight(efficiency: ak.Array | Array, floor: float = FLOOR) -> InversionWeight:
    """Weights 1/E that correct selected events for the efficiency.

    Eq. 2 of Mieskolainen, "DeepEfficiency": fill any histogram with them. The sum is the
    Horvitz-Thompson estimate of the number of events before the selection.

    Parameters
    ----------
    efficiency : E of every selected event, in [0, 1].
    floor : explicit cutoff for E -> 0, in (0, 1]; below it the weight is 1 / floor, and counted.

    Raises
    ------
    InputError : for values that are NaN or outside [0, 1], or a floor outside (0, 1].
    """
    if not 0.0 < floor <= 1.0:
        raise InputError(f"expected a floor in (0, 1], received {floor}")
    values = checked_events(efficiency, len(efficiency))
    clipped = values < floor
    bounded = np.where(clipped, floor, values)
    return InversionWeight(1.0 / bounded, (1.0 - bounded) / bounded**2, clipped)
