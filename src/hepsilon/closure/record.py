"""Base of all records that ``closure.json`` holds."""

from __future__ import annotations

from typing import Any

from hepsilon.config.records import Record

__all__ = ["ClosureRecord"]


class ClosureRecord(Record):
    """Base of the parts: read as attributes, or by the keys of the file."""

    def as_dict(self) -> dict[str, Any]:
        """Content as it is written: plain lists, dictionaries, numbers and text."""
        return self.model_dump(mode="json", exclude_unset=True)

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            raise KeyError(key)
        return getattr(self, key)

    def __contains__(self, key: object) -> bool:
        return key in self.model_fields_set
