"""Domain of an efficiency: what of the entries that are asked about the training sample covered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hepsilon.arrays.types import Array
from hepsilon.config.task import Task
from hepsilon.data.features import FeatureSpec
from hepsilon.efficiencies.asked import Asked

__all__ = ["Domain"]


@dataclass(frozen=True)
class Domain:
    """Entries inside and outside of what a training sample covered.

    Attributes
    ----------
    task : Task
        Task of the efficiency.
    features : FeatureSpec
        Ranges, numbers of objects and combinations of features of the training sample.
    asked : Asked
        The entries.
    covered : ndarray of bool, shape (n_objects,)
        True for each object in the ranges of all features, and in a bin that has entries.
    """

    task: Task
    features: FeatureSpec
    asked: Asked
    covered: Array

    @cached_property
    def region(self) -> Array:
        """True for each entry inside the ranges, with a number of objects that occurred."""
        covered, numbers = self.covered, self.features.multiplicity
        if numbers is not None:
            counts = np.diff(self.asked.offsets)
            covered = covered & self.asked.of_objects(numbers.covers(counts))
        return self.asked.entries(covered)

    @cached_property
    def usual(self) -> Array:
        """True for each entry all of whose combinations of features occurred."""
        combinations = self.features.combinations
        if combinations is None:
            return np.ones(len(self.region), bool)
        return self.asked.entries(combinations.covers(self.asked.nodes))

    @property
    def inside(self) -> Array:
        """True for each entry that the training sample covered, and would have selected."""
        return np.asarray(self.region & self.usual & ~self.asked.fails)

    @cached_property
    def strange(self) -> bool:
        """Whether more entries have unusual combinations than happens by chance."""
        combinations = self.features.combinations
        if combinations is None:
            return False
        unusual = int(np.count_nonzero(self.region & ~self.usual))
        return combinations.more_than_chance(unusual, len(self.asked.nodes))

    @property
    def alarming(self) -> bool:
        """Whether anything is outside that must be said, which chance does not explain."""
        return not np.all(self.region & ~self.asked.fails) or self.strange

    def describe(self) -> str:
        """Counts of the entries outside, by reason."""
        level, size, sentences = self.task.level, len(self.region), []
        if not self.region.all():
            where = ", ".join(f"{count} in {name}" for name, count in self._reasons().items())
            sentences.append(
                f"{int((~self.region).sum())} of {size} {level}s are outside the region that the "
                f"training sample covered ({where or 'empty bins'})"
            )
        if self.strange:
            unusual = int(np.count_nonzero(self.region & ~self.usual))
            where = ", ".join(f"{count} in {name}" for name, count in self._unusual().items())
            sentences.append(
                f"{unusual} of {size} {level}s have combinations of features that the training "
                f"sample did not have ({where})"
            )
        for cut, failed in self.asked.failed.items():
            count = int(np.count_nonzero(~self.asked.entries(~failed)))
            if count:
                sentences.append(f"{count} of {size} {level}s fail {cut} of the training")
        if self.asked.fails.any():
            sentences[-1] += ": pass events, or efficiency.select(records)"
        return "; ".join(sentences)

    def _reasons(self) -> dict[str, int]:
        """Numbers of objects outside the ranges by feature, and of entries by number of objects."""
        asked, numbers = self.asked, self.features.multiplicity
        covered = self.features.covers(asked.nodes)
        counts = {name: int(np.count_nonzero(~inside)) for name, inside in covered.items()}
        if numbers is not None:
            covers = asked.entries(asked.of_objects(numbers.covers(np.diff(asked.offsets))))
            name = f"the number of {self.task.collection} objects"
            counts[name] = int(np.count_nonzero(~covers))
        return {name: count for name, count in counts.items() if count}

    def _unusual(self) -> dict[str, int]:
        """Numbers of objects inside all ranges by the pair of features that never came together."""
        combinations = self.features.combinations
        assert combinations is not None
        found = combinations.outside(self.asked.nodes)
        counts = {pair: int(np.count_nonzero(outside & self.covered)) for pair, outside in found}
        return {pair: count for pair, count in counts.items() if count}
