"""What the jets of events weigh in every bin between working points: the input of all tag sums.

A jet in bin b passes the first b working points, from the loosest on; in bin 0 it is not tagged.
With efficiencies of simulated jets the weights are probabilities. Scale factors turn them into
those of the data; a jet that stays directly tagged has a weight in its own bin only.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import awkward as ak
import numpy as np

from hepsilon.arrays.checks import probabilities
from hepsilon.arrays.columns import flat_rows, object_rows, offsets_of, unflatten
from hepsilon.arrays.kernels import bins_between
from hepsilon.arrays.types import Array
from hepsilon.errors import InputError, ScaleFactorWarning

__all__ = ["BELOW_ONE", "PerWorkingPoint", "ScaleFactors", "TagBins"]

PerWorkingPoint: TypeAlias = ak.Array | Mapping[str, ak.Array]
"""Numbers of jets (events x jets), with several working points on a trailing axis or by name, from
the loosest to the tightest."""
ROUND_OFF = 1e-9
BELOW_ONE = 1.0 - np.finfo(np.float64).epsneg


@dataclass(frozen=True)
class ScaleFactors:
    """Ratios of data to simulation, jagged like the jets, with their variations.

    Attributes
    ----------
    nominal : PerWorkingPoint
        Numbers of jets, see :data:`PerWorkingPoint`.
    variations : mapping of str to tuple of (PerWorkingPoint, PerWorkingPoint)
        Name: (up, down), of the same shape.
    kind : {"working_point", "bin", "jet"}
        What they multiply: the efficiency of each ``"working_point"``; the probability of each
        ``"bin"`` (with bin 0, one more than working points); or the ``"jet"`` as it was simulated
        (a shape correction at its own discriminant), which direct tagging alone can use.
    """

    nominal: PerWorkingPoint
    variations: Mapping[str, tuple[PerWorkingPoint, PerWorkingPoint]]
    kind: Literal["working_point", "bin", "jet"] = "working_point"

    @classmethod
    def of(cls, factors: PerWorkingPoint | ScaleFactors) -> ScaleFactors:
        """Plain factors of working points have no variations."""
        return factors if isinstance(factors, ScaleFactors) else cls(factors, {})

    def varied(self) -> dict[str, tuple[ScaleFactors, ScaleFactors]]:
        """Every variation as scale factors of its own."""
        return {
            name: (
                replace(self, nominal=up, variations={}),
                replace(self, nominal=down, variations={}),
            )
            for name, (up, down) in self.variations.items()
        }


def _stacked(values: PerWorkingPoint, name: str) -> tuple[Array, Array, list[str] | None]:
    """Offsets, flat values (jets, working points), and the names where there are some."""
    if not isinstance(values, Mapping):
        return *flat_rows(values, name=name), None
    columns = {key: flat_rows(column, name=f"{name} {key}") for key, column in values.items()}
    if not columns:
        raise InputError(f"{name}: expected at least one working point")
    offsets = next(iter(columns.values()))[0]
    for key, (found, rows) in columns.items():
        if rows.shape[1] != 1 or not np.array_equal(found, offsets):
            raise InputError(f"{name} {key}: expected one number for each jet of each event")
    return offsets, np.concatenate([rows for _, rows in columns.values()], axis=1), list(columns)


def _beside(values: PerWorkingPoint, offsets: Array, columns: int, name: str) -> Array:
    """Finite numbers of the same jets, with the same number of columns (jets, columns)."""
    found, rows, _ = _stacked(values, name)
    rows = _known_width(rows, columns)
    if not np.array_equal(found, offsets) or rows.shape[1] != columns:
        raise InputError(
            f"{name}: expected {columns} number(s) for each of {offsets[-1]} jets, received "
            f"{rows.shape[1]} for {len(rows)}, or jets of other events"
        )
    bad = int(np.count_nonzero(~(np.isfinite(rows) & (rows >= 0.0))))
    if bad:
        raise InputError(f"{name}: {bad} of {rows.size} values are negative, NaN or infinite")
    return rows


def _known_width(rows: Array, columns: int) -> Array:
    """The rows; where there are none, their type need not say how many columns they have."""
    return rows if len(rows) else np.empty((0, columns))


def _between(eps: Array, names: Sequence[int | str]) -> Array:
    """Probabilities of the bins (jets, working points + 1) from cumulative efficiencies."""
    bins, rising = bins_between(eps, ROUND_OFF)
    if rising:
        raise InputError(
            f"eps: {rising} of {len(eps)} jets have a higher efficiency at a tighter working "
            f"point; expected the working points {list(names)} from the loosest to the tightest"
        )
    return np.asarray(bins)


@dataclass(frozen=True)
class TagBins:
    """Weights of the bins of every jet that counts.

    Attributes
    ----------
    offsets : ndarray
        int64 (events + 1).
    weights : ndarray
        float64 (jets, bins).
    working_points : tuple of int or str
        Names (or numbers), from the loosest to the tightest.
    index : ndarray or None
        Position of each jet among all jets of the events, and ``all_offsets`` of all jets.
    n_above_one : int
        Number of jets with a scaled efficiency above 1 (taken as 1).
    n_unordered : int
        Number of jets with one above that of a looser working point (taken as it).
    """

    offsets: Array
    weights: Array
    working_points: tuple[int | str, ...]
    index: Array | None
    all_offsets: Array
    n_above_one: int = 0
    n_unordered: int = 0

    @classmethod
    def of(
        cls,
        eps: PerWorkingPoint,
        *,
        jets: slice | ak.Array | None = None,
        working_points: Sequence[str] | None = None,
        scale_factors: PerWorkingPoint | ScaleFactors | None = None,
        direct: ak.Array | None = None,
        tagged: ak.Array | None = None,
        most: float = 1.0,
    ) -> TagBins:
        """Put together what is known of the jets (see :func:`hepsilon.truth_tag_weight`).

        ``most`` bounds scaled efficiencies, and those of a working point over a looser one: with
        :data:`BELOW_ONE` no bin of a jet is empty in some variations only.

        Raises
        ------
        InputError
            For values that are NaN, out of range or of other jets.
        """
        offsets, values, names = _stacked(eps, "eps")
        if names and working_points and list(working_points) != names:
            raise InputError(
                f"eps: expected the working points {list(working_points)}, not {names}"
            )
        if working_points:
            values = _known_width(values, len(working_points))
        points = _names(working_points or names, values.shape[1])
        values = probabilities(values, "eps")
        found = cls.of_rows(offsets, values, points).only(jets)
        simulated = found.weights
        if scale_factors is not None:
            found = found._scaled(ScaleFactors.of(scale_factors), values, most)
        if (direct is None) != (tagged is None):
            raise InputError("expected both of direct and tagged, or none of them")
        if direct is not None and tagged is not None:
            found = found._direct(direct, tagged, simulated)
        return found

    @classmethod
    def of_rows(cls, offsets: Array, eps: Array, working_points: tuple[int | str, ...]) -> TagBins:
        """All jets from flat efficiencies (jets, working points) that were checked before."""
        return cls(offsets, _between(eps, working_points), working_points, None, offsets)

    @classmethod
    def weighted(
        cls, tagged: ak.Array, factors: PerWorkingPoint, jets: slice | ak.Array | None
    ) -> TagBins:
        """Jets with one bin each, whose weight is the given number."""
        offsets = offsets_of(tagged)
        rows = _beside(factors, offsets, 1, "scale factors")
        return cls(offsets, rows, (), None, offsets).only(jets)

    def only(self, jets: slice | ak.Array | None) -> TagBins:
        """The chosen ones of all jets."""
        if jets is None:
            return self
        offsets, index = _chosen(self.all_offsets, jets)
        return replace(self, offsets=offsets, weights=self.weights[index], index=index)

    @property
    def n_bins(self) -> int:
        """Number of bins: one more than working points."""
        return int(self.weights.shape[1])

    def warn(self) -> None:
        """Count the jets whose scaled efficiencies were not valid as they are."""
        parts = []
        if self.n_above_one:
            parts.append(f"{self.n_above_one} have SF * eps above 1 (taken as 1)")
        if self.n_unordered:
            parts.append(
                f"{self.n_unordered} have SF * eps above that of a looser working point (taken as "
                "it)"
            )
        if parts:
            text = f"of {len(self.weights)} jets {' and '.join(parts)}"
            warnings.warn(text, ScaleFactorWarning, stacklevel=3)

    def own_bins(self, tagged: ak.Array, name: str = "tagged") -> Array:
        """Bin of every jet that counts, from booleans or numbers of passed working points.

        Raises
        ------
        InputError
            For numbers that no bin has.
        """
        bins = _rows(_beside(tagged, self.all_offsets, 1, name)[:, 0], self.index)
        wrong = int(np.count_nonzero((bins != np.floor(bins)) | (bins >= self.n_bins)))
        if wrong:
            raise InputError(
                f"{name}: expected how many of {len(self.working_points)} working points each "
                f"jet passes (or booleans for one), but {wrong} of {len(bins)} are no such number"
            )
        return bins.astype(np.int64)

    def _scaled(self, factors: ScaleFactors, eps: Array, most: float) -> TagBins:
        """With the weights that the jets have in data."""
        if factors.kind == "jet":
            raise InputError(
                "scale factors at each jet's own discriminant are for direct tagging; truth "
                "tagging needs them for every bin (see TagScaleFactors.in_bins)"
            )
        n_bins = self.n_bins
        columns = n_bins if factors.kind == "bin" else n_bins - 1
        nominal = factors.nominal
        if factors.kind == "working_point":
            nominal = _in_order(nominal, self.working_points)
        ratio = _rows(_beside(nominal, self.all_offsets, columns, "scale factors"), self.index)
        if factors.kind == "bin":
            return replace(self, weights=self.weights * ratio)
        scaled = ratio * _rows(eps, self.index)
        above = int(np.count_nonzero((scaled > 1.0).any(axis=1)))
        scaled = np.minimum(scaled, most)
        unordered = int(np.count_nonzero((np.diff(scaled, axis=1) > ROUND_OFF).any(axis=1)))
        for looser, tighter in pairwise(scaled.T):
            np.minimum(tighter, looser * most, out=tighter)
        weights = _between(scaled, self.working_points)
        return replace(self, weights=weights, n_above_one=above, n_unordered=unordered)

    def _direct(self, direct: ak.Array, tagged: ak.Array, simulated: Array) -> TagBins:
        """With a weight in their own bin only for the jets that stay directly tagged."""
        mask = _rows(_beside(direct, self.all_offsets, 1, "direct")[:, 0] != 0.0, self.index)
        bins = self.own_bins(tagged)[mask]
        weights = self.weights.copy()
        ratio = np.ones(len(bins))
        if self.weights is not simulated:
            ratio = _own_bin_ratio(self.weights[mask], simulated[mask], bins)
        weights[mask] = 0.0
        weights[np.flatnonzero(mask), bins] = ratio
        return replace(self, weights=weights)

    def jagged(self, flat: Array, fill: Any) -> ak.Array:
        """Numbers of the jets that count, jagged like all jets; ``fill`` for the others."""
        if self.index is not None:
            spread = np.full(self.all_offsets[-1], fill, flat.dtype)
            spread[self.index] = flat
            flat = spread
        return unflatten(flat, self.all_offsets)


def _own_bin_ratio(data: Array, simulated: Array, bins: Array) -> Array:
    """P(data) / P(MC) of the bin each jet is in.

    Raises
    ------
    InputError
        For jets in a bin that their efficiencies say is impossible.
    """
    row = np.arange(len(bins))
    below = simulated[row, bins]
    impossible = int(np.count_nonzero(below <= 0.0))
    if impossible:
        raise InputError(
            f"{impossible} of {len(bins)} directly tagged jets are in a bin of which their "
            "efficiencies (0, 1 or equal for two working points) say that it is impossible"
        )
    ratio: Array = data[row, bins] / below
    return ratio


def _rows(values: Array, index: Array | None) -> Array:
    return values if index is None else values[index]


def _names(names: Sequence[str] | None, columns: int) -> tuple[int | str, ...]:
    if names is None:
        return tuple(range(columns))
    if len(names) != columns or len(set(names)) != columns:
        raise InputError(
            f"expected {columns} distinct working points, one for each efficiency of a jet, "
            f"received {list(names)}"
        )
    return tuple(names)


def _in_order(values: PerWorkingPoint, points: Sequence[int | str]) -> PerWorkingPoint:
    """Scale factors by name, in the order of the efficiencies where these have names too."""
    if not isinstance(values, Mapping) or isinstance(points[0], int):
        return values
    if set(values) != set(points):
        raise InputError(
            f"scale factors: expected the working points {list(points)}, received {list(values)}"
        )
    return {str(point): values[str(point)] for point in points}


def _chosen(offsets: Array, jets: slice | ak.Array) -> tuple[Array, Array]:
    """Offsets of the jets that count, and their positions among all."""
    if not isinstance(jets, slice | ak.Array):
        raise TypeError(f"jets: expected a slice, a jagged mask or None, received {jets!r}")
    if isinstance(jets, ak.Array):
        mask = _beside(jets, offsets, 1, "jets")[:, 0]
        if not np.isin(mask, (0.0, 1.0)).all():
            raise InputError(f"jets: expected a boolean for each jet, received {jets.type}")
        counted = np.concatenate([[0], np.cumsum(mask != 0.0)])
        return counted[offsets], np.flatnonzero(mask)
    if jets.step not in (None, 1):
        chosen = unflatten(np.arange(offsets[-1]), offsets)[:, jets]
        return offsets_of(chosen), np.asarray(ak.to_numpy(ak.flatten(chosen, axis=1)))
    counts = np.diff(offsets)  # a few times faster than awkward, for every method and replica
    first = _end(jets.start or 0, counts)
    last = counts if jets.stop is None else _end(jets.stop, counts)
    kept = np.maximum(last - first, 0)
    return np.concatenate([[0], np.cumsum(kept)]), object_rows(offsets[:-1] + first, kept)


def _end(end: int, counts: Array) -> Array:
    """One end of a slice of each event's jets; negative numbers count from the last one."""
    return np.clip(end if end >= 0 else counts + end, 0, counts)
