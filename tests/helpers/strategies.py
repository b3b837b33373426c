"""Hypothesis strategies of jagged events, including events without objects."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Array = npt.NDArray[Any]

PT = st.floats(0.1, 1000.0)
ETA = st.floats(-5.0, 5.0)
PHI = st.floats(-np.pi, np.pi)
MASS = st.just(0.0) | st.floats(1e-3, 200.0)
KINEMATICS = ("pt", "eta", "phi", "mass")
BOUND = st.integers(0, 6)
PROBABILITY = st.just(0.0) | st.just(1.0) | st.floats(1e-6, 1.0 - 1e-6)


def counts(max_events: int = 6, max_objects: int = 6) -> st.SearchStrategy[list[int]]:
    """Objects per event; no events, and events without objects, are included."""
    return st.lists(st.integers(0, max_objects), max_size=max_events)


def offsets(n: list[int]) -> Array:
    """Offsets of events with ``n`` objects."""
    return np.concatenate([[0], np.cumsum(n)]).astype(np.int64)


def column(size: int, elements: st.SearchStrategy[float]) -> st.SearchStrategy[Array]:
    """Flat column of ``size`` numbers; no two entries share NumPy's fill value by default."""
    return hnp.arrays(np.float64, size, elements=elements, fill=st.nothing())


@st.composite
def flat_columns(
    draw: st.DrawFn, *elements: st.SearchStrategy[float], max_events: int = 6, max_objects: int = 6
) -> tuple[Array, ...]:
    """Offsets and one flat column for each of ``elements``."""
    n = draw(counts(max_events, max_objects))
    return offsets(n), *(draw(column(sum(n), e)) for e in elements)


@st.composite
def jet_records(draw: st.DrawFn, max_events: int = 6, max_objects: int = 6) -> ak.Array:
    """Jagged jets with pt, eta, phi, mass and hadronFlavour (uint8, as in NanoAOD v12)."""
    n = draw(counts(max_events, max_objects))
    size = sum(n)
    columns = {
        name: draw(column(size, elements))
        for name, elements in (("pt", PT), ("eta", ETA), ("phi", PHI), ("mass", MASS))
    }
    flavours = st.lists(st.sampled_from([0, 4, 5]), min_size=size, max_size=size)
    columns["hadronFlavour"] = np.array(draw(flavours), np.uint8)
    n_array = np.array(n, np.int64)
    return ak.zip({name: ak.unflatten(values, n_array) for name, values in columns.items()})


@st.composite
def jets_and_order(draw: st.DrawFn) -> tuple[ak.Array, ak.Array]:
    """Jets, and a jagged index that permutes the jets of every event."""
    jets = draw(jet_records())
    size = int(ak.sum(ak.num(jets)))
    key = ak.unflatten(np.array(draw(st.permutations(range(size))), np.int64), ak.num(jets))
    return jets, ak.argsort(key, axis=1)
