"""Observables, and histograms that hold all methods side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import awkward as ak
import hist
import numpy as np

from hepsilon.errors import ConfigError

__all__ = ["Observable", "Observable2D", "regular"]


@dataclass(frozen=True)
class Observable:
    """A quantity to fill.

    Attributes
    ----------
    name : str
        Key in the output.
    function : callable
        Module-level function of the records (so that it pickles), giving one number per object
        (jagged) or per event.
    level : {"object", "event"}
        ``"object"`` or ``"event"``.
    edges : tuple of float
        Bin edges.
    label : str
        Axis label, with the unit.
    """

    name: str
    function: Callable[[ak.Array], Any]
    level: Literal["object", "event"]
    edges: tuple[float, ...]
    label: str

    @property
    def axis(self) -> hist.axis.Variable:
        """The hist axis, named ``x``."""
        return hist.axis.Variable(self.edges, name="x", label=self.label)

    @property
    def axes(self) -> list[hist.axis.Variable]:
        """All axes: one."""
        return [self.axis]

    @property
    def functions(self) -> list[Callable[[ak.Array], Any]]:
        """The functions, one for each axis."""
        return [self.function]


@dataclass(frozen=True)
class Observable2D:
    """Two quantities to fill against each other, both of objects or both of events."""

    name: str
    x: Observable
    y: Observable

    def __post_init__(self) -> None:
        if self.x.level != self.y.level:
            raise ConfigError(f"{self.name}: one axis is of objects, the other one of events")

    @property
    def level(self) -> Literal["object", "event"]:
        """``"object"`` or ``"event"``."""
        return self.x.level

    @property
    def axes(self) -> list[hist.axis.Variable]:
        """The hist axes, named ``x`` and ``y``."""
        y = hist.axis.Variable(self.y.edges, name="y", label=self.y.label)
        return [self.x.axis, y]

    @property
    def functions(self) -> list[Callable[[ak.Array], Any]]:
        """The functions, one for each axis."""
        return [self.x.function, self.y.function]


def regular(bins: int, low: float, high: float) -> tuple[float, ...]:
    """Edges of equal bins."""
    return tuple(np.linspace(low, high, bins + 1).tolist())
