"""What installed packages add to hepsilon by entry points, found by its name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from hepsilon.errors import ConfigError, HepsilonError

__all__ = ["Plugin", "plugins"]


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
