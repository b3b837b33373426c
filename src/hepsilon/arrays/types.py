"""Names of the types that many modules share."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy.typing as npt

__all__ = ["Array", "Nodes", "Offsets"]

Array: TypeAlias = npt.NDArray[Any]
"""A NumPy array of any type and shape; docstrings say which."""

Offsets: TypeAlias = npt.NDArray[Any]
"""Bounds of the objects of each event in flat arrays, int64, shape (n_events + 1,)."""

Nodes: TypeAlias = npt.NDArray[Any]
"""Features of objects, float32, shape (n_objects, n_features)."""
