"""Choice of systematics in a correction file, and checks of what is asked of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hepsilon._system.warned import warn_caller
from hepsilon.arrays.columns import shortened
from hepsilon.errors import ConfigError, ScaleFactorWarning
from hepsilon.weights.correctionlib import Correction
from hepsilon.weights.scale_factor_inputs import DISCRIMINANT, WORKING_POINT, source_of

__all__ = ["check_options", "default_systematics", "require", "warn_of_double_counting"]

if TYPE_CHECKING:
    from hepsilon.weights.scale_factors import TagScaleFactors


def _pairs(keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Pairs of keys up and down by the name of the variation; ``total`` has no name of its own."""
    known, pairs = set(keys), {}
    for key in sorted(known):
        match = re.fullmatch(r"(?i:(up)(?:_(.+))?|(.*?)_?(up))", key)
        if match:
            start, end = match.span(1 if match[1] else 4)
            down = {"up": "down", "Up": "Down", "UP": "DOWN"}.get(key[start:end], "")
            opposite = key[:start] + down + key[end:]
            name = match[2] or match[3] or ""
            if opposite in known:
                pairs["total" if name in ("", "syst", "sf") else name] = (key, opposite)
    return pairs


def default_systematics(path: str, parts: Mapping[str, Correction]) -> dict[str, tuple[str, str]]:
    """Choose the total of each correction, or its parts if it has none.

    Parameters
    ----------
    path : str
        The file, for errors.
    parts : mapping of str to Correction
        Corrections that are used, by name.

    Returns
    -------
    dict of str to tuple of (str, str)
        Keys (up, down) by the name of the variation.

    Raises
    ------
    ConfigError
        If some of them may contain others, and would count twice.
    """
    chosen: dict[str, tuple[str, str]] = {}
    every = {name: _pairs(part.keys(part.systematic)) for name, part in parts.items()}
    for pairs in every.values():
        chosen |= {"total": pairs["total"]} if "total" in pairs else pairs
    for correction, pairs in every.items():
        names = [name for name, pair in chosen.items() if pairs.get(name) == pair]
        nested = any(a != b and b.startswith(a) for a in names for b in names)
        splits = {"correlated", "uncorrelated"} & set(names)
        if len(names) > 1 and ("total" in names or nested or (splits and set(names) - splits)):
            raise ConfigError(
                f"{path}: {correction} has variations that may contain each other; expected a "
                f"choice of them as systematics, received none of {pairs}"
            )
    return chosen


def warn_of_double_counting(options: TagScaleFactors, parts: Mapping[str, Correction]) -> None:
    """Warn of a total beside its parts, and of a pair under two names.

    Parameters
    ----------
    options : TagScaleFactors
        Scale factors that are asked for.
    parts : mapping of str to Correction
        Corrections that are used, by name.
    """
    chosen = {name: frozenset(pair) for name, pair in options.systematics.items()}
    for correction, part in parts.items():
        named = {frozenset(p): n for n, p in _pairs(part.keys(part.systematic)).items()}
        totals = [name for name, pair in chosen.items() if named.get(pair) == "total"]
        others = [name for name, pair in chosen.items() if named.get(pair, "total") != "total"]
        twice = [name for name, pair in chosen.items() if list(chosen.values()).count(pair) > 1]
        both = totals and others
        what = f"{totals}, which contain {others}," if both else f"equal pairs for {twice}"
        if both or twice:
            warn_caller(
                f"{options.path}: systematics of {correction} have {what} and added in quadrature "
                "count twice; use the total or its parts",
                ScaleFactorWarning,
            )


def require(
    received: Iterable[Any], expected: Iterable[Any], what: str, *, some: bool = False
) -> None:
    """Refuse names that are not among the expected ones.

    Parameters
    ----------
    received, expected : iterable of str
        Names.
    what : str
        Meaning of the names, for errors.
    some : bool, default False
        Whether no name at all is refused, too.

    Raises
    ------
    ConfigError
        With the names that exist.
    """
    received, expected = list(received), sorted(map(str, expected))
    unknown = [name for name in received if name not in expected]
    if unknown or (some and not received):
        names = shortened(expected, str(*unknown[:1]))
        raise ConfigError(f"{what}: expected some of {names}, received {unknown}")


def check_options(options: TagScaleFactors, parts: Mapping[str, Correction]) -> None:
    """Refuse options that do not fit the corrections.

    Parameters
    ----------
    options : TagScaleFactors
        Scale factors that are asked for.
    parts : mapping of str to Correction
        Corrections that are used, by name.

    Raises
    ------
    ConfigError
        If a correction lacks an input, working point or key, or needs one that is not known.
    """
    path, points = options.path, options.working_points
    require([options.out_of_range], ["raise", "clamp", "ignore"], "out_of_range")
    inputs = {name for part in parts.values() for name in part.inputs}
    require(options.arguments, inputs, f"{path}: arguments for inputs")
    if len(set(points)) < len(points):
        raise ConfigError(f"expected distinct working points, received {points}")
    for part in parts.values():
        _check_inputs(options, part)
        known, of_part = part.keys(WORKING_POINT), f"{path}: {part.name}"
        require(points, known, f"{of_part}: working points", some=bool(known))
        if part.systematic in part.inputs:
            require([options.nominal], part.keys(part.systematic), f"{of_part}: nominal key")
    keys = {key for part in parts.values() for key in part.keys(part.systematic)}
    for name, pair in options.systematics.items():
        require(pair, keys, f"{path}: keys of the systematic {name!r}")
        if name.endswith(("Up", "Down")):  # coffea adds them, and refuses others
            raise ConfigError(f"systematics: expected names without Up or Down, received {name!r}")


def _check_inputs(options: TagScaleFactors, part: Correction) -> None:
    """Refuse a correction with inputs that no field or text is known for."""
    known = {"string": (part.systematic, WORKING_POINT)}
    unknown = [
        name
        for name, kind in part.inputs.items()
        if source_of(options, name) is None and name not in known.get(kind, (DISCRIMINANT,))
    ]
    if unknown:
        raise ConfigError(
            f"{options.path}: {part.name} has the inputs {part.inputs}{part.described()}; expected "
            f"a field of the jets or a number (of a string: the text itself) for {unknown} in "
            f"arguments, received {dict(options.arguments)}"
        )
