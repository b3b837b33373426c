"""The folder beside an artifact with the state of its training: one training at a time has it."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hepsilon._system.files import lock, remove_leftovers, temporary_name, write_text
from hepsilon.errors import TrainingError
from hepsilon.training.state import MARK

__all__ = ["begin", "check_free", "reserved"]

logger = logging.getLogger("hepsilon")
LOCK = "lock"
STATES = (".npz", ".tmp")


def _folder_of(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


@contextmanager
def reserved(out: Path) -> Iterator[Path]:
    """Give the folder of the state to one training; it is gone once the artifact is written.

    Parameters
    ----------
    out : Path
        Artifact that the training writes.

    Yields
    ------
    Path
        The folder. It stays if an error ends the training, unless it holds no state.

    Raises
    ------
    TrainingError
        If another training has it, or it is the folder of somebody else.
    """
    folder = _folder_of(out)
    remove_leftovers(folder)
    if folder.is_dir() and any(not _is_state(each) for each in folder.iterdir()):
        raise TrainingError(f"{folder} is not the state of a training; remove or rename it")
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = _locked(folder)
    try:
        yield folder
        _remove(folder)
    except BaseException:
        if not any(each.suffix in STATES for each in folder.iterdir()):
            _remove(folder)
        raise
    finally:
        os.close(descriptor)


def check_free(out: Path) -> None:
    """Say at once that another training writes an artifact, before anything is read.

    Parameters
    ----------
    out : Path
        The artifact.

    Raises
    ------
    TrainingError
        If one does.
    """
    if (_folder_of(out) / LOCK).exists():
        os.close(_locked(_folder_of(out)))


def begin(folder: Path, fingerprint: str) -> None:
    """Keep the states of the same training, and remove those of any other.

    Parameters
    ----------
    folder : Path
        Folder from :func:`reserved`.
    fingerprint : str
        Hash of all that decides the result.
    """
    mark = folder / MARK
    states = [each for each in folder.iterdir() if each.suffix in STATES]
    if states and not (mark.exists() and mark.read_text() == fingerprint):
        logger.warning("%s is of another training (configuration or data); starting anew", folder)
        for each in states:
            each.unlink()
    write_text(mark, fingerprint)


def _is_state(path: Path) -> bool:
    return path.name in (MARK, LOCK) or (path.is_file() and path.suffix in STATES)


def _locked(folder: Path) -> int:
    """The open file of the lock, which no other process has."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    if not lock(descriptor):
        os.close(descriptor)
        raise TrainingError(
            f"another training has its state in {folder}; wait for its end, or choose another "
            "output"
        )
    return descriptor


def _remove(folder: Path) -> None:
    """Remove the folder in one step: what a kill leaves is no state of a training."""
    away = temporary_name(folder)
    folder.rename(away)
    shutil.rmtree(away)
