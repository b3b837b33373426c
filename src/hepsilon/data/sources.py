"""Files of a sample: paths, patterns, folders, URLs, lists and filesets."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hepsilon.data.readers import ending_of, endings
from hepsilon.errors import InputError

__all__ = ["Files", "Source", "file_names", "find_sources"]

LISTS = (".txt", ".list")


@dataclass(frozen=True)
class Source:
    """One file of a sample.

    Attributes
    ----------
    path : str
        Path or URL.
    tree : str or None
        Name of the tree, where the file's own one was given.
    weight : float
        Factor of all event weights, such as the cross section over the number of events.
    dataset : str
        Name of the sample.
    """

    path: str
    tree: str | None = None
    weight: float = 1.0
    dataset: str = "sample"


Files = str | Path | Source | Iterable[str | Path | Source]
"""Names of files, or of what stands for several."""


def _split(name: str) -> tuple[str, str | None]:
    """Path, and the tree behind it (``FILE:tree``)."""
    path, colon, tree = name.rpartition(":")
    ends = ending_of(path) in endings() or (path and Path(path).is_file())
    if colon and ends and "//" not in tree and not Path(name).exists():
        return path, tree
    return name, None


def _lines(path: Path) -> list[str]:
    """Names in a text file, one a line; relative to its folder, without comments."""
    lines = (line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return [_beside(line, path) for line in lines if line]


def _beside(name: str, path: Path) -> str:
    """A relative name in a list is relative to the list, unless it exists from here."""
    if "://" in name or Path(name).is_absolute() or Path(_split(name)[0]).exists():
        return name
    return str(path.parent / name)


def _fileset(path: Path) -> Iterator[Source]:
    """Files of coffea's fileset, with the trees and weights of its samples."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no JSON file: {error}") from None
    if isinstance(content, list):
        content = {"sample": content}
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path}: expected a fileset (samples by name) or a list of files")
    for dataset, sample in content.items():
        entry = sample if isinstance(sample, Mapping) else {"files": sample}
        weight = _sample_weight(entry, f"{path}: {dataset}")
        for name, tree in _fileset_files(entry, f"{path}: {dataset}"):
            for each in _expanded(_beside(name, path)):
                tree_of = each.tree or tree or entry.get("treename")
                yield Source(each.path, tree_of, each.weight * weight, str(dataset))


def _sample_weight(entry: Mapping[str, Any], place: str) -> float:
    found = {**(entry.get("metadata") or {}), **entry}.get("weight", 1.0)
    if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) < 1e300:
        raise InputError(f"{place}: expected a number as weight, received {found!r}")
    return float(found)


def _fileset_files(entry: Mapping[str, Any], place: str) -> Iterator[tuple[str, str | None]]:
    files = entry.get("files")
    if isinstance(files, str):
        files = [files]
    if isinstance(files, Mapping):
        for name, told in files.items():
            tree = told.get("object_path") if isinstance(told, Mapping) else told
            yield str(name), None if tree is None else str(tree)
    elif isinstance(files, Sequence) and all(isinstance(name, str) for name in files):
        for name in files:
            yield name, None
    else:
        raise InputError(f"{place}: expected a list of files, or files with their trees")


def _expanded(name: str) -> Iterator[Source]:
    """The files that one name stands for."""
    path, tree = _split(name)
    if "://" in path:
        yield Source(path, tree)
        return
    place = Path(path).expanduser()
    if place.is_dir():
        known = endings()
        found = sorted(p for p in place.iterdir() if ending_of(p) in known)
        if not found:
            raise InputError(f"the folder {path!r} holds no file ending in {', '.join(known)}")
        yield from (Source(str(p), tree) for p in found)
    elif place.suffix.lower() == ".json":
        yield from _fileset(_existing(place))
    elif place.suffix.lower() in LISTS:
        for line in _lines(_existing(place)):
            yield from _expanded(line)
    elif glob.has_magic(path) and not place.exists():
        matches = sorted(glob.glob(str(place), recursive=True))  # noqa: PTH207
        if not matches:
            raise InputError(f"no file matches {path!r}")
        for match in matches:
            yield from (Source(s.path, tree or s.tree) for s in _expanded(match))
    else:
        yield Source(str(_existing(place)), tree)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"no file {str(path)!r}")
    return path


def find_sources(files: Files) -> list[Source]:
    """List the files that names stand for, each once.

    Parameters
    ----------
    files : str, Path, Source or iterable of these
        Each a path, a pattern (``"data/*.root"``), a folder, a URL, one of these with a tree behind
        a colon (``"file.root:dir/tree"``), a text file with a name in every line, or a JSON file
        with a list or with coffea's fileset, whose samples may have a ``weight``.

    Returns
    -------
    list of Source
        The files, in order.

    Raises
    ------
    InputError
        If there are none, one does not exist, or one is given twice.
    """
    given = [files] if isinstance(files, str | Path | Source) else list(files)
    sources = [
        source
        for each in given
        for source in ([each] if isinstance(each, Source) else _expanded(str(each)))
    ]
    if not sources:
        raise InputError("expected at least one file")
    seen: set[tuple[str, str | None]] = set()
    for source in sources:
        remote = "://" in source.path
        key = (source.path if remote else str(Path(source.path).resolve()), source.tree)
        if key in seen:
            raise InputError(
                f"the file {source.path!r} is given twice; its events would count twice"
            )
        seen.add(key)
    return sources


def file_names(files: Files) -> list[str]:
    """List the paths of the files that names stand for, whether they are still there or not.

    Parameters
    ----------
    files : str, Path, Source or iterable of these
        Names, as for :func:`find_sources`.

    Returns
    -------
    list of str
        Paths and addresses; a name that stands for no file as it was given.
    """
    names = []
    for each in [files] if isinstance(files, str | Path | Source) else files:
        try:
            names += [source.path for source in find_sources(each)]
        except InputError:
            names.append(each.path if isinstance(each, Source) else str(each))
    return names
