"""Rows and tables of a card, without a training."""

from __future__ import annotations

import io
import logging
from dataclasses import replace

import pytest
from rich.console import Console

from hepsilon.cli import parser
from hepsilon.cli.cards import findings_tables, importance_table, selection_table
from hepsilon.cli.output import judged, say, table
from hepsilon.closure.questions import compared, found_in_training
from hepsilon.efficiencies.artifact import read_arrays, write_artifact
from hepsilon.efficiencies.card import SourceFile
from hepsilon.efficiencies.card_text import card_rows
from hepsilon.efficiencies.cards import CandidateCard, ImportanceCard, LossCard, SelectionCard
from hepsilon.efficiencies.refinement_cards import (
    RefinementCard,
    RegionCard,
    ResidualCard,
    ResidualsCard,
)
from tests.helpers.network_toys import write_untrained

SELECTION = SelectionCard(
    chosen="gnn",
    n_events=1234,
    candidates=(
        CandidateCard(
            name="map", loss=0.4, difference=0.01, error=0.002, seconds=0.5, parameters=570
        ),
        CandidateCard(name="mlp", reason="needs the number of objects"),
        CandidateCard(
            name="gnn", loss=0.39, difference=0.0, error=0.0, seconds=61.25, parameters=41981
        ),
    ),
    map_gain=-0.02,
    map_gain_error=0.01,
)
IMPORTANCE = (
    ImportanceCard(feature="pt", rise=0.05, error=0.01),
    ImportanceCard(feature="phi", rise=0.001, error=0.01),
)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    model = {"architecture": "mlp", "width": 4, "blocks": 1}
    return write_untrained(tmp_path_factory.mktemp("cards") / "net.hepsilon", **model)


def rows_of(network, **update) -> dict[str, str]:
    return {row[0]: row[1] for row in card_rows(network.card.model_copy(update=update))}


def test_info_has_the_comparison_the_importance_and_the_loss_out_of_fold(network):
    loss = LossCard(loss=0.375468, error=0.0056059, n_events=3000)
    rows = rows_of(network, selection=SELECTION, importance=IMPORTANCE, out_of_fold=loss)
    assert rows["candidate map"] == (
        "loss 0.40000, 0.01000 +- 0.00200 above the best, 570 parameters, 0.5 s"
    )
    assert rows["candidate mlp"] == "needs the number of objects"
    assert rows["candidate gnn"].endswith("41,981 parameters, 61.2 s; kept")
    assert rows["importance pt"] == "loss +0.05000 +- 0.01000"
    assert rows["importance phi"] == "loss +0.00100 +- 0.01000, noise"
    assert rows["out-of-fold loss"] == "0.37547 +- 0.00561 of 3,000 events"
    assert "advice" not in rows
    better = SELECTION.model_copy(update={"map_gain": 0.03})
    assert "hepsilon map" in rows_of(network, selection=better)["advice"]


def test_info_without_them_has_no_such_rows(network):
    names = list(rows_of(network))
    assert not any(name.startswith(("candidate", "importance", "out-of-fold")) for name in names)


def test_tables_have_a_row_for_each(capsys):
    console = Console(width=120)
    console.print(selection_table(SELECTION))
    console.print(importance_table(IMPORTANCE))
    out = capsys.readouterr().out
    for text in ("1,234 validation events", "0.39000", "61.2", "kept", "needs the number", "noise"):
        assert text in out


def test_report_and_closure_have_the_comparison_in_one_line(network):
    class Compared:
        card = network.card.model_copy(update={"selection": SELECTION})

    found = compared({"auto": Compared(), "net": network, "plain": object()})
    assert found == {"auto": "map 0.4000, mlp not compared, gnn 0.3900 (kept)"}


def printed(*items) -> str:
    console = Console(width=200, force_terminal=True, color_system=None)
    with console.capture() as captured:
        for item in items:
            console.print(item)
    return captured.get()


EVIL = "[/x] [bold]a[b] \x1b[31m\x07\x9b2J end"
"""Markup, and what commands a terminal."""


def test_text_of_files_is_shown_as_it_is():
    shown_text = printed(table(EVIL, [EVIL, "value"], [[EVIL, EVIL]]), judged("pass", EVIL))
    assert shown_text.count(r"[/x] [bold]a[b] \x1b[31m\x07\x9b2J end") == 5
    assert not set(shown_text) & {"\x07", "\x1b", "\x9b"}


def test_lines_and_messages_are_shown_as_they_are(capfd):
    say(EVIL)
    record = logging.LogRecord("hepsilon", logging.WARNING, "", 0, "%s", (EVIL,), None)
    message = parser._Formatter("%(message)s").format(record)
    for text in (capfd.readouterr().err, message):
        assert r"[/x] [bold]a[b] \x1b[31m\x07\x9b2J end" in text


def test_info_of_a_card_with_markup(tmp_path, run):
    efficiency = write_untrained(tmp_path / "a[b].hepsilon", architecture="mlp", width=4, blocks=1)
    card = efficiency.card.model_copy(
        update={"files": (SourceFile(name=EVIL),), "versions": {EVIL: EVIL}}
    )
    arrays = read_arrays(efficiency.path, efficiency.card, efficiency.hash)
    write_artifact(efficiency.path, card, arrays)
    code, out, _ = run("info", efficiency.path)
    assert code == 0
    assert "a[b].hepsilon" in out.replace("\n", "")
    assert "[/x]" in out
    assert "\x1b[31m" not in out


FINDINGS = {
    "residuals": ResidualsCard(
        n_events=2000,
        n_draws=199,
        false_alarm=0.01,
        inputs=(
            ResidualCard(
                name="delta R to the nearest",
                chi2=61.5,
                n_bins=30,
                p_value=0.005,
                bin="delta R to the nearest 0.4 to 0.6, hadronFlavour 5",
                ratio=0.91,
                error=0.02,
            ),
            ResidualCard(name="pt", chi2=31.5, n_bins=30, p_value=0.6, bin="pt 20 to 40"),
        ),
    ),
    "refinement": RefinementCard(
        kept=True,
        gain=0.0004,
        error=0.0001,
        n_events=20_000,
        n_folds=5,
        rounds=39,
        partners=True,
        inputs=("pt", "eta"),
        outputs=1,
        shares={"pt": 0.6, "eta": 0.4},
    ),
    "regions": (
        RegionCard(
            variable="E",
            low=0.0,
            high=0.01,
            available=400.0,
            expected=410.0,
            error=80.0,
            training_error=0.07,
            n_events=400,
            n_training=3600,
        ),
    ),
}


def test_info_has_what_the_training_found(network):
    rows = rows_of(network, **FINDINGS)
    assert (
        "delta R to the nearest (p = 0.005; passed / expected 0.910 +- 0.020" in rows["residuals"]
    )
    assert "pt (" not in rows["residuals"]  # not significant
    assert rows["refinement"] == (
        "loss -0.00040 +- 0.00010 out of 5 folds of 20,000 events, 39 rounds of trees "
        "(pt 60%, eta 40%), kept"
    )
    assert rows["E 0 to 0.01"] == (
        "expected / available 1.0250 +- 0.2000 of 400 events, irreducible 7.00% "
        "(3,600 training events)"
    )
    assert not {"residuals", "refinement"} & set(rows_of(network))


def test_tables_of_what_the_training_found(network):
    card = network.card.model_copy(update=FINDINGS)
    console = Console(width=200, record=True, file=io.StringIO())
    for shown in findings_tables(card):
        console.print(shown)
    text = console.export_text()
    assert "0.005 significant" in text
    assert "weights that cancel" in text  # of what nothing positive is expected
    assert "1.0250 +- 0.2000" in text
    assert findings_tables(network.card) == []


def test_closures_say_what_the_training_found(network):
    card = network.card.model_copy(update=FINDINGS)
    found = found_in_training({"net": replace(network, card=card), "map": object()})
    assert list(found) == ["net"]
    assert [text.split(":")[0] for text in found["net"]] == [
        "residuals",
        "refinement",
        "E 0 to 0.01",
    ]
    assert found_in_training({"net": network}) == {}
