"""Warnings at the line of whoever called hepsilon, through however many of its functions."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

__all__ = ["warn_caller"]

PACKAGE = str(Path(__file__).parents[1]) + os.sep


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn where hepsilon was called.

    Parameters
    ----------
    message : str
        Text of the warning.
    category : type of Warning
        Its class.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
