"""Formats of files: each gives columns of a range of events, by name."""

from hepsilon.data.formats.base import Damage, Head, Table
from hepsilon.data.formats.choice import head_of, open_table, tree_names

__all__ = ["Damage", "Head", "Table", "head_of", "open_table", "tree_names"]
