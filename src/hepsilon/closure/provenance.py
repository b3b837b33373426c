"""Origin of a closure: files with their entries, what was left out, and how long it took."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hepsilon.closure.record import ClosureRecord
from hepsilon.processors.outputs import InversionOutput, Output

__all__ = ["ReadFile", "RunInfo", "run_info", "summary_cells"]

Count = Annotated[int, Field(ge=0)]


class ReadFile(ClosureRecord):
    """A file that was read.

    Attributes
    ----------
    name : str
        Name without folder.
    tree : str
        Name of the tree.
    identity : str
        Text that tells the file apart, whatever its name.
    entries : int
        Number of entries that were read.
    """

    name: str
    tree: str
    identity: str
    entries: Count


class RunInfo(ClosureRecord):
    """Events that came in, what became of them, and where they were processed.

    Attributes
    ----------
    files : list of ReadFile
        Files with their entries.
    entries : int
        Number of entries of all files.
    events : int
        Number of events that were processed.
    damaged : int
        Number of events that were left out for damaged numbers.
    limited : int
        Number of events whose weight was clipped to ``max_weight``.
    skipped : list of str
        Sentences on files and entries that could not be read, with their numbers.
    warnings : list of str
        Every kind of warning in one line.
    clipped : dict of str to int
        Events whose efficiency was below the floor, by method.
    out_of_domain : dict of str to int
        Objects, or events, outside the domain of each method.
    seconds : float
        Time that processes have worked, all together [s].
    wall_seconds : float
        Time from the first file to the last one [s].
    loads : dict of str to dict of str to int
        Number of loads of each artifact (by hash), by process (``HOST:PID``).
    """

    files: list[ReadFile]
    entries: Count
    events: Count
    damaged: Count
    limited: Count
    skipped: list[str]
    warnings: list[str]
    clipped: dict[str, int]
    out_of_domain: dict[str, int]
    seconds: float
    wall_seconds: float
    loads: dict[str, dict[str, int]]


def run_info(output: Output) -> RunInfo | None:
    """Origin of an output.

    Parameters
    ----------
    output : Output
        Output of a processor.

    Returns
    -------
    RunInfo or None
        None for one that coffea's ``Runner`` has made.
    """
    run = output.run
    if run is None or not run.files:
        return None
    return RunInfo(
        files=[
            ReadFile(
                name=Path(each.path).name,
                tree=each.tree,
                identity=key.removesuffix(f":{each.tree}"),
                entries=each.n_entries,
            )
            for key, each in sorted(run.files.items(), key=lambda item: item[1].path)
        ],
        entries=run.n_entries,
        events=output.n_events,
        damaged=output.n_damaged,
        limited=output.n_limited,
        skipped=run.skips,
        warnings=run.said.texts(),
        clipped=dict(output.clipped) if isinstance(output, InversionOutput) else {},
        out_of_domain=dict(output.out_of_domain),
        seconds=round(run.seconds, 3),
        wall_seconds=round(run.wall_seconds, 3),
        loads=run.loads,
    )


def summary_cells(run: Any) -> list[list[str]]:
    """Rows of the table at the end of a run.

    Parameters
    ----------
    run : RunInfo
        Origin of a closure.

    Returns
    -------
    list of list of str
        Name and value of each row.
    """
    lost = run.entries - run.events
    rate = f"{run.events / run.wall_seconds:,.0f}" if run.wall_seconds > 0 else "-"
    rows = [
        ["files", f"{len(run.files):,}"],
        ["entries in", f"{run.entries:,}"],
        ["events processed", f"{run.events:,}"],
        ["not processed (damaged, unreadable, rows of one event)", f"{lost:,}"],
    ]
    if run.limited:
        rows.append(["weights clipped to max_weight", f"{run.limited:,}"])
    rows += [[f"below the floor: {name}", f"{n:,}"] for name, n in run.clipped.items() if n]
    rows += [[f"out of domain: {name}", f"{n:,}"] for name, n in run.out_of_domain.items() if n]
    loads = sum(count for each in run.loads.values() for count in each.values())
    if run.loads:
        rows.append(["models loaded (in processes)", f"{loads} ({len(run.loads)})"])
    return [*rows, ["seconds", f"{run.wall_seconds:,.1f}"], ["events per second", rate]]
