"""Formats of files: each gives columns of a range of events, by name."""

from hepsilon.data.formats.base import ColumnTable, Damage, Head, Table
from hepsilon.data.formats.choice import head_of, open_table, tree_names
from hepsilon.data.readers import register_reader

__all__ = [
    "ColumnTable",
    "Damage",
    "Head",
    "Table",
    "head_of",
    "open_table",
    "register_reader",
    "tree_names",
]
