"""Jets with several working points, tasks on them, and sums over their events by hand."""

from __future__ import annotations

import itertools
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from hepsilon import Task
from hepsilon.config import Passed
from tests.helpers.toys import TASK, tagged_jets

Array = npt.NDArray[Any]

CUTS = {"Loose": 0.5, "Medium": 1.0, "Tight": 2.0}
"""As the simulation's: above the cut a of ``tagger`` is a jet with the probability eps^a."""


def several_points(names: tuple[str, ...] | None = ("L", "M", "T"), **changes: Any) -> Task:
    """The task with three working points of ``tagger``."""
    return Task(
        features=TASK.features,
        categorical=TASK.categorical,
        passed=Passed(field="tagger", above=tuple(CUTS.values()), names=names),
        weight=TASK.weight,
        truth=tuple(f"trueEfficiency{name}" for name in CUTS),
    ).model_copy(update=changes)


POINTS_TASK = several_points()


def points_jets(counts: list[int], seed: int = 0) -> ak.Array:
    """:func:`toys.tagged_jets` with the branches of several working points, as simulated ones."""
    jets = tagged_jets(counts, seed)
    eps = jets.trueEfficiency
    jets = ak.with_field(jets, np.log(eps - jets.discriminant) / np.log(eps), "tagger")
    for name, cut in CUTS.items():
        jets = ak.with_field(jets, eps**cut, f"trueEfficiency{name}")
    return jets


def columns_of(*columns: ak.Array) -> ak.Array:
    """Jagged columns on one more axis."""
    return ak.concatenate([column[..., None] for column in columns], axis=2)


def true_points(jets: ak.Array) -> ak.Array:
    """True efficiencies of all working points."""
    return columns_of(*(jets[f"trueEfficiency{name}"] for name in CUTS))


def passed_points(jets: ak.Array) -> ak.Array:
    """0 or 1 for each working point: direct tagging."""
    return columns_of(*(ak.values_astype(jets.tagger > cut, float) for cut in CUTS.values()))


def probability_by_hand(eps: ak.Array, accepts: Any) -> Array:
    """Sum over all assignments of tags of the events; ``accepts`` gets the tuple of booleans."""
    found = []
    for jets in ak.to_list(eps):
        total = 0.0
        for tags in itertools.product((False, True), repeat=len(jets)):
            if accepts(tags):
                factors = [p if t else 1.0 - p for p, t in zip(jets, tags, strict=True)]
                total += float(np.prod(factors))
        found.append(total)
    return np.array(found)
