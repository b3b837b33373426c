from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from matplotlib.figure import Figure
from toys import TASK, events_of, half, tagged_jets

from hepsilon.histograms import ALL
from hepsilon.plotting import (
    closure_figures,
    plot_history,
    plot_map,
    plot_observable,
    plot_profile,
    plot_residuals,
    plot_simulated_efficiency,
)
from hepsilon.processors import TruthTagging

pytest_plugins = ["trained"]


def run(jets, task=TASK, **efficiencies):
    return TruthTagging(task, efficiencies).process(events_of(jets))["sample"]


@pytest.fixture(scope="module")
def output(toy_map):
    return run(tagged_jets([2, 3, 0, 1] * 30), map=toy_map, half=half)


def draw(figure: Figure) -> Figure:
    """Render, so that late errors and warnings show."""
    figure.canvas.draw()
    return figure


def labels(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize("category", [ALL, "b", "light"])
def test_observable_has_a_ratio_below(output, category):
    main, ratio = draw(plot_observable(output, "pt", category)).axes
    assert {"direct tagging", "true efficiency", "map", "half"} == set(labels(main))
    assert "ratio to\ntrue" in ratio.get_ylabel()
    assert ratio.get_xlabel() == "$p_T$ [GeV]"


def test_ratio_is_to_direct_tagging_where_the_truth_is_not_known():
    task = TASK.model_copy(update={"truth": None})
    figure = draw(plot_observable(run(tagged_jets([2, 3] * 9), task, half=half), "pair_mass"))
    assert "direct" in figure.axes[1].get_ylabel()


def test_profile_has_a_panel_for_each_flavour(output):
    figure = draw(plot_profile(output, "delta_r"))
    assert [axes.get_title() for axes in figure.axes] == ["b", "c", "light"]


def test_residuals_say_mean_and_rms(output):
    figure = draw(plot_residuals(output))
    assert len(figure.axes) == 3
    found = output["residual_moments"][{"method": "half", "category": "b"}]
    assert f"half: mean {found.value:+.3f}, RMS {np.sqrt(found.variance):.3f}" in labels(
        figure.axes[0]
    )


def test_history_marks_the_best_epoch_of_each_member(ensemble):
    (axes,) = draw(plot_history(ensemble.card)).axes
    assert labels(axes) == ["member 1", "member 2"]
    marked = [line for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in marked] == [
        member.best_epoch for member in ensemble.card.members
    ]


def test_simulated_efficiency_is_drawn():
    assert len(draw(plot_simulated_efficiency()).axes) >= 4


def test_map_is_drawn_by_category(toy_map):
    titles = [axes.get_title() for axes in draw(plot_map(toy_map)).axes]
    assert titles[:3] == ["b", "c", "light"]


def test_all_figures_of_a_closure(output):
    figures = closure_figures(output)
    assert {"pt", "pt_b", "pair_mass", "efficiency_delta_r", "residuals"} <= set(figures)
    for figure in figures.values():
        draw(figure)


def test_figures_do_not_live_in_pyplot(output):
    """Nothing to close, and no window."""
    import matplotlib.pyplot as plt

    closure_figures(output)
    assert not plt.get_fignums()


def only_b():
    jets = tagged_jets([2, 3, 1])
    return ak.with_field(jets, ak.ones_like(jets.hadronFlavour) * 5, "hadronFlavour")


THIN = {
    "one flavour": only_b,
    "no pairs": lambda: tagged_jets([1, 1, 0, 1]),
    "one jet": lambda: tagged_jets([1]),
    "no jets": lambda: tagged_jets([0, 0, 1])[:2],
    "no events": lambda: tagged_jets([1])[:0],
}


@pytest.mark.parametrize("content", THIN)
@pytest.mark.parametrize("truth", [True, False])
def test_thin_and_empty_samples_are_drawn(content, truth, toy_map):
    task = TASK if truth else TASK.model_copy(update={"truth": None})
    for figure in closure_figures(run(THIN[content](), task, map=toy_map)).values():
        draw(figure)


def test_sample_without_categories_is_drawn():
    task = TASK.model_copy(update={"categorical": {}})
    for figure in closure_figures(run(tagged_jets([2, 3] * 9), task, half=half)).values():
        draw(figure)
