"""Atomic writing, content hashes, and files that a worker holds elsewhere."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = [
    "add_place",
    "atomic_folder",
    "atomic_path",
    "atomic_tree",
    "find_file",
    "located",
    "lock",
    "remove_leftovers",
    "sha256",
    "temporary_name",
    "write_text",
]

TEMPORARY = ".tmp"
"""Ending of temporary names."""


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

    The name begins with a dot and ends in ``.tmp``, so that no pattern of data files matches it.
    What a killed process left under such a name is removed by the next one that writes the file.

    Parameters
    ----------
    path : str or Path
        File to write; its folder is made where it is missing.

    Yields
    ------
    Path
        Temporary file, empty, to write to.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    target = Path(path)
    if not target.name or target.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder, and no file that can be written")
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    temporary, descriptor = _new_file(target)
    try:
        yield temporary
        os.fsync(descriptor)  # or a crash could leave the new name with no content
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(descriptor)


def _new_file(target: Path) -> tuple[Path, int]:
    """A new file, locked as long as it is open: others see that it is in use."""
    while True:
        temporary = temporary_name(target)
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        lock(descriptor)
        if temporary.exists():  # nobody took it for a leftover before it was locked
            return temporary, descriptor
        os.close(descriptor)


def temporary_name(target: Path) -> Path:
    """Name beside a file or folder that no other process has.

    Parameters
    ----------
    target : Path
        File or folder that will have its name.

    Returns
    -------
    Path
        The temporary name.
    """
    return target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}{TEMPORARY}")


def remove_leftovers(target: Path) -> None:
    """Remove what killed processes left beside a file or folder under temporary names.

    Parameters
    ----------
    target : Path
        File or folder that they wanted to write.
    """
    pattern = re.compile(re.escape(f".{target.name[:200]}.") + "[0-9a-f]{8}" + re.escape(TEMPORARY))
    with suppress(OSError):  # no such folder
        for path in target.parent.iterdir():
            if pattern.fullmatch(path.name):
                _remove_unused(path)


def _remove_unused(path: Path) -> None:
    """Remove a file or folder that no process has locked."""
    with suppress(OSError):
        is_folder = path.is_dir()
        if is_folder and sys.platform == "win32":
            shutil.rmtree(path)
            return
        descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
        try:
            if lock(descriptor):
                shutil.rmtree(path) if is_folder else path.unlink()
        finally:
            os.close(descriptor)


def lock(descriptor: int) -> bool:
    """Lock an open file for this process, as long as it is open.

    Parameters
    ----------
    descriptor : int
        The file.

    Returns
    -------
    bool
        False if another process has it. Where the system has no locks, nobody has.
    """
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder whose files go into a folder together, or not at all.

    Parameters
    ----------
    path : str or Path
        Folder; it is made where it is missing, and keeps what else it holds.

    Yields
    ------
    Path
        Temporary folder to write to. Once it is complete its files take the place of those of the
        same name. A process that is killed meanwhile leaves a folder from which the next call
        finishes that. Of two processes the last one wins, with all of its files.
    """
    target = Path(path)
    target.mkdir(parents=True, exist_ok=True)
    ready = target / f".complete{TEMPORARY}"

    def finish(temporary: Path) -> None:
        temporary.rename(ready)
        _move_content(ready, target)

    settle = partial(_move_content, ready, target)
    with _held_folder(target / "content", settle, finish) as temporary:
        yield temporary


@contextmanager
def atomic_tree(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder that takes the place of a folder, with all that is below it.

    Parameters
    ----------
    path : str or Path
        Folder; what it held is gone afterwards.

    Yields
    ------
    Path
        Temporary folder to write to. A process that is killed leaves the old folder or the new one;
        in the moment in which neither has the name, the old one gets it back by the next call.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    away = target.with_name(f".{target.name[:200]}.replaced{TEMPORARY}")

    def settle() -> None:
        if away.is_dir() and not target.exists():
            away.rename(target)
        shutil.rmtree(away, ignore_errors=True)

    def finish(temporary: Path) -> None:
        if target.is_dir():
            target.rename(away)
        temporary.rename(target)
        shutil.rmtree(away, ignore_errors=True)

    with _held_folder(target, settle, finish) as temporary:
        yield temporary


@contextmanager
def _held_folder(
    name: Path, settle: Callable[[], None], finish: Callable[[Path], None]
) -> Iterator[Path]:
    """Temporary folder beside a name: what a killed process left is settled first."""
    with _alone(name.parent):
        settle()
        remove_leftovers(name)
        temporary = temporary_name(name)
        temporary.mkdir()
        descriptor = _hold(temporary)
    try:
        yield temporary
        with _alone(name.parent):
            finish(temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def _hold(folder: Path) -> int | None:
    """Lock a folder as one that is in use; None where the system has no such locks."""
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    lock(descriptor)
    return descriptor


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process changes the names in a folder."""
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _move_content(ready: Path, target: Path) -> None:
    if ready.is_dir():
        for file in sorted(ready.iterdir()):
            file.replace(target / file.name)
        ready.rmdir()


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


FOLDERS = "HEPSILON_ARTIFACTS"
"""Environment variable: folders in which workers look for artifacts, separated as in PATH."""
_PLACES: dict[Path, None] = {}


def add_place(folder: Path) -> None:
    """Let this process look for files in a folder, too.

    Parameters
    ----------
    folder : Path
        The folder.
    """
    _PLACES[folder] = None


def find_file(path: str, expected: str) -> str:
    """Find a file in this process: where it was, or where a worker keeps what it received.

    Beside the path these are folders from :func:`add_place`, the local folder of a Dask worker
    (into which ``client.upload_file`` copies), those of the environment variable
    ``HEPSILON_ARTIFACTS``, and the working directory, into which batch systems copy. There the
    content counts, not the name.

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
    return located(path, expected) or path


def located(path: str, expected: str) -> str | None:
    """Find a file as :func:`find_file` does.

    Parameters
    ----------
    path : str
        Where the file was when it was read.
    expected : str
        SHA-256 of its content.

    Returns
    -------
    str or None
        Where it is; None where it is nowhere.
    """
    places = (Path(path), *_candidates(Path(path)))
    return next((str(place) for place in places if _holds(place, expected)), None)


def _candidates(path: Path) -> Iterator[Path]:
    """Files of that name in the folders of a worker, and then all others of its kind."""
    named = filter(None, os.environ.get(FOLDERS, "").split(os.pathsep))
    local = _worker_folder()
    folders = [*_PLACES, *([] if local is None else [local]), *map(Path, named), Path()]
    yield from (folder / path.name for folder in folders)
    for folder in folders:
        with suppress(OSError):  # the folder is gone, or closed
            yield from sorted(each for each in folder.iterdir() if each.suffix == path.suffix)


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
