"""The command line."""

from hepsilon.cli.parser import main

__all__ = ["main"]
