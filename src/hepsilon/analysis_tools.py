"""Truth-tag weights in ``coffea.analysis_tools.Weights``, and histograms of single objects."""

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
from hepsilon.weights.bins import (
    BELOW_ONE,
    GivesScaleFactors,
    PerWorkingPoint,
    ScaleFactors,
    TagBins,
)
from hepsilon.weights.conditions import Condition, as_condition
from hepsilon.weights.inversion import FLOOR, InversionWeight, inversion_weight
from hepsilon.weights.tagging import probability
from hepsilon.weights.variations import EfficiencyVariations, mirrored_efficiencies

__all__ = [
    "InversionTag",
    "TruthTag",
    "add_inversion",
    "add_truth_tag",
    "add_weight",
    "fill_objects",
    "shifted_efficiencies",
    "tag_cutflow",
]

EFFICIENCY = "efficiency"
"""Name of the variation by the spread of an efficiency's replicas."""
PREFIX = "eff"
"""Start of the names of variations by few directions of the replicas."""


@dataclass(frozen=True)
class TruthTag:
    """Truth-tag weight that :func:`add_truth_tag` has added.

    Attributes
    ----------
    weight : ndarray of float64, shape (n_events,)
        Nominal weight of every event.
    possible : ndarray of bool, shape (n_events,)
        True for the events whose weight is not 0. As a step of a cutflow it takes the place of the
        cut on the number of tags.
    variations : tuple of str
        Names of the variations in ``Weights``, without Up and Down.
    n_above_one : int
        Number of jets whose SF * eps was above 1, which was taken as 1.
    """

    weight: Array
    possible: npt.NDArray[np.bool_]
    variations: tuple[str, ...]
    n_above_one: int


def shifted_efficiencies(eps: ak.Array, replicas: ak.Array) -> tuple[ak.Array, ak.Array]:
    """Efficiencies shifted up and down by the spread of their replicas.

    With the standard deviation s of the replicas of a jet, its odds eps / (1 - eps) are multiplied
    and divided by ``1 + s / (eps (1 - eps))``: to first order eps +- s, but always inside (0, 1).
    All jets are shifted together, as if they were fully correlated, so the two results are an
    envelope. The true effect of the correlations on a histogram shows when every replica is
    filled.

    Parameters
    ----------
    eps : ak.Array of float64, shape (n_events, jets)
        Efficiency of every jet for one working point, jagged, inside (0, 1).
    replicas : ak.Array of float64, shape (n_events, jets, n_replicas)
        Two or more replicas of each efficiency, such as ``efficiency.replicas(jets)``.

    Returns
    -------
    up : ak.Array of float64, shape (n_events, jets)
        Efficiencies with larger odds.
    down : ak.Array of float64, shape (n_events, jets)
        Efficiencies with smaller odds.

    Raises
    ------
    InputError
        If values are outside (0, 1), there are fewer than two replicas, or those of other jets.
    """
    offsets, values = checked(eps, "eps")
    replica_offsets, rows = flat_rows(replicas, name="replicas")
    if not len(values) and not len(rows):  # how many replicas there are, nobody knows
        rows = np.empty((0, 2))
    if not np.array_equal(replica_offsets, offsets) or rows.shape[1] < 2:
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
    """Add a weight with variations to coffea's ``Weights``, and refuse those that it would lose.

    ``Weights.add_multivariation`` keeps variations as ratios to the nominal weight, and changes
    arrays in place: it is given fresh copies here.

    Parameters
    ----------
    weights : coffea.analysis_tools.Weights
        Weights of the events of a chunk.
    name : str
        Name of the weight; the variations become ``NAME_variationUp`` and ``NAME_variationDown``.
    nominal : ndarray, shape (n_events,)
        Nominal weight of every event.
    variations : mapping of str to tuple of (up, down), optional
        Weights up and down by the name of the variation, both of shape (n_events,).

    Returns
    -------
    tuple of str
        Names of the variations in ``Weights``, without Up and Down.

    Raises
    ------
    InputError
        If weights are not finite or of another number of events, or if an event with a nominal
        weight of zero has a variation that is not zero.
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
    scale_factors: PerWorkingPoint | ScaleFactors | GivesScaleFactors | None = None,
    replicas: ak.Array | None = None,
    variations: EfficiencyVariations | None = None,
    categories: ak.Array | None = None,
    alternatives: Mapping[str, ak.Array] | None = None,
    working_points: Sequence[str] | None = None,
    direct: ak.Array | None = None,
    tagged: ak.Array | None = None,
    records: ak.Array | None = None,
) -> TruthTag:
    """Add the truth-tag weight with its variations, in place of a cut on the number of tags.

    Parameters
    ----------
    weights : coffea.analysis_tools.Weights
        Weights of the events of a chunk.
    name : str
        Name of the weight.
    eps : ak.Array or mapping of str to ak.Array, shape (n_events, jets[, working points])
        Efficiency of every jet, as for :func:`hepsilon.truth_tag_weight`.
    n_tags : int or Condition, default 2
        Number of tags, or a condition such as ``at_least(2, "medium")``.
    at_least : bool, default False
        Ask for that many tags or more, instead of exactly that many.
    jets : slice, jagged ak.Array of bool, or None, default slice(0, 2)
        Jets that count, by default the leading two; None for all.
    scale_factors : ak.Array, mapping of str to ak.Array, ScaleFactors, or a ratio, optional
        Ratios of data to simulation, or a learned ratio of efficiencies
        (:class:`hepsilon.LearnedRatio`), which is evaluated for ``records``. Each of their
        variations becomes one of the weight, ``NAME_variation``.
    replicas : ak.Array of float64, shape of eps and (n_replicas,), optional
        Replicas of the efficiency, such as ``efficiency.replicas(jets)``. Of one working point
        their spread becomes the variation ``NAME_efficiency`` (see :func:`shifted_efficiencies`).
    variations : EfficiencyVariations, optional
        Few directions of the replicas, of any number of working points: each becomes a variation
        ``NAME_eff_0``, or of one category ``NAME_eff_b_0``, and what is left ``NAME_eff_rest``, in
        place of ``NAME_efficiency``.
    categories : jagged ak.Array of int, optional
        Category of every jet, where the variations are by category.
    alternatives : mapping of str to ak.Array, shape of eps, optional
        Efficiencies of the same jets from other generators or showers, by name: each becomes a
        variation ``NAME_name``, up with the other one and down with its mirror image (see
        :func:`hepsilon.weights.mirrored_efficiencies`).
    working_points : sequence of str, optional
        Names of the working points, from the loosest to the tightest.
    direct : jagged ak.Array of bool, optional
        True for the jets that stay directly tagged.
    tagged : jagged ak.Array of bool or int, optional
        Tags of the jets that stay directly tagged.
    records : ak.Array of records, jagged, optional
        All jets with their fields, where ``scale_factors`` are a function of them.

    Returns
    -------
    TruthTag
        Nominal weight, the events in which it is not zero, and the names of the variations.

    Raises
    ------
    InputError
        If the arguments are not valid for :func:`hepsilon.truth_tag_weight`, coffea's ``Weights``
        could not carry the result (see :func:`add_weight`), or replicas go with several working
        points and no variations.

    Examples
    --------
    >>> import awkward as ak
    >>> from coffea.analysis_tools import Weights
    >>> from hepsilon import ScaleFactors
    >>> from hepsilon.analysis_tools import add_truth_tag
    >>> eps = ak.Array([[0.5, 0.5], [0.75, 0.25]])
    >>> nominal, up, down = (ak.full_like(eps, factor) for factor in (1.0, 1.1, 0.9))
    >>> factors = ScaleFactors(nominal, {"btag": (up, down)})
    >>> weights = Weights(2)
    >>> add_truth_tag(weights, "tags", eps, 2, scale_factors=factors).variations
    ('tags_btag',)
    >>> weights.weight()
    array([0.25  , 0.1875])
    >>> weights.weight("tags_btagUp").round(6)
    array([0.3025  , 0.226875])
    """
    condition = as_condition(n_tags, at_least)
    options: dict[str, Any] = {
        "jets": jets,
        "working_points": working_points,
        "direct": direct,
        "tagged": tagged,
        "most": BELOW_ONE,  # or coffea could not carry the variations of such jets
    }
    factors = None if scale_factors is None else ScaleFactors.of(scale_factors, records)
    bins = TagBins.of(eps, scale_factors=factors, **options)
    bins.warn()
    nominal = probability(bins, condition)

    def varied(pair: tuple[Any, Any], which: str) -> tuple[Array, Array]:
        arguments = {"eps": eps, "scale_factors": factors, **options}
        up, down = (
            probability(TagBins.of(**arguments | {which: value}), condition) for value in pair
        )
        return up, down

    weighted = {
        key: varied(pair, "scale_factors")
        for key, pair in (factors.varied() if factors else {}).items()
    }
    shifted = _shifted(eps, replicas, variations, categories)
    mirrored = _alternatives(eps, alternatives)
    names = [*weighted, *shifted, *mirrored]
    taken = sorted({name for name in names if names.count(name) > 1})
    if taken:
        raise InputError(f"{taken}: two variations have the same name; choose another")
    shifted |= mirrored
    weighted |= {key: varied(pair, "eps") for key, pair in shifted.items()}
    added = add_weight(weights, name, nominal, weighted)
    return TruthTag(nominal, nominal != 0.0, added, bins.n_above_one)


def _alternatives(
    eps: PerWorkingPoint, alternatives: Mapping[str, ak.Array] | None
) -> dict[str, tuple[ak.Array, ak.Array]]:
    """Efficiencies of other simulations and their mirror images, by name."""
    if not alternatives:
        return {}
    if isinstance(eps, Mapping):
        raise InputError(
            "alternatives go with one array of efficiencies; expected eps of the shape (events, "
            "jets, working points), as an efficiency gives it, received a mapping"
        )
    return {name: mirrored_efficiencies(eps, other) for name, other in alternatives.items()}


@dataclass(frozen=True)
class InversionTag:
    """Weight 1/E that :func:`add_inversion` has added.

    Attributes
    ----------
    inverse : InversionWeight
        Nominal weight of every event, its variance, and what the floor touched.
    variations : tuple of str
        Names of the variations in ``Weights``, without Up and Down; up is where E is larger.
    jensen : ndarray of float64, shape (n_events,), or None
        Var(E) / E^3: the upward bias of each weight by the error of E, which is not subtracted.
        None without replicas.
    """

    inverse: InversionWeight
    variations: tuple[str, ...]
    jensen: Array | None


def add_inversion(
    weights: Weights,
    name: str,
    efficiency: ak.Array,
    *,
    floor: float = FLOOR,
    replicas: ak.Array | None = None,
    variations: EfficiencyVariations | None = None,
    alternatives: Mapping[str, ak.Array] | None = None,
) -> InversionTag:
    """Add the weight 1/E of selected events with the variations of E.

    Parameters
    ----------
    weights : coffea.analysis_tools.Weights
        Weights of the selected events of a chunk.
    name : str
        Name of the weight.
    efficiency : ak.Array of float64, shape (n_events,)
        Efficiency E of every event; of an ensemble the mean of E, which is what is inverted.
    floor : float, default 0.001
        Explicit cutoff for E -> 0 (see :func:`hepsilon.inversion_weight`).
    replicas : ak.Array of float64, shape (n_events, n_replicas), optional
        Replicas of E. Their spread becomes the variation ``NAME_efficiency``.
    variations : EfficiencyVariations, optional
        Few directions of the replicas: ``NAME_eff_0``, ..., ``NAME_eff_rest`` in place of it.
    alternatives : mapping of str to ak.Array of float64, shape (n_events,), optional
        E of the same events from other simulations, by name: each becomes a variation
        ``NAME_name``, up with the other one and down with its mirror image (see
        :func:`hepsilon.weights.mirrored_efficiencies`).

    Returns
    -------
    InversionTag
        Nominal weight, the names of the variations, and the bias by the error of E.

    Raises
    ------
    InputError
        For efficiencies or replicas outside [0, 1] or of other events, or variations without
        replicas.

    Examples
    --------
    >>> import awkward as ak
    >>> from coffea.analysis_tools import Weights
    >>> from hepsilon.analysis_tools import add_inversion
    >>> weights = Weights(2)
    >>> E, replicas = ak.Array([0.5, 0.25]), ak.Array([[0.4, 0.6], [0.2, 0.3]])
    >>> found = add_inversion(weights, "inverse", E, replicas=replicas)
    >>> weights.weight(), found.variations, found.jensen.round(2)
    (array([2., 4.]), ('inverse_efficiency',), array([0.16, 0.32]))
    """
    inverse = inversion_weight(efficiency, floor)
    if replicas is None and variations is not None:
        raise InputError("variations need the replicas of the efficiency")
    pairs: dict[str, Any] = {}
    jensen: Array | None = None
    if replicas is not None:
        rows = _event_replicas(replicas, len(inverse))
        eps = np.asarray(ak.to_numpy(efficiency), np.float64)
        jensen = np.var(rows, axis=1, ddof=1) * inverse.weight**3
        if variations is None:
            single = ak.Array(eps[:, None]), ak.Array(rows[:, None])
            pairs[EFFICIENCY] = tuple(map(ak.flatten, shifted_efficiencies(*single)))
        else:
            found = variations.shifted(ak.Array(eps), ak.Array(rows))
            pairs = {f"{PREFIX}_{key}": pair for key, pair in found.items()}
    eps = np.asarray(ak.to_numpy(efficiency), np.float64)
    for key, other in (alternatives or {}).items():
        if key in pairs:
            raise InputError(f"{[key]}: two variations have the same name; choose another")
        moved = np.asarray(ak.to_numpy(other), np.float64)
        if moved.shape != eps.shape:
            raise InputError(
                f"alternatives {key}: expected one efficiency for each of {len(eps)} events, "
                f"received {moved.shape}"
            )
        mirrored = mirrored_efficiencies(ak.Array(eps[:, None]), ak.Array(moved[:, None]))
        pairs[key] = tuple(map(_of_events, mirrored))
    weighted: dict[str, tuple[Array, Array]] = {}
    for key, (up, down) in pairs.items():
        weighted[key] = inversion_weight(up, floor).weight, inversion_weight(down, floor).weight
    return InversionTag(inverse, add_weight(weights, name, inverse.weight, weighted), jensen)


def _of_events(values: ak.Array) -> ak.Array:
    """One number for each event again."""
    return ak.flatten(values, axis=None)


def _event_replicas(replicas: ak.Array, n_events: int) -> Array:
    """Replicas of every event, two or more."""
    rows = np.asarray(ak.to_numpy(replicas), np.float64)
    if rows.ndim != 2 or len(rows) != n_events or rows.shape[1] < 2:
        raise InputError(
            f"replicas: expected two or more for each of {n_events} events, received the shape "
            f"{rows.shape}"
        )
    return probabilities(rows, "replicas")


def _shifted(
    eps: PerWorkingPoint,
    replicas: ak.Array | None,
    variations: EfficiencyVariations | None,
    categories: ak.Array | None,
) -> dict[str, tuple[ak.Array, ak.Array]]:
    """Efficiencies shifted up and down by their own uncertainty, by the name of the variation."""
    if replicas is None:
        if variations is not None or categories is not None:
            raise InputError("variations need the replicas of the efficiency")
        return {}
    if isinstance(eps, Mapping):
        raise InputError(
            "replicas go with one array of efficiencies; expected eps of the shape (events, jets, "
            "working points), as an efficiency gives it, received a mapping"
        )
    if variations is None:
        if eps.ndim > 2:
            raise InputError(
                "replicas of several working points need variations: "
                "EfficiencyVariations.of(eps, replicas)"
            )
        return {EFFICIENCY: shifted_efficiencies(eps, replicas)}
    found = variations.shifted(eps, replicas, categories=categories)
    return {f"{PREFIX}_{key}": pair for key, pair in found.items()}


def tag_cutflow(
    selection: PackedSelection, weights: Weights, steps: Mapping[str, str]
) -> dict[str, float]:
    """Weighted cutflow in which a truth-tag weight counts from the step on whose cut it replaces.

    coffea's own ``selection.cutflow(..., weights=weights)`` multiplies every row with all weights,
    so that each row is the number of events that are expected to have the tags in the end.

    Parameters
    ----------
    selection : coffea.analysis_tools.PackedSelection
        Selection with all steps, in their order.
    weights : coffea.analysis_tools.Weights
        Weights of the events, made with ``storeIndividual=True``.
    steps : mapping of str to str
        Name of a truth-tag weight by the name of the step that it replaces, such as ``{"two b
        jets": "tags"}``.

    Returns
    -------
    dict of str to float
        Sum of weights after every step, ``initial`` first.

    Raises
    ------
    InputError
        If the selection does not have a step, or ``Weights`` do not have a weight.
    """
    unknown = [step for step in steps if step not in selection.names]
    if unknown:
        raise InputError(f"expected steps of {list(selection.names)}, received {unknown}")
    known = list(weights.weightStatistics)
    unknown = [name for name in steps.values() if name not in known]
    if unknown:  # coffea would leave out nothing
        raise InputError(f"expected weights of {known}, received {unknown}")
    cutflow = selection.cutflow(*selection.names).result()
    masks = [np.ones(len(weights.weight()), bool), *cutflow.maskscutflow]
    later, rows = dict(steps), {}
    for label, mask in zip(cutflow.labels, masks, strict=True):
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
    """Fill a histogram with one entry per object, each with a weight of its own.

    coffea's ``Weights`` hold weights of events only; the weight of an entry is that of its event
    times that of the object.

    Parameters
    ----------
    histogram : hist.Hist
        Histogram to fill.
    event_weight : ndarray of float64, shape (n_events,)
        Weight of every event, such as ``weights.weight()`` or ``weights.weight("btagUp")``.
    object_weight : ak.Array of float64, shape (n_events, objects), optional
        Weight of every object, jagged, such as ``eps`` or ``1 / eps``; by default 1.
    **axes
        Values for each axis of the histogram by its name: of every object (jagged), of every event
        (spread over its objects), or one for all, such as the name of a category.

    Raises
    ------
    InputError
        If weights are not finite, no column is jagged, or columns are of other objects.
    """
    jagged = {k: v for k, v in axes.items() if isinstance(v, ak.Array) and v.ndim > 1}
    if object_weight is not None:
        jagged[""] = object_weight
    if not jagged:
        raise InputError("expected a jagged column, one number per object, to fill")
    columns: dict[str, Any] = {}
    offsets = offsets_of(next(iter(jagged.values())))
    for key, column in jagged.items():
        column_offsets, rows = flat_rows(column, name=key or "object_weight")
        if not np.array_equal(column_offsets, offsets) or rows.shape[1] != 1:
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
    """Values as integers where the column has integers, which axes of categories need."""
    content = ak.to_numpy(ak.flatten(column, axis=None))
    return content.astype(np.int64) if content.dtype.kind in "biu" else values


def _spread(name: str, value: Any, counts: npt.NDArray[np.int64]) -> Any:
    """Repeat the value of every event for its objects; a single value is returned unchanged."""
    if isinstance(value, str) or np.ndim(value) == 0:
        return value
    if np.shape(value) != counts.shape:
        raise InputError(
            f"{name}: expected one value, or one for each of {len(counts)} events or each object, "
            f"received {np.shape(value)}"
        )
    return np.repeat(np.asarray(value), counts)
