"""Warnings and log lines of many chunks, gathered so that each kind is said once, with a count."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Self

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
                warnings.warn(text, each.category, stacklevel=3)


class _Handler(logging.Handler):
    def __init__(self, into: Gathered) -> None:
        super().__init__(logging.WARNING)
        self.into = into

    def emit(self, record: logging.LogRecord) -> None:
        self.into.note(Said(1, record.getMessage(), None, record.levelno))


@contextmanager
def gathered() -> Iterator[Gathered]:
    """Gather what is said meanwhile, instead of saying it.

    Yields
    ------
    Gathered
        Filled when the block is left.
    """
    into, logger = Gathered(), logging.getLogger(LOGGER)
    handler, before = _Handler(into), logger.propagate
    others = list(logger.handlers)
    logger.handlers = [handler]
    logger.propagate = False
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield into
        for each in caught:
            into.note(Said(1, str(each.message), each.category))
    finally:
        logger.handlers, logger.propagate = others, before
