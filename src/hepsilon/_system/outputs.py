"""Outputs, checked before any work: that they can be written, and overwrite nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from hepsilon.errors import ConfigError

__all__ = ["check_folder", "check_outputs"]

KINDS: dict[str, tuple[str, tuple[bytes, ...], tuple[str, ...]]] = {
    "artifact": ("a model or map", (b"PK\x03\x04",), (".hepsilon",)),
    "root": ("a ROOT file", (b"root",), (".root",)),
    "parquet": ("a parquet file", (b"PAR1",), (".parquet", ".pq")),
    "onnx": ("an ONNX graph", (b"\x08",), (".onnx",)),
    "correctionlib": ("a file of correctionlib", (b"{", b"\x1f\x8b"), (".json", ".gz")),
    "workspace": ("a workspace of HistFactory", (b"{",), (".json",)),
    "datacard": ("a datacard", (b"#", b"imax"), (".txt", ".card")),
    "picture": ("a PNG picture", (b"\x89PNG",), (".png",)),
    "page": ("a page of HTML", (b"<!doctyp",), (".html",)),
}
"""Words, first bytes and endings of the kinds of files that are written."""
OTHERS = frozenset((".toml", ".json", ".gz", ".csv", ".txt", ".html", ".npz", ".py", ".md"))
"""Endings of files that no command writes there."""


def check_outputs(outputs: dict[str | Path, str], inputs: Iterable[str | Path] = ()) -> None:
    """Refuse files to write that are inputs, each other, folders, or files of another kind.

    Parameters
    ----------
    outputs : dict of str or Path to str
        Kinds of the files to write (see ``KINDS``), by path; ``"own"`` of a format that is none of
        hepsilon's, which may have any name and content.
    inputs : iterable of str or Path, optional
        Files that are read; addresses behind which no local file is are no danger.

    Raises
    ------
    ConfigError
        With the file, and what it is.
    """
    read = {_identity(path) for path in inputs if "://" not in str(path)} - {None}
    written: set[object] = set()
    for path, kind in outputs.items():
        _check_place(Path(path))
        if kind != "own":
            _check_kind(Path(path), kind)
        if _identity(path) in read:
            raise ConfigError(f"{path} is an input, and is not overwritten; choose another --out")
        if _identity(path) in written:
            raise ConfigError(f"{path} would be written twice; choose another --out")
        written.add(_identity(path))


def check_folder(path: str | Path) -> None:
    """Refuse a folder to write to that is a file, or cannot be made.

    Parameters
    ----------
    path : str or Path
        The folder.

    Raises
    ------
    ConfigError
        With the reason.
    """
    path = Path(path)
    _check_text(path)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file; expected a folder to write to")
    _check_writable(path if path.is_dir() else path.parent)


def _identity(path: str | Path) -> object:
    """What tells a file apart, under whatever name; None where there cannot be one."""
    try:
        resolved = Path(path).resolve()
        status = resolved.stat()
    except (OSError, ValueError):
        return str(Path(path).absolute()) if "\0" not in str(path) else None
    return status.st_dev, status.st_ino


def _check_text(path: Path) -> None:
    if "\0" in str(path):
        raise ConfigError(f"{str(path)!r} cannot be the name of a file: it holds a null byte")


def _check_place(path: Path) -> None:
    """Refuse a path where no file can be written."""
    _check_text(path)
    if not path.name or path.is_dir():
        raise ConfigError(f"{str(path)!r} is a folder; name the file to write")
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is no file that can be replaced")
    _check_writable(path.parent)


def _check_writable(folder: Path) -> None:
    """Refuse a folder that is none, or in which nothing can be written."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise ConfigError(f"{folder} is a file; nothing can be written below it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"nothing can be written in {folder}: it is read-only for you")


def _check_kind(path: Path, kind: str) -> None:
    """Refuse an ending, or a file that is there, of another kind."""
    words, starts, endings = KINDS[kind]
    foreign = OTHERS.union(*(other for _, _, other in KINDS.values())) - set(endings)
    if path.suffix.lower() in foreign:
        raise ConfigError(f"{path}: expected {words} to write, ending in {endings[0]}")
    if path.is_file():
        try:
            with path.open("rb") as file:
                head = file.read(8)
        except OSError as error:
            raise ConfigError(f"{path} cannot be replaced: {error.strerror}") from None
        if head and not head.startswith(starts):
            raise ConfigError(f"{path} exists and is not {words}; it is not overwritten")
