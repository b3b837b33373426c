"""Level of an efficiency or observable: one number for each object, or one for each event."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["Level", "OfLevel"]

Level: TypeAlias = Literal["object", "event"]
"""Kind of thing that has one number of its own."""


class OfLevel:
    """Base of what is of one level: tasks, networks, observables and proposals."""

    level: Level

    @property
    def of_events(self) -> bool:
        """Whether there is one number for all objects of an event together."""
        return self.level == "event"
