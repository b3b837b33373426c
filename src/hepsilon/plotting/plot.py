"""Figure of a closure, with what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure

from hepsilon.histograms.methods import ALL

__all__ = ["Kind", "Plot"]

Kind = Literal[
    "calibration",
    "distribution",
    "efficiency",
    "gain",
    "pulls",
    "residuals",
    "tag_counts",
    "weights",
]


@dataclass(frozen=True)
class Plot:
    """Figure of a closure, with what it shows.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    kind : str
        Kind of the figure, such as ``"distribution"`` or ``"gain"``.
    observable : str
        Observable that is shown; empty where there is none.
    category : str
        Category of the entries; ``"all"`` for all together, or one panel for each.
    """

    figure: Figure
    kind: Kind
    observable: str = ""
    category: str = ALL

    @property
    def wide(self) -> bool:
        """Whether the figure has several panels beside each other."""
        return self.kind in {"calibration", "efficiency", "pulls", "residuals", "tag_counts"}
