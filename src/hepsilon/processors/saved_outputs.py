"""Outputs of processors as files: plain numbers and JSON, from which sums can go on.

One NumPy archive holds the bins of all histograms as they are in memory, and a text that says what
they are. Nothing is unpickled, and what is read back is equal bit for bit.
"""

from __future__ import annotations

import builtins
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import hist
import numpy as np
import uhi.io.json

from hepsilon import errors
from hepsilon._system.files import atomic_path
from hepsilon._system.gathered import Gathered, Said
from hepsilon.arrays.repeats import KeySample
from hepsilon.arrays.types import Array
from hepsilon.data.training_columns import FileResponse
from hepsilon.efficiencies.packing import LIMITS, array_of, check_directory, content_of
from hepsilon.errors import InputError
from hepsilon.histograms.entries import EntryCounts
from hepsilon.processors.outputs import CorrectionMethod, InversionOutput, TaggingOutput
from hepsilon.processors.run_record import EntryRanges, RunRecord

__all__ = ["FORMAT", "is_saved", "read_saved", "read_saved_text", "write_saved"]

FORMAT = "hepsilon-result"
VERSION = 1
TEXT = "result.json"
RECORDS = {
    cls.__name__: cls
    for cls in (
        CorrectionMethod,
        EntryCounts,
        EntryRanges,
        FileResponse,
        Gathered,
        InversionOutput,
        RunRecord,
        TaggingOutput,
    )
}
"""Records that a file may hold, by name."""
KIND = "kind"


def _flat(view: Any) -> Array:
    """Bins as plain numbers: of sums of weights and means all their parts, side by side."""
    array = np.ascontiguousarray(np.asarray(view))
    if array.dtype.names is None:
        return array
    return array.view(np.float64).reshape(*array.shape, len(array.dtype.names))


class _Writer:
    """Turns values into what JSON holds, and arrays that stand beside it."""

    def __init__(self) -> None:
        self.arrays: dict[str, bytes] = {}

    def _array(self, array: Array) -> str:
        name = f"{len(self.arrays)}.npy"
        self.arrays[name] = content_of(array)
        return name

    def plain(self, value: Any) -> Any:
        """Plain data for a value.

        Parameters
        ----------
        value : object
            A record, histogram, dictionary, tuple, list, number or text.
        """
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.generic):
            return value.item()
        if type(value).__name__ in RECORDS:
            parts = {each.name: self.plain(getattr(value, each.name)) for each in fields(value)}
            return {KIND: type(value).__name__, "is": parts}
        kind, content = self._tagged(value)
        return {KIND: kind, **content}

    def _tagged(self, value: Any) -> tuple[str, dict[str, Any]]:
        """Kind and content of what is no record, number or text."""
        if isinstance(value, hist.Hist):
            empty = json.dumps(value.copy().reset(), default=uhi.io.json.default)
            array = self._array(_flat(value.view(flow=True)))
            return "hist", {"axes": json.loads(empty), "bins": array}
        if isinstance(value, KeySample):
            return "keys", {"arrays": [self._array(value.keys), self._array(value.counts)]}
        if isinstance(value, Said):
            category = None if value.category is None else value.category.__name__
            return "said", {"is": [value.number, value.text, category, value.level]}
        if isinstance(value, tuple | list):
            name = "tuple" if isinstance(value, tuple) else "list"
            return name, {"is": [self.plain(each) for each in value]}
        if isinstance(value, Mapping):
            name = "counter" if isinstance(value, Counter) else "dict"
            return name, {"is": [[key, self.plain(each)] for key, each in value.items()]}
        raise InputError(f"a {type(value).__name__} cannot be kept in a file")


class _Reader:
    """Turns plain data back into values; only what a writer gives is accepted."""

    def __init__(self, content: Callable[[str], bytes]) -> None:
        self._content = content

    def value(self, plain: Any) -> Any:
        """Value of plain data.

        Parameters
        ----------
        plain : object
            What JSON holds.
        """
        if not isinstance(plain, dict):
            return plain
        kind = plain[KIND]
        if kind in RECORDS:
            parts = {name: self.value(each) for name, each in plain["is"].items()}
            return RECORDS[kind](**parts)
        readers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "hist": self._histogram,
            "keys": lambda p: KeySample(*(array_of(self._content(n)) for n in p["arrays"])),
            "said": lambda p: Said(p["is"][0], p["is"][1], _category(p["is"][2]), p["is"][3]),
            "tuple": lambda p: tuple(self.value(each) for each in p["is"]),
            "list": lambda p: [self.value(each) for each in p["is"]],
            "dict": lambda p: {key: self.value(each) for key, each in p["is"]},
            "counter": lambda p: Counter({key: self.value(each) for key, each in p["is"]}),
        }
        return readers[kind](plain)

    def _histogram(self, plain: dict[str, Any]) -> hist.Hist[Any]:
        text = json.dumps(plain["axes"])
        histogram: hist.Hist[Any] = hist.Hist(json.loads(text, object_hook=uhi.io.json.object_hook))
        view = np.asarray(histogram.view(flow=True))
        bins = array_of(self._content(plain["bins"]))
        if bins.shape != _flat(view).shape or bins.dtype != _flat(view).dtype:
            raise ValueError(f"bins of the shape {bins.shape}, expected {_flat(view).shape}")
        histogram.view(flow=True)[...] = bins.view(view.dtype).reshape(view.shape)
        return histogram


def _category(name: str | None) -> type[Warning] | None:
    """A category of warnings of hepsilon's or Python's own; any other is a plain warning."""
    if name is None:
        return None
    found = getattr(errors, name, None) or getattr(builtins, name, None)
    known = isinstance(found, type) and issubclass(found, Warning)
    return found if known else UserWarning


def write_saved(path: str | Path, value: Any, about: Mapping[str, Any] | None = None) -> None:
    """Write an output, or a dictionary of such, into a file that appears only when complete.

    Parameters
    ----------
    path : str or Path
        File to write.
    value : TaggingOutput, InversionOutput, RunRecord, or dict of these
        What is kept.
    about : mapping of str to object, optional
        Plain data that stand beside it.

    Raises
    ------
    InputError
        For what cannot be kept, such as the output of a processor of one's own.
    """
    writer = _Writer()
    head = {"format": FORMAT, "version": VERSION, "about": dict(about or {})}
    text = json.dumps(head | {"value": writer.plain(value)})
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        # quickly: a run writes one for every chunk
        archive.writestr(TEXT, text, zipfile.ZIP_DEFLATED, 1)
        for name, content in writer.arrays.items():
            archive.writestr(name, content, zipfile.ZIP_DEFLATED, 1)


def _opened(path: str | Path) -> tuple[zipfile.ZipFile, dict[str, Any]]:
    """The archive and its text, after a look at the sizes of all that would be unpacked."""
    try:
        content = Path(path).read_bytes()
        check_directory(content)
        archive = zipfile.ZipFile(io.BytesIO(content))
        total = sum(info.file_size for info in archive.infolist())
        if total > max(LIMITS.content, LIMITS.ratio * len(content)):
            raise ValueError(f"it would unpack to {total} bytes")
        head = json.loads(archive.read(TEXT))
        if head["format"] != FORMAT or head["version"] != VERSION:
            raise ValueError("it is of another kind or version")
    except Exception as error:  # zipfile and json raise many kinds for what is damaged
        raise InputError(f"{path} is no result of hepsilon, or damaged: {error}") from None
    return archive, head


def is_saved(path: str | Path) -> bool:
    """Whether a file looks like one from :func:`write_saved`."""
    try:
        with zipfile.ZipFile(path) as archive:
            return TEXT in archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def read_saved_text(path: str | Path) -> dict[str, Any]:
    """Read what stands beside an output.

    Parameters
    ----------
    path : str or Path
        File from :func:`write_saved`.

    Returns
    -------
    dict of str to object
        Its ``about``.

    Raises
    ------
    InputError
        If it is damaged, or another kind of file.
    """
    about: dict[str, Any] = _opened(path)[1]["about"]
    return about


def read_saved(path: str | Path) -> Any:
    """Read an output back.

    Parameters
    ----------
    path : str or Path
        File from :func:`write_saved`.

    Returns
    -------
    TaggingOutput, InversionOutput, RunRecord, or dict of these
        What was kept.

    Raises
    ------
    InputError
        If it is damaged, or another kind of file.
    """
    archive, head = _opened(path)
    try:
        return _Reader(archive.read).value(head["value"])
    except Exception as error:  # whatever damaged content brings about
        raise InputError(f"{path} is damaged: {error!r}") from None
