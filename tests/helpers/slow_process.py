"""A processor of files that notes its process, and does not end."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Event
from typing import Any

from hepsilon.processors import runner


class SlowProcess(runner._Process):
    """Work that waits in every process."""

    def __call__(self, part: Any) -> Any:
        (Path(os.environ["SEEN"]) / str(os.getpid())).touch()
        Event().wait(600)
        return super().__call__(part)


def use() -> None:
    """Let all runs wait."""
    runner._Process = SlowProcess  # type: ignore[misc]
