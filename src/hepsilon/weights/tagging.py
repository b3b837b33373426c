"""Event weights from efficiencies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.weights.bins import PerWorkingPoint, ScaleFactors, TagBins
from hepsilon.weights.conditions import ANYTHING, Condition, as_condition, joint_transitions
from hepsilon.weights.kernels import condition_probability, joint_probabilities

__all__ = ["direct_tag_weight", "joint_probability", "probability", "truth_tag_weight"]


def truth_tag_weight(
    eps: PerWorkingPoint,
    n_tags: int | Condition = 2,
    *,
    at_least: bool = False,
    jets: slice | ak.Array | None = slice(0, 2),
    working_points: Sequence[str] | None = None,
    scale_factors: PerWorkingPoint | ScaleFactors | None = None,
    direct: ak.Array | None = None,
    tagged: ak.Array | None = None,
) -> npt.NDArray[np.float64]:
    """Probability that an event has ``n_tags`` tagged jets: its truth-tag weight.

    For two jets this is Eq. 3 of Di Bello et al., "Efficiency Parameterization with Neural
    Networks": (1 - e1)(1 - e2), e1 (1 - e2) + (1 - e1) e2 and e1 e2 for 0, 1 and 2 tags. With
    booleans instead of efficiencies (direct tagging) it is 0 or 1.

    With scale factors it is the weight to be compared with data: the sum over all assignments of
    tags, exactly, of the product of ``SF eps`` of the tagged and ``1 - SF eps`` of the other jets.

    Parameters
    ----------
    eps : PerWorkingPoint
        Efficiency of every jet, jagged, in [0, 1]; with several working points on a trailing axis,
        or by name, from the loosest to the tightest.
    n_tags : int or Condition, default 2
        Number of tags (at the loosest working point), or a condition such as ``at_least(2,
        "medium") & at_least(1, "tight")``.
    at_least : bool, default False
        That many tags or more, instead of exactly that many.
    jets : slice or ak.Array or None, default slice(0, 2)
        Which jets count: a slice of each event's jets (the default: the leading two, in the order
        of the collection), a jagged boolean mask (0 and 1 are booleans, too), or None for all.
    working_points : sequence of str, optional
        Their names, from the loosest to the tightest, for conditions that name them.
    scale_factors : PerWorkingPoint or ScaleFactors, optional
        Ratios of data to simulation, jagged like ``eps``. A product with ``eps`` above 1 is taken
        as 1, and counted in a :class:`~hepsilon.ScaleFactorWarning`.
    direct : ak.Array, optional
        Mask of the jets that stay directly tagged (hybrid tagging), jagged.
    tagged : ak.Array, optional
        Of those jets the tag: a boolean, or the number of working points they pass. What the other
        jets have here does not matter, but must be such a number.

    Returns
    -------
    ndarray
        float64, one per event; 0 where an event has fewer than ``n_tags`` such jets.

    Raises
    ------
    InputError
        If a value is NaN or outside [0, 1], a tighter working point has a higher efficiency, a
        working point is missing, or events are option-typed.
    TypeError, ValueError
        For a number of tags that is not a whole number of zero or more, or jets that are neither a
        slice nor a jagged mask.
    """
    condition = as_condition(n_tags, at_least)
    bins = TagBins.of(
        eps,
        jets=jets,
        working_points=working_points,
        scale_factors=scale_factors,
        direct=direct,
        tagged=tagged,
    )
    bins.warn()
    return probability(bins, condition)


def probability(bins: TagBins, condition: Condition) -> npt.NDArray[np.float64]:
    """Sum of the weights of all assignments that meet a condition, one per event."""
    table = condition.transitions(bins.working_points)
    result: Array = condition_probability(bins.offsets, bins.weights, table)
    return result


def joint_probability(bins: TagBins, conditions: Sequence[Condition]) -> npt.NDArray[np.float64]:
    """The same for several conditions, in one pass where that is less work (conditions, events)."""
    joint = _automaton(tuple(conditions), tuple(bins.working_points))
    if joint is None:
        return np.stack([probability(bins, condition) for condition in conditions])
    result: Array = joint_probabilities(bins.offsets, bins.weights, *joint)
    return result


@cache
def _automaton(
    conditions: tuple[Condition, ...], working_points: tuple[int | str, ...]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """All conditions in one; None where it has more states than they have one by one."""
    table, accepts = joint_transitions(conditions, working_points)
    alone = sum(len(condition.transitions(working_points)) for condition in conditions)
    return (table, accepts) if len(table) <= alone else None


def direct_tag_weight(
    tagged: ak.Array,
    scale_factors: PerWorkingPoint | ScaleFactors,
    eps: PerWorkingPoint | None = None,
    jets: slice | ak.Array | None = None,
) -> npt.NDArray[np.float64]:
    """Weight P(data) / P(MC) of directly tagged events, one per event.

    The product over the jets of the ratio for the bin between working points that each is in: for
    one working point ``SF`` of the tagged and ``(1 - SF eps) / (1 - eps)`` of the other jets. For
    shape corrections it is the product of the factors, without efficiencies.

    Parameters
    ----------
    tagged : ak.Array
        Tag of every jet: a boolean, or the number of working points it passes.
    scale_factors : PerWorkingPoint or ScaleFactors
        Ratios of data to simulation, jagged.
    eps : PerWorkingPoint, optional
        Efficiencies in simulation, as for :func:`truth_tag_weight`; not needed for factors of jets
        (``ScaleFactors.kind``).
    jets : slice or ak.Array, optional
        Which jets count, by default all.

    Raises
    ------
    InputError
        For values out of range, missing efficiencies, or jets in a bin of which their efficiencies
        say that it is impossible.
    """
    factors = ScaleFactors.of(scale_factors)
    if factors.kind == "jet":
        return probability(TagBins.weighted(tagged, factors.nominal, jets), ANYTHING)
    if eps is None:
        raise InputError(f"scale factors of each {factors.kind} need the efficiencies, eps")
    everything = ak.ones_like(tagged, dtype=bool)
    bins = TagBins.of(eps, jets=jets, scale_factors=factors, direct=everything, tagged=tagged)
    bins.warn()
    return probability(bins, ANYTHING)
