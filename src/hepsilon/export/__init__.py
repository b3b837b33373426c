"""Networks in formats that other programs read."""

from hepsilon.export.registry import register_export

__all__ = ["register_export"]
