"""Warnings and log lines of many chunks, gathered so that each kind is said once, with a count."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock, get_ident
from typing import NamedTuple, Self

from hepsilon._system.warned import warn_caller

__all__ = ["Gathered", "Said", "gathered"]

LOGGER = "hepsilon"
NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")


class Said(NamedTuple):
    """A kind of message, how often it came, and its first text.

    Attributes
    ----------
    number : int
        Number of messages that differ in their numbers only.
    text : str
        The smallest of the texts, so that it does not depend on the order of the chunks.
    category : type of Warning or None
        Category of a warning; None for a line of the log.
    level : int
        Level of a line of the log.
    """

    number: int
    text: str
    category: type[Warning] | None = None
    level: int = logging.WARNING


@dataclass(frozen=True)
class Gathered:
    """Messages by their text without numbers; two of these add up.

    Attributes
    ----------
    said : dict of str to Said
        Kinds of messages.
    """

    said: dict[str, Said] = field(default_factory=dict)

    def __add__(self, other: Self) -> Self:
        total = dict(self.said)
        for key, each in other.said.items():
            if key in total:
                text = min(total[key].text, each.text)
                total[key] = each._replace(number=total[key].number + each.number, text=text)
            else:
                total[key] = each
        return type(self)(total)

    def note(self, said: Said) -> None:
        """Add one message.

        Parameters
        ----------
        said : Said
            The message.
        """
        key = NUMBER.sub("#", said.text)
        self.said.update((type(self)({key: said}) + type(self)(dict(self.said))).said)

    def texts(self) -> list[str]:
        """Every kind of message in one line, with its count where it came more than once."""
        return [
            each.text + f" (and {each.number - 1} more of the same kind)" * (each.number > 1)
            for _, each in sorted(self.said.items())
        ]

    def say(self) -> None:
        """Say every kind once: warnings as warnings, lines of the log as such."""
        logger = logging.getLogger(LOGGER)
        kinds = [each for _, each in sorted(self.said.items())]
        for each, text in zip(kinds, self.texts(), strict=True):
            if each.category is None:
                logger.log(each.level, "%s", text)
            else:
                warn_caller(text, each.category)


_ROUTES: dict[int, Gathered] = {}
"""Where the log lines of a thread go, by its number."""


class _Catcher:
    """Warnings of all threads together, as Python catches them, while any thread gathers."""

    def __init__(self) -> None:
        self.lock, self.threads = Lock(), 0
        self.context: warnings.catch_warnings[list[warnings.WarningMessage]] | None = None
        self.caught: list[warnings.WarningMessage] = []

    def enter(self) -> None:
        """Begin, for one more thread."""
        with self.lock:
            self.threads += 1
            if self.context is None:
                self.context = warnings.catch_warnings(record=True)
                self.caught = self.context.__enter__()
                warnings.simplefilter("always")

    def leave(self) -> list[warnings.WarningMessage]:
        """Give what came since the last thread left."""
        with self.lock:
            found = list(self.caught)
            self.caught.clear()
            self.threads -= 1
            if self.threads == 0 and self.context is not None:
                self.context.__exit__(None, None, None)
                self.context = None
            return found


_CATCHER = _Catcher()


def _route(record: logging.LogRecord) -> bool:
    """Put warnings of the log where its thread gathers them; all else is said as always."""
    into = _ROUTES.get(get_ident())
    if into is None or record.levelno < logging.WARNING:
        return True
    into.note(Said(1, record.getMessage(), None, record.levelno))
    return False


@contextmanager
def gathered() -> Iterator[Gathered]:
    """Gather what is said meanwhile in this thread, instead of saying it.

    Yields
    ------
    Gathered
        Filled when the block is left.
    """
    into, thread = Gathered(), get_ident()
    before = _ROUTES.get(thread)
    logging.getLogger(LOGGER).addFilter(_route)  # once, however often it is called
    _ROUTES[thread] = into
    _CATCHER.enter()
    try:
        yield into
    finally:
        for each in _CATCHER.leave():
            into.note(Said(1, str(each.message), each.category))
        if before is None:
            del _ROUTES[thread]
        else:
            _ROUTES[thread] = before
