"""Progress bars (rich), on standard error so that ``--json`` output stays clean."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["Advance", "progress_bar", "progress_shown"]


class Advance(Protocol):
    """Function that moves a progress bar on."""

    def __call__(self, amount: float = 1.0, /, note: str | None = None) -> None:
        """Add to the work that is done.

        Parameters
        ----------
        amount : float, default 1.0
            Work that was done since the last call, in the units of the bar's total.
        note : str, optional
            Text to show beside the bar.
        """
        ...


def _nothing(amount: float = 1.0, /, note: str | None = None) -> None:
    """Move no bar on."""


def progress_shown() -> bool:
    """Whether bars are shown: not where the environment variable ``HEPSILON_PROGRESS`` is 0."""
    return os.environ.get("HEPSILON_PROGRESS") != "0"


@contextmanager
def progress_bar(
    label: str, total: float | None, *, count: bool = True, show: bool = True
) -> Iterator[Advance]:
    """Show a bar with the time left.

    No bar is shown where the environment variable ``HEPSILON_PROGRESS`` is 0.

    Parameters
    ----------
    label : str
        Name of the work, in front of the bar.
    total : float or None
        Amount of work; None where it is not known.
    count : bool, default True
        Show done/total as whole numbers.
    show : bool, default True
        Show anything at all.

    Yields
    ------
    Advance
        Function that moves the bar on.
    """
    if not show or not progress_shown():
        yield _nothing
        return
    counter = [MofNCompleteColumn()] if count else []
    columns = [TextColumn("{task.description}"), BarColumn(), *counter, TimeElapsedColumn()]
    columns += [TextColumn("eta"), TimeRemainingColumn(), TextColumn("{task.fields[note]}")]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=total, note="")

        def advance(amount: float = 1.0, /, note: str | None = None) -> None:
            fields: dict[str, Any] = {} if note is None else {"note": note}
            progress.update(task, advance=amount, **fields)

        yield advance
        if total is not None:
            progress.update(task, completed=total)
