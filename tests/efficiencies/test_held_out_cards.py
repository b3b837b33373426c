"""What cards say of held-out events."""

from __future__ import annotations

from typing import Any

import pytest

from hepsilon.efficiencies.card_text import card_groups
from hepsilon.efficiencies.held_out_cards import BiasCard, HeldOutBins, HeldOutCard
from tests.helpers.network_toys import write_untrained


def bins(**given: Any) -> HeldOutBins:
    values: dict[str, Any] = {
        "name": "all",
        "bins": ("all", "all"),
        "categories": ("flavour 5", "flavour 0"),
        "n_effective": (400.0, 100.0),
        "observed": (99.0, 0.0),
        "expected": (100.0, 0.0),
        "variance": (64.0, 0.0),
        "efficiency_variance": (4.0, 0.0),
        "chi2": 1.0,
        "ndf": 2,
        "p_value": 0.6,
    }
    return HeldOutBins(**(values | given))


CARD = HeldOutCard(
    events="validation", n_events=1234, inputs=(bins(), bins(name="pt", p_value=0.01, chi2=9.2))
)
BIAS = BiasCard(
    spread={"pt": 0.01, "eta": 0.05, "all": 0.0},
    total_error=0.0123,
    n_events=5000,
    partners=False,
    regions=6,
    directions=3,
)


def test_cells_of_a_bin() -> None:
    """99 of 100 +- 8 by statistics, +- 2 by the efficiency; nothing expected has no ratio."""
    assert bins().cells(0) == ["all", "flavour 5", "99", "100", "0.990 +- 0.080", "0.020"]
    assert bins().cells(1) == ["all", "flavour 0", "0", "0", "-", "-"]
    assert bins(efficiency_variance=None).cells(0)[-1] == "-"


def test_the_least_probable_input_counts_all_tests() -> None:
    assert CARD.least_probable.name == "pt"
    assert CARD.p_value == pytest.approx(0.02)
    text = "1,234 validation events: p = 0.02 after 2 tests, the least probable is pt"
    assert text in str(CARD)
    assert "9.2 / 2" in str(CARD)


def test_the_bias_says_the_total_and_the_largest_shifts() -> None:
    assert str(BIAS).startswith("1.23 % of the total; ")
    assert "eta 0.05, pt 0.01" in str(BIAS)
    assert "no entries" in str(BIAS.model_copy(update={"directions": 0}))


def test_info_has_both(tmp_path: Any) -> None:
    network = write_untrained(tmp_path / "n.hepsilon", architecture="mlp", width=4, blocks=1)
    card = network.card.model_copy(update={"held_out": CARD, "bias": BIAS})
    groups = card_groups(card)
    rows = dict(groups["Accuracy on held-out events"])
    assert "0.990 +- 0.080 (statistics) +- 0.020 (last layer)" in rows["held-out flavour 5"]
    assert rows["held-out closure"] == str(CARD)
    assert dict(groups["Learning"])["bias term"] == str(BIAS)
    assert "Accuracy on held-out events" not in card_groups(network.card)


def test_info_shows_every_bin(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from hepsilon.cli.parser import main
    from hepsilon.efficiencies.artifact import read_arrays, write_artifact

    network = write_untrained(tmp_path / "n.hepsilon", architecture="mlp", width=4, blocks=1)
    arrays = read_arrays(network.path, network.card, network.hash)
    card = network.card.model_copy(update={"held_out": CARD})
    write_artifact(tmp_path / "h.hepsilon", card, arrays)
    assert main(["info", str(tmp_path / "h.hepsilon"), "--held-out"]) == 0
    out = capsys.readouterr().out
    assert "pt (chi2 / bins = 9.2 / 2, p = 0.01)" in " ".join(out.split())
    page = tmp_path / "page.html"
    assert main(["info", str(tmp_path / "h.hepsilon"), "--held-out", "--out", str(page)]) == 0
    assert "h on events held out of its training" in page.read_text()
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("warn h on 1,234 validation events: total: passed 1 % less")
    assert main(["info", str(tmp_path / "h.hepsilon"), "--held-out", "--out", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    assert main(["info", str(tmp_path / "h.hepsilon"), "--held-out", "--json"]) == 0
    assert '"n_events": 1234' in capsys.readouterr().out
    assert main(["info", str(tmp_path / "n.hepsilon"), "--held-out"]) == 2
    assert "no closure on held-out events" in capsys.readouterr().err
