"""What installed packages add to hepsilon by entry points, found by its name."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, distribution, entry_points, packages_distributions
from pathlib import Path
from typing import Any, Generic, TypeVar

from hepsilon.errors import ConfigError, HepsilonError

__all__ = ["Plugin", "Registry", "missing", "package_of", "place_of", "plugins"]

T = TypeVar("T")


@dataclass(frozen=True)
class Plugin:
    """Entry points of one name: one of them, or it is an error to load it.

    Attributes
    ----------
    group : str
        Group of the entry points.
    points : tuple of EntryPoint
        Those that differ in what they name.
    """

    group: str
    points: tuple[EntryPoint, ...]

    def load(self, kind: type[HepsilonError] = ConfigError, place: str = "") -> Any:
        """Import what the entry point names.

        Nothing is imported that was not installed as an entry point of the group.

        Parameters
        ----------
        kind : type, default ConfigError
            Class of the error.
        place : str, optional
            Beginning of the error, such as the path of a file.

        Returns
        -------
        object
            The object, or the module, that it names.

        Raises
        ------
        ConfigError
            (or ``kind``) if several packages have the name, or the import fails.
        """
        if len(self.points) > 1:
            raise kind(
                f"{place}expected one entry point {self.points[0].name!r} of {self.group}, "
                f"received {sorted(map(_described, self.points))}"
            )
        (point,) = self.points
        try:
            return point.load()
        except Exception as error:  # whatever the import of that package raises
            raise kind(
                f"{place}the entry point {_described(point)} cannot be imported: {error!r}"
            ) from None  # coffea would take an error of a file behind it for a damaged file

    def __str__(self) -> str:
        """The entry points, as their packages have them."""
        return ", ".join(map(_described, self.points))


def _described(point: EntryPoint) -> str:
    package = f" of {point.dist.name}" if point.dist else ""
    return f"{point.name} = {point.value}{package}"


def plugins(*groups: str) -> dict[str, Plugin]:
    """List what is installed.

    Parameters
    ----------
    *groups : str
        Groups of entry points; the first one names them all in errors.

    Returns
    -------
    dict of str to Plugin
        By the name of the entry point.
    """
    found: dict[str, dict[str, EntryPoint]] = {}
    installed = entry_points()
    for group in groups:
        for point in installed.select(group=group):
            found.setdefault(point.name, {}).setdefault(point.value, point)
    return {name: Plugin(groups[0], tuple(points.values())) for name, points in found.items()}


def place_of(thing: Any) -> str:
    """Module and name of a function or class."""
    thing = getattr(thing, "func", thing)
    return f"{thing.__module__}:{getattr(thing, '__qualname__', type(thing).__qualname__)}"


@cache
def package_of(module: str) -> str:
    """Name the installed package that a module is of.

    Parameters
    ----------
    module : str
        Name of the module.

    Returns
    -------
    str
        Name of the package as an installer knows it; empty for hepsilon, and where there is none.
    """
    top = module.partition(".")[0]
    if top in ("", "__main__", "hepsilon"):
        return ""
    installed = entry_points()
    for group in (group for group in installed.groups if group.startswith("hepsilon.")):
        for point in installed.select(group=group):
            if point.module == module and point.dist is not None:
                return point.dist.name
    place = Path(getattr(sys.modules.get(top), "__file__", None) or os.devnull).resolve()
    for name in packages_distributions().get(top, []):  # several may have files of this name
        root = Path(str(distribution(name).locate_file(""))).resolve()
        if root in place.parents:
            return name
    return ""


def missing(what: str, package: str, module: str = "") -> str:
    """Say that something of another package is not registered in this process.

    Parameters
    ----------
    what : str
        Beginning of the sentence, such as ``"the field 'recoil'"``.
    package : str
        Package that registers it (see :func:`package_of`); empty if there is none.
    module : str, optional
        Module that registers it.

    Returns
    -------
    str
        Sentence without its end, that says what to do.
    """
    known = "" if module in ("", "__main__") else repr(module)
    of = f" of the package {package!r}" if package else ""
    remedy = f"install that package, or import {known or 'the module'}"
    if not package:
        remedy = f"import {known or 'the module'}"
    return f"{what}{of} is not registered in this process: {remedy} that registers it"


class Registry(Generic[T]):
    """What is added to hepsilon by name, by a decorator or by the entry point of a package.

    Parameters
    ----------
    group : str
        Group of entry points, each with the name and the module that registers it.
    noun : str
        Word for one of them, for errors.
    register : str
        Full name of the decorator, for errors.
    """

    def __init__(self, group: str, noun: str, register: str) -> None:
        self.group, self.noun, self.register = group, noun, register
        self._known: dict[str, T] = {}
        self._places: dict[str, str] = {}
        self._plugins: dict[str, Plugin] | None = None

    def add(self, name: str, value: T, place: str, taken: Callable[[str], bool]) -> None:
        """Register something under a name.

        Parameters
        ----------
        name : str
            The name.
        value : object
            What is found under it.
        place : str
            Module and name of the function behind it (see :func:`place_of`).
        taken : callable
            Whether a name is one of hepsilon's own.

        Raises
        ------
        ConfigError
            If the name is taken.
        """
        if not name or taken(name):
            raise ConfigError(f"the name {name!r} of {self.noun} is one of hepsilon's own")
        if self._places.get(name, place) != place:  # a notebook's cell may run twice
            raise ConfigError(
                f"the name {name!r} of {self.noun} is that of {self._places[name]} already; "
                f"{place} needs another name"
            )
        self._known[name], self._places[name] = value, place

    @property
    def installed(self) -> dict[str, Plugin]:
        """Entry points of installed packages by name."""
        if self._plugins is None:
            self._plugins = plugins(self.group)
        return self._plugins

    @property
    def names(self) -> list[str]:
        """Names that are registered, or that an installed package has."""
        return list(dict.fromkeys((*self._known, *self.installed)))

    def find(self, name: str) -> T | None:
        """Find what is registered under a name; the package that has it is imported.

        Parameters
        ----------
        name : str
            The name.

        Returns
        -------
        object or None
            None if nothing is registered under the name.

        Raises
        ------
        ConfigError
            If the import fails or registers nothing under the name, or two packages have it.
        """
        plugin = self.installed.get(name)
        if plugin is not None:
            plugin.load()  # also where another module has the name: one of them was not meant
            if name not in self._known:
                raise ConfigError(
                    f"the entry point {plugin} of {self.group} was imported, but registers no "
                    f"{self.noun.partition(' ')[2]} {name!r} (see {self.register})"
                )
        return self._known.get(name)

    def place(self, name: str) -> str:
        """Module and name of the function behind a name that :meth:`find` has found."""
        return self._places[name]

    def forget(self) -> None:
        """Forget everything, and look for installed packages anew; for tests."""
        self._known.clear()
        self._places.clear()
        self._plugins = None
