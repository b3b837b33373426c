"""Command line that is running, which artifacts note with the date."""

from __future__ import annotations

import os
from contextvars import ContextVar
from datetime import UTC, datetime

__all__ = ["COMMAND", "today"]

COMMAND: ContextVar[str] = ContextVar("command", default="")
"""Command that is running; empty where the library is called from Python."""


def today() -> str:
    """Date, as ISO 8601 has it; that of SOURCE_DATE_EPOCH where reproducible builds set it."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch.isdecimal():
        return datetime.fromtimestamp(int(epoch), UTC).date().isoformat()
    return datetime.now(UTC).date().isoformat()
