"""Identity of a file, without reading it whole: another name or place changes nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, NamedTuple

from hepsilon._system.remembered import remembered
from hepsilon.errors import InputError

__all__ = ["Identity", "file_identity", "open_bytes"]

END = 1 << 20
"""Bytes at the beginning, and at the end, that stand for the content of other files than ROOT."""


class Identity(NamedTuple):
    """Marks that tell a file apart from all others.

    Attributes
    ----------
    text : str
        ``uuid:...`` of a ROOT file, which has a number of its own, or ``ends:...``, the SHA-256 of
        the first and the last MiB of any other.
    size : int
        Number of bytes.
    """

    text: str
    size: int


def open_bytes(path: str) -> IO[bytes]:
    """Open a file, or what is behind an address that fsspec knows, for reading.

    Parameters
    ----------
    path : str
        Path or URL.

    Returns
    -------
    file of bytes
        Its bytes, in any order.
    """
    if "://" not in path:
        return Path(path).open("rb")
    import fsspec

    file: IO[bytes] = fsspec.open(path, "rb").open()
    return file


def file_identity(path: str | Path) -> Identity:
    """Marks that tell a file apart from others; few bytes of it are read.

    Parameters
    ----------
    path : str or Path
        File, or an address that uproot or fsspec opens.

    Returns
    -------
    Identity
        The same for a copy, whatever its name.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    return remembered(str(path), ("identity",), lambda: _identity(path))


def _identity(path: str | Path) -> Identity:
    try:
        if str(path).startswith("root://"):
            return _of_root(str(path))
        with open_bytes(str(path)) as file:
            head = file.read(END)
            size = file.seek(0, 2)
            file.seek(max(size - END, 0))
            tail = file.read(END)
    except Exception as error:  # uproot and fsspec raise many kinds
        raise InputError(f"cannot read {path}: {error}") from None
    if head.startswith(b"root"):
        try:
            return _of_root(str(path))
        except Exception:  # a damaged header; its bytes tell it apart as well
            pass
    return Identity(f"ends:{hashlib.sha256(head + tail).hexdigest()}", size)


def _of_root(path: str) -> Identity:
    import uproot  # slow to import, and not needed to load an efficiency

    with uproot.open(path) as file:
        return Identity(f"uuid:{file.file.uuid}", int(file.file.source.num_bytes))
