"""Looks of plots for documents: ticks, fonts and label of an experiment, from mplhep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import matplotlib
import matplotlib.pyplot as plt
import mplhep
from matplotlib.font_manager import FontProperties

from hepsilon.errors import ConfigError
from hepsilon.plotting.plot import Plot

__all__ = ["EXPERIMENTS", "Look"]

Experiment = Literal["plain", "cms", "atlas", "lhcb"]
EXPERIMENTS: Final[tuple[Experiment, ...]] = ("plain", "cms", "atlas", "lhcb")
STYLES: dict[str, Any] = {
    "cms": mplhep.style.CMS,
    "atlas": mplhep.style.ATLAS,
    "lhcb": mplhep.style.LHCb2,
}
KEPT = ("font.family", "font.sans-serif", "font.serif", "mathtext.", "xtick.", "ytick.")
SIZES = ("labelsize", "pad", "size", "width")
"""Ends of keys that fit the figures of mplhep, which are larger than these."""


@dataclass(frozen=True)
class Look:
    """Look of plots for documents.

    Attributes
    ----------
    experiment : {"plain", "cms", "atlas", "lhcb"}
        Whose ticks, fonts and label are drawn; none for ``"plain"``.
    label : str
        Text behind the name of the experiment, such as ``"Preliminary"``.
    energy : float or None
        Centre-of-mass energy [TeV].
    luminosity : float or None
        Integrated luminosity [1/fb].
    data : bool
        Whether events were measured, not simulated.

    Raises
    ------
    ConfigError
        For an unknown experiment, or a label without one.
    """

    experiment: Experiment = "plain"
    label: str = ""
    energy: float | None = None
    luminosity: float | None = None
    data: bool = False

    def __post_init__(self) -> None:
        if self.experiment not in EXPERIMENTS:
            raise ConfigError(f"expected a style of {EXPERIMENTS}, received {self.experiment!r}")
        given = [n for n in ("label", "energy", "luminosity") if getattr(self, n)]
        if self.experiment == "plain" and given:
            raise ConfigError(f"{given} are for plots in the style of {EXPERIMENTS[1:]}")

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw with the ticks and fonts of the experiment."""
        with matplotlib.rc_context(_settings(self.experiment)):
            yield

    def finish(self, plot: Plot) -> None:
        """Add the label of the experiment to a plot that was drawn.

        Parameters
        ----------
        plot : Plot
            Plot; text that stood in the place of the label moves into the legend.
        """
        if self.experiment == "plain":
            return
        if plot.wide:
            plot.figure.suptitle(self._text, fontsize=11, x=0.01, ha="left")
            return
        axes = plot.figure.axes[0]
        title, legend = axes.get_title(loc="right"), axes.get_legend()
        axes.set_title("", loc="right")
        if title and legend is not None:
            legend.set_title(title, prop=FontProperties(size=9))
        before = set(plt.get_fignums())
        getattr(mplhep, self.experiment).label(
            self.label,
            ax=axes,
            data=self.data,
            lumi=self.luminosity,
            com=self.energy,
            loc=0,
            fontsize=12,
        )
        for number in set(plt.get_fignums()) - before:  # mplhep asks pyplot for an axis of its own
            plt.close(number)

    @property
    def _text(self) -> str:
        """Label in one line, for figures of several panels."""
        names = {"cms": "CMS", "atlas": "ATLAS", "lhcb": "LHCb"}
        parts = [names[self.experiment], "" if self.data else "Simulation", self.label]
        if self.luminosity is not None:
            parts.append(rf"{self.luminosity:g} fb$^{{-1}}$")
        if self.energy is not None:
            parts.append(f"({self.energy:g} TeV)")
        return " ".join(filter(None, parts))


def _settings(experiment: Experiment) -> Any:
    """Settings of matplotlib that do not depend on the size of the figure."""
    style = STYLES.get(experiment, {})
    return {
        key: value
        for key, value in style.items()
        if key.startswith(KEPT) and not key.endswith(SIZES)
    }
