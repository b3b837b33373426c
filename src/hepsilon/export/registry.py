"""Formats of exports that are none of hepsilon's: one registry from the name to what writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hepsilon._system.files import atomic_folder, atomic_path
from hepsilon._system.outputs import check_folder, check_outputs
from hepsilon._system.plugins import Registry, place_of
from hepsilon.errors import ConfigError, HepsilonError

__all__ = ["ENTRY_POINTS", "OwnExport", "own_export", "own_exports", "register_export"]

ENTRY_POINTS = "hepsilon.exports"
"""Group of entry points by which installed packages name the modules of their exports."""
Write = Callable[[Any, Path], Any]
_OWN: Registry[OwnExport] = Registry(ENTRY_POINTS, "an export", "hepsilon.export.register_export")


@dataclass(frozen=True)
class OwnExport:
    """A function that writes an efficiency in a format of its own.

    Attributes
    ----------
    name : str
        Name of the format.
    function : callable
        Function of the efficiency and of the path to write.
    kinds : tuple of str
        Kinds of artifacts that it can write, such as ``("map",)``; all if it is empty.
    endings : tuple of str
        Endings that the name of the file may have; any if it is empty.
    folder : bool
        Whether it writes files into a folder.
    """

    name: str
    function: Write
    kinds: tuple[str, ...]
    endings: tuple[str, ...]
    folder: bool

    def write(self, efficiency: Any, path: str | Path, out: Path) -> Path:
        """Write an efficiency, which appears only when complete.

        Parameters
        ----------
        efficiency : Efficiency or BinByBin
            What the artifact holds.
        path : str or Path
            The artifact.
        out : Path
            File or folder to write.

        Returns
        -------
        Path
            The file or folder.

        Raises
        ------
        ConfigError
            If it cannot write this kind, the output is the input or has another ending, or the
            function fails.
        """
        kind = efficiency.card.kind
        if self.kinds and kind not in self.kinds:
            raise ConfigError(
                f"{path} is of the kind {kind!r}; {self.name} is for {', '.join(self.kinds)}"
            )
        if self.folder:
            check_folder(out)
        else:
            check_outputs({out: "own"}, [path])
            if self.endings and not out.name.endswith(self.endings):
                raise ConfigError(f"{out}: expected a file ending in {', '.join(self.endings)}")
        place = atomic_folder(out) if self.folder else atomic_path(out)
        with place as temporary:
            try:
                self.function(efficiency, temporary)
            except HepsilonError:
                raise
            except Exception as error:  # whatever that function raises
                raise ConfigError(
                    f"the export {self.name} ({place_of(self.function)}) failed: {error!r}"
                ) from None
            if not self.folder and not temporary.stat().st_size:
                raise ConfigError(
                    f"the export {self.name} ({place_of(self.function)}) wrote nothing; expected "
                    "it to write the file whose path it is given"
                )
        return out


def _is_taken(name: str) -> bool:
    from hepsilon.export.formats import FORMATS

    return name in FORMATS


def register_export(
    name: str,
    *,
    kinds: tuple[str, ...] = (),
    endings: tuple[str, ...] = (),
    folder: bool = False,
) -> Callable[[Write], Write]:
    """Make a function a format of ``hepsilon export``, by a decorator.

    A package that is installed names the module as an entry point, and is imported where the
    format is asked for::

        [project.entry-points."hepsilon.exports"]
        csv = "my_package.export"

    Parameters
    ----------
    name : str
        Name of the format.
    kinds : tuple of str, optional
        Kinds of artifacts that it can write, such as ``("map",)``; by default all.
    endings : tuple of str, optional
        Endings that the name of the file may have, with the dot; by default any.
    folder : bool, default False
        Whether it writes files into a folder, which then changes as a whole.

    Returns
    -------
    callable
        Decorator that registers a function of the efficiency and of the path to write, and gives
        it back. The path is a temporary one, without the ending of the user's.

    Raises
    ------
    ConfigError
        If the name is taken.

    Examples
    --------
    >>> from hepsilon.export import register_export
    >>> @register_export("rates", kinds=("map",))
    ... def rates(efficiency, path):
    ...     path.write_text(" ".join(map(str, efficiency.values().ravel())))
    """

    def register(function: Write) -> Write:
        own = OwnExport(name, function, tuple(kinds), tuple(endings), folder)
        _OWN.add(name, own, place_of(function), _is_taken)
        return function

    return register


def own_export(name: str) -> OwnExport | None:
    """Find the export that is registered under a name.

    Parameters
    ----------
    name : str
        Name of the format.

    Returns
    -------
    OwnExport or None
        None if nothing is registered under the name.

    Raises
    ------
    ConfigError
        If a package that names it cannot be imported, or two packages have it.
    """
    return _OWN.find(name)


def own_exports() -> list[str]:
    """List the names that are registered, or that installed packages have."""
    return _OWN.names
