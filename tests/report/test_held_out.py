"""Page of a training by its held-out events."""

from __future__ import annotations

import re

import pytest

from hepsilon import ConfigError
from hepsilon.plotting.held_out import plot_held_out
from hepsilon.report.held_out import held_out_page, write_held_out
from tests.helpers.held_out import held_out_card
from tests.helpers.network_toys import write_untrained
from tests.helpers.toys import TASK


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("held-out")
    return write_untrained(folder / "gnn.hepsilon", TASK, architecture="mlp", width=4, blocks=1)


def test_the_page_says_what_the_card_says(network, tmp_path):
    card = network.card.model_copy(update={"held_out": held_out_card()})
    write_held_out(tmp_path / "page.html", card, "gnn <1>")
    text = (tmp_path / "page.html").read_text()
    assert "<h1>gnn &lt;1&gt; on events held out of its training</h1>" in text
    assert '<strong class="fail">fail</strong>' in text
    assert "passed 10 % less than expected" in text
    assert text.count("<figure") == len(card.held_out.inputs)
    assert "Validation events have chosen the epoch that is kept." in text
    assert re.search(r"pt from 60 +hadronFlavour 0 +45 +50 +0.900 ± 0.130", text)
    assert "<td>pt</td>" in text
    folds = card.held_out.model_copy(update={"events": "out of fold"})
    assert "have chosen the epoch" not in held_out_page(
        card.model_copy(update={"held_out": folds}), "gnn"
    )


def test_artifacts_without_a_closure_are_refused(network):
    with pytest.raises(ConfigError, match="old holds no closure on held-out events"):
        held_out_page(network.card, "old")


def test_points_are_ratios_with_their_errors():
    """45 of 50 +- 6.5 by statistics, +- 2 by the efficiency; nothing expected draws nothing."""
    pt = held_out_card().inputs[1]
    figure = plot_held_out(pt)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == ["hadronFlavour 5", "hadronFlavour 0"]
    points = panels[1].containers[0]
    assert points.lines[0].get_ydata().tolist() == pytest.approx([float("nan"), 0.9], nan_ok=True)
    low, high = points.lines[2][0].get_segments()[-1][:, 1]
    assert (high - low) / 2.0 == pytest.approx(0.13)
    band = panels[1].patches[0].get_data()
    assert band.values[1] - 1.0 == pytest.approx(0.04)
    assert [t.get_text() for t in panels[0].get_xticklabels()] == ["below 60", "from 60"]
