"""Histograms and pictures of efficiencies, and what they say of themselves in a notebook."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import awkward as ak
import hist
import numpy as np
import pytest
from matplotlib import pyplot

from hepsilon import EfficiencyMap, InputError
from hepsilon.efficiencies.network import NetworkEfficiency
from tests.helpers.network_toys import NETWORKS
from tests.helpers.toys import TASK
from tests.helpers.track_toys import random_tracks
from tests.helpers.untrained import Make


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


def test_a_map_is_its_histogram(toy_map: EfficiencyMap) -> None:
    histogram = toy_map.to_hist()
    np.testing.assert_array_equal(histogram.values(), toy_map.values())
    assert set(histogram.axes.name) == {"hadronFlavour", *toy_map.card.edges}
    value, n = toy_map.values(), toy_map.n_effective
    np.testing.assert_allclose(histogram.variances(), value * (1 - value) / (n + 2))
    drawn = toy_map._draws(4000, 2).var(axis=-1, ddof=1)  # the posterior that replicas come from
    usual = value > 0.01  # the variance of rarer ones comes from few draws
    np.testing.assert_allclose(histogram.variances()[usual], drawn[usual], rtol=0.3)


def test_several_working_points_have_an_axis(points_map: EfficiencyMap) -> None:
    histogram = points_map.to_hist()
    assert histogram.axes.name[-1] == "working_point"
    assert list(histogram.axes[-1]) == [str(point) for point in points_map.working_points]
    np.testing.assert_array_equal(histogram.values(), points_map.values())


def test_mean_of_a_sample(toy_map: EfficiencyMap, toy_jets: ak.Array) -> None:
    edges = [20.0, 50.0, 100.0, 600.0]
    histogram = toy_map.to_hist("pt", "hadronFlavour", records=toy_jets, bins=edges)
    eps = toy_map(toy_jets, out_of_domain="ignore")
    chosen = (toy_jets.pt >= 50) & (toy_jets.pt < 100) & (toy_jets.hadronFlavour == 5)
    cell = histogram[{"pt": 1, "hadronFlavour": hist.loc(5)}]
    assert cell.count == ak.sum(chosen)
    assert cell.value == pytest.approx(ak.mean(eps[chosen]))
    assert histogram.axes["pt"].label == "pt [GeV]"


def test_networks_of_events_count_every_object(track_mlp: NetworkEfficiency) -> None:
    tracks = random_tracks([2] * 50)
    histogram = track_mlp.to_hist("px", records=tracks, bins=[-10.0, 10.0])
    assert histogram[0].count == 100
    assert histogram[0].value == pytest.approx(np.mean(track_mlp(tracks)))


def test_a_map_draws_its_bins(toy_map: EfficiencyMap) -> None:
    axes = toy_map.plot("pt")
    assert axes.get_xlabel() == "pt [GeV]"
    labels = axes.get_legend_handles_labels()[1]
    assert labels == [f"hadronFlavour = {code}" for code in TASK.categorical["hadronFlavour"]]
    curve = toy_map._own_curves("pt")[0]
    first = toy_map.values()[0], toy_map.n_effective[0]
    expected = np.average(first[0], axis=1, weights=np.maximum(first[1], 1e-300))
    np.testing.assert_allclose(curve.values, expected)
    assert np.all(curve.errors > 0)


def test_a_network_draws_one_object(untrained: Make) -> None:
    task, options = NETWORKS["gnn"]
    network = untrained(task, last_layer=True, **options)
    axes = network.plot("pt")
    curve = network._own_curves("pt")[0]
    assert "alone in its event" in axes.get_title()
    low, high = (getattr(network.features.features[0], end) for end in ("low", "high"))
    assert (curve.x[0], curve.x[-1]) == (low, high)
    assert np.all((curve.values > 0) & (curve.values < 1))
    assert np.all(curve.errors > 0)


def test_a_sample_is_drawn_where_asked(toy_map: EfficiencyMap, toy_jets: ak.Array) -> None:
    _, axes = pyplot.subplots()
    assert toy_map.plot("eta", toy_jets, bins=5, ax=axes) is axes
    (stairs, band) = axes.patches
    assert stairs.get_data().values.shape == (5,)
    eps, eta = toy_map(toy_jets, out_of_domain="ignore"), toy_jets.eta
    edges = stairs.get_data().edges
    chosen = (eta >= edges[2]) & (eta < edges[3])
    assert stairs.get_data().values[2] == pytest.approx(ak.mean(eps[chosen]))
    assert np.all(band.get_data().values >= stairs.get_data().values)
    assert len(toy_map.plot("hadronFlavour", toy_jets).patches[0].get_data().values) == 3


def test_working_points_have_curves(points_map: EfficiencyMap, toy_jets: ak.Array) -> None:
    labels = points_map.plot("pt", toy_jets).get_legend_handles_labels()[1]
    assert labels == [str(point) for point in points_map.working_points]


def test_what_cannot_be_drawn(
    toy_map: EfficiencyMap, track_mlp: NetworkEfficiency, toy_jets: ak.Array
) -> None:
    with pytest.raises(InputError, match=r"expected a feature of \['hadronFlavour'"):
        toy_map.plot("mass")
    with pytest.raises(InputError, match="binned feature"):
        toy_map.plot("hadronFlavour")
    with pytest.raises(InputError, match="depends on all its objects: give records"):
        track_mlp.plot("px")
    with pytest.raises(InputError, match="expected features and records"):
        track_mlp.to_hist("px")
    with pytest.raises(InputError, match="expected records"):
        toy_map.to_hist("pt")
    for bins in (0, [3.0], [3.0, 2.0]):
        with pytest.raises(InputError, match="bins: expected"):
            toy_map.to_hist("pt", records=toy_jets, bins=bins)


def test_no_objects(toy_map: EfficiencyMap, toy_jets: ak.Array) -> None:
    empty = toy_jets[:0]
    assert toy_map.to_hist("pt", records=empty).sum().count == 0
    assert np.isnan(toy_map.plot("pt", empty).patches[0].get_data().values).all()


def test_one_line_says_what_it_is(toy_map: EfficiencyMap, untrained: Make) -> None:
    assert repr(toy_map).startswith("<EfficiencyMap of Jet: ")
    network = untrained(*NETWORKS["mlp"][:1], architecture="mlp")
    assert "\n" not in repr(network)
    assert len(repr(network)) < 200
    assert network.path.rsplit("/", 1)[1] in repr(network)
    handle = pickle.loads(pickle.dumps(network))
    assert repr(handle) == f"<NetworkEfficiency, {network.path.rsplit('/', 1)[1]}>"
    assert "card" not in vars(handle)  # and opens nothing for it


class Tags(HTMLParser):
    """Tags that are open, and texts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_card_is_a_table_in_a_notebook(toy_map: EfficiencyMap) -> None:
    evil = "<script>alert(1)</script>"
    passed = toy_map.task.passed.model_copy(update={"field": evil})
    task = toy_map.task.model_copy(update={"passed": passed})
    card = toy_map.card.model_copy(update={"task": task})
    page = Tags()
    page.feed(EfficiencyMap(card, toy_map._arrays)._repr_html_())
    assert page.open == []
    assert "script" not in page.seen
    assert evil in page.text
    assert {"table", "details", "summary"} <= page.seen
    for text in ("hadronFlavour", "Domain", "Sample", "passed"):
        assert text in page.text
