"""Progress bars: in a terminal by rich, on standard error so that ``--json`` output stays clean.

In a notebook they are HTML that is updated in place, for which nothing has to be installed (rich
asks for ipywidgets there).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from html import escape
from importlib import import_module
from time import monotonic
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


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


PAUSE = 0.2
"""Shortest time between two updates of a bar in a notebook [s]."""


class _NotebookBar:
    """A bar in the output of a cell."""

    def __init__(self, label: str, total: float | None, count: bool) -> None:
        output: Any = import_module("IPython.display")
        self._label, self._total, self._count, self._html = label, total, count, output.HTML
        self._start = self._shown = monotonic()
        self._done, self._note = 0.0, ""
        self._handle = output.display(output.HTML(self.text()), display_id=True)

    def text(self) -> str:
        """The bar as HTML."""
        seconds = monotonic() - self._start
        parts = [escape(self._label)]
        known = f' value="{self._done:g}" max="{self._total:g}"' if self._total else ""
        if self._count:
            whole = "?" if self._total is None else f"{self._total:,.0f}"
            parts.append(f"{self._done:,.0f}/{whole}")
        parts.append(str(timedelta(seconds=int(seconds))))
        if self._total and 0.0 < self._done < self._total:
            left = seconds * (self._total / self._done - 1.0)
            parts.append(f"eta {timedelta(seconds=int(left))}")
        return " ".join([f"<progress{known}></progress>", *parts, escape(self._note)])

    def show(self) -> None:
        """Bring the output up to date."""
        self._shown = monotonic()
        self._handle.update(self._html(self.text()))

    def advance(self, amount: float = 1.0, /, note: str | None = None) -> None:
        self._done += amount
        self._note = self._note if note is None else note
        if monotonic() - self._shown > PAUSE:
            self.show()

    def finish(self) -> None:
        """Show the whole work as done."""
        if self._total is not None:
            self._done = self._total
        self.show()


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
    if in_notebook():
        bar = _NotebookBar(label, total, count)
        yield bar.advance
        bar.finish()
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
