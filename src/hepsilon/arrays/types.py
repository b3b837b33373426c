"""Names of the types that many modules share."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy.typing as npt

__all__ = ["Array"]

Array: TypeAlias = npt.NDArray[Any]
"""A NumPy array of any type and shape; docstrings say which."""
