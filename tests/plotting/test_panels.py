"""Panels below a distribution: pulls are exact, bands are the efficiency's own error."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PolyCollection, QuadMesh

from hepsilon.closure import closure_report
from hepsilon.plotting import plot_observable
from hepsilon.plotting.style import label_grid, panel_grid
from hepsilon.plotting.tagging import tagging_plots
from hepsilon.processors import TruthTagging
from tests.helpers.toys import TASK, events_of, half, tagged_jets


def third(records):
    """An efficiency that is too low."""
    return half(records) / 1.5


def run(jets, **efficiencies):
    return TruthTagging(TASK, efficiencies).process(events_of(jets))["sample"]


@pytest.fixture(scope="module")
def output(toy_map):
    return run(tagged_jets([2, 3, 0, 1] * 30), map=toy_map, half=half)


def steps(axes):
    return [patch.get_data().values for patch in axes.patches if hasattr(patch, "get_data")]


def bands(axes):
    return [each for each in axes.collections if isinstance(each, PolyCollection)]


def test_pulls_are_those_of_the_closure(output, toy_map):
    efficiencies = {"map": toy_map, "half": half}
    closure = closure_report(output, TASK, efficiencies, ["a.root"])
    shown = steps(plot_observable(output, "eta", "b").axes[2])
    assert len(shown) == 3
    for values, method in zip(shown, ("truth", "map", "half"), strict=True):
        expected = np.array(closure.efficiency[method].observables["eta|b"].pull, np.float64)
        known = np.isfinite(expected)
        np.testing.assert_allclose(values[known], expected[known], rtol=1e-9)


def test_bands_are_those_of_efficiencies_with_replicas(output):
    main, ratio, _ = plot_observable(output, "pt").axes
    assert len(bands(main)) == len(bands(ratio)) == 1
    spread = output.efficiency_replicas["map"]["pt"][{"category": "all"}].values()
    low, high = bands(main)[0].get_paths()[0].get_extents().intervaly
    values = output.observables["pt"][{"method": "map", "category": "all"}].values()
    error = spread.std(axis=0, ddof=1)
    assert high == pytest.approx((values + error).max())
    assert low == pytest.approx((values - error).min(), abs=1e-12)


def test_bins_without_an_entry_do_not_look_measured(output):
    main = plot_observable(output, "pt", "light").axes[0]
    direct = output.observables["pt"][{"method": "direct", "category": "light"}].values()
    (points,) = main.containers
    assert len(points.lines[0].get_xdata()) == np.count_nonzero(direct) < len(direct)


def test_pulls_of_many_methods_are_rows_of_colours(toy_map):
    many = {"map": toy_map, "half": half, "third": third, "again": half}
    output = run(tagged_jets([2, 3, 1] * 30), **many)
    pull = plot_observable(output, "eta").axes[2]
    (mesh,) = (each for each in pull.collections if isinstance(each, QuadMesh))
    assert mesh.get_array().shape[0] == 5
    names = [label.get_text() for label in pull.get_yticklabels()]
    assert names == ["true efficiency", "map", "half", "third", "again"]


def test_pictures_without_any_entry_are_left_out(toy_map):
    plots = tagging_plots(run(tagged_jets([2] * 60), map=toy_map))
    assert "pair_mass_2plus_tags" in plots
    assert "pair_mass_3plus_tags" not in plots


@pytest.mark.parametrize(("number", "shape"), [(1, (1, 1)), (3, (1, 3)), (7, (3, 3))])
def test_many_panels_are_rows_of_three(number, shape):
    figure, panels = panel_grid(number)
    label_grid(panels, "x", "y")
    assert len(panels) == number
    place = panels[-1].get_subplotspec().get_gridspec()
    assert (place.nrows, place.ncols) == shape
    width = figure.get_size_inches()[0]
    assert width <= 3.6 * 3
    labelled = [axes for axes in panels if axes.get_xlabel() == "x"]
    assert len(labelled) == shape[1]
    assert sum(axes.get_ylabel() == "y" for axes in panels) == shape[0]
