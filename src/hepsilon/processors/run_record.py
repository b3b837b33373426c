"""What a run has read and done: it adds up over chunks, files and jobs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from hepsilon._system.gathered import Gathered
from hepsilon.data.parts import NUMBER, Part, Skipped
from hepsilon.efficiencies.loads import Loads, merged_loads
from hepsilon.errors import InputError

__all__ = ["EntryRanges", "RunRecord"]

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class EntryRanges:
    """Entries of one tree that were read.

    Attributes
    ----------
    path : str
        Where the file was.
    tree : str
        Name of the tree.
    ranges : tuple of tuple of two ints
        First entries, and those behind the last ones, in order and joined.
    """

    path: str
    tree: str
    ranges: Ranges

    @property
    def n_entries(self) -> int:
        """Number of entries that were read."""
        return sum(stop - start for start, stop in self.ranges)

    def __add__(self, other: EntryRanges) -> EntryRanges:
        joined: list[tuple[int, int]] = []
        for start, stop in sorted(self.ranges + other.ranges):
            if joined and start < joined[-1][1]:
                raise InputError(
                    f"entries {start} to {min(stop, joined[-1][1])} of {self.path} are in both "
                    "results; their events would count twice. Where the two chose different events "
                    "of these entries, add them without their records: "
                    "dataclasses.replace(output, run=None)"
                )
            if joined and start == joined[-1][1]:
                joined[-1] = joined[-1][0], stop
            else:
                joined.append((start, stop))
        return replace(self, path=min(self.path, other.path), ranges=tuple(joined))


@dataclass(frozen=True)
class RunRecord:
    """What a run has read and done; two of them add up.

    Attributes
    ----------
    files : dict of str to EntryRanges
        Entries that were read, by the identity of the file and its tree.
    skipped : Counter of str
        Number of entries or files that were left out, by what was the matter.
    said : Gathered
        Warnings of all chunks.
    loads : dict of str to dict of str to int
        Number of loads of each artifact, by process.
    seconds : float
        Time that processes have worked, all together [s].
    wall_seconds : float
        Time from the first file to the last one, of several jobs all together [s].
    """

    files: dict[str, EntryRanges] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    said: Gathered = field(default_factory=Gathered)
    loads: Loads = field(default_factory=dict)
    seconds: float = 0.0
    wall_seconds: float = 0.0

    @classmethod
    def of_part(cls, part: Part) -> RunRecord:
        """Record of one part of a file, before it is read.

        Parameters
        ----------
        part : Part
            The part.

        Returns
        -------
        RunRecord
            Its file and entries.
        """
        ranges = ((part.entrystart, part.entrystop),)
        key = f"{part.fileuuid}:{part.treename}"
        return cls({key: EntryRanges(part.source.path, part.treename, ranges)})

    def __add__(self, other: RunRecord) -> RunRecord:
        files = dict(self.files)
        for key, ranges in other.files.items():
            files[key] = files[key] + ranges if key in files else ranges
        return RunRecord(
            files,
            self.skipped + other.skipped,
            self.said + other.said,
            merged_loads(self.loads, other.loads),
            self.seconds + other.seconds,
            self.wall_seconds + other.wall_seconds,
        )

    @property
    def n_entries(self) -> int:
        """Number of entries of all files that were read."""
        return sum(each.n_entries for each in self.files.values())

    @property
    def skips(self) -> list[str]:
        """Sentences on what was left out, with their numbers."""
        return [t.replace(NUMBER, str(n)) for t, n in sorted(self.skipped.items())]

    def report(self) -> None:
        """Say once what was left out, and each kind of warning of all chunks."""
        Skipped(self.skipped).report()
        self.said.say()
