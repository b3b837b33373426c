"""Regions of the objects, or of the events of a task of events: bins of one input each.

An entry is in one region of every input. Bins are quantiles of a sample, in each category by
itself. Inputs are those of trees (:mod:`hepsilon.efficiencies.tree_inputs`): float32 numbers that
follow from one event alone, so that an entry is in equal regions however the events are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product

import numpy as np

from hepsilon.arrays.kernels import njit
from hepsilon.arrays.types import Array
from hepsilon.data.features import FeatureSpec
from hepsilon.data.missing import is_missing
from hepsilon.efficiencies.tree_inputs import DISTANCE, FAR
from hepsilon.errors import ArtifactError

__all__ = ["MOST_CATEGORIES", "Regions", "categories_of"]

MOST_CATEGORIES = 8
"""Number of combinations of categorical features up to which each is a category of its own."""


def categories_of(spec: FeatureSpec | None, inputs: Array) -> tuple[Array, tuple[str, ...]]:
    """Number of the category of each entry, and the names of all of them.

    Parameters
    ----------
    spec : FeatureSpec or None
        Features, which come first among the inputs and say what is a category; None for a task of
        events.
    inputs : ndarray of float32, shape (n, n_inputs)
        Inputs of the entries.

    Returns
    -------
    numbers : ndarray of int64, shape (n,)
        One category for all if they were more than :data:`MOST_CATEGORIES`.
    names : tuple of str
        Such as ``"hadronFlavour 5"``; an empty one where there is one category.
    """
    number = np.zeros(len(inputs), np.int64)
    features = () if spec is None else spec.features
    columns = [i for i, feature in enumerate(features) if feature.kind == "categorical"]
    sizes = [len(features[i].categories) for i in columns]
    if not columns or np.prod(sizes) > MOST_CATEGORIES:
        return number, ("",)
    for i in columns:
        known = np.asarray(features[i].categories, np.float32)
        number *= len(known)
        for place, value in enumerate(known):
            number += place * (inputs[:, i] == value)
    names = (
        ", ".join(f"{features[i].name} {v}" for i, v in zip(columns, values, strict=True))
        for values in product(*(features[i].categories for i in columns))
    )
    return number, tuple(names)


def _edges(values: Array, n_bins: int) -> Array:
    """Lower edges of all bins but the first one; missing values have a bin of their own."""
    absent = is_missing(values)
    present = values[~absent]
    if not len(present):
        return np.empty(0, np.float32)
    quantiles = np.quantile(present, np.linspace(0.0, 1.0, n_bins + 1), method="higher")
    inner = quantiles[1:-1] if not absent.any() else quantiles[:-1]
    edges = np.unique(inner.astype(np.float32))
    return edges if absent.any() else edges[edges > present.min()]


@njit
def _find(
    inputs: Array, categories: Array, columns: Array, edges: Array, starts: Array, found: Array
) -> None:
    """Put the region of every entry in each family into ``found``.

    Parameters
    ----------
    inputs : ndarray of float32, shape (n, n_inputs)
        Inputs of the entries.
    categories : ndarray of int64, shape (n,)
        Category of each entry.
    columns : ndarray of int64, shape (n_families,)
        Input of each family.
    edges : ndarray of float32, shape (n_families * n_categories, most edges)
        Inner edges of each family and category, filled up with infinity.
    starts : ndarray of int64, shape (n_families * n_categories + 1,)
        First region of each family and category, and their number.
    found : ndarray of int64, shape (n, n_families)
        Where the numbers are put.
    """
    families, most = len(columns), edges.shape[1]
    n_categories = len(edges) // families
    for i in range(len(inputs)):
        for family in range(families):
            group = family * n_categories + categories[i]
            value, place = inputs[i, columns[family]], 0
            for j in range(most):  # no branches: faster than a search among ten
                place += 1 if value >= edges[group, j] else 0
            found[i, family] = min(starts[group] + place, starts[group + 1] - 1)


@dataclass(frozen=True)
class Regions:
    """Bins of some inputs, in each category by itself.

    Attributes
    ----------
    columns : ndarray of int64, shape (n_families,)
        Column of the input of each family of bins.
    edges : ndarray of float32, shape (n_edges,)
        Inner edges, of all categories of the first family, of all of the second, and so on.
    bounds : ndarray of int64, shape (n_families * n_categories + 1,)
        Where those of each family and category begin, and the end.
    """

    columns: Array
    edges: Array
    bounds: Array

    def __post_init__(self) -> None:
        sound = (
            self.columns.ndim == self.edges.ndim == self.bounds.ndim == 1
            and self.columns.dtype == self.bounds.dtype == np.int64
            and self.edges.dtype == np.float32
            and len(self.columns) > 0
            and len(self.bounds) > 1
            and (len(self.bounds) - 1) % len(self.columns) == 0
            and self.bounds[0] == 0
            and self.bounds[-1] == len(self.edges)
            and np.all(np.diff(self.bounds) >= 0)
            and np.isfinite(self.edges).all()
            and all(
                np.all(np.diff(self.edges[a:b]) > 0.0) for a, b in pairwise(self.bounds.tolist())
            )
        )
        if not sound:
            raise ArtifactError(
                "regions: expected increasing edges for each input and category, in float32, their "
                "places and columns in int64"
            )

    @classmethod
    def of(
        cls, inputs: Array, columns: Sequence[int], categories: Array, n_bins: Sequence[int]
    ) -> Regions:
        """Quantile bins of a sample.

        Parameters
        ----------
        inputs : ndarray of float32, shape (n, n_inputs)
            Inputs of the entries of the sample.
        columns : sequence of int
            Inputs to be binned.
        categories : ndarray of int64, shape (n,)
            Category of each entry.
        n_bins : sequence of int
            Largest number of bins of each category.

        Returns
        -------
        Regions
            With fewer bins where values repeat.
        """
        parts = [
            _edges(inputs[categories == category, column], size)
            for column in columns
            for category, size in enumerate(n_bins)
        ]
        bounds = np.cumsum([0, *(len(part) for part in parts)]).astype(np.int64)
        return cls(np.asarray(columns, np.int64), np.concatenate(parts), bounds)

    @property
    def n_categories(self) -> int:
        """Number of categories."""
        return (len(self.bounds) - 1) // len(self.columns)

    @cached_property
    def starts(self) -> Array:
        """Number of the first region of each family and category, and that of all regions."""
        return self.bounds + np.arange(len(self.bounds))

    @property
    def size(self) -> int:
        """Number of all regions."""
        return int(self.starts[-1])

    @property
    def families(self) -> Array:
        """Family of every region, int64."""
        return self._groups // self.n_categories

    @property
    def categories(self) -> Array:
        """Category of every region, int64."""
        return self._groups % self.n_categories

    @property
    def _groups(self) -> Array:
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.starts))

    def numbers(self, inputs: Array, categories: Array) -> Array:
        """Regions of every entry.

        Parameters
        ----------
        inputs : ndarray of float32, shape (n, n_inputs)
            Inputs of the entries.
        categories : ndarray of int64, shape (n,)
            Category of each entry.

        Returns
        -------
        ndarray of int64, shape (n, n_families)
            Number of the region in each family.
        """
        found = np.empty((len(inputs), len(self.columns)), np.int64)
        _find(inputs, categories, self.columns, self._table, self.starts, found)
        return found

    @cached_property
    def _table(self) -> Array:
        """Edges of each family and category in a row, filled up with infinity."""
        sizes = np.diff(self.bounds)
        table = np.full((len(sizes), sizes.max()), np.inf, np.float32)
        table[np.arange(table.shape[1]) < sizes[:, None]] = self.edges
        return table

    def text(self, region: int, name: str) -> str:
        """Say which values of its input are in a region.

        Parameters
        ----------
        region : int
            Number of the region.
        name : str
            Name of the input.

        Returns
        -------
        str
            Such as ``"pt 40 to 60"``; the name alone where there is one bin. Where there is no such
            object, a distance is ``"none"``.
        """
        group = int(self._groups[region])
        place = region - int(self.starts[group])
        edges = self.edges[self.bounds[group] : self.bounds[group + 1]]
        low = "" if place == 0 else f"{edges[place - 1]:.3g}"
        high = "" if place == len(edges) else f"{edges[place]:.3g}"
        if name.startswith(DISTANCE) and place and edges[place - 1] == FAR:
            return f"{name}: none"
        if low and high:
            return f"{name} {low} to {high}"
        return " ".join(filter(None, (name, low and f"from {low}", high and f"below {high}")))
