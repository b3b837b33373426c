"""Truth tagging by brute force, in exact arithmetic, and strategies for its input."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import strategies as sts
from hypothesis import strategies as st

from hepsilon.conditions import Condition, Requirement

Array = npt.NDArray[Any]
Rows = Sequence[Sequence[float | Fraction]]

INSIDE = st.floats(1e-6, 1.0 - 1e-6)
FACTOR = st.floats(0.5, 1.5)


def accepts(
    condition: Condition, bins: Sequence[int], names: Sequence[str | int] | None = None
) -> bool:
    """Whether jets in these bins meet the condition, counted requirement by requirement."""
    for r in condition.requirements:
        point = r.working_point
        if isinstance(point, str):
            assert names is not None
            point = list(names).index(point)
        passing = sum(b > point for b in bins)
        if not (passing >= r.n if r.at_least else passing == r.n):
            return False
    return True


def exact_bins(eps: Rows) -> list[list[Fraction]]:
    """Probability of every bin of every jet from its efficiencies, loosest first."""
    edges = [[Fraction(1), *(Fraction(float(e)) for e in row), Fraction(0)] for row in eps]
    return [[low - high for low, high in itertools.pairwise(row)] for row in edges]


def outcomes(weights: Rows) -> Iterator[tuple[tuple[int, ...], Fraction]]:
    """Every assignment of bins to the jets of one event, with its weight."""
    exact = [[Fraction(w) for w in row] for row in weights]
    for bins in itertools.product(*(range(len(row)) for row in exact)):
        weight = Fraction(1)
        for b, row in zip(bins, exact, strict=True):
            weight *= row[b]
        yield bins, weight


def brute_force(
    weights: Rows, condition: Condition, names: Sequence[str | int] | None = None
) -> float:
    """Sum of the weights of all assignments of one event that meet the condition."""
    total = sum((w for bins, w in outcomes(weights) if accepts(condition, bins, names)), Fraction())
    return float(total)


def each_event(offsets: Array, rows: Any) -> list[Any]:
    """The rows of each event."""
    return [rows[a:b] for a, b in itertools.pairwise(offsets.tolist())]


def jagged(rows: Any, offsets: Array) -> ak.Array:
    """Rows (jets, columns) as events x jets x columns."""
    return ak.unflatten(ak.Array(np.ascontiguousarray(rows)), np.diff(offsets))


def scaled(eps: Array, factors: Array) -> Array:
    """SF * eps with the rules for what is no probability: at most 1, and ordered."""
    return np.minimum.accumulate(np.minimum(eps * factors, 1.0), axis=1)


def ordered_rows(size: int, n_points: int, elements: Any) -> st.SearchStrategy[Array]:
    """Efficiencies (jets, working points), from the loosest to the tightest."""
    return sts.column(size * n_points, elements).map(
        lambda flat: -np.sort(-flat.reshape(size, n_points), axis=1)
    )


@st.composite
def jets_of_events(
    draw: st.DrawFn,
    elements: st.SearchStrategy[float] = sts.PROBABILITY,
    max_points: int = 3,
    max_events: int = 3,
    max_objects: int = 4,
) -> tuple[Array, Array]:
    """Offsets and efficiencies (jets, working points)."""
    offsets = sts.offsets(draw(sts.counts(max_events, max_objects)))
    n_points = draw(st.integers(1, max_points))
    return offsets, draw(ordered_rows(int(offsets[-1]), n_points, elements))


def conditions(n_points: int, max_requirements: int = 3) -> st.SearchStrategy[Condition]:
    """Any mix of "exactly" and "at least", also twice at the same working point."""
    requirement = st.builds(
        Requirement, st.integers(0, 3), st.integers(0, n_points - 1), st.booleans()
    )
    return st.lists(requirement, max_size=max_requirements).map(lambda r: Condition(tuple(r)))


def columns_of(size: int, columns: int, elements: Any) -> st.SearchStrategy[Array]:
    """Numbers (jets, columns) in no order."""
    return sts.column(size * columns, elements).map(lambda flat: flat.reshape(size, columns))


def direct_of(size: int, n_points: int) -> st.SearchStrategy[tuple[Array, Array]]:
    """Which jets stay directly tagged, and how many working points each passes."""
    return st.tuples(
        st.lists(st.booleans(), min_size=size, max_size=size).map(lambda x: np.array(x, bool)),
        st.lists(st.integers(0, n_points), min_size=size, max_size=size).map(
            lambda x: np.array(x, np.int64)
        ),
    )


def with_direct(weights: Rows, direct: Array, tagged: Array, ratio: Any = None) -> Rows:
    """Weights of one event's bins; direct jets weigh 1 (or their ratio) in their own bin only."""
    out = []
    for i, row in enumerate(weights):
        own = Fraction(1) if ratio is None else Fraction(ratio[i][tagged[i]])
        hard = [own if b == tagged[i] else Fraction(0) for b in range(len(row))]
        out.append(hard if direct[i] else row)
    return out
