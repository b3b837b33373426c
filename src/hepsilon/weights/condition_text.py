"""Conditions on events as text: ``"2"``, ``"2+"``, ``"2+@medium & 1+@tight"``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hepsilon.errors import ConfigError
from hepsilon.weights.conditions import Condition, Requirement

__all__ = ["parse_condition"]

TERM = re.compile(r"(?P<n>\d+)(?P<more>\+?)(?:@(?P<point>.+))?")
FORM = 'expected numbers of tags such as "2", "2+" (two or more) or "2+@medium & 1+@tight"'


def parse_condition(text: str, working_points: Sequence[int | str]) -> Condition:
    """Read a condition; nothing is evaluated.

    Parameters
    ----------
    text : str
        Requirements joined by ``&``, each a number of tags, ``+`` for that many or more, and
        behind ``@`` the name or number of a working point (the loosest where there is none).
    working_points : sequence of str or int
        Names, or numbers, of the working points, from the loosest to the tightest.

    Returns
    -------
    Condition
        The condition.

    Raises
    ------
    ConfigError
        If the text is no condition, or names a working point that does not exist.

    Examples
    --------
    >>> str(parse_condition("2+@M & 1@T", ["L", "M", "T"]))
    'at least 2 at M and exactly 1 at T'
    """
    numbers = {str(name): number for number, name in enumerate(working_points)}
    requirements = []
    for part in text.split("&"):
        term = TERM.fullmatch(part.strip())
        if term is None:
            raise ConfigError(f"{FORM}, received {text!r}")
        point = term["point"]
        if point is not None and point.strip() not in numbers:
            raise ConfigError(f"{text!r}: expected a working point of {[*numbers]}")
        number = 0 if point is None else numbers[point.strip()]
        name = working_points[number]
        requirements.append(Requirement(int(term["n"]), name, at_least=bool(term["more"])))
    return Condition(tuple(requirements))
