"""Weights of jets in every bin between working points, from which all sums over tags are made.

A jet in bin b passes the first b working points, from the loosest on; in bin 0 it is not tagged.
With the efficiencies of simulated jets the weights are probabilities. Scale factors turn them into
the probabilities in data; a jet that stays directly tagged has a weight in its own bin only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import awkward as ak
import numpy as np

from hepsilon._system.warned import warn_caller
from hepsilon.arrays.checks import probabilities
from hepsilon.arrays.columns import flat_rows, object_rows, offsets_of, unflatten
from hepsilon.arrays.kernels import bins_between
from hepsilon.arrays.types import Array, Offsets
from hepsilon.errors import InputError, ScaleFactorWarning

__all__ = ["BELOW_ONE", "GivesScaleFactors", "PerWorkingPoint", "ScaleFactors", "TagBins"]

PerWorkingPoint: TypeAlias = ak.Array | Mapping[str, ak.Array]
"""Numbers of jets, jagged (events, jets); several working points, from the loosest to the tightest,
stand on a trailing axis or in a mapping by name."""
ROUND_OFF = 1e-9
BELOW_ONE = 1.0 - np.finfo(np.float64).epsneg


@runtime_checkable
class GivesScaleFactors(Protocol):
    """Scale factors as a function of the jets: those of a file, or a learned ratio."""

    def scale_factors(self, jets: ak.Array) -> ScaleFactors:
        """Factors of every jet, with their variations."""
        ...


@dataclass(frozen=True)
class ScaleFactors:
    """Ratios of data to simulation, jagged like the jets, with their variations.

    Attributes
    ----------
    nominal : ak.Array or mapping of str to ak.Array, shape (n_events, jets[, columns])
        Factors of zero or more, with one column per working point or, for ``kind="bin"``, per bin.
    variations : mapping of str to tuple of (up, down)
        Factors up and down for the name of each variation, both in the shape of ``nominal``.
    kind : {"working_point", "bin", "jet"}, default "working_point"
        Number that the factors multiply: the efficiency of each ``"working_point"``; the
        probability of each ``"bin"`` between them (one more than working points, as bin 0 is that
        of untagged jets); or the weight of the simulated ``"jet"`` (a shape correction at its own
        discriminant), which only direct tagging can use.
    """

    nominal: PerWorkingPoint
    variations: Mapping[str, tuple[PerWorkingPoint, PerWorkingPoint]]
    kind: Literal["working_point", "bin", "jet"] = "working_point"

    @classmethod
    def of(
        cls,
        factors: PerWorkingPoint | ScaleFactors | GivesScaleFactors,
        records: ak.Array | None = None,
    ) -> ScaleFactors:
        """Wrap plain factors of working points, which have no variations.

        Parameters
        ----------
        factors : ak.Array, mapping of str to ak.Array, ScaleFactors, or what gives them
            Factors; an object that is ready is returned unchanged. A learned ratio, or the factors
            of a file, are evaluated for ``records``.
        records : ak.Array of records, jagged, optional
            The jets, where the factors are a function of them.

        Returns
        -------
        ScaleFactors
            The factors with their variations.

        Raises
        ------
        InputError
            For a function of the jets without jets.
        """
        if isinstance(factors, ScaleFactors):
            return factors
        if not isinstance(factors, GivesScaleFactors):
            return cls(factors, {})
        if records is None:
            raise InputError(
                f"scale_factors: {type(factors).__name__} is a function of the jets; give them as "
                "records=jets, or its answer: scale_factors=factors.scale_factors(jets)"
            )
        return factors.scale_factors(records)

    def __mul__(self, other: object) -> ScaleFactors:
        """Product of two factors of the same jets, such as a measured one and a learned shape.

        The variations of either are those of the product, with the other one as it is.

        Raises
        ------
        InputError
            If they multiply different things, or two variations have the same name.
        """
        if not isinstance(other, ScaleFactors):
            return NotImplemented
        if self.kind != other.kind:
            raise InputError(
                f"scale factors of each {self.kind} and of each {other.kind} have no product: they "
                "multiply different things"
            )
        taken = sorted(set(self.variations) & set(other.variations))
        if taken:
            raise InputError(f"{taken}: two variations have the same name; choose another")
        varied = {
            name: (_product(up, other.nominal), _product(down, other.nominal))
            for name, (up, down) in self.variations.items()
        }
        varied |= {
            name: (_product(self.nominal, up), _product(self.nominal, down))
            for name, (up, down) in other.variations.items()
        }
        return replace(self, nominal=_product(self.nominal, other.nominal), variations=varied)

    def varied(self) -> dict[str, tuple[ScaleFactors, ScaleFactors]]:
        """Scale factors up and down for every variation.

        Returns
        -------
        dict of str to tuple of (ScaleFactors, ScaleFactors)
            Factors up and down by name, with these as nominal ones and without variations.
        """
        return {
            name: (
                replace(self, nominal=up, variations={}),
                replace(self, nominal=down, variations={}),
            )
            for name, (up, down) in self.variations.items()
        }


def _product(first: PerWorkingPoint, second: PerWorkingPoint) -> PerWorkingPoint:
    """Product of the factors of the same jets and working points."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        if set(first) != set(second):
            raise InputError(
                f"scale factors: expected the working points {list(first)}, received {list(second)}"
            )
        return {name: _product(values, second[name]) for name, values in first.items()}
    if isinstance(first, Mapping) or isinstance(second, Mapping):
        raise InputError(
            "scale factors: expected both by the name of the working point, or none of them"
        )
    (offsets, rows), (others, columns) = (
        flat_rows(v, name="scale factors") for v in (first, second)
    )
    if not np.array_equal(offsets, others) or rows.shape != columns.shape:
        raise InputError(
            f"scale factors: expected two of the same jets, received {first.type} and {second.type}"
        )
    return unflatten(rows * columns if first.ndim > 2 else (rows * columns)[:, 0], offsets)


def _stacked(values: PerWorkingPoint, name: str) -> tuple[Array, Array, list[str] | None]:
    """Offsets, flat values (jets, working points), and the names of working points if any."""
    if not isinstance(values, Mapping):
        return *flat_rows(values, name=name), None
    columns = {key: flat_rows(column, name=f"{name} {key}") for key, column in values.items()}
    if not columns:
        raise InputError(f"{name}: expected at least one working point")
    offsets = next(iter(columns.values()))[0]
    for key, (column_offsets, rows) in columns.items():
        if rows.shape[1] != 1 or not np.array_equal(column_offsets, offsets):
            raise InputError(f"{name} {key}: expected one number for each jet of each event")
    return offsets, np.concatenate([rows for _, rows in columns.values()], axis=1), list(columns)


def _beside(values: PerWorkingPoint, offsets: Offsets, columns: int, name: str) -> Array:
    """Flat numbers (jets, columns); refused unless finite, not negative and of these jets."""
    row_offsets, rows, _ = _stacked(values, name)
    rows = _known_width(rows, columns)
    if not np.array_equal(row_offsets, offsets) or rows.shape[1] != columns:
        raise InputError(
            f"{name}: expected {columns} number(s) for each of {offsets[-1]} jets, received "
            f"{rows.shape[1]} for {len(rows)}, or jets of other events"
        )
    bad = int(np.count_nonzero(~(np.isfinite(rows) & (rows >= 0.0))))
    if bad:
        raise InputError(f"{name}: {bad} of {rows.size} values are negative, NaN or infinite")
    return rows


def _known_width(rows: Array, columns: int) -> Array:
    """Rows of a known number of columns, which the type of an empty array need not tell."""
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
    offsets : ndarray of int64, shape (n_events + 1,)
        Position of the first jet of each event among the jets that count.
    weights : ndarray of float64, shape (n_jets, n_bins)
        Weight of every jet in every bin, from untagged to passing the tightest working point.
    working_points : tuple of str or int
        Names (or numbers) of the working points, from the loosest to the tightest.
    index : ndarray of int64, shape (n_jets,), or None
        Position of each jet that counts among all jets of the events; None if all count.
    all_offsets : ndarray of int64, shape (n_events + 1,)
        Position of the first jet of each event among all jets.
    n_above_one : int
        Number of jets with a scaled efficiency above 1, which is taken as 1.
    n_unordered : int
        Number of jets with a scaled efficiency above that of a looser working point, which is
        lowered to it.
    """

    offsets: Offsets
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
        """Weights from efficiencies, scale factors and tags of jets.

        Parameters
        ----------
        eps : ak.Array or mapping of str to ak.Array, shape (n_events, jets[, working points])
            Efficiency of every jet.
        jets : slice, jagged ak.Array of bool, or None
            Jets that count, by default all.
        working_points : sequence of str, optional
            Names of the working points, from the loosest to the tightest.
        scale_factors : ak.Array, mapping of str to ak.Array, or ScaleFactors, optional
            Ratios of data to simulation.
        direct : jagged ak.Array of bool, optional
            True for the jets that stay directly tagged.
        tagged : jagged ak.Array of bool or int, optional
            Tag of each jet that stays directly tagged; those of other jets are not used.
        most : float, default 1.0
            Bound on scaled efficiencies, and on their ratio between a working point and a looser
            one. With :data:`BELOW_ONE` no bin of a jet is empty in some variations only.

        Returns
        -------
        TagBins
            Weights of the jets that count (see :func:`hepsilon.truth_tag_weight`).

        Raises
        ------
        InputError
            If values are NaN, out of range or of other jets.
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
        tag_bins = cls.of_rows(offsets, values, points).only(jets)
        simulated = tag_bins.weights
        if scale_factors is not None:
            tag_bins = tag_bins._scaled(ScaleFactors.of(scale_factors), values, most)
        if (direct is None) != (tagged is None):
            raise InputError("expected both of direct and tagged, or none of them")
        if direct is not None and tagged is not None:
            tag_bins = tag_bins._direct(direct, tagged, simulated)
        return tag_bins

    @classmethod
    def of_rows(
        cls, offsets: Offsets, eps: Array, working_points: tuple[int | str, ...]
    ) -> TagBins:
        """Weights of all jets from flat efficiencies that were checked before.

        Parameters
        ----------
        offsets : ndarray of int64, shape (n_events + 1,)
            Position of the first jet of each event.
        eps : ndarray of float64, shape (n_jets, n_working_points)
            Efficiencies in [0, 1].
        working_points : tuple of str or int
            Names (or numbers) of the working points, from the loosest to the tightest.

        Returns
        -------
        TagBins
            Probabilities of the bins.

        Raises
        ------
        InputError
            If a tighter working point has a higher efficiency.
        """
        return cls(offsets, _between(eps, working_points), working_points, None, offsets)

    @classmethod
    def weighted(
        cls, tagged: ak.Array, factors: PerWorkingPoint, jets: slice | ak.Array | None
    ) -> TagBins:
        """Jets with a single bin each, whose weight is the factor of the jet.

        Parameters
        ----------
        tagged : jagged ak.Array
            Any column of the jets; only their numbers in the events are used.
        factors : ak.Array or mapping of str to ak.Array, jagged
            One factor of zero or more for each jet.
        jets : slice, jagged ak.Array of bool, or None
            Jets that count; None for all.

        Returns
        -------
        TagBins
            Weights without working points.

        Raises
        ------
        InputError
            If factors are negative, not finite or of other jets.
        """
        offsets = offsets_of(tagged)
        rows = _beside(factors, offsets, 1, "scale factors")
        return cls(offsets, rows, (), None, offsets).only(jets)

    def only(self, jets: slice | ak.Array | None) -> TagBins:
        """Keep only the jets that count.

        Parameters
        ----------
        jets : slice, jagged ak.Array of bool, or None
            Jets that count; None for all.

        Returns
        -------
        TagBins
            Weights of the jets that count.

        Raises
        ------
        InputError
            If the mask is of other jets or not made of booleans.
        TypeError
            If ``jets`` is neither a slice nor a mask.
        """
        if jets is None:
            return self
        offsets, index = _chosen(self.all_offsets, jets)
        return replace(self, offsets=offsets, weights=self.weights[index], index=index)

    @property
    def n_bins(self) -> int:
        """Number of bins: one more than working points."""
        return int(self.weights.shape[1])

    def warn(self) -> None:
        """Warn of jets whose scaled efficiencies had to be lowered, with their number."""
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
            warn_caller(text, ScaleFactorWarning)

    def own_bins(self, tagged: ak.Array, name: str = "tagged") -> Array:
        """Bin of every jet that counts, from its tag.

        Parameters
        ----------
        tagged : jagged ak.Array of bool or int, shape (n_events, jets)
            Tag of every jet: a boolean, or the number of working points it passes.
        name : str, default "tagged"
            Name of the column in error messages.

        Returns
        -------
        ndarray of int64, shape (n_jets,)
            Number of the bin of each jet that counts.

        Raises
        ------
        InputError
            If a number is not that of a bin, or jets are others.
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
        """Weights that the jets have in data."""
        if factors.kind == "jet":
            raise InputError(
                "scale factors at each jet's own discriminant are for direct tagging, and so are "
                "ratios of densities; truth tagging needs them for every bin (see "
                "TagScaleFactors.in_bins), or "
                'as a ratio of efficiencies ([task.ratio] kind = "efficiency")'
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
        """Weights in which jets that stay directly tagged have a weight in their own bin only."""
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
        """Spread numbers of the jets that count over all jets of the events.

        Parameters
        ----------
        flat : ndarray, shape (n_jets,)
            One number for each jet that counts.
        fill : bool or int
            Value for the other jets.

        Returns
        -------
        ak.Array, jagged like all jets
            The numbers.
        """
        if self.index is not None:
            spread = np.full(self.all_offsets[-1], fill, flat.dtype)
            spread[self.index] = flat
            flat = spread
        return unflatten(flat, self.all_offsets)


def _own_bin_ratio(data: Array, simulated: Array, bins: Array) -> Array:
    """Ratio P(data) / P(MC) for the bin that each jet is in; refused where P(MC) is 0."""
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


def _chosen(offsets: Offsets, jets: slice | ak.Array) -> tuple[Array, Array]:
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
