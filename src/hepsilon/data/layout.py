"""Where the columns of a task are in a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet

from hepsilon.arrays.columns import Column, shortened
from hepsilon.arrays.fields import INPUTS
from hepsilon.config.file import InputConfig
from hepsilon.config.task import Task
from hepsilon.errors import InputError

__all__ = ["Layout", "task_fields"]


def task_fields(task: Task) -> list[str]:
    """Fields of the collection that the training of a task reads."""
    cuts = [*task.selection, *(task.fiducial.cuts if task.fiducial else ())]
    names = [*task.features, *(cut.field for cut in cuts)]
    names += [task.passed.field] if not task.of_events else []
    names += [task.order_by] if task.order_by else []
    return list(dict.fromkeys(names))


def _columns(source: Any) -> list[str]:
    if isinstance(source, pyarrow.parquet.ParquetFile):
        return list(source.schema_arrow.names)
    return list(source.keys())


class Layout:
    """Which column of one file holds which name."""

    def __init__(self, source: Any, path: Path, task: Task, config: InputConfig) -> None:
        self.available = set(_columns(source))
        self.path, self.task, self.branches = path, task, config.branches
        self.nested = isinstance(source, pyarrow.parquet.ParquetFile) and (
            task.collection in self.available
        )

    def of_event(self, name: str, required: bool) -> str | None:
        """Column of a per-event quantity; None if it is optional and missing."""
        column = self.branches.get(name, name)
        if not isinstance(column, str):
            raise InputError(f"[input.branches] {name}: expected one branch, received {column}")
        if column in self.available:
            return column
        if required or name in self.branches:
            raise InputError(f"{self.path}: expected the column {column!r} ({name})")
        return None

    def of_object(self, field: str) -> Column:
        """Column of a field of the collection, or one for each object."""
        column = self.branches.get(field, f"{self.task.collection}_{field}")
        wanted = [column] if isinstance(column, str) else column
        missing = [name for name in wanted if name not in self.available]
        if missing:
            raise InputError(
                f"{self.path}: expected the column {missing[0]!r} for the field {field!r}, "
                f"received {shortened(sorted(self.available), missing[0])}; name another one "
                "under [input.branches]"
            )
        return column

    def of_objects(self, fields: Iterable[str]) -> dict[str, Column]:
        """Columns of the fields, and of what fields that the file does not have come from."""
        columns: dict[str, Column] = {}
        for field in fields:
            try:
                columns[field] = self.of_object(field)
            except InputError:
                if field not in INPUTS:
                    raise
                try:
                    columns |= {name: self.of_object(name) for name in INPUTS[field]}
                except InputError:
                    self.of_object(field)  # the user asked for this one
        return columns
