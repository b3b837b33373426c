"""Origin of files that are no artifacts: closures, results, parts of trainings, friend files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.text import Text

from hepsilon.cli.output import facts, shown
from hepsilon.errors import InputError

__all__ = ["origin_of_file", "origin_tables"]

LARGEST = 1 << 30


def origin_of_file(path: Path) -> dict[str, Any] | None:
    """Read the origin of a file, or of the closure in a folder.

    Parameters
    ----------
    path : Path
        File, or folder of a closure.

    Returns
    -------
    dict of str to object
        Plain data; None of what is no such file, such as an artifact.

    Raises
    ------
    InputError
        If it is such a file, and damaged.
    """
    from hepsilon.processors.friend_files import origin_of
    from hepsilon.processors.saved_outputs import is_saved, read_saved_text
    from hepsilon.training.parts import is_part, read_part

    if path.is_dir():
        path = path / "closure.json"
        if not path.is_file():
            raise InputError(f"{path.parent} is a folder without a closure.json")
    if path.suffix == ".json":
        return _of_closure(path)
    if is_part(path):
        part = read_part(path)
        return {
            "networks": f"{sorted(part.states)} of {part.networks}",
            "training": part.training,
            "files": list(part.files),
            "config": part.config.model_dump(mode="json", by_alias=True, exclude_unset=True),
        }
    return read_saved_text(path) if is_saved(path) else origin_of(path)


def _of_closure(path: Path) -> dict[str, Any]:
    """All of a closure but its numbers."""
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
        if not {"efficiency", "observables"} & set(content) or "model_hash" not in content:
            raise ValueError("it is no closure.json")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    names = "model_hash", "run", "n_events", "n_objects", "files", "task", "input", "versions"
    found = {name: content[name] for name in names if name in content}
    if "efficiency" not in content:  # of a ratio: two samples
        found |= {name: content[name] for name in ("numerator", "denominator") if name in content}
    status = (content.get("verdict") or {}).get("status")
    return ({} if status is None else {"verdict": status}) | found


def origin_tables(path: Path, origin: dict[str, Any]) -> list[Any]:
    """Tables of the origin of a file.

    Parameters
    ----------
    path : Path
        The file.
    origin : dict of str to object
        Result of :func:`origin_of_file`.

    Returns
    -------
    list of rich.text.Text or rich.table.Table
        Name of the file, and one table for each group.
    """
    single = [[name, str(each)] for name, each in origin.items() if not _grouped(each)]
    groups = {"": single} if single else {}
    for name, each in origin.items():
        if isinstance(each, dict):
            groups[name] = [[str(key), _cell(value)] for key, value in each.items()]
        elif _grouped(each):
            groups[name] = [[str(i + 1), _cell(value)] for i, value in enumerate(each)]
    return [Text(shown(str(path))), *(facts(title, rows) for title, rows in groups.items())]


def _grouped(value: Any) -> bool:
    return isinstance(value, dict | list)


def _cell(value: Any) -> str:
    """A value in one cell."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(each)}" for key, each in value.items())
    if isinstance(value, list):
        return "; ".join(map(_cell, value)) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
