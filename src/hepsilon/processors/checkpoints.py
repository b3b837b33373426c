"""Results of parts of files that are kept, so that a run goes on after it was killed."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hepsilon._system.files import write_text
from hepsilon._system.plugins import place_of
from hepsilon._version import __version__
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.data.parts import Part
from hepsilon.efficiencies.field import FieldEfficiency
from hepsilon.errors import ConfigError, InputError
from hepsilon.processors.saved_outputs import read_saved, write_saved

__all__ = ["Checkpointed", "checkpoint_folder", "fingerprint", "remove_checkpoint"]

MARK = "fingerprint"
ENDING = ".part"
logger = logging.getLogger("hepsilon")


def fingerprint(instance: Any, task: Task, config: InputConfig) -> str:
    """Hash of all that decides the result of a part: the question, and the content of models.

    Parameters
    ----------
    instance : TruthTagging or EfficiencyInversion
        The processor.
    task, config : Task or InputConfig
        The question, and places of the columns.

    Returns
    -------
    str
        SHA-256.

    Raises
    ------
    ConfigError
        If an efficiency is a function, whose content is not known, or for a processor of one's own.
    """
    if not hasattr(instance, "efficiencies") or not hasattr(instance, "observables"):
        raise ConfigError("partial results are kept of the processors of this package only")
    efficiencies = {name: _content_of(name, each) for name, each in instance.efficiencies.items()}
    options = {
        name: repr(getattr(instance, name))
        for name in ("floor", "replicas", "efficiency_replicas", "reconstructed", "measured")
        if hasattr(instance, name)
    }
    selections = getattr(instance, "selections", None)
    content = {
        "release": __version__,
        "task": task.model_dump_json(),
        "input": config.model_dump_json(),
        "efficiencies": efficiencies,
        "observables": [_described(each) for each in instance.observables],
        "options": options,
        "selections": None if selections is None else repr(selections),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _content_of(name: str, efficiency: Any) -> str:
    known = getattr(efficiency, "hash", None)
    if isinstance(efficiency, FieldEfficiency):
        known = repr(efficiency)
    if known is None:
        raise ConfigError(
            f"{name}: partial results are kept of efficiencies from files only, since another "
            "content could not be told; save it first, or run without --checkpoint"
        )
    names = "backend", "precision", "replicas_from", "bias_term"
    options = [getattr(efficiency, n, "") for n in names]
    return " ".join(map(str, [known, *options]))


def _described(observable: Any) -> list[str]:
    """Name, bins and functions of an observable."""
    axes = [[float(edge) for edge in axis.edges] for axis in observable.axes]
    parts = [[part.name, part.label, repr(part.fields)] for part in observable.parts]
    codes = [_code_of(function) for function in observable.functions]
    return [observable.name, str(observable.level), json.dumps([axes, parts, codes])]


def _code_of(function: Any) -> str:
    """Text of a function with its module, which it may call; those of hepsilon have a release."""
    if isinstance(function, partial):
        return f"{_code_of(function.func)} {function.args} {sorted(function.keywords.items())}"
    place = place_of(function)
    if place.startswith("hepsilon."):
        return place
    for source in (sys.modules.get(function.__module__), function):
        with suppress(OSError, TypeError):  # of a notebook, or not of Python
            return inspect.getsource(source)  # type: ignore[arg-type]
    return place


def checkpoint_folder(folder: Path, expected: str) -> Path:
    """Make a folder ready for the partial results of one run.

    Parameters
    ----------
    folder : Path
        The folder; it must be seen by all workers.
    expected : str
        Fingerprint of the run. Results of another one are removed.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigError
        If it holds other files.
    """
    mark, found = folder / MARK, []
    if folder.is_dir():
        found = [each for each in folder.iterdir() if each.suffix == ENDING]
        others = [e for e in folder.iterdir() if e.suffix not in (ENDING, ".tmp") and e != mark]
        if others:
            raise ConfigError(f"{folder} holds other files; choose another folder")
    if found and not (mark.exists() and mark.read_text() == expected):
        logger.warning("%s is of another run (files, models or options); starting anew", folder)
        for each in found:
            each.unlink()
        found = []
    write_text(mark, expected)
    if found:
        logger.info("going on with %d partial results of %s", len(found), folder)
    return folder


def remove_checkpoint(folder: Path) -> None:
    """Remove partial results, once the result is written.

    Parameters
    ----------
    folder : Path
        The folder.
    """
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Checkpointed:
    """Work on a part whose result is kept, and taken from there the next time.

    Attributes
    ----------
    function : callable
        The work.
    folder : Path
        Folder from :func:`checkpoint_folder`.
    """

    function: Callable[[Part], Any]
    folder: Path

    def __call__(self, part: Part) -> Any:
        """Result of one part.

        Parameters
        ----------
        part : Part
            The part.

        Returns
        -------
        Any
            What the function gives.

        Raises
        ------
        ConfigError
            If its result cannot be written.
        """
        path = self.folder / f"{_key(part)}{ENDING}"
        if path.exists():
            try:
                return read_saved(path)
            except InputError as error:
                logger.warning("%s; it is made anew", error)
        result = self.function(part)
        try:
            write_saved(path, result)
        except OSError as error:  # of the output, not of the file that was read
            raise ConfigError(
                f"the partial result {path} cannot be written: {error.strerror or error}"
            ) from None
        return result


def _key(part: Part) -> str:
    """Name for the result of a part: of the same entries of the same content."""
    source: Mapping[str, Any] | Iterable[Any] = (
        part.fileuuid,
        part.treename,
        part.entrystart,
        part.entrystop,
        part.source.dataset,
        part.source.weight,
    )
    return hashlib.sha256(repr(source).encode()).hexdigest()[:32]
