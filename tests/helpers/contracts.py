"""Chunks of any sizes, as hypothesis draws them (see hepsilon.testing for all contracts)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import awkward as ak
import numpy as np
from hypothesis import strategies as st

from tests.helpers.toys import random_jets, rows

Efficiency = Callable[[ak.Array], ak.Array]

COUNTS = st.lists(st.integers(0, 7), max_size=12)
CUTS = st.lists(st.integers(0, 12), max_size=3)


def assert_chunks_add_up(
    efficiency: Efficiency, counts: Sequence[int], cuts: Sequence[int], atol: float
) -> None:
    """eff(a) ++ eff(b) == eff(a ++ b), with empty chunks and events without jets."""
    records = random_jets([*counts, 1], seed=8)[: len(counts)]
    bounds = [0, *sorted(min(cut, len(counts)) for cut in cuts), len(counts)]
    together = ak.concatenate([efficiency(records[a:b]) for a, b in pairwise(bounds)])
    at_once = efficiency(records)
    assert ak.num(together).tolist() == ak.num(at_once).tolist() == list(counts)
    np.testing.assert_allclose(rows(together), rows(at_once), rtol=0, atol=atol)
