"""Objects that an efficiency is asked about, as flat columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np

from hepsilon.arrays.columns import unflatten
from hepsilon.arrays.types import Array, Nodes, Offsets
from hepsilon.efficiencies.inputs import Given

__all__ = ["Asked"]


@dataclass(frozen=True)
class Asked:
    """Objects that an efficiency is asked about, as flat columns.

    Attributes
    ----------
    given : Given
        The objects, and the form of the answers.
    offsets : ndarray of int64, shape (n_events + 1,)
        Event i has the objects ``offsets[i]:offsets[i + 1]``.
    nodes : ndarray of float32, shape (n_objects, n_features)
        Features of the objects.
    of_events : bool
        Whether there is one answer for each event, and not for each object.
    failed : dict of str to ndarray of bool, shape (n_objects,)
        By cut of the training's selection, True for the objects that fail it.
    """

    given: Given
    offsets: Offsets
    nodes: Nodes
    of_events: bool
    failed: dict[str, Array]

    def of_objects(self, values: Array) -> Array:
        """One value for each object from one for each event."""
        return np.repeat(values, np.diff(self.offsets))

    def entries(self, inside: Array) -> Array:
        """True for each object, or each event whose objects are all inside."""
        if not self.of_events or not len(inside):
            return inside
        return np.asarray(np.logical_and.reduceat(inside, self.offsets[:-1]))

    @property
    def fails(self) -> Array:
        """True for each entry that the selection of the training would have changed."""
        passes = np.ones(len(self.nodes), bool)
        for failed in self.failed.values():
            passes &= ~failed
        return ~self.entries(passes)

    def answer(self, values: Array) -> Any:
        """Numbers of the entries in the form of what was given."""
        shaped = ak.Array(values) if self.of_events else unflatten(values, self.offsets)
        return self.given.form(shaped)
