"""Formats of files: each gives columns of a range of events, by name."""

from hepsilon.data.formats.base import Damage, Table
from hepsilon.data.formats.choice import open_table, tree_names

__all__ = ["Damage", "Table", "open_table", "tree_names"]
