from __future__ import annotations

import re
from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from scipy.stats import beta

from hepsilon import EfficiencyMap, at_least, exactly
from hepsilon.config import MapConfig
from hepsilon.data.dataset import read_columns
from hepsilon.histograms import pair_names
from hepsilon.histograms.methods import ALL, TAG_COUNTS
from hepsilon.plotting import (
    closure_figures,
    plot_gain,
    plot_history,
    plot_map,
    plot_observable,
    plot_profile,
    plot_residuals,
    plot_simulated_efficiency,
    plot_tag_counts,
)
from hepsilon.processors import TruthTagging
from tests.helpers.tag_toys import POINTS_TASK, points_jets, several_points, true_points
from tests.helpers.toys import TASK, events_of, half, mlp_config, tagged_jets


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
def test_observable_has_ratios_and_pulls_below(output, category):
    main, ratio, pull = draw(plot_observable(output, "pt", category)).axes
    assert {"direct tagging", "true efficiency", "map", "half"} == set(labels(main))
    assert "ratio to\ntrue" in ratio.get_ylabel()
    assert pull.get_ylabel() == "pull"
    assert pull.get_xlabel() == "$p_T$ [GeV]"


def test_ratio_is_to_direct_tagging_where_the_truth_is_not_known():
    task = TASK.model_copy(update={"truth": None})
    figure = draw(plot_observable(run(tagged_jets([2, 3] * 9), task, half=half), "pair_mass"))
    assert "direct" in figure.axes[1].get_ylabel()


def test_profile_has_a_panel_for_each_flavour(output):
    figure = draw(plot_profile(output, "delta_r"))
    assert [axes.get_title() for axes in figure.axes] == ["b", "c", "light"]


def points_of(axes):
    """Position, value and ends of the interval of every point of the tagged fraction."""
    (points,) = axes.containers
    x, y = points.lines[0].get_data()
    ends = np.array([segment[:, 1] for segment in points.lines[2][0].get_segments()])
    return np.array(x), np.array(y), ends[:, 0], ends[:, 1]


def weighted_run(weights, tags):
    """Ten b jets of 50 GeV, one in each event, with these weights and tags; p is 0.2 or 0.6."""
    size = len(tags)
    jets = ak.zip(
        {
            "pt": [[50.0]] * size,
            "eta": [[0.1]] * size,
            "phi": [[0.1]] * size,
            "mass": [[1.0]] * size,
            "hadronFlavour": [[5]] * size,
            "trueEfficiency": [[0.2], [0.6]] * (size // 2),
            "discriminant": [[1.0] if tag else [-1.0] for tag in tags],
        }
    )
    return TruthTagging(TASK, {}).process(events_of(jets, weights))["sample"]


@pytest.mark.parametrize(("weight", "hidden"), [(1.0, True), (-1.0, False)])
def test_sums_below_zero_are_in_the_picture(weight, hidden):
    output = weighted_run(np.full(10, weight), [True, False] * 5)
    low = draw(plot_observable(output, "pt")).axes[0].get_ylim()[0]
    assert (low == 0.0) == hidden
    assert low <= 0.0


@pytest.mark.parametrize("unit", [1.0, 1e-4, 225892.0])
def test_efficiency_picture_is_weighted(unit):
    """Tags in the heavy half: 4 of 10 jets, 0.8 of the weight."""
    weights, tags = np.array([4.0, 1.0] * 5), np.array([1, 0, 1, 0, 1, 0, 1, 0, 0, 0])
    axes = draw(plot_profile(weighted_run(unit * weights, tags), "pt")).axes[0]
    _, value, low, high = points_of(axes)
    assert value == pytest.approx([16.0 / 25.0])
    n = 25.0**2 / 85.0
    k = n * 16.0 / 25.0
    alpha = 1.0 - 0.682689492137086
    assert low == pytest.approx(beta.ppf([alpha / 2], k, n - k + 1.0))
    assert high == pytest.approx(beta.ppf([1.0 - alpha / 2], k + 1.0, n - k))
    (mean,) = (p for p in axes.patches if isinstance(p, StepPatch))
    found = mean.get_data().values
    assert found[np.isfinite(found)] == pytest.approx([(0.2 * 20.0 + 0.6 * 5.0) / 25.0])


@pytest.mark.parametrize("tagged", [0, 1])
def test_points_at_zero_and_one_have_errors(tagged):
    """None or all of 10 jets: an interval to 1 - (alpha / 2)^(1 / 10), or from there."""
    axes = draw(plot_profile(weighted_run(np.full(10, 0.01), [tagged] * 10), "pt")).axes[0]
    _, value, low, high = points_of(axes)
    width = 1.0 - ((1.0 - 0.682689492137086) / 2.0) ** 0.1
    assert value == pytest.approx([tagged])
    assert (low, high) == (pytest.approx([tagged * (1 - width)]), pytest.approx([tagged or width]))


def test_negative_weights_are_said_in_the_efficiency_picture():
    """Weights 3 passed and -1 failed: a share of 1.5."""
    weights, tags = [3.0, -1.0], [1, 0]
    axes = draw(plot_profile(weighted_run(weights, tags), "pt")).axes[0]
    _, value, low, high = points_of(axes)
    assert value == pytest.approx([1.5])
    assert low[0] < 1.0 < high[0] == pytest.approx(1.5)
    assert any("negative weights: 1 bins outside [0, 1]" in label for label in labels(axes))
    undefined = draw(plot_profile(weighted_run([1.0, -3.0], tags), "pt")).axes[0]
    assert len(points_of_or_none(undefined)) == 0
    assert any("negative weights: 1 bins" in label for label in labels(undefined))


def points_of_or_none(axes):
    (points,) = axes.containers
    return points.lines[0].get_xdata()


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


@pytest.mark.slow
def test_all_figures_of_a_closure(output):
    figures = closure_figures(output)
    assert {"pt", "pt_b", "pair_mass", "efficiency_delta_r", "residuals"} <= set(figures)
    for figure in figures.values():
        draw(figure)


@pytest.mark.parametrize("plot", [plot_observable, plot_gain])
def test_long_labels_fit_into_the_margins(output, plot):
    many = replace(output, observables={"pt": 12345.0 * output["observables"]["pt"]})
    figure = draw(plot(many, "pt"))
    (left, bottom), (right, top) = figure.get_tightbbox().get_points()
    width, height = figure.get_size_inches()
    assert left >= 0.0
    assert bottom >= 0.0
    assert right <= width
    assert top <= height


# numbers of tags, and what truth tagging gains

TAGS = ["0 tags", "1 tag", "2 tags", "2+ tags", "3+ tags"]


def levels(axes) -> list:
    """Values of the step lines of a panel."""
    return [patch.get_data().values for patch in axes.patches if hasattr(patch, "get_data")]


def test_numbers_of_tags_have_panels_for_each_pair(output):
    figure = draw(plot_tag_counts(output))
    found = output["observables"][TAG_COUNTS]
    main, ratio = figure.axes[:7], figure.axes[7:]
    assert [axes.get_title() for axes in main] == ["all events", *pair_names((5, 4, 0))]
    assert len(ratio) == 7
    assert set(labels(main[0])) == {"direct tagging", "true efficiency", "map", "half"}
    assert main[0].get_yscale() == "log"
    assert ratio[0].get_ylabel() == "ratio to\ntrue efficiency"
    for axes, category in zip(main, found.axes["category"], strict=True):
        expected = [found[{"method": m, "category": category}].values() for m in ("truth", "map")]
        np.testing.assert_array_equal(levels(axes)[:2], expected)
    for axes in ratio:
        assert [text.get_text() for text in axes.get_xticklabels()] == TAGS
        np.testing.assert_array_equal(levels(axes)[0], 1.0)


def test_closure_without_conditions_has_no_numbers_of_tags():
    output = TruthTagging(TASK, {}, observables=[], conditions={}).process(
        events_of(tagged_jets([2]))
    )["sample"]
    assert list(closure_figures(output)) == []


def test_numbers_of_tags_leave_empty_pairs_out():
    figure = draw(plot_tag_counts(run(only_b(), half=half)))
    assert [axes.get_title() for axes in figure.axes[:2]] == ["all events", "b-b"]
    assert len(figure.axes) == 4


def test_ratio_of_numbers_of_tags_is_to_direct_tagging_without_truth():
    task = TASK.model_copy(update={"truth": None})
    figure = draw(plot_tag_counts(run(tagged_jets([2, 3] * 9), task, half=half)))
    assert figure.axes[-len(figure.axes) // 2].get_ylabel() == "ratio to\ndirect tagging"


def test_gain_says_where_the_uncertainty_is_not_known(output):
    """A function has no replicas: what it gains is too much."""
    main, ratio = draw(plot_gain(output, "pt")).axes
    known = {"direct tagging", "true efficiency", "map"}
    assert set(labels(main)) == known | {"half (own uncertainty unknown)"}
    assert main.get_ylabel() == "effective events / bin"
    assert main.get_title(loc="right") == ""
    assert ratio.get_ylabel() == "gain over\ndirect tagging"
    assert ratio.get_xlabel() == "$p_T$ [GeV]"
    assert main.get_yscale() == ratio.get_yscale() == "log"


def test_gain_of_networks_knows_their_uncertainty(gnn, ensemble):
    main = draw(plot_gain(run(tagged_jets([2, 3] * 9), gnn=gnn, five=ensemble), "pt")).axes[0]
    assert {"gnn", "five"} <= set(labels(main))


def test_gain_is_drawn_with_and_without_the_uncertainty(output):
    """Solid and dashed; they are the same where no uncertainty is known."""
    main, ratio = draw(plot_gain(output, "pt", "b")).axes
    assert main.get_title(loc="right") == "b"
    styles = [patch.get_linestyle() for patch in main.patches]
    assert [style in ("--", "dashed") for style in styles] == [False, *[False, True] * 3]
    direct, truth, truth_dashed, of_map, map_dashed, *of_half = levels(main)
    np.testing.assert_array_equal(truth, truth_dashed)
    np.testing.assert_array_equal(*of_half)
    filled = map_dashed > 0
    assert (of_map[filled] < map_dashed[filled]).all()
    tagged = direct > 0
    drawn = levels(ratio)[2]
    np.testing.assert_allclose(drawn[tagged], of_map[tagged] / direct[tagged])
    assert np.isnan(drawn[~tagged]).all()


def test_gain_of_a_condition_on_events(output):
    figure = draw(plot_gain(output, "pair_mass", "2+ tags"))
    assert figure.axes[0].get_title(loc="right") == "2+ tags"


OTHERS = ("calibration", "gain_", "efficiency_", "residuals")


@pytest.mark.slow
def test_file_names_of_a_closure(output):
    """Numbers of tags have no spaces or plus signs in them; no figure hides another one."""
    figures = closure_figures(output)
    wanted = {"gain_pt", "gain_pair_mass", TAG_COUNTS}
    wanted |= {f"pair_mass_{n}" for n in ("0_tags", "1_tag", "2_tags", "2plus_tags", "3plus_tags")}
    assert wanted <= set(figures)
    assert all(re.fullmatch(r"\w+", name, re.ASCII) for name in figures)
    n_categories = sum(
        bool(filled[{"category": category}].values()[1:].any())  # of all methods but "all"
        for name, filled in output["observables"].items()
        if name != TAG_COUNTS
        for category in filled.axes["category"]
    )
    spectra = [n for n in figures if not n.startswith(OTHERS)]
    assert len(spectra) == n_categories + 1  # and the numbers of tags


@pytest.mark.slow
@pytest.mark.parametrize("task", [POINTS_TASK, several_points(None)], ids=["names", "numbers"])
def test_several_working_points_are_drawn(task):
    conditions = {"M & T": at_least(2, 1) & at_least(1, 2), "1 L": exactly(1)}
    processor = TruthTagging(task, {"same": true_points}, working_point=1, conditions=conditions)
    figures = closure_figures(processor.process(events_of(points_jets([2, 3, 4] * 9)))["sample"])
    others = ("L", "T") if task is POINTS_TASK else ("0", "2")
    names = {*(f"pt_{name}" for name in others), "pair_mass_M_T", "pair_mass_1_L", TAG_COUNTS}
    assert names <= set(figures)
    for name in names:
        draw(figures[name])
    ticks = figures[TAG_COUNTS].axes[-1].get_xticklabels()
    assert [text.get_text() for text in ticks] == list(conditions)


def test_map_of_several_working_points_has_a_row_for_each(toy_file):
    axes = MapConfig.model_validate({"axes": {"pt": {"edges": (20.0, 100.0, 600.0)}}})
    columns = read_columns([toy_file], mlp_config(POINTS_TASK))
    points_map = EfficiencyMap.fit(POINTS_TASK, columns, axes)
    panels = draw(plot_map(points_map)).axes
    expected = [f"{flavour}, {p}" for p in "LMT" for flavour in ("b", "c", "light")]
    assert [axes.get_title() for axes in panels] == expected
    for number, panel in enumerate(panels):
        drawn = panel.patches[0].get_data().values
        np.testing.assert_array_equal(drawn, points_map.values()[number % 3, :, number // 3])


@pytest.mark.slow
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


@pytest.mark.slow
def test_sample_without_categories_is_drawn():
    task = TASK.model_copy(update={"categorical": {}})
    for figure in closure_figures(run(tagged_jets([2, 3] * 9), task, half=half)).values():
        draw(figure)


def test_pictures_of_names_that_differ_in_signs_are_both_kept() -> None:
    output = TruthTagging(
        TASK, {}, conditions={"<2 tags": exactly(1), ">2 tags": exactly(3)}
    ).process(events_of(tagged_jets([2, 3, 4] * 20)))["sample"]
    names = [name for name in closure_figures(output) if name.startswith("pair_mass_")]
    assert {"pair_mass__2_tags", "pair_mass__2_tags_"} <= set(names)
