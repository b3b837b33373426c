"""Sections of the report that are none of hepsilon's: one registry of functions that write them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from hepsilon._system.plugins import Registry, place_of
from hepsilon.closure.model import Closure
from hepsilon.errors import HepsilonError
from hepsilon.report.content import Section

__all__ = ["ENTRY_POINTS", "own_sections", "register_section"]

ENTRY_POINTS = "hepsilon.report_sections"
"""Group of entry points by which installed packages name the modules of their sections."""
Write = Callable[[Closure], Section | None]
_OWN: Registry[Write] = Registry(
    ENTRY_POINTS, "a report section", "hepsilon.report.register_section"
)
logger = logging.getLogger("hepsilon")


def register_section(name: str) -> Callable[[Write], Write]:
    """Add a section to the page of every closure, by a decorator.

    A package that is installed names the module as an entry point; its section is on every page
    then::

        [project.entry-points."hepsilon.report_sections"]
        largest_pulls = "my_package.sections"

    Parameters
    ----------
    name : str
        Name of the section, for errors.

    Returns
    -------
    callable
        Decorator that registers a function of the closure (the content of ``closure.json``), which
        gives a :class:`hepsilon.report.Section`, or None where it has nothing to say.

    Raises
    ------
    ConfigError
        If the name is taken.

    Examples
    --------
    >>> from hepsilon.report import Section, register_section
    >>> @register_section("events")
    ... def events(closure):
    ...     return Section("Events", [f"{closure.n_events} events were read."])
    """

    def register(function: Write) -> Write:
        _OWN.add(name, function, place_of(function), lambda _: False)
        return function

    return register


def own_sections(closure: Closure) -> Iterator[Section]:
    """Write the sections that are registered; one that fails says so in its place.

    Parameters
    ----------
    closure : TaggingClosure or InversionClosure
        Content of ``closure.json``.

    Yields
    ------
    Section
        Those that have something to say.
    """
    for name in _OWN.names:
        section: Section | None
        try:
            section = _written(name, closure)
        except Exception as error:  # a page without this section is worth more than none
            reason = str(error) if isinstance(error, HepsilonError) else repr(error)
            text = f"The section {name!r} could not be written: {reason}"
            logger.warning(text)
            section = Section(name, warnings=[text])
        if section is not None:
            yield section


def _written(name: str, closure: Closure) -> Section | None:
    function = _OWN.find(name)
    assert function is not None
    section = function(closure)
    if section is not None and not isinstance(section, Section):
        raise TypeError(
            f"{place_of(function)} gave {type(section).__name__}; expected a hepsilon.report."
            "Section, or None"
        )
    return section
