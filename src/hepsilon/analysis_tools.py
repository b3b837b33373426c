"""Truth-tag weights in ``coffea.analysis_tools.Weights``, and fills of single jets beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import hist
import numpy as np
import numpy.typing as npt
from coffea.analysis_tools import PackedSelection, Weights
from scipy.special import expit, logit

from hepsilon.arrays.checks import check_finite, checked, probabilities
from hepsilon.arrays.columns import flat_rows, offsets_of, unflatten
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError
from hepsilon.weights.bins import BELOW_ONE, PerWorkingPoint, ScaleFactors, TagBins
from hepsilon.weights.conditions import Condition, as_condition
from hepsilon.weights.tagging import probability

__all__ = [
    "TruthTag",
    "add_truth_tag",
    "add_weight",
    "fill_objects",
    "shifted_efficiencies",
    "tag_cutflow",
]

EFFICIENCY = "efficiency"
"""Variation by the spread of an efficiency's replicas."""


@dataclass(frozen=True)
class TruthTag:
    """What :func:`add_truth_tag` has added.

    Attributes
    ----------
    weight : ndarray
        One per event.
    possible : ndarray of bool
        True for the events whose weight is not 0: the step of a cutflow that stands where the cut
        on the number of tags stood.
    variations : tuple of str
        Names of the variations in ``Weights``, without Up and Down.
    n_above_one : int
        Number of jets whose SF * eps was above 1 (and taken as 1).
    """

    weight: Array
    possible: npt.NDArray[np.bool_]
    variations: tuple[str, ...]
    n_above_one: int


def shifted_efficiencies(eps: ak.Array, replicas: ak.Array) -> tuple[ak.Array, ak.Array]:
    """Efficiencies up and down by the spread of their replicas, all jets together.

    With the standard deviation s of the replicas of a jet, its odds eps / (1 - eps) are multiplied
    and divided by ``1 + s / (eps (1 - eps))``: to first order eps +- s, but always inside (0, 1).
    All jets are taken as fully correlated: an envelope. What the correlations really do to a
    histogram is seen when every replica is filled.

    Parameters
    ----------
    eps : ak.Array
        Jagged, one working point.
    replicas : ak.Array
        Of ``eps``, with one more axis (see ``Efficiency.replicas``).

    Raises
    ------
    InputError
        For values outside (0, 1), fewer than two replicas, or those of other jets.
    """
    offsets, values = checked(eps, "eps")
    found, rows = flat_rows(replicas, name="replicas")
    if not len(values) and not len(rows):  # how many replicas there are, nobody knows
        rows = np.empty((0, 2))
    if not np.array_equal(found, offsets) or rows.shape[1] < 2:
        raise InputError(
            f"replicas: expected two or more for each jet of eps, received {replicas.type}"
        )
    probabilities(rows, "replicas")
    fixed = int(np.count_nonzero((values <= 0.0) | (values >= 1.0)))
    if fixed:
        raise InputError(
            f"eps: expected values inside (0, 1), received {fixed} of {values.size} that are 0 or "
            "1 and have no odds to shift"
        )
    step = np.log1p(np.std(rows, axis=1, ddof=1) / (values * (1.0 - values)))
    up, down = (unflatten(expit(logit(values) + s), offsets) for s in (step, -step))
    return up, down


def add_weight(
    weights: Weights,
    name: str,
    nominal: Array,
    variations: Mapping[str, tuple[Array, Array]] | None = None,
) -> tuple[str, ...]:
    """``Weights.add_multivariation`` with fresh copies, and errors for what coffea would lose.

    Parameters
    ----------
    weights : Weights
        Of the events of a chunk.
    name : str
        Of the weight; the variations become ``NAME_variationUp`` and ``...Down``.
    nominal : ndarray
        One per event.
    variations : mapping of str to tuple of (ndarray, ndarray), optional
        Name: (up, down), one per event each.

    Returns
    -------
    tuple
        Names of the variations.

    Raises
    ------
    InputError
        For weights that are not finite or of another number of events, and variations of a nominal
        weight of zero (coffea keeps ratios to it, which there are none of).
    """
    size = len(weights.weight())
    columns = {"nominal": nominal}
    for key, (up, down) in (variations or {}).items():
        columns |= {f"{key}Up": up, f"{key}Down": down}
    copies = {}
    for key, column in columns.items():
        copies[key] = check_finite(np.array(column, np.float64), f"{name} {key}")
        if copies[key].shape != (size,):
            raise InputError(
                f"{name} {key}: expected one weight for each of {size} events, received "
                f"{copies[key].shape}"
            )
        lost = int(np.count_nonzero((copies["nominal"] == 0.0) & (copies[key] != 0.0)))
        if lost:
            raise InputError(
                f"{name} {key}: {lost} of {size} events have a weight here but a nominal one of "
                "zero; coffea's Weights keep ratios and would lose them. Fill such a variation "
                "with a weight of its own"
            )
    names = tuple(variations or ())
    ups, downs = ([copies[f"{key}{side}"] for key in names] for side in ("Up", "Down"))
    # coffea divides by the nominal weight in place: where that is zero, all are
    weights.add_multivariation(name, copies["nominal"], list(names), ups, downs)
    return tuple(f"{name}_{key}" for key in names)


def add_truth_tag(
    weights: Weights,
    name: str,
    eps: PerWorkingPoint,
    n_tags: int | Condition = 2,
    *,
    at_least: bool = False,
    jets: slice | ak.Array | None = slice(0, 2),
    scale_factors: PerWorkingPoint | ScaleFactors | None = None,
    replicas: ak.Array | None = None,
    working_points: Sequence[str] | None = None,
    direct: ak.Array | None = None,
    tagged: ak.Array | None = None,
) -> TruthTag:
    """Add the truth-tag weight with its variations, in place of a cut on the number of tags.

    Parameters
    ----------
    weights : Weights
        ``coffea.analysis_tools.Weights`` of the events.
    name : str
        Of the weight.
    eps, n_tags, at_least, jets, scale_factors, working_points, direct, tagged : various
        As for :func:`hepsilon.truth_tag_weight`. Every variation of the scale factors becomes one
        of the weight, ``NAME_variation``.
    replicas : ak.Array, optional
        Of the efficiency (one working point), such as ``efficiency.replicas(jets)``: their spread
        becomes the variation ``NAME_efficiency`` (see :func:`shifted_efficiencies`).

    Raises
    ------
    InputError
        As :func:`hepsilon.truth_tag_weight` and :func:`add_weight`.
    """
    condition = as_condition(n_tags, at_least)
    options: dict[str, Any] = {
        "jets": jets,
        "working_points": working_points,
        "direct": direct,
        "tagged": tagged,
        "most": BELOW_ONE,  # or coffea could not carry the variations of such jets
    }
    factors = None if scale_factors is None else ScaleFactors.of(scale_factors)
    bins = TagBins.of(eps, scale_factors=factors, **options)
    bins.warn()
    nominal = probability(bins, condition)

    def varied(pair: tuple[Any, Any], which: str) -> tuple[Array, Array]:
        arguments = {"eps": eps, "scale_factors": factors, **options}
        up, down = (
            probability(TagBins.of(**arguments | {which: value}), condition) for value in pair
        )
        return up, down

    variations = {
        key: varied(pair, "scale_factors")
        for key, pair in (factors.varied() if factors else {}).items()
    }
    if replicas is not None:
        if isinstance(eps, Mapping) or EFFICIENCY in variations:
            raise InputError("replicas need one working point, and their variation a free name")
        variations[EFFICIENCY] = varied(shifted_efficiencies(eps, replicas), "eps")
    names = add_weight(weights, name, nominal, variations)
    return TruthTag(nominal, nominal != 0.0, names, bins.n_above_one)


def tag_cutflow(
    selection: PackedSelection, weights: Weights, steps: Mapping[str, str]
) -> dict[str, float]:
    """Weighted cutflow in which a truth-tag weight counts from the step on that it stands for.

    coffea's own ``selection.cutflow(..., weights=weights)`` has it in every row, which then is the
    number of events that are expected to have the tags in the end.

    Parameters
    ----------
    selection : PackedSelection
        With all steps, in their order.
    weights : Weights
        Made with ``storeIndividual=True``.
    steps : mapping of str to str
        Names of truth-tag weights by the name of the step each of them stands for, such as ``{"two
        b jets": "tags"}``.

    Returns
    -------
    dict
        Sum of weights after every step, ``initial`` first.

    Raises
    ------
    InputError
        For steps that the selection, or weights that ``Weights`` do not have.
    """
    unknown = [step for step in steps if step not in selection.names]
    if unknown:
        raise InputError(f"expected steps of {list(selection.names)}, received {unknown}")
    known = list(weights.weightStatistics)
    unknown = [name for name in steps.values() if name not in known]
    if unknown:  # coffea would leave out nothing
        raise InputError(f"expected weights of {known}, received {unknown}")
    found = selection.cutflow(*selection.names).result()
    masks = [np.ones(len(weights.weight()), bool), *found.maskscutflow]
    later, rows = dict(steps), {}
    for label, mask in zip(found.labels, masks, strict=True):
        later.pop(label, None)
        names = list(later.values())
        weight = weights.partial_weight(exclude=names) if names else weights.weight()
        rows[label] = float(np.sum(weight[mask]))
    return rows


def fill_objects(
    histogram: hist.Hist[Any],
    event_weight: Array,
    object_weight: ak.Array | None = None,
    **axes: Any,
) -> None:
    """Fill one entry per object, where ``Weights`` cannot carry a weight of each of them.

    Parameters
    ----------
    histogram : hist.Hist
        To fill.
    event_weight : ndarray
        One per event, such as ``weights.weight()`` or ``weights.weight("btagUp")``.
    object_weight : ak.Array, optional
        Of every object, jagged, such as ``eps`` or ``1 / eps``.
    axes : object
        Value of every object (jagged), of every event (spread over its objects), or one for all,
        such as the name of a category.

    Raises
    ------
    InputError
        For weights that are not finite, or columns of other objects.
    """
    jagged = {k: v for k, v in axes.items() if isinstance(v, ak.Array) and v.ndim > 1}
    if object_weight is not None:
        jagged[""] = object_weight
    if not jagged:
        raise InputError("expected a jagged column, one number per object, to fill")
    columns: dict[str, Any] = {}
    offsets = offsets_of(next(iter(jagged.values())))
    for key, column in jagged.items():
        found, rows = flat_rows(column, name=key or "object_weight")
        if not np.array_equal(found, offsets) or rows.shape[1] != 1:
            raise InputError(f"{key or 'object_weight'}: expected one number for each object")
        columns[key] = _whole(column, rows[:, 0])
    counts = np.diff(offsets)
    if np.shape(event_weight) != counts.shape:
        raise InputError(
            f"event_weight: expected {len(counts)} events, received {np.shape(event_weight)}"
        )
    weight = np.repeat(np.asarray(event_weight, np.float64), counts) * columns.pop("", 1.0)
    check_finite(weight, "weight")
    for key, value in axes.items():
        if key not in columns:
            columns[key] = _spread(key, value, counts)
    if all(np.ndim(column) == 0 for column in columns.values()):  # boost-histogram needs a column
        columns = {key: np.full(len(weight), value) for key, value in columns.items()}
    histogram.fill(**columns, weight=weight)


def _whole(column: ak.Array, values: Array) -> npt.NDArray[Any]:
    """The values; as integers where the column has them, as axes of categories need them."""
    content = ak.to_numpy(ak.flatten(column, axis=None))
    return content.astype(np.int64) if content.dtype.kind in "biu" else values


def _spread(name: str, value: Any, counts: npt.NDArray[np.int64]) -> Any:
    """A value of every event for each of its objects; a single one as it is."""
    if isinstance(value, str) or np.ndim(value) == 0:
        return value
    if np.shape(value) != counts.shape:
        raise InputError(
            f"{name}: expected one value, or one for each of {len(counts)} events or each object, "
            f"received {np.shape(value)}"
        )
    return np.repeat(np.asarray(value), counts)
