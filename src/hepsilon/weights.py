"""Event weights from efficiencies."""

from __future__ import annotations

import operator
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepsilon.efficiency import checked
from hepsilon.kernels import tag_count_probability

__all__ = ["truth_tag_weight"]


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
