"""Atomic writing, content hashes, and files that a worker holds elsewhere."""

from __future__ import annotations

import hashlib
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["atomic_path", "find_file", "sha256", "write_text"]


def write_text(path: Path, text: str) -> None:
    """Write a text file that appears only when complete.

    Parameters
    ----------
    path : Path
        File to write; its folder is made where it is missing.
    text : str
        Content, written as UTF-8.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside a file, renamed to it on success and removed on failure.

    Parameters
    ----------
    path : str or Path
        File to write; its folder is made where it is missing.

    Yields
    ------
    Path
        Temporary file to write to.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def find_file(path: str, expected: str) -> str:
    """Find a file in this process: where it was, or where a Dask worker keeps what it received.

    ``client.upload_file`` copies a file to the local folder of every worker. There the content
    counts, not the name.

    Parameters
    ----------
    path : str
        Where the file was when it was read.
    expected : str
        SHA-256 of its content.

    Returns
    -------
    str
        Where it is; the path itself where it is nowhere, for whoever opens it to say so.
    """
    places = [Path(path)]
    if (folder := _worker_folder()) is not None:
        suffix = Path(path).suffix
        others = sorted(each for each in folder.iterdir() if each.suffix == suffix)
        places += [folder / Path(path).name, *others]
    return next((str(place) for place in places if _holds(place, expected)), path)


def _worker_folder() -> Path | None:
    """Local folder of the Dask worker that this is; None in any other process."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return Path(distributed.get_worker().local_directory)
    except ValueError:  # no worker
        return None


def _holds(path: Path, expected: str) -> bool:
    try:
        return path.is_file() and sha256(path) == expected
    except OSError:
        return False
