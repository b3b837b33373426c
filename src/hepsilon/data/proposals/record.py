"""Record of the columns of a file, and of the task that they could be for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Literal

from hepsilon.arrays.levels import Level, OfLevel
from hepsilon.config.file import Branch
from hepsilon.data.collections import Found
from hepsilon.data.survey import ColumnSurvey

__all__ = ["EVENT_NUMBERS", "Proposal"]

EVENT_NUMBERS = {
    "run": ("run", "runnumber", "run_number"),
    "luminosityBlock": ("luminosityblock", "lumi", "lumiblock", "ls", "lumisection"),
    "event": ("event", "eventnumber", "event_number", "evt", "evtnumber", "evno", "eventid"),
}
"""Other names of event numbers, in small letters."""


@dataclass
class Proposal(OfLevel):
    """Columns of a file, and the task that they could be for.

    Attributes
    ----------
    file : str
        The file that was looked at.
    tree : str
        Its tree.
    other_trees : dict of str to int
        Further trees, with their numbers of entries.
    n_entries, n_sample : int
        Number of entries of the file, and of those that were looked at.
    found : Found
        Collection of the task.
    collections : dict of str to Found
        All collections.
    level : {"object", "event"}
        Level of the task.
    features : list of str
        Features of the task.
    categorical : dict of str to tuple of int
        Categories.
    columns : dict of str to ColumnSurvey
        What the fields of the collection hold.
    responses : list of ColumnSurvey
        Possible responses, the best first.
    above : tuple of float
        Cuts on the first of them; empty for flags.
    point_names : tuple of str
        Names of the cuts, where they were given.
    weights : list of ColumnSurvey
        Possible weights of events.
    negative_weights : float
        Share of the events with a negative weight.
    branches : dict of str to str, tuple of str or float
        Columns that do not follow a pattern.
    schema : {"nanoaod", "base"}
        Whether the events have all three numbers.
    repeated : int
        Number of events of the sample with the numbers of another one.
    rows : {"events", "objects"}
        What a row holds.
    unit : {"GeV", "MeV"}
        Unit that was guessed.
    typical_pt : float
        Median of pt, in the file's unit.
    mass : float or None
        Constant mass that stands for a branch, in that unit.
    objects : int or None
        Number of objects in every event.
    n_without : int
        Number of events of the sample without objects.
    counter : str or None
        Branch with the number of objects.
    numbers : list of ColumnSurvey
        Numbers of the event that may be features.
    edges : dict of str to list of float
        Bin edges of maps.
    central : bool
        Whether the selection of central jets is proposed.
    """

    file: str
    tree: str
    other_trees: dict[str, int]
    n_entries: int
    n_sample: int
    found: Found
    collections: Mapping[str, Found]
    level: Level = "object"
    features: list[str] = attribute(default_factory=list)
    categorical: dict[str, tuple[int, ...]] = attribute(default_factory=dict)
    columns: dict[str, ColumnSurvey] = attribute(default_factory=dict)
    responses: list[ColumnSurvey] = attribute(default_factory=list)
    above: tuple[float, ...] = ()
    point_names: tuple[str, ...] = ()
    weights: list[ColumnSurvey] = attribute(default_factory=list)
    negative_weights: float = 0.0
    branches: dict[str, Branch] = attribute(default_factory=dict)
    schema: str = "base"
    repeated: int = 0
    rows: str = "events"
    unit: Literal["GeV", "MeV"] = "GeV"
    typical_pt: float = float("nan")
    mass: float | None = None
    objects: int | None = None
    n_without: int = 0
    counter: str | None = None
    numbers: list[ColumnSurvey] = attribute(default_factory=list)
    edges: dict[str, list[float]] = attribute(default_factory=dict)
    central: bool = False

    @property
    def in_unit(self) -> float:
        """One GeV in the unit of the file."""
        return 1.0 if self.unit == "GeV" else 1000.0

    @property
    def of_jets(self) -> bool:
        """Whether the collection is one of jets, by its name."""
        return "jet" in self.found.name.lower()
