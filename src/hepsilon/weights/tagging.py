"""Event weights from the efficiencies of jets: truth tagging and direct tagging."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepsilon.arrays.lazy import in_graphs
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.weights.bins import GivesScaleFactors, PerWorkingPoint, ScaleFactors, TagBins
from hepsilon.weights.conditions import ANYTHING, Condition, as_condition, joint_transitions
from hepsilon.weights.kernels import condition_probability, joint_probabilities

__all__ = ["direct_tag_weight", "joint_probability", "probability", "truth_tag_weight"]


@in_graphs
def truth_tag_weight(
    eps: PerWorkingPoint,
    n_tags: int | Condition = 2,
    *,
    at_least: bool = False,
    jets: slice | ak.Array | None = slice(0, 2),
    working_points: Sequence[str] | None = None,
    scale_factors: PerWorkingPoint | ScaleFactors | GivesScaleFactors | None = None,
    direct: ak.Array | None = None,
    tagged: ak.Array | None = None,
    records: ak.Array | None = None,
) -> npt.NDArray[np.float64]:
    """Probability that an event has ``n_tags`` tagged jets: its truth-tag weight.

    In place of a cut on the number of tags every event is kept and gets this weight, so that no
    simulated event is lost. For two jets it is Eq. 3 of Di Bello et al., "Efficiency
    Parameterization with Neural Networks": (1 - e1)(1 - e2), e1 (1 - e2) + (1 - e1) e2 and e1 e2
    for 0, 1 and 2 tags. For more jets, several working points and any condition it is the exact
    sum over all ways to tag the jets (assignments) that meet the condition. With booleans instead
    of efficiencies (direct tagging) it is 0 or 1.

    With scale factors it is the weight to be compared with data: each assignment counts with the
    product of ``SF eps`` of the tagged and ``1 - SF eps`` of the other jets.

    Parameters
    ----------
    eps : ak.Array or mapping of str to ak.Array, shape (n_events, jets[, working points])
        Efficiency of every jet, jagged, in [0, 1]. Several working points, from the loosest to the
        tightest, stand on a trailing axis or in a mapping by name; a tighter one never has a
        higher efficiency.
    n_tags : int or Condition, default 2
        Number of tags (at the loosest working point), or a condition such as ``at_least(2,
        "medium") & at_least(1, "tight")``.
    at_least : bool, default False
        Ask for that many tags or more, instead of exactly that many.
    jets : slice, jagged ak.Array of bool, or None, default slice(0, 2)
        Jets that count: a slice of each event's jets (the default: the leading two, in the order
        of the collection), a jagged mask (0 and 1 are booleans, too), or None for all.
    working_points : sequence of str, optional
        Names of the working points, from the loosest to the tightest, for conditions that use
        names. Not needed for a mapping.
    scale_factors : ak.Array, mapping of str to ak.Array, ScaleFactors, or a ratio, optional
        Ratios of data to simulation, jagged like ``eps``; or a learned ratio of efficiencies
        (:class:`hepsilon.LearnedRatio`) or :class:`hepsilon.TagScaleFactors`, which are evaluated
        for ``records``. A product with ``eps`` above 1 is taken
        as 1, and counted in a :class:`~hepsilon.ScaleFactorWarning`.
    direct : jagged ak.Array of bool, optional
        True for the jets that stay directly tagged (hybrid tagging). It goes with ``tagged``.
    tagged : jagged ak.Array of bool or int, optional
        Tag of the jets that stay directly tagged: a boolean, or the number of working points they
        pass. The values of the other jets are not used, but must be such numbers, too.
    records : ak.Array of records, jagged, optional
        All jets with their fields, where ``scale_factors`` are a function of them.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        Weight of every event; 0 where fewer than ``n_tags`` of its jets count.

    Raises
    ------
    InputError
        If a value is NaN or outside [0, 1], a tighter working point has a higher efficiency, a
        working point is missing, or events are option-typed.
    TypeError
        If ``n_tags`` is not a whole number, or ``jets`` is neither a slice nor a jagged mask.
    ValueError
        If ``n_tags`` is negative or a boolean, or ``at_least`` is given beside a condition.

    See Also
    --------
    hepsilon.sample_tags : Draws one assignment of tags, where a tag of each jet is needed.
    hepsilon.analysis_tools.add_truth_tag : Adds the weight to ``coffea.analysis_tools.Weights``.

    Examples
    --------
    Two events with two jets, and one with three, of which the leading two count:

    >>> import awkward as ak
    >>> from hepsilon import at_least, truth_tag_weight
    >>> eps = ak.Array([[0.5, 0.5], [0.75, 0.25], [0.5, 0.0, 0.9]])
    >>> truth_tag_weight(eps, 2)
    array([0.25  , 0.1875, 0.    ])
    >>> truth_tag_weight(eps, 1, at_least=True)
    array([0.75  , 0.8125, 0.5   ])

    All jets, and a condition on two working points:

    >>> eps = {"medium": ak.Array([[0.5, 0.5]]), "tight": ak.Array([[0.25, 0.25]])}
    >>> truth_tag_weight(eps, at_least(2, "medium") & at_least(1, "tight"), jets=None)
    array([0.1875])
    """
    condition = as_condition(n_tags, at_least)
    bins = TagBins.of(
        eps,
        jets=jets,
        working_points=working_points,
        scale_factors=None if scale_factors is None else ScaleFactors.of(scale_factors, records),
        direct=direct,
        tagged=tagged,
    )
    bins.warn()
    return probability(bins, condition)


def probability(bins: TagBins, condition: Condition) -> npt.NDArray[np.float64]:
    """Sum of the weights of all assignments of tags that meet a condition.

    Parameters
    ----------
    bins : TagBins
        Weights of the bins of every jet that counts.
    condition : Condition
        Numbers of tags that are asked for.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        One sum per event.

    Raises
    ------
    InputError
        If the condition names a working point that the jets do not have.
    """
    table = condition.transitions(bins.working_points)
    result: Array = condition_probability(bins.offsets, bins.weights, table)
    return result


def joint_probability(bins: TagBins, conditions: Sequence[Condition]) -> npt.NDArray[np.float64]:
    """Sums of :func:`probability` for several conditions, in one pass where that is less work.

    Parameters
    ----------
    bins : TagBins
        Weights of the bins of every jet that counts.
    conditions : sequence of Condition
        One or more conditions.

    Returns
    -------
    ndarray of float64, shape (n_conditions, n_events)
        One row of sums per condition.

    Raises
    ------
    InputError
        If a condition names a working point that the jets do not have.
    """
    joint = _automaton(tuple(conditions), tuple(bins.working_points))
    if joint is None:
        return np.stack([probability(bins, condition) for condition in conditions])
    result: Array = joint_probabilities(bins.offsets, bins.weights, *joint)
    return result


@cache
def _automaton(
    conditions: tuple[Condition, ...], working_points: tuple[int | str, ...]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """One automaton for all conditions; None if it has more states than they have one by one."""
    table, accepts = joint_transitions(conditions, working_points)
    alone = sum(len(condition.transitions(working_points)) for condition in conditions)
    return (table, accepts) if len(table) <= alone else None


@in_graphs
def direct_tag_weight(
    tagged: ak.Array,
    scale_factors: PerWorkingPoint | ScaleFactors | GivesScaleFactors,
    eps: PerWorkingPoint | None = None,
    jets: slice | ak.Array | None = None,
    records: ak.Array | None = None,
) -> npt.NDArray[np.float64]:
    """Weight P(data) / P(MC) of directly tagged events.

    It is the product, over the jets, of the ratio of probabilities to be in the bin between
    working points in which the jet was found. With one working point this is ``SF`` for a tagged
    jet and ``(1 - SF eps) / (1 - eps)`` for the others. For shape corrections it is the product
    of the factors, without efficiencies.

    Parameters
    ----------
    tagged : jagged ak.Array of bool or int
        Tag of every jet: a boolean, or the number of working points it passes.
    scale_factors : ak.Array, mapping of str to ak.Array, ScaleFactors, or a ratio
        Ratios of data to simulation, jagged like ``tagged``; or what is evaluated for ``records``,
        such as a learned ratio, of efficiencies or of densities.
    eps : ak.Array or mapping of str to ak.Array, optional
        Efficiencies in simulation, as for :func:`truth_tag_weight`; not needed for factors that
        multiply jets (``kind="jet"`` of :class:`~hepsilon.ScaleFactors`).
    jets : slice or jagged ak.Array of bool, optional
        Jets that count, by default all.
    records : ak.Array of records, jagged, optional
        All jets with their fields, where ``scale_factors`` are a function of them.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        Weight of every event.

    Raises
    ------
    InputError
        If values are out of range, efficiencies are missing, or a jet is in a bin that is
        impossible by its efficiencies.

    Examples
    --------
    The tagged jet has the weight 0.9, the other one (1 - 0.9 * 0.5) / (1 - 0.5) = 1.1:

    >>> import awkward as ak
    >>> from hepsilon import direct_tag_weight
    >>> tagged, eps = ak.Array([[True, False]]), ak.Array([[0.5, 0.5]])
    >>> direct_tag_weight(tagged, ak.Array([[0.9, 0.9]]), eps)
    array([0.99])
    """
    factors = ScaleFactors.of(scale_factors, records)
    if factors.kind == "jet":
        return probability(TagBins.weighted(tagged, factors.nominal, jets), ANYTHING)
    if eps is None:
        raise InputError(f"scale factors of each {factors.kind} need the efficiencies, eps")
    everything = ak.ones_like(tagged, dtype=bool)
    bins = TagBins.of(eps, jets=jets, scale_factors=factors, direct=everything, tagged=tagged)
    bins.warn()
    return probability(bins, ANYTHING)
