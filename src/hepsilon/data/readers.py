"""Readers of file formats that are none of hepsilon's: one registry by the ending of the name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hepsilon._system.plugins import Registry, place_of
from hepsilon.errors import ConfigError

__all__ = ["ENTRY_POINTS", "FORMATS", "ending_of", "endings", "own_reader", "register_reader"]

FORMATS = {".root": "ROOT", ".parquet": "parquet", ".pq": "parquet", ".csv": "CSV"}
"""Formats of hepsilon by the ending of the name."""
ENTRY_POINTS = "hepsilon.readers"
"""Group of entry points by which installed packages name the modules of their readers."""
OTHER_FILES = (".json", ".txt", ".list")
"""Endings of lists of files."""
ReaderT = TypeVar("ReaderT", bound=Callable[..., Any])
_OWN: Registry[Callable[..., Any]] = Registry(
    ENTRY_POINTS, "a reader", "hepsilon.data.formats.register_reader"
)


def _is_taken(ending: str) -> bool:
    return f".{ending}" in (*FORMATS, *OTHER_FILES)


def register_reader(*names: str) -> Callable[[ReaderT], ReaderT]:
    """Let every command read another file format, by a decorator of what opens such a file.

    Readers find files by the endings of their names: on the command line, in folders, patterns and
    filesets. A package that is installed names the module as an entry point, whose name is the
    ending without the dot; it is imported where such a file is met first, by the workers of a
    cluster, too::

        [project.entry-points."hepsilon.readers"]
        h5 = "my_package.reader"

    Parameters
    ----------
    *names : str
        Endings of the names of such files, without the dot.

    Returns
    -------
    callable
        Decorator of a function, or class, of the path and of the name of the tree (which it may
        ignore); it gives a :class:`hepsilon.data.formats.Table`, such as a subclass of
        :class:`hepsilon.data.formats.ColumnTable`.

    Raises
    ------
    ConfigError
        If an ending is no ending, or another reader has it.
    """
    if not names:
        raise ConfigError("expected at least one ending of the names of files, such as 'h5'")
    for name in names:
        if not name.isalnum() or name != name.lower():
            raise ConfigError(
                f"expected the ending of names of files without the dot, such as 'h5', in lower "
                f"case, received {name!r}"
            )

        if _is_taken(name):
            raise ConfigError(f"files ending in '.{name}' are among hepsilon's own")

    def register(opener: ReaderT) -> ReaderT:
        for name in names:
            _OWN.add(name, opener, place_of(opener), _is_taken)
        return opener

    return register


def own_reader(ending: str) -> Callable[..., Any] | None:
    """Find what opens files whose names have an ending that is none of hepsilon's.

    Parameters
    ----------
    ending : str
        Ending with its dot, in lower case.

    Returns
    -------
    callable or None
        Function of path and tree; None if nothing is registered for the ending.

    Raises
    ------
    ConfigError
        If a package that names it cannot be imported, or two packages have it.
    """
    return _OWN.find(ending.removeprefix(".")) if ending else None


def endings() -> tuple[str, ...]:
    """List the endings of all files that can be read, with their dots."""
    return (*FORMATS, *(f".{name}" for name in _OWN.names))


def ending_of(path: str | Path) -> str:
    """Ending of the name of a file, or of an address without its query, in lower case."""
    return Path(str(path).split("?", maxsplit=1)[0]).suffix.lower()
