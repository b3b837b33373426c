"""Truth tagging by brute force, in exact arithmetic, and strategies for its input."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from hepsilon.weights.conditions import Condition, Requirement
from tests.helpers import strategies as sts

Array = npt.NDArray[Any]
Rows = Sequence[Sequence[float | Fraction]]

INSIDE = st.floats(1e-6, 1.0 - 1e-6)
FACTOR = st.floats(0.5, 1.5)
FACTORS = (0.5, 1.5, 0.05)
"""Range of scale factors, and the share of zeros."""


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


RNG = st.integers(0, 2**32 - 1).map(np.random.default_rng)
"""Columns come from NumPy's generators, hypothesis chooses the seeds: drawn number by number, most
examples would hold too few jets to try anything."""


def columns_of(
    size: int, columns: int, low: float, high: float, zeros: float = 0.0
) -> st.SearchStrategy[Array]:
    """Numbers (jets, columns) in no order, with a share of zeros."""
    return RNG.map(
        lambda rng: (
            rng.uniform(low, high, (size, columns)) * (rng.uniform(size=(size, columns)) >= zeros)
        )
    )


def flags_of(size: int) -> st.SearchStrategy[Array]:
    """A boolean for each jet."""
    return RNG.map(lambda rng: rng.uniform(size=size) < 0.5)


def direct_of(size: int, n_points: int) -> st.SearchStrategy[tuple[Array, Array]]:
    """Which jets stay directly tagged, and how many working points each passes."""
    return st.tuples(flags_of(size), RNG.map(lambda rng: rng.integers(0, n_points + 1, size)))


@st.composite
def jets_of_events(
    draw: st.DrawFn, inside: bool = False, max_points: int = 3
) -> tuple[Array, Array]:
    """Offsets and efficiencies (jets, working points), from the loosest to the tightest.

    Some are 0, 1, tiny or equal for two working points; inside, no bin is impossible.
    """
    rng = draw(RNG)
    n_events = int(rng.choice([0, 1, 3, 4, 5, 6], p=[0.05, 0.15, 0.2, 0.2, 0.2, 0.2]))
    offsets = sts.offsets(rng.integers(0, 5, n_events).tolist())
    size, n_points = int(offsets[-1]), draw(st.integers(1, max_points))
    eps = rng.uniform(size=(size, n_points))
    if not inside:
        kind = rng.uniform(size=eps.shape)
        eps = np.where(kind < 0.15, 10.0 ** (-9.0 * eps), eps)
        eps = np.where(kind > 0.9, np.round(eps), eps)
        eps = np.where(kind > 0.95, eps[:, :1], eps)
    eps = -np.sort(-eps, axis=1)
    return offsets, 0.9 * eps - 0.01 * np.arange(n_points) + 0.05 if inside else eps


def conditions(n_points: int, max_requirements: int = 3) -> st.SearchStrategy[Condition]:
    """Any mix of "exactly" and "at least", also twice at the same working point."""

    def mix(rng: np.random.Generator) -> Condition:
        share = np.array([0.05, 0.4, 0.35, 0.2, 0.2])[: max_requirements + 1]
        n = rng.choice(len(share), p=share / share.sum())
        return Condition(
            tuple(
                Requirement(
                    int(rng.choice(4, p=[0.15, 0.4, 0.35, 0.1])),
                    int(rng.integers(n_points)),
                    bool(rng.uniform() < 0.6),
                )
                for _ in range(n)
            )
        )

    return RNG.map(mix)


def with_direct(weights: Rows, direct: Array, tagged: Array, ratio: Any = None) -> Rows:
    """Weights of one event's bins; direct jets weigh 1 (or their ratio) in their own bin only."""
    out = []
    for i, row in enumerate(weights):
        own = Fraction(1) if ratio is None else Fraction(ratio[i][tagged[i]])
        hard = [own if b == tagged[i] else Fraction(0) for b in range(len(row))]
        out.append(hard if direct[i] else row)
    return out
