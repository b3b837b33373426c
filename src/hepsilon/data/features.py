"""Features: from records to the float32 matrix of a network.

Everything learned from the training sample (standardisation, ranges, categories) is frozen in one
record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, Self

import awkward as ak
import numpy as np
from pydantic import model_validator

from hepsilon.arrays.checks import check_finite
from hepsilon.arrays.columns import flat, offsets_of
from hepsilon.arrays.fields import field
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.config.records import Record
from hepsilon.config.task import Task
from hepsilon.data.combinations import Combinations
from hepsilon.data.derived import Derived
from hepsilon.data.missing import MISSING, Sentinels, filled, is_missing, is_sentinel
from hepsilon.data.scales import Scale, choose_scale
from hepsilon.data.selection import ordered
from hepsilon.data.separations import Separations
from hepsilon.data.units import IN_GEV, Unit, is_angle, is_momentum
from hepsilon.errors import InputError, TrainingError

__all__ = [
    "Feature",
    "FeatureSpec",
    "Multiplicity",
    "check_categories",
    "check_number",
    "event_matrix",
    "feature_matrix",
    "fit_features",
]

BLOCK_OBJECTS = 1 << 18
MAX_SEEN = 256
"""Different numbers of objects that are noted one by one; of more only the range is."""


class Feature(Record):
    """One column of the network's input.

    Attributes
    ----------
    name, unit : str
        Name of the field, and its unit.
    kind : {"numeric", "angle", "categorical"}
        ``"numeric"``, ``"angle"`` (periodic in 2 pi) or ``"categorical"``.
    mean, std : float
        Weighted moments in the training sample (numeric, angle).
    scale : Scale or None
        Scale on which networks take a numeric feature with long tails; None as it is.
    low, high : float or None
        Range covered by the training sample (numeric, angle).
    missing : tuple of float or "nan"
        Values that stand for a missing one (numeric); the moments and the range are those of all
        others.
    missing_share : float
        Share of the objects of the training sample whose value was missing.
    categories : tuple of int
        Known values (categorical).
    derived : Derived or None
        What computes the field where the records do not have it.
    """

    name: str
    unit: str = ""
    kind: Literal["numeric", "angle", "categorical"]
    mean: float = 0.0
    std: float = 1.0
    scale: Scale | None = None
    low: float | None = None
    high: float | None = None
    missing: Sentinels = ()
    missing_share: float = 0.0
    categories: tuple[int, ...] = ()
    derived: Derived | None = None

    @model_validator(mode="after")
    def _has_both_ends(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError(f"the range of {self.name!r} needs both low and high")
        return self

    def covers(self, column: Array) -> Array:
        """True where the training sample covered the value."""
        if self.kind == "categorical":
            return np.isin(column, np.asarray(self.categories, column.dtype))
        if self.kind == "angle" or self.low is None or self.high is None:
            known = self.missing_share > 0.0 or not self.missing
            return np.isfinite(column) if known else np.isfinite(column) & ~is_missing(column)
        low, high = column.dtype.type(self.low), column.dtype.type(self.high)
        inside = np.asarray((column >= low) & (column <= high))
        return inside | is_missing(column) if self.missing_share > 0.0 else inside


class Multiplicity(Record):
    """Numbers of objects in an event, after the selection, that the training sample covered.

    Attributes
    ----------
    low, high : int
        Range of the numbers.
    seen : tuple of int
        All numbers that occurred, increasing; empty if they are too many to be noted.
    """

    low: int
    high: int
    seen: tuple[int, ...] = ()

    @classmethod
    def of(cls, offsets: Offsets) -> Multiplicity:
        """Numbers of objects of the events with these offsets (``n_events + 1``)."""
        seen = tuple(np.unique(np.diff(offsets)).tolist())
        noted = seen if len(seen) <= MAX_SEEN else ()
        return cls(low=seen[0], high=seen[-1], seen=noted)

    @property
    def gaps(self) -> tuple[int, ...]:
        """Numbers inside the range that never occurred."""
        return tuple(sorted(set(range(self.low, self.high)) - set(self.seen))) if self.seen else ()

    def covers(self, counts: Array) -> Array:
        """True for each number of objects that the training sample covered."""
        if self.seen:
            return np.isin(counts, self.seen)
        return np.asarray((counts >= self.low) & (counts <= self.high))


class FeatureSpec(Record):
    """The ordered features of a task, and what else of an event the training sample covered.

    Attributes
    ----------
    features : tuple of Feature
        The features, in the order of the columns.
    multiplicity : Multiplicity or None
        Numbers of objects in an event that were covered; None where the answer for an object does
        not depend on its partners.
    separations : Separations or None
        Distances to the nearest partner in the training sample; None for features without angles.
    combinations : Combinations or None
        Combinations of features that were covered; None where that is not checked.
    """

    features: tuple[Feature, ...]
    multiplicity: Multiplicity | None = None
    separations: Separations | None = None
    combinations: Combinations | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of the columns."""
        return tuple(feature.name for feature in self.features)

    @property
    def category(self) -> int | None:
        """Column of the first categorical feature; None without one."""
        kinds = [feature.kind for feature in self.features]
        return kinds.index("categorical") if "categorical" in kinds else None

    def problem(self, fields: Iterable[str] = ()) -> str | None:
        """Say which field cannot be computed in this process as in the training.

        Parameters
        ----------
        fields : iterable of str, optional
            Fields of the records, which need not be computed.

        Returns
        -------
        str or None
            The first field that is not registered, or with other inputs or parameters.
        """
        held = set(fields)
        computed = {f.name: f.derived for f in self.features if f.name not in held}
        problems = (d.problem(name) for name, d in computed.items() if d is not None)
        return next((problem for problem in problems if problem is not None), None)

    def unscaled(self) -> FeatureSpec:
        """The features as they are, without the scales of those with long tails."""
        features = (feature.model_copy(update={"scale": None}) for feature in self.features)
        return self.model_copy(update={"features": tuple(features)})

    def repeated(self, times: int) -> FeatureSpec:
        """The features of that many objects, one after the other."""
        return FeatureSpec(features=self.features * times)

    def matrix(self, records: ak.Array, unit: Unit = "GeV") -> tuple[Offsets, Nodes]:
        """Offsets and features of all objects (see :func:`feature_matrix`).

        Parameters
        ----------
        records : ak.Array of records, jagged
            The objects.
        unit : {"GeV", "MeV"}, default "GeV"
            Unit of momenta, energies and masses in the records.

        Returns
        -------
        offsets : ndarray of int64, shape (n_events + 1,)
            Position of the first object of each event.
        nodes : ndarray of float32, shape (n_objects, n_features)
            The features, with momenta in GeV.
        """
        missing = {f.name: f.missing for f in self.features if f.missing}
        return feature_matrix(records, self.names, unit, missing)

    def covers(self, nodes: Nodes) -> dict[str, Array]:
        """For each feature, True where the training sample covered the object's value."""
        return {f.name: f.covers(nodes[:, i]) for i, f in enumerate(self.features)}

    def in_domain(self, nodes: Nodes) -> Array:
        """True where all features of the object are covered."""
        inside = np.ones(len(nodes), bool)
        for covered in self.covers(nodes).values():
            inside &= covered
        return inside


def feature_matrix(
    records: ak.Array,
    names: tuple[str, ...],
    unit: Unit = "GeV",
    missing: Mapping[str, Sentinels] | None = None,
) -> tuple[Offsets, Nodes]:
    """Make the matrix of features of all objects, with momenta in GeV.

    Parameters
    ----------
    records : ak.Array of records, jagged
        The objects.
    names : tuple of str
        Features, in the order of the columns.
    unit : {"GeV", "MeV"}, default "GeV"
        Unit of momenta, energies and masses in the records.
    missing : mapping of str to tuple of float or "nan", optional
        By feature, the values in the records that stand for a missing one.

    Returns
    -------
    offsets : ndarray of int64, shape (n_events + 1,)
        Position of the first object of each event.
    nodes : ndarray of float32, shape (n_objects, n_features)
        The features; :data:`MISSING` for missing ones.

    Raises
    ------
    InputError
        For a missing field, a missing or a non-finite value.
    """
    offsets = offsets_of(records)
    nodes = np.empty((offsets[-1], len(names)), np.float32)
    for column, name in enumerate(names):
        sentinels = (missing or {}).get(name, ())
        values = flat(filled(field(records, name), sentinels), name=name)
        absent = is_sentinel(values, sentinels)
        if unit != "GeV" and is_momentum(name):
            values = values * IN_GEV[unit]
        with np.errstate(over="ignore"):  # beyond float32 is refused below, as not finite
            nodes[:, column] = np.where(absent, MISSING, values) if sentinels else values
        check_finite(nodes[:, column], name)
    return offsets, nodes


def check_number(records: ak.Array, task: Task) -> None:
    """Refuse events with another number of objects than that of a task of events, or with none.

    Parameters
    ----------
    records : ak.Array of records, jagged
        The objects.
    task : Task
        Number of the objects.

    Raises
    ------
    InputError
        With the number of such events.
    """
    expected = task.objects
    counts = np.diff(offsets_of(records))
    wrong = int(np.count_nonzero(counts == 0 if expected is None else counts != expected))
    if wrong:
        raise InputError(
            f"expected {expected or 'one or more'} {task.collection} objects in every event, but "
            f"{wrong} of {len(counts)} events have another number; select events first"
        )


def event_matrix(records: ak.Array, task: Task, names: tuple[str, ...]) -> tuple[Offsets, Nodes]:
    """Make the matrix of features of a task of events, its objects in the task's order.

    Parameters
    ----------
    records : ak.Array of records, jagged
        The objects.
    task : Task
        Number and order of the objects, and their unit.
    names : tuple of str
        Features, in the order of the columns.

    Returns
    -------
    offsets : ndarray of int64, shape (n_events + 1,)
        Position of the first object of each event.
    nodes : ndarray of float32, shape (n_objects, n_features)
        The features, with momenta in GeV.

    Raises
    ------
    InputError
        For events with another number of objects than the task's, or without any.
    """
    check_number(records, task)
    return feature_matrix(ordered(records, task), names, task.unit, task.missing)


def fit_features(
    task: Task, nodes: Nodes, weights: Array, offsets: Offsets | None = None
) -> FeatureSpec:
    """Learn moments, ranges and check categories on the training sample.

    Parameters
    ----------
    task : Task
        The task, whose features are the columns of ``nodes``.
    nodes : ndarray
        float32 features of all training objects (``n_objects, n_features``).
    weights : ndarray
        Absolute event weight of each object, for the moments; of each event, where their
        ``offsets`` are given.
    offsets : ndarray of int64, shape (n_events + 1,), optional
        Position of the first object of each event.

    Returns
    -------
    FeatureSpec
        Features with their moments, ranges, scales and combinations, and the distances between
        objects.

    Raises
    ------
    TrainingError
        For no objects, no spread, or categories the task does not name.
    """
    if not len(nodes):
        raise TrainingError("no objects are left to train on after the selection")
    if not np.any(weights > 0.0):
        raise TrainingError("expected objects with a weight, but all weights are zero")
    for i, name in enumerate(task.features):
        if name in task.categorical:
            check_categories(task, name, nodes[:, i])
    moments = _moments(nodes, weights, offsets).tolist()
    columns = zip(task.features, moments, strict=True)
    fitted = tuple(_fitted(task, name, *values) for name, values in columns)
    rows = np.arange(0, len(nodes), -(-len(nodes) // BLOCK_OBJECTS))
    of_rows = weights[rows if offsets is None else np.searchsorted(offsets, rows, "right") - 1]
    return FeatureSpec(
        features=tuple(
            _scaled(feature, nodes[rows, i], of_rows) for i, feature in enumerate(fitted)
        ),
        separations=None if offsets is None else Separations.of(task.features, offsets, nodes),
        combinations=Combinations.of(task.features, nodes, tuple(task.categorical)),
    )


def _scaled(feature: Feature, values: Array, weights: Array) -> Feature:
    """The feature with its scale, which some of the objects are enough to choose."""
    if feature.kind != "numeric" or feature.low is None:
        return feature
    here = ~is_missing(values)
    scale = choose_scale(values[here], weights[here], feature.low)
    return feature.model_copy(update={"scale": scale})


def _blocks(nodes: Nodes, weights: Array, offsets: Offsets | None) -> Iterator[tuple[Array, Array]]:
    """Float64 features (``n_features, n``) and weights of some objects at a time."""
    for start in range(0, len(nodes), BLOCK_OBJECTS):
        stop = min(start + BLOCK_OBJECTS, len(nodes))
        if offsets is None:
            weight = weights[start:stop]
        else:  # an event may be in two blocks
            first = np.searchsorted(offsets, start, side="right") - 1
            last = np.searchsorted(offsets, stop)
            counts = np.diff(np.clip(offsets[first : last + 1], start, stop))
            weight = np.repeat(weights[first:last], counts)
        yield nodes[start:stop].T.astype(np.float64, order="C"), weight


def _moments(nodes: Nodes, weights: Array, offsets: Offsets | None) -> Array:
    """Weighted mean, standard deviation, minimum, maximum and missing share (``n_features, 5``).

    Two passes over the data copy only parts of it, since nodes may be mapped from disk.
    """
    total, sums, missing = np.zeros((3, nodes.shape[1]))
    low, high = np.full_like(sums, np.inf), np.full_like(sums, -np.inf)
    for values, weight in _blocks(nodes, weights, offsets):
        absent = is_missing(values)
        missing += np.sum(weight * absent, axis=1)
        total += np.sum(weight * ~absent, axis=1)
        sums += np.sum(values * weight, axis=1, where=~absent)
        low = np.minimum(low, values.min(axis=1, where=~absent, initial=np.inf))
        high = np.maximum(high, values.max(axis=1, where=~absent, initial=-np.inf))
    with np.errstate(invalid="ignore"):  # a feature that is always missing is refused
        mean = sums / total
        squares = sum(
            np.sum((values - mean[:, np.newaxis]) ** 2 * weight, axis=1, where=~is_missing(values))
            for values, weight in _blocks(nodes, weights, offsets)
        )
        spread = np.sqrt(squares / total)
    return np.stack([mean, spread, low, high, missing / (missing + total)], axis=1)


def check_categories(task: Task, name: str, column: Array) -> None:
    """Refuse a training sample with categories that the task does not name.

    Parameters
    ----------
    task : Task
        Task with the categories.
    name : str
        Name of a categorical feature.
    column : ndarray of float32, shape (n_objects,)
        Its values.

    Raises
    ------
    TrainingError
        If objects have a category that the task does not name, with their number.
    """
    blocks = [column[i : i + BLOCK_OBJECTS] for i in range(0, len(column), BLOCK_OBJECTS)]
    categories = {value for block in blocks for value in np.unique(block).tolist()}
    unknown = sorted(categories - set(map(float, task.categorical[name])))
    if unknown:
        count = sum(int(np.isin(block, unknown).sum()) for block in blocks)
        raise TrainingError(
            f"{name}: expected the categories {list(task.categorical[name])}, but {count} "
            f"training objects have {unknown[:10]}; name them in the task or select"
        )


def _fitted(
    task: Task, name: str, mean: float, std: float, low: float, high: float, missing: float
) -> Feature:
    if name in task.categorical:
        return Feature(
            name=name,
            kind="categorical",
            categories=task.categorical[name],
            derived=Derived.of(name),
        )
    if not np.isfinite(std) or std <= 1e-7 * max(1.0, abs(mean)):
        raise TrainingError(
            f"{name}: expected values with a spread, received mean {mean:g} and standard "
            f"deviation {std:g}; a constant feature cannot be learned from"
        )
    return Feature(
        name=name,
        unit="GeV" if is_momentum(name) else "rad" if is_angle(name) else "",
        kind="angle" if is_angle(name) else "numeric",
        mean=mean,
        std=std,
        low=low,
        high=high,
        missing=task.missing.get(name, ()),
        missing_share=missing,
        derived=Derived.of(name),
    )
