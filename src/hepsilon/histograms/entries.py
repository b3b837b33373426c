"""Entries of one observable, whose bins are looked up once for any number of weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import awkward as ak
import hist
import numpy as np

from hepsilon.arrays.columns import flat, offsets_of
from hepsilon.arrays.types import Array, Offsets
from hepsilon.errors import ConfigError, InputError
from hepsilon.histograms.observables import AnyObservable

__all__ = ["Entries", "EntryCounts", "book_methods", "method_row"]


def book_methods(
    observable: AnyObservable, methods: list[str], axes: tuple[Any, ...] = ()
) -> hist.Hist[Any]:
    """An empty histogram with the axes method, any others, and those of the observable.

    Parameters
    ----------
    observable : Observable or Observable2D
        Observable with one axis, or two.
    methods : list of str
        Names of the methods.
    axes : tuple of hist axes, optional
        Further axes, such as that of replicas.

    Returns
    -------
    hist.Hist
        Histogram with sums of weights and of their squares; with further axes of weights alone.
    """
    return hist.Hist(
        hist.axis.StrCategory(methods, name="method"),
        *axes,
        *observable.axes,
        storage=hist.storage.Double() if axes else hist.storage.Weight(),
    )


def _of_events(column: Any, name: str) -> Array:
    """Values of an observable for the events, as numbers."""
    try:
        return np.asarray(column, np.float64)
    except (TypeError, ValueError):  # jagged, missing, or no numbers
        received = getattr(column, "type", type(column))
        raise InputError(f"{name}: expected one number per event, received {received}") from None


def _of_objects(column: Any, offsets: Offsets, name: str) -> Array:
    """Values of an observable for the objects of every event, flat."""
    if not isinstance(column, ak.Array):
        raise InputError(f"{name}: expected one number per object, received {type(column)}")
    values = flat(column, name=name)
    if values.shape == (offsets[-1],) and not np.array_equal(offsets_of(column), offsets):
        raise InputError(f"{name}: expected one number per object, received them in other events")
    return values


def method_row(histogram: hist.Hist[Any], method: str) -> Any:
    """Bins of one method, flow included, as a view to add to.

    Parameters
    ----------
    histogram : hist.Hist
        Histogram whose first axis is ``method``.
    method : str
        Name of the method.

    Returns
    -------
    ndarray, shape (bins of the other axes...)
        Float64 sums of weights; for Weight storage records of ``value`` and ``variance``.

    Raises
    ------
    ConfigError
        For a method that the histogram does not have (hist would count it as overflow).
    """
    axis = histogram.axes["method"]
    if method not in list(axis):
        raise ConfigError(f"expected a method of {list(axis)}, received {method!r}")
    view: Any = histogram.view(flow=True)
    return view[axis.index(method)]


@dataclass(frozen=True)
class EntryCounts:
    """Numbers of entries of one observable that are shown, and that are not; they add up.

    Attributes
    ----------
    entries : int
        Number of values, without those that are not a number.
    not_a_number : int
        Number of values that are NaN, and are filled nowhere; events with too few objects to have
        a value are not among them.
    outside : tuple of int
        Number of entries beyond the edges of each axis.
    names : tuple of str
        Observable on each axis.
    units : tuple of str
        Unit of each axis.
    origins : tuple of str
        Where the edges of each axis come from.
    """

    entries: int
    not_a_number: int
    outside: tuple[int, ...]
    names: tuple[str, ...]
    units: tuple[str, ...]
    origins: tuple[str, ...]

    @property
    def all(self) -> int:
        """Number of values, of those that are not a number, too."""
        return self.entries + self.not_a_number

    @classmethod
    def of(cls, observable: AnyObservable, values: list[Array], complete: Array) -> EntryCounts:
        """Count.

        Parameters
        ----------
        observable : Observable or Observable2D
            The observable.
        values : list of ndarray of float64, shape (n_entries,)
            Values on each axis.
        complete : ndarray of bool, shape (n_entries,)
            Whether the event of each entry has the objects that a value needs.

        Returns
        -------
        EntryCounts
            The numbers.
        """
        undefined = np.isnan(values).any(axis=0)
        outside = []
        for part, column in zip(observable.parts, values, strict=True):
            beyond = (column < part.edges[0]) | (column >= part.edges[-1])
            beyond &= ~undefined & (complete | np.isfinite(column))
            outside.append(int(np.count_nonzero(beyond)))
        return cls(
            entries=int(np.count_nonzero(~undefined)),
            not_a_number=int(np.count_nonzero(undefined & complete)),
            outside=tuple(outside),
            names=tuple(part.name for part in observable.parts),
            units=tuple(part.unit for part in observable.parts),
            origins=tuple(part.origin for part in observable.parts),
        )

    def __add__(self, other: EntryCounts) -> EntryCounts:
        return replace(
            self,
            entries=self.entries + other.entries,
            not_a_number=self.not_a_number + other.not_a_number,
            outside=tuple(a + b for a, b in zip(self.outside, other.outside, strict=True)),
        )


@dataclass(frozen=True)
class Entries:
    """Entries of one observable: one per event, or one per object.

    Attributes
    ----------
    axes : list of hist axes
        Axes of the observable.
    values : list of ndarray of float64, shape (n_entries,)
        Number of every entry on each axis; entries with a NaN are left out.
    event : ndarray of int64, shape (n_entries,)
        Number of the event of each entry.
    index : ndarray of int64, shape (n_entries,), or None
        Position of each entry among all objects, or events, that it was evaluated for.
    counts : EntryCounts or None
        Numbers of entries; None for entries that were made by hand.
    """

    axes: list[Any]
    values: list[Array]
    event: Array
    index: Array | None = None
    counts: EntryCounts | None = None

    @classmethod
    def of(cls, observable: AnyObservable, records: ak.Array) -> Entries:
        """Evaluate an observable for every event, or for every object.

        Parameters
        ----------
        observable : Observable or Observable2D
            Functions of the records, with their axes and level.
        records : ak.Array of records, shape (n_events, objects)
            Objects of every event.

        Returns
        -------
        Entries
            Entries without those that are NaN on an axis.

        Raises
        ------
        InputError
            If its functions do not give one number per event, or per object.
        """
        columns = [function(records) for function in observable.functions]
        offsets = offsets_of(records)
        if observable.of_events:
            values = [_of_events(column, observable.name) for column in columns]
            event = np.arange(len(records))
        else:
            values = [_of_objects(column, offsets, observable.name) for column in columns]
            event = np.repeat(np.arange(len(records)), np.diff(offsets))
        if any(column.shape != event.shape for column in values):
            raise InputError(
                f"{observable.name}: expected one number per {observable.level}, received "
                f"{[column.shape for column in values]} for {len(event)} of them"
            )
        index = np.flatnonzero(~np.isnan(values).any(axis=0))
        complete = (np.diff(offsets) >= observable.objects)[event]
        counts = EntryCounts.of(observable, values, complete)
        columns = [column[index] for column in values]
        return cls(observable.axes, columns, event[index], index, counts)

    def of_events(self, chosen: Array) -> Entries:
        """Keep the entries of chosen events, which are numbered anew from 0.

        Parameters
        ----------
        chosen : ndarray of bool, shape (n_events,)
            True for the events to keep.

        Returns
        -------
        Entries
            Entries of the chosen events; their ``index`` is None.
        """
        keep = chosen[self.event]
        number = np.cumsum(chosen) - 1
        return Entries(self.axes, [v[keep] for v in self.values], number[self.event[keep]])

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of bins of each axis, flow included."""
        return tuple(axis.extent for axis in self.axes)

    @cached_property
    def bins(self) -> Array:
        """Flat bin of each entry, flow included."""
        columns = zip(self.axes, self.values, strict=True)
        index = [axis.index(v) + axis.traits.underflow for axis, v in columns]
        return np.asarray(np.ravel_multi_index(index, self.shape))

    @cached_property
    def _groups(self) -> tuple[Array, Array]:
        """First entry, and squared number of entries, of each event in each bin."""
        if len(self.event) < 2 or np.all(np.diff(self.event) > 0):  # one entry per event
            return np.arange(len(self.event)), np.ones(len(self.event))
        size = int(np.prod(self.shape))
        _, first, counts = np.unique(
            self.event * size + self.bins, return_index=True, return_counts=True
        )
        return first, counts.astype(np.float64) ** 2

    def sums(self, weights: Array, entries: Array | slice = slice(None)) -> Array:
        """Sums of weights in the bins, flow included.

        Parameters
        ----------
        weights : ndarray of float64
            Weight of each entry, or of each one of ``entries``.
        entries : ndarray of int or bool, or slice, optional
            Entries to add up, by default all.

        Returns
        -------
        ndarray of float64, shape (bins of each axis...)
            Sums.
        """
        size = int(np.prod(self.shape))
        return np.bincount(self.bins[entries], weights, minlength=size).reshape(self.shape)

    def fill(self, histogram: hist.Hist[Any], method: str, weights: Array) -> None:
        """Add entries to a method of a histogram.

        Parameters
        ----------
        histogram : hist.Hist
            Histogram from :func:`book_methods`, with sums of squared weights.
        method : str
            Name of the method.
        weights : ndarray of float64, shape (n_entries,)
            Weight of each entry.

        Raises
        ------
        ConfigError
            If the histogram does not have the method.
        """
        row = method_row(histogram, method)
        row["value"] += self.sums(weights)
        row["variance"] += self.sums(weights**2)

    def fill_variance(self, histogram: hist.Hist[Any], method: str, variance: Array) -> None:
        """Add the variances of events to the variance of a method.

        All entries of one event in one bin are there or not together, so that k of them count k^2
        times.

        Parameters
        ----------
        histogram : hist.Hist
            Histogram from :func:`book_methods`, with sums of squared weights.
        method : str
            Name of the method.
        variance : ndarray of float64, shape (n_entries,)
            Variance of the weight of each entry's event.

        Raises
        ------
        ConfigError
            If the histogram does not have the method.
        """
        first, squares = self._groups
        row = method_row(histogram, method)
        row["variance"] += self.sums(squares * variance[first], first)
