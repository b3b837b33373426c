"""Looks of experiments."""

from __future__ import annotations

import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from hepsilon.errors import ConfigError
from hepsilon.plotting import Look, Plot


def drawn(look: Look, kind: str, n_panels: int = 1) -> Figure:
    with look.drawing():
        figure = Figure(figsize=(6.4, 4.0))
        for axes in figure.subplots(1, n_panels, squeeze=False)[0]:
            axes.plot([0, 1], [0, 1], label="line")
            axes.legend()
        figure.axes[0].set_title("20 events", loc="right")
    look.finish(Plot(figure, kind))
    figure.canvas.draw()
    assert not plt.get_fignums()
    return figure


def texts(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


@pytest.mark.parametrize("experiment", ["cms", "atlas", "lhcb"])
def test_label_energy_and_luminosity_are_drawn(experiment: str) -> None:
    figure = drawn(Look(experiment, "Preliminary", 13.6, 61.9), "distribution")
    found = texts(figure).lower()
    for part in (experiment, "preliminary", "13.6", "61.9", "simulation"):
        assert part in found
    assert figure.axes[0].get_title(loc="right") == ""
    assert figure.axes[0].get_legend().get_title().get_text() == "20 events"


def test_wide_figures_have_one_line_above_all_panels() -> None:
    figure = drawn(Look("cms", "Preliminary", 13.6), "efficiency", 3)
    assert figure.get_suptitle() == "CMS Simulation Preliminary (13.6 TeV)"
    assert texts(figure).count("CMS") == 1


def test_measured_events_are_not_called_simulation() -> None:
    assert "Simulation" not in texts(drawn(Look("cms", data=True), "distribution"))


def test_plain_plots_stay_as_they_are_and_settings_come_back() -> None:
    before = dict(matplotlib.rcParams)
    figure = drawn(Look(), "distribution")
    assert figure.axes[0].get_title(loc="right") == "20 events"
    drawn(Look("atlas"), "distribution")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("arguments", [{"experiment": "d0"}, {"label": "Preliminary"}])
def test_wrong_looks_are_errors(arguments: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="style"):
        Look(**arguments)
